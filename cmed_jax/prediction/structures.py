"""The structures that explain a measured pattern: known crystals, and those of the search."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.bravais import same_lattice
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import centring_of
from cmed_jax.mixture.experts import Expert, Mixture
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import electron_density
from cmed_jax.powder.cell_indexing import IndexedCell
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import Prepared
from cmed_jax.prediction.assessment import BESIDE, WELL, Assessment, Explanation
from cmed_jax.prediction.cells import indexed_cells
from cmed_jax.prediction.diagnostics import Diagnostic
from cmed_jax.prediction.indexed import STAGES
from cmed_jax.prediction.query import SAME_CELL, ConventionalCell, PredictionQuery
from cmed_jax.prediction.result import Answer
from cmed_jax.search.known import distance_misfit, known_structure
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.search import SearchResult
from cmed_jax.search.several_cells import NOTHING, search_cells
from cmed_jax.search.solved import APART, GIVEN, SEARCH, SolvedStructure, different
from cmed_jax.search.superlattices import with_room
from cmed_jax.search.variants import GAIN, exchanges
from cmed_jax.solution.calculated import calculate_crystal_pattern
from cmed_jax.solution.isostructural import FARTHEST, IsostructuralMatch
from cmed_jax.solution.prototype_fit import Observed, merits
from cmed_jax.solution.refinement import Refined
from cmed_jax.solution.rietveld import RietveldFit, refine_profile

INDEXED, CELLS = 5, 6
"""The numbers of indexed cells and of all cells that are searched; they divide the time."""

CREDIBLE = 0.5
"""The least merit of a cell that is searched before a better one, as a share of the best merit."""
UNASKED = 20
"""The seconds of a search that was not asked for, where no known crystal explains the pattern."""

EXCHANGING = 2.0
"""The longest time in which elements of a known crystal are exchanged, seconds."""


class KnownStructures(NamedTuple):
    """The known crystals that may explain a pattern, and their structures.

    Attributes:
        matches: the crystals, the best first.
        structures: the structure of each that has lines.
        exchanged: other structures with two elements exchanged that explain the lines about as well
            as the best of them.
    """

    matches: tuple[IsostructuralMatch, ...]
    structures: tuple[SolvedStructure, ...]
    exchanged: tuple[SolvedStructure, ...] = ()


def search_for_structures(
    query: PredictionQuery,
    lattices: Sequence[Float[np.ndarray, "3 3"]],
    assessment: Assessment | None,
) -> SearchResult | None:
    """Return the best result of the search; None where no structure is sought.

    Where no cell is given, the lines are indexed, and the indexed cells are searched as well. The
    time of the indexing does not count.

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
        cell = query.lattice is not None or (query.cell_is_sought and query.tells_cell)
        open_question = options.analogues and cell and (known is None or known.misfit > WELL)
        seconds = UNASKED if open_question else 0
    if not seconds:
        return None
    if query.lattice is None and not query.tells_cell:
        return replace(NOTHING, refused=("no cell is given, and one line tells none",))
    indexed: tuple[IndexedCell, ...] = ()
    if query.lattice is None:
        indexed = indexed_cells(query, STAGES)
        likely = _whole_first(indexed[:INDEXED])
        lattices = with_room([*(each.lattice for each in likely), *lattices], formula)
    if not lattices:
        return replace(NOTHING, refused=("no cell is given, and none is found for the lines",))
    found = search_cells(
        _distinct(lattices)[:CELLS],
        formula,
        observed_lines(prepared),
        seconds=seconds,
        seed=options.seed,
    )
    return replace(found, cells=indexed)


def observed_lines(prepared: Prepared) -> ObservedLines:
    """Return the lines of a prepared pattern in the form that the search compares."""
    return ObservedLines.of_measured(MeasuredLines.of(prepared))


def crystal_answer(accepted: IsostructuralMatch, grid: tuple[int, int, int]) -> Answer:
    """Return the answer of a known crystal that is accepted.

    Args:
        accepted: the known crystal.
        grid: the numbers of points of the density along a, b, c.
    """
    crystal = accepted.crystal
    conventional = ConventionalCell.of_crystal(crystal)
    expert = Expert(1.0, Refined(crystal, accepted.rwp))
    mixture = Mixture(accepted.density(grid)[None], None, (expert,))
    return Answer(mixture, crystal.lattice, conventional, accepted.calculated)


