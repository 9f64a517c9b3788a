"""The search for a structure in the cells of a query, and its result as one of the answers."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.bravais import same_lattice
from cmed_jax.crystal.symmetry import lattice_type_of
from cmed_jax.data.records import density_of
from cmed_jax.mixture.experts import Expert, Mixture
from cmed_jax.physics.patterns import two_theta
from cmed_jax.powder.cell_indexing import IndexedCell
from cmed_jax.powder.lines import LINE_WIDTH
from cmed_jax.powder.preparation import Prepared
from cmed_jax.prediction.assessment import BESIDE, Assessment
from cmed_jax.prediction.cells import indexed_cells
from cmed_jax.prediction.query import SAME_CELL, ConventionalCell, PredictionQuery
from cmed_jax.prediction.result import Answer
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.search import SearchResult
from cmed_jax.search.several_cells import search_cells
from cmed_jax.solution.calculated import calculate_crystal_pattern
from cmed_jax.solution.refinement import Refined

INDEXED, CELLS = 5, 6
"""The numbers of indexed cells and of all cells that are searched; they divide the time."""

UNASKED = 20
"""The seconds of a search that was not asked for, where no known crystal explains the pattern."""

WELL = 0.4
"""The misfit above which a known crystal is accepted, but may not be the best explanation."""

LEAST_SECONDS = 1.0
"""The least time of the search in cells, however long the indexing took, seconds."""

SOURCE = "the search"
"""The id of a structure that was found without a known crystal."""


def search_for_structures(
    query: PredictionQuery,
    lattices: Sequence[Float[np.ndarray, "3 3"]],
    assessment: Assessment | None,
) -> SearchResult | None:
    """Return the best result of the search; None where none is sought, or no cell can be searched.

    Where no cell is given, the lines are indexed, and the indexed cells are searched as well.

    Args:
        query: a measured pattern with its full formula.
        lattices: primitive cells, rows a, b, c in angstrom, the most plausible first.
        assessment: the assessment of the known crystals, where there are any.
    """
    prepared, formula, options = query.prepared, query.formula, query.options
    if prepared is None or formula is None or query.shared is not None:
        return None
    seconds = options.search
    if seconds is None:
        known = None if assessment is None else assessment.known
        cell = query.lattice is not None or query.cell_is_sought
        open_question = options.analogues and cell and (known is None or known.misfit > WELL)
        seconds = UNASKED if open_question else 0
    if not seconds:
        return None
    end = time.monotonic() + seconds
    indexed: tuple[IndexedCell, ...] = ()
    if query.lattice is None:
        indexed = indexed_cells(query)
        lattices = [*(each.lattice for each in indexed[:INDEXED]), *lattices]
    found = search_cells(
        _distinct(lattices)[:CELLS],
        formula,
        observed_lines(prepared),
        seconds=max(end - time.monotonic(), LEAST_SECONDS),
        seed=options.seed,
    )
    return None if found is None else replace(found, cells=indexed)


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


def structure_answer(
    result: SearchResult | None, query: PredictionQuery, assessment: Assessment | None
) -> Answer | None:
    """Return the answer of the best structure; None where it is no better than what is known.

    An alarm about the question is overruled by a structure that is found, not by a likely one. A
    known crystal that is accepted is overruled by a structure with a much smaller Rwp.

    Args:
        result: the result of the search, where there was one.
        query: the measured pattern.
        assessment: the assessment of the known crystals, where there are any.
    """
    if result is None or result.verdict == "not found":
        return None
    if assessment is not None and not assessment.consistent and result.verdict != "found":
        return None
    assert query.prepared is not None  # a search needs a measured pattern
    best = result.structures[0]
    crystal = replace(best.material, material_id=SOURCE)
    try:
        density = density_of(crystal, shape=query.options.grid)
    except ValueError:  # its atoms are too close
        return None
    pattern = calculate_crystal_pattern(crystal, query.prepared)
    known = None if assessment is None else assessment.known
    if known is not None and pattern.rwp > known.rwp - BESIDE:
        return None
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
        if not any(same_lattice(lattice, each, SAME_CELL) for each in kept):
            kept.append(lattice)
    return kept
