"""The cell of a query: given, found from its lines, or that of a crystal that explains them.

A network reads reflections, and so it is asked in a cell. Where the cell is sought, it is asked in
each of the most plausible ones, and the cell is chosen in which its density has the measured lines.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal import cell_contents
from cmed_jax.physics.cell import cell_volume
from cmed_jax.powder.cell_indexing import IndexedCell, index_lines
from cmed_jax.powder.indexing import Axes, Shift
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.prediction.query import PredictionQuery
from cmed_jax.solution.calculated import calculate_pattern
from cmed_jax.solution.cell_ranking import CellCandidate, best_cells_first
from cmed_jax.solution.isostructural import IsostructuralMatch

INDEXED = 8
"""The number of indexed cells in which a network is asked."""

STAGES: tuple[tuple[Axes, ...], ...] = (
    ("cubic",),
    ("hexagonal", "tetragonal"),
    ("orthorhombic", "monoclinic", "triclinic"),
)
"""The lattices that are tried, in this order, until one explains all lines."""

CERTAIN = 20.0
"""De Wolff's figure of merit above which a cell that indexes all lines is not doubted."""

LARGEST = 2000.0
"""The largest volume of a primitive cell in which a network is asked, angstrom^3."""

Asking = Callable[[Sequence[Float[np.ndarray, "3 3"]]], Float[np.ndarray, "c a b d"]]
"""A function that returns a network's density in each of some primitive cells, e/angstrom^3."""


def find_cells(
    query: PredictionQuery, known: Sequence[IsostructuralMatch], ask: Asking
) -> tuple[CellCandidate, ...]:
    """Return the cells that explain the measured lines, the best first; empty where none is sought.

    The merit of an indexed cell is the cosine of the measured pattern and that of the density that
    the network predicts in it; that of a known crystal's cell is the agreement of its lines.

    Args:
        query: the query.
        known: the known crystals that explain its pattern.
        ask: the network.
    """
    prepared = query.prepared
    if prepared is None or not query.cell_is_sought or not query.tells_cell:
        return ()
    lines = MeasuredLines.of(prepared)
    indexed = [each for each in indexed_cells(query) if cell_volume(each.lattice) <= LARGEST]
    indexed = indexed[:INDEXED]
    cells = []
    if indexed:
        for each, density in zip(indexed, ask([each.lattice for each in indexed]), strict=True):
            shift = prepared.shift or Shift(each.zero)
            calculated = calculate_pattern(density, each.lattice, prepared, shift)
            cells.append(
                CellCandidate(
                    each.lattice_type,
                    each.parameters,
                    each.lattice,
                    calculated.cosine,
                    shift,
                    relative_volume=_relative_volume(each.lattice, query),
                )
            )
    return best_cells_first([*cells, *(each.cell(lines) for each in known)])


@lru_cache(maxsize=1)
def indexed_cells(query: PredictionQuery) -> tuple[IndexedCell, ...]:
    """Return the cells that measured lines have, of as high a symmetry as explains them all.

    The cells of the last query are kept, as the network and the search for structures ask for them.

    Args:
        query: a query with a measured pattern.
    """
    assert query.prepared is not None
    lines, found = MeasuredLines.of(query.prepared), list[IndexedCell]()
    for systems in STAGES:
        found += index_lines(lines, query.formula, systems)
        found.sort(key=lambda cell: -cell.merit)
        if found and found[0].indexed == found[0].lines and found[0].m20 >= CERTAIN:
            break
    return tuple(found)


def _relative_volume(lattice: Float[np.ndarray, "3 3"], query: PredictionQuery) -> float:
    if query.formula is None:
        return 1.0
    return cell_contents.relative_cell_volume(lattice, query.formula)
