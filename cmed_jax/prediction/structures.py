"""The search for a structure in the cells of a query, and its result as one of the answers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.lattice import cell_parameters
from cmed_jax.crystal.symmetry import lattice_type_of
from cmed_jax.data.records import density_of
from cmed_jax.mixture.experts import Expert, Mixture
from cmed_jax.physics.patterns import two_theta
from cmed_jax.powder.preparation import Prepared
from cmed_jax.prediction.query import SAME_CELL, ConventionalCell, PredictionQuery
from cmed_jax.prediction.result import Answer
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.search import SearchResult, search_structures
from cmed_jax.solution.calculated import calculate_crystal_pattern
from cmed_jax.solution.refinement import Refined

LINE_WIDTH = 0.1
"""The width of lines in a list of peaks, which does not state widths, degrees."""

CELLS = 2
"""The number of cells that are searched where several were found; they divide the time."""

SOURCE = "the search"
"""The id of a structure that was found without a known crystal."""


def search_cells(
    query: PredictionQuery, lattices: Sequence[Float[np.ndarray, "3 3"]]
) -> SearchResult | None:
    """Return the best result of the search in some cells; None where no cell can be searched.

    Args:
        query: a measured pattern with its full formula.
        lattices: primitive cells, rows a, b, c in angstrom, the most plausible first.
    """
    prepared, formula, options = query.prepared, query.formula, query.options
    if prepared is None or formula is None or query.shared is not None or not options.search:
        return None
    cells = _distinct(lattices)[:CELLS]
    lines = observed_lines(prepared)
    found = []
    for lattice in cells:
        try:
            result = search_structures(
                lattice,
                formula,
                lines,
                seconds=options.search / len(cells),
                seed=options.seed,
            )
        except ValueError:  # the cell is too small for the formula, or no line fits it
            continue
        if result.structures:
            found.append(result)
            if result.verdict == "found":
                break
    return min(found, key=lambda each: each.structures[0].raised_residual, default=None)


def observed_lines(prepared: Prepared) -> ObservedLines:
    """Return the lines of a prepared pattern in the form that the search compares."""
    widths = prepared.peaks.width[np.isfinite(prepared.peaks.width)]
    return ObservedLines.of_angles(
        two_theta(prepared.peaks.s, prepared.radiation.mean),
        prepared.peaks.area,
        (float(prepared.measured.two_theta[0]), float(prepared.measured.two_theta[-1])),
        float(np.median(widths)) if len(widths) else LINE_WIDTH,
        prepared.radiation.mean,
        prepared.options.monochromator,
    )


def structure_answer(result: SearchResult, query: PredictionQuery) -> Answer | None:
    """Return the answer of the best structure; None where it is not found, or has no density."""
    assert query.prepared is not None  # a search needs a measured pattern
    if result.verdict == "not found":
        return None
    best = result.structures[0]
    crystal = replace(best.material, material_id=SOURCE)
    try:
        density = density_of(crystal, shape=query.options.grid)
    except ValueError:  # its atoms are too close
        return None
    pattern = calculate_crystal_pattern(crystal, query.prepared)
    centring = lattice_type_of(best.space_group)[-1]
    expert = Expert(1.0, Refined(crystal, pattern.rwp))
    return Answer(
        Mixture(density[None], None, (expert,)),
        crystal.lattice,
        ConventionalCell(best.cell, centring, best.space_group),
        pattern,
    )


def _distinct(lattices: Sequence[Float[np.ndarray, "3 3"]]) -> list[Float[np.ndarray, "3 3"]]:
    kept: list[Float[np.ndarray, "3 3"]] = []
    for lattice in lattices:
        cell = cell_parameters(lattice)
        if not any(np.allclose(cell, cell_parameters(each), rtol=SAME_CELL) for each in kept):
            kept.append(lattice)
    return kept