def structure_answer(
    result: SearchResult | None, query: PredictionQuery, assessment: Assessment | None
) -> Answer | None:
    """Return the answer of the best structure; None where it is no better than what is known.

    An alarm about the question is overruled by a structure that is found, not by a likely one. A
    known crystal that is accepted is overruled by a structure with a much smaller misfit.

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
    crystal = best.material
    atoms = Crystal.of(crystal.lattice, crystal.numbers, crystal.frac_coords)
    density = electron_density(atoms, shape=query.options.grid)
    pattern = calculate_crystal_pattern(crystal, query.prepared)
    known = None if assessment is None else assessment.known
    of_search = Explanation(best.origin, pattern.rwp, best.relative_volume, noise=pattern.noise)
    if known is not None and of_search.misfit > known.misfit - BESIDE:
        return None
    centring = centring_of(best.space_group)
    expert = Expert(1.0, Refined(crystal, pattern.rwp))
    return Answer(
        Mixture(density[None], None, (expert,)),
        crystal.lattice,
        ConventionalCell(best.cell, centring, best.space_group),
        pattern,
    )


def known_structures(
    query: PredictionQuery, known: Sequence[IsostructuralMatch], assessment: Assessment | None
) -> KnownStructures:
    """Return known crystals and their structures, with elements exchanged where that is better.

    A powder pattern tells best where the heavy and the light elements are, once the arrangement is
    right. In the best known crystal, two elements are therefore exchanged, as in the search. Where
    that explains the lines better, the exchanged crystal is one of the matches, and the first.

    Args:
        query: the measured pattern.
        known: the known crystals that may explain it, the best first.
        assessment: their assessment; the crystal that it accepts is the best one.
    """
    if query.prepared is None:
        return KnownStructures(tuple(known), ())
    lines = observed_lines(query.prepared)
    found = list[tuple[IsostructuralMatch, SolvedStructure]]()
    for each in known:
        origin = f"{each.prototype} ({each.crystal.material_id})"
        with suppress(ValueError):  # no line is where the cell allows one
            structure = known_structure(
                each.crystal, lines, fitted=each.fitted, origin=origin, shares=each.shares
            )
            found.append((each, structure))
    structures = tuple(structure for _, structure in found)
    accepted = None if assessment is None or assessment.known is None else assessment.known.crystal
    if not found:
        return KnownStructures(tuple(known), structures)
    match, best = min(found, key=lambda pair: (pair[0] is not accepted, pair[1].score))
    exchanged = [] if best.shares else _exchanged(best, lines, query.options.seed)
    if not exchanged or exchanged[0].score > GAIN * best.score:
        return KnownStructures(tuple(known), structures, tuple(exchanged))
    first, *others = exchanged
    matches = (_with_crystal(match, first.material, query.prepared), *known)
    return KnownStructures(matches, (first, *structures), tuple(others))


def _with_crystal(
    match: IsostructuralMatch, crystal: Material, prepared: Prepared
) -> IsostructuralMatch:
    """Return a match with another crystal, which is no known one of the compound itself."""
    lines = MeasuredLines.of(prepared).up_to(FARTHEST)
    return match._replace(
        crystal=crystal,
        merit=merits([crystal], Observed.of(lines))[0],
        calculated=calculate_crystal_pattern(crystal, prepared),
        volumes=match.volumes._replace(of_type=None),
        misfit=distance_misfit(crystal),
        fitted=True,
    )


def ranked_structures(
    query: PredictionQuery,
    known: KnownStructures,
    searched: SearchResult | None,
    answer: Answer | None,
) -> tuple[SolvedStructure, ...]:
    """Return the structures that explain a measured pattern, whatever they come from.

    That of the answer comes first, the others by their score. Probabilities count them all, and
    where a known crystal comes first, those with exchanged elements as well.

    Args:
        query: the measured pattern.
        known: the known crystals that explain it.
        searched: the result of the search, where there was one.
        answer: the answer, which may be one of these structures; None for none.
    """
    if query.prepared is None:
        return ()
    lines = observed_lines(query.prepared)
    found = [*(() if searched is None else searched.structures), *known.structures]
    experts = () if answer is None else answer.mixture.experts
    answers = [each.refined.crystal for each in experts if each.refined is not None]

    def rank(each: SolvedStructure) -> tuple[bool, float]:
        return all(each.material is not other for other in answers), each.score

    ranked = different(sorted(found, key=rank), lines, len(found))
    if ranked and ranked[0].origin != SEARCH:
        found += known.exchanged
        ranked = different(sorted(found, key=rank), lines, len(found))
    return tuple(
        replace(
            each,
            rwp=calculate_crystal_pattern(each.material, query.prepared, each.shares).rwp,
        )
        for each in ranked
    )


def _exchanged(
    structure: SolvedStructure, lines: ObservedLines, seed: int
) -> list[SolvedStructure]:
    """Return the best structures with two elements exchanged that explain the lines as well."""
    end, found = time.monotonic() + EXCHANGING, list[SolvedStructure]()
    for each in exchanges(structure, lines, np.random.default_rng(seed)):
        if each is not None and each.score < APART * structure.score:
            found.append(replace(each, origin=f"{structure.origin}, elements exchanged"))
        if time.monotonic() > end:
            break
    return sorted(found, key=lambda each: each.score)[:GIVEN]


def refined_structure(
    query: PredictionQuery, structures: Sequence[SolvedStructure]
) -> tuple[RietveldFit | None, list[Diagnostic]]:
    """Return the Rietveld refinement of the first structure, and what is to be said about it.

    Args:
        query: the pattern and its options, which may ask for a refinement.
        structures: the structures that explain the pattern.
    """
    if not query.options.rietveld:
        return None, []
    try:
        if query.prepared is None or not structures:
            raise ValueError("no structure is known for this pattern")
        found = refine_profile(structures[0], query.prepared)
    except ValueError as error:
        message = f"there is no Rietveld refinement: {error}"
        return None, [Diagnostic("no_rietveld", "note", message)]
    message = (
        f"the Rietveld refinement of {structures[0].formula} ends with Rwp "
        f"{found.rwp:.3f}, {found.goodness:.2f} times what counting noise alone leaves"
    )
    return found, [Diagnostic("rietveld", "note", message)]


def _whole_first(cells: Sequence[IndexedCell]) -> list[IndexedCell]:
    """Return cells in the order of their trial: those that explain all lines that any explains.

    A centred cell is better evidence than a primitive one with a few lines more. A structure in it
    leaves these lines unexplained, though, and the search in the primitive cell tries centred
    groups as well.
    """
    if not cells:
        return []
    most = max(each.indexed for each in cells)

    def rank(each: IndexedCell) -> bool:
        return each.indexed < most or each.merit < CREDIBLE * cells[0].merit

    return sorted(cells, key=rank)


def _distinct(lattices: Sequence[Float[np.ndarray, "3 3"]]) -> list[Float[np.ndarray, "3 3"]]:
    kept: list[Float[np.ndarray, "3 3"]] = []
    for lattice in lattices:
        if not any(same_lattice(lattice, each, SAME_CELL) for each in kept):
            kept.append(lattice)
    return kept
