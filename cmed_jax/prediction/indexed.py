"""The cells that measured lines are indexed with, and the zero shift that the best one shows."""

import numpy as np
from jaxtyping import Float

from cmed_jax.powder.cell_indexing import IndexedCell, index_lines
from cmed_jax.powder.indexing import Axes, Shift
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import Prepared, with_shift

Stages = tuple[tuple[Axes, ...], ...]
"""Lattices that are tried together, one group after the other."""

STAGES: Stages = (
    ("cubic",),
    ("hexagonal", "tetragonal"),
    ("orthorhombic", "monoclinic", "triclinic"),
)
"""The lattices that are tried, in this order, until one explains all lines."""

CERTAIN = 20.0
"""De Wolff's figure of merit above which a cell that indexes all lines is not doubted."""
FEWEST = 15
"""The number of lines from which on a cell that is not doubted tells the zero shift."""


def cells_of_lines(
    lines: MeasuredLines, formula: Float[np.ndarray, "119"] | None, stages: Stages
) -> tuple[IndexedCell, ...]:
    """Return the cells that measured lines have, of as high a symmetry as explains them all.

    Args:
        lines: the measured lines.
        formula: the atom fractions by atomic number, where they are known in full.
        stages: the lattices that are tried, in this order, until one explains all lines.
    """
    found = list[IndexedCell]()
    for systems in stages:
        found += index_lines(lines, formula, systems)
        found.sort(key=lambda cell: -cell.merit)
        if found and _is_certain(found[0]):
            break
    return tuple(found)


def with_shift_of_cell(
    prepared: Prepared, formula: Float[np.ndarray, "119"] | None, *, as_measured: bool
) -> tuple[Prepared, tuple[IndexedCell, ...]]:
    """Return a pattern without the zero shift of its cell, and the cells of its lines.

    The preparation finds the shift of cubic, tetragonal and hexagonal lattices alone, without a
    formula. Where it finds none, a cell of any symmetry tells it that is not doubted. Else the
    pattern is returned as it is; without cells where none were sought.

    Args:
        prepared: the prepared pattern.
        formula: the atom fractions by atomic number, where they are known in full.
        as_measured: whether the network was trained on measured profiles and not on sticks.
    """
    sought = prepared.options.shift and prepared.shift is None
    if not sought or formula is None or len(prepared.peaks.two_theta) < FEWEST:
        return prepared, ()
    cells = cells_of_lines(MeasuredLines.of(prepared), formula, STAGES)
    if not cells or not _is_certain(cells[0]) or cells[0].lines < FEWEST:
        return prepared, cells
    return with_shift(prepared, Shift(cells[0].zero), as_measured=as_measured), cells


def _is_certain(cell: IndexedCell) -> bool:
    return cell.indexed == cell.lines and cell.m20 >= CERTAIN
