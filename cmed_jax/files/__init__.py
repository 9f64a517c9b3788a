"""Measured patterns in, densities out."""

from cmed_jax.files.analogues import Analogue, find_analogues
from cmed_jax.files.cell_search import CellCandidate, MeasuredLines, find_cell
from cmed_jax.files.measured import MeasuredPattern, load_pattern
from cmed_jax.files.preparation import Preparation, Prepared, prepare

__all__ = [
    "Analogue",
    "CellCandidate",
    "MeasuredLines",
    "MeasuredPattern",
    "Preparation",
    "Prepared",
    "find_analogues",
    "find_cell",
    "load_pattern",
    "prepare",
]
