"""The diagnostics of a prediction, collected from all checks, the most severe first."""

from collections.abc import Sequence

from cmed_jax.crystal.symmetry import space_group_name
from cmed_jax.prediction import checks
from cmed_jax.prediction.alarms import alarms_of, explaining
from cmed_jax.prediction.assessment import Assessment
from cmed_jax.prediction.diagnostics import Diagnostic
from cmed_jax.prediction.known_crystals import known_crystals
from cmed_jax.prediction.query import ConventionalCell, PredictionQuery
from cmed_jax.prediction.restore import Restored
from cmed_jax.prediction.result import Answer
from cmed_jax.search.search import SearchResult
from cmed_jax.search.solved import SolvedStructure
from cmed_jax.solution.isostructural import IsostructuralMatch
from cmed_jax.solution.refinement import Refined


def diagnostics_of(
    query: PredictionQuery,
    restored: Restored,
    answer: Answer,
    assessment: Assessment | None,
    known: Sequence[IsostructuralMatch],
    searched: SearchResult | None = None,
    structures: Sequence[SolvedStructure] = (),
    refined: Sequence[Refined] = (),
) -> tuple[Diagnostic, ...]:
    """Return all diagnostics of a prediction, the most severe first.

    Args:
        query: the pattern, its composition and its options.
        restored: the network.
        answer: the density, its cell and its pattern.
        assessment: the assessment of the input, where there is one.
        known: the known crystals that explain the pattern, the best first.
        searched: the result of the search for a structure, where there is one.
        structures: the structures that explain the pattern; if one answers, it is the first.
        refined: the refined crystals that explain a pattern on the network's grid, in any cells.
    """
    alarms = alarms_of(query, assessment, refined)
    return (
        *alarms,
        *([] if alarms else _other_cells(query, refined)),
        *_doubts(query, restored, answer, assessment, known),
        *checks.check_probability(answer, structures),
        *_notes(query, restored, answer, known),
        *_search_notes(query, searched),
    )


def _search_notes(query: PredictionQuery, searched: SearchResult | None) -> list[Diagnostic]:
    """Return what became of the search for a structure."""
    if searched is None:
        reason = _no_search(query)
        return [] if reason is None else [Diagnostic("no_search", "note", reason)]
    if not searched.structures:
        return [_no_structure(searched)]
    best = searched.structures[0]
    message = (
        f"the search for a structure in space group {space_group_name(best.space_group)}: "
        f"{searched.verdict} (R {best.residual:.3f}, {best.free_coordinates} free coordinates)"
    )
    found = [Diagnostic("search", "note", message)]
    if best.lacks_hydrogen:
        message = "the structure of the search is without hydrogen: no places were found for it"
        found.append(Diagnostic("no_hydrogen", "note", message))
    return found


def _no_search(query: PredictionQuery) -> str | None:
    """Return why no structure was sought; None where none was asked for."""
    if not query.options.search:
        return None
    if query.prepared is None:
        return "no structure was sought: that takes a measured pattern"
    if query.shared is not None:
        return (
            "no structure was sought: the search does not place elements that share sites, and "
            "the formula is that of a solid solution"
        )
    return "no structure was sought: that takes all elements of the formula and their ratios"


def _no_structure(searched: SearchResult) -> Diagnostic:
    """Return why a search has no structure."""
    if searched.tried:
        message = (
            f"no structure was found: of {searched.tried} Wyckoff assignments, tried in "
            f"{searched.seconds:.0f} s, none keeps its atoms apart"
        )
    elif searched.complete:
        message = "no structure was found: no Wyckoff assignment fits the cell and the formula"
    elif searched.refused:
        message = f"no structure was sought: {searched.refused[0]}"
        return Diagnostic("no_search", "note", message)
    else:
        message = (
            f"no structure was found: {searched.seconds:.0f} s were over before the first Wyckoff "
            "assignment: allow more seconds"
        )
    return Diagnostic("no_structure", "note", message)


def _other_cells(query: PredictionQuery, refined: Sequence[Refined]) -> list[Diagnostic]:
    """Return a doubt where a refined crystal explains a pattern, but not in the given cell."""
    crystals = [each.crystal for each in explaining(refined) if not query.admits(each.crystal)]
    return [
        checks.check_other_cell(
            ConventionalCell.of_crystal(each), f"{each.formula} after {each.material_id}"
        )
        for each in crystals
    ]


def _doubts(
    query: PredictionQuery,
    restored: Restored,
    answer: Answer,
    assessment: Assessment | None,
    known: Sequence[IsostructuralMatch],
) -> list[Diagnostic]:
    """Return the certain and likely errors of the prediction."""
    found = []
    if assessment is not None and assessment.consistent and assessment.accepted is None:
        found.append(Diagnostic("no_explanation", "doubt", assessment.sentence))
    if query.prepared is not None and query.formula is not None and query.lattice is None:
        found += checks.check_lines(query.prepared)
    if query.cell_is_sought and answer.lattice is None:
        message = "no cell is found in which the density shows the lines"
        found.append(Diagnostic("no_cell", "doubt", message))
    if query.cell_is_sought and answer.lattice is not None and query.formula is not None:
        found += checks.check_cell(answer.lattice, query.formula, "doubt")
    if answer.calculated is not None:
        found += checks.check_agreement(answer.calculated, known)
    crystals = any(expert.refined is not None for expert in answer.mixture.experts)
    cells = answer.lattice is not None or known or crystals
    if restored.network.reads_reflections and not cells:
        message = (
            "the network was asked without a cell, and reads no pattern without one: give the "
            "cell, or auto"
        )
        found.append(Diagnostic("asked_without_cell", "doubt", message))
    return found + checks.check_elements(query.composition, restored.domain)


def _notes(
    query: PredictionQuery, restored: Restored, answer: Answer, known: Sequence[IsostructuralMatch]
) -> list[Diagnostic]:
    """Return what is unusual but not wrong."""
    prepared, formula, options = query.prepared, query.formula, query.options
    found: list[Diagnostic] = []
    if prepared is not None:
        found += [Diagnostic("preparation", "note", message) for message in prepared.warnings]
        artefacts = restored.config.step.augmentation.artefacts
        found += checks.check_pattern(prepared, artefacts, restored.domain)
    crystals = [expert.refined for expert in answer.mixture.experts]
    if any(each is not None for each in crystals):
        found += checks.check_alike_elements(query.composition)
        found += checks.check_faint_elements(query.composition)
    if query.shared is not None:
        found.append(Diagnostic("solid_solution", "note", query.shared.sentence))
    if options.analogues and query.tells_cell and formula is not None and not known:
        found.append(checks.check_prototype(formula))
    asked = restored.gate if prepared is None else formula
    if options.analogues and options.structures is not None and asked is not None:
        found += checks.check_structures(known_crystals(options.structures))
    given, filled = query.given, answer.conventional
    if given is not None and filled is not None and filled is not given:
        found.append(checks.check_refinement(given.parameters, filled.parameters, filled.centring))
    return found
