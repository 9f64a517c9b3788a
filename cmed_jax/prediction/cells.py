"""The cell of a query: given, found from its lines, or that of a crystal that explains them.

A network reads reflections, and so it is asked in a cell. Where the cell is sought, it is asked in
each of the most plausible ones, and the cell is chosen in which its density has the measured lines.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal import cell_contents
from cmed_jax.crystal.symmetry import lattice_type_of
from cmed_jax.physics.cell import cell_volume
from cmed_jax.powder.cell_indexing import IndexedCell
from cmed_jax.powder.indexing import Shift
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.prediction.assessment import WELL, explanation_of
from cmed_jax.prediction.indexed import STAGES, Stages, cells_of_lines
from cmed_jax.prediction.query import PredictionQuery
from cmed_jax.solution.calculated import calculate_pattern
from cmed_jax.solution.cell_ranking import CellCandidate, best_cells_first
from cmed_jax.solution.isostructural import IsostructuralMatch

ASKED = 8
"""The number of cells in which a network is asked, that of a known crystal among them."""

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
    of_known = best_cells_first(each.cell(lines) for each in known)
    found = indexed_cells(query, _stages(query, known))
    indexed = [each for each in found if cell_volume(each.lattice) <= LARGEST]
    indexed = indexed[: ASKED - len(of_known[:1])]
    asked = [*(each.lattice for each in indexed), *(each.lattice for each in of_known[:1])]
    cells = []
    for each, density in zip(indexed, ask(asked) if asked else (), strict=False):
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
    return best_cells_first([*cells, *of_known])


def _stages(query: PredictionQuery, known: Sequence[IsostructuralMatch]) -> Stages:
    """Return the lattices that are tried; all of them where structures are searched for.

    Those of lower symmetry than a known crystal that explains the pattern well are not tried.
    """
    assert query.prepared is not None  # its cell is sought
    explanations = [explanation_of(each, query.prepared.peaks) for each in known]
    well = [
        each
        for each in explanations
        if each.misfit <= WELL and each.is_of_usual_volume and each.is_whole
    ]
    if query.options.search or not well:
        return STAGES
    best = min(well, key=lambda each: each.misfit)
    assert best.crystal is not None  # it explains the pattern
    axes = lattice_type_of(best.crystal.crystal.space_group).split()[0]
    last = next(place for place, each in enumerate(STAGES) if axes in each)
    return STAGES[: last + 1]


@lru_cache(maxsize=1)
def indexed_cells(query: PredictionQuery, stages: Stages) -> tuple[IndexedCell, ...]:
    """Return the cells that measured lines have, of as high a symmetry as explains them all.

    The cells of the last query are kept, as the network and the search for structures ask for them.

    Args:
        query: a query with a measured pattern.
        stages: the lattices that are tried, unless the lines were indexed for the zero shift.
    """
    assert query.prepared is not None
    if query.indexed:
        return query.indexed
    return cells_of_lines(MeasuredLines.of(query.prepared), query.formula, stages)


def _relative_volume(lattice: Float[np.ndarray, "3 3"], query: PredictionQuery) -> float:
    if query.formula is None:
        return 1.0
    return cell_contents.relative_cell_volume(lattice, query.formula)
