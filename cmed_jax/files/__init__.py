"""Measured patterns in, densities out."""

from cmed_jax.files.cell_search import CellCandidate, MeasuredLines, find_cell
from cmed_jax.files.measured import MeasuredPattern, load_pattern
from cmed_jax.files.preparation import Preparation, Prepared, prepare

__all__ = [
    "CellCandidate",
    "MeasuredLines",
    "MeasuredPattern",
    "Preparation",
    "Prepared",
    "find_cell",
    "load_pattern",
    "prepare",
]
