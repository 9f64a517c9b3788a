"""The answer to a query: the predicted density, a known crystal, or a structure of the search."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.atomic_volumes import KnownVolumes, usual_relative_volume
from cmed_jax.crystal.cell_contents import relative_cell_volume
from cmed_jax.crystal.composition import anonymous_formula, format_composition
from cmed_jax.prediction.alarms import alarms_of
from cmed_jax.prediction.assessment import (
    Assessment,
    Explanation,
    assess,
    explanation_of,
    unexplained,
)
from cmed_jax.prediction.checks import UNLIKELY
from cmed_jax.prediction.diagnostics import Diagnostic
from cmed_jax.prediction.query import PredictionQuery
from cmed_jax.prediction.result import Answer
from cmed_jax.prediction.structures import (
    crystal_answer,
    known_structures,
    ranked_structures,
    refined_structure,
    search_for_structures,
    structure_answer,
)
from cmed_jax.search.search import SearchResult
from cmed_jax.search.solved import SolvedStructure, Verdict
from cmed_jax.solution.isostructural import IsostructuralMatch
from cmed_jax.solution.rietveld import RietveldFit

PREDICTED = "the prediction"
"""The name of the predicted density among the explanations of a pattern."""


class Answered(NamedTuple):
    """The answer to a query, and what it was chosen from.

    Attributes:
        answer: the density with its cell; None where nothing was predicted and no structure is
            accepted.
        known: the known crystals that may explain the pattern, the best first.
        assessment: the assessment of the query; None without a crystal to compare it with.
        searched: the result of the search, where there was one.
        structures: the structures that explain the pattern, that of the answer first.
        rietveld: the Rietveld refinement of the first structure, where it was asked for.
        notes: what is to be said about this refinement.
    """

    answer: Answer | None
    known: tuple[IsostructuralMatch, ...]
    assessment: Assessment | None
    searched: SearchResult | None
    structures: tuple[SolvedStructure, ...]
    rietveld: RietveldFit | None
    notes: list[Diagnostic]


def answered(
    query: PredictionQuery,
    known: Sequence[IsostructuralMatch],
    lattices: Sequence[Float[np.ndarray, "3 3"]],
    predicted: Answer | None = None,
) -> Answered:
    """Return the answer that explains a pattern best.

    A known crystal that is accepted takes the place of a predicted density, and a structure of the
    search that of a known crystal that explains less. A known crystal with two elements exchanged
    counts as a known one where it explains the lines better. Beside an alarm no structure is
    likely.

    Args:
        query: the query.
        known: the known crystals that may explain the pattern, the best first.
        lattices: primitive cells for the search, rows a, b, c in angstrom, the most plausible
            first.
        predicted: the predicted density; None where no network was asked.
    """
    answer, assessment = predicted, _assessment(query, known, predicted)
    crystals = known_structures(query, known, assessment)
    if len(crystals.matches) > len(known):  # elements were exchanged
        known, assessment = crystals.matches, _assessment(query, crystals.matches, predicted)
    accepted = None if assessment is None else assessment.known
    crystal = None if accepted is None else accepted.crystal
    if crystal is not None and query.admits(crystal.crystal):
        answer = crystal_answer(crystal, query.options.grid)
    searched = search_for_structures(query, _cells(query, answer, lattices), assessment)
    solved = structure_answer(searched, query, assessment)
    if solved is not None:
        answer, name = solved, f"{format_composition(query.composition)} from the search"
        verdict = None if searched is None else searched.verdict
        assessment = _assessment(query, known, answer, name, verdict)
    structures = ranked_structures(query, crystals, searched, answer)
    if alarms_of(query, assessment):
        structures = tuple(
            replace(each, probability=min(each.probability, UNLIKELY)) for each in structures
        )
    refined = refined_structure(query, structures)
    return Answered(answer, tuple(known), assessment, searched, structures, *refined)


def _cells(
    query: PredictionQuery, answer: Answer | None, lattices: Sequence[Float[np.ndarray, "3 3"]]
) -> list[Float[np.ndarray, "3 3"]]:
    """Return the primitive cells in which structures are sought, the most plausible first."""
    if query.lattice is not None:
        return [query.lattice]
    of_answer = None if answer is None else answer.lattice
    return [*lattices] if of_answer is None else [of_answer, *lattices]


def _assessment(
    query: PredictionQuery,
    known: Sequence[IsostructuralMatch],
    answer: Answer | None,
    name: str = PREDICTED,
    verdict: Verdict | None = None,
) -> Assessment | None:
    """Return the assessment of the query; None without a crystal to compare it with.

    Args:
        query: the query.
        known: the known crystals that may explain the pattern.
        answer: the predicted density or the structure of the search.
        name: the name of that answer in sentences.
        verdict: the verdict of the search on it, where it is a structure of the search.
    """
    prepared, formula = query.prepared, query.formula
    if prepared is None or formula is None or (not known and name == PREDICTED):
        return None
    considered = [
        explanation_of(each, prepared.peaks) for each in known if each.calculated is not None
    ]
    if answer is not None and answer.lattice is not None and (its := answer.calculated) is not None:
        volumes = considered[0].volumes._replace(of_type=None) if considered else KnownVolumes()
        relative = _relative_volume(answer, answer.lattice, formula, volumes.of_compound)
        considered.append(
            Explanation(
                name,
                its.rwp,
                relative,
                unexplained(prepared.peaks, its),
                None,
                its.noise,
                volumes,
                volumes.are_usual(formula),
                verdict,
            )
        )
    lines = len(prepared.peaks.two_theta)
    return assess(considered, prepared.radiation.mean, anonymous_formula(formula), lines)


def _relative_volume(
    answer: Answer,
    lattice: Float[np.ndarray, "3 3"],
    formula: Float[np.ndarray, "119"],
    known: Sequence[float],
) -> float:
    """Return the volume of the cell of an answer over the usual one of its atoms.

    A density may be of any number of formula units, a crystal is of its own.
    """
    for each in answer.mixture.experts:
        if each.refined is not None:
            crystal = each.refined.crystal
            return usual_relative_volume(crystal.volume, formula, len(crystal.numbers), known)
    return relative_cell_volume(lattice, formula, known)
