"""What needs no model: constants, the nearest training crystal, and an expert's substitution.

Each baseline is a generator of one candidate (`cmed_jax.evaluation.scoring`), computed from the
training split alone:

constant map
    the mean over all training densities and voxels.
mean of the formula
    the mean density of the training crystals of the same anonymous formula (AB3 for AlNi3); the
    constant map where there are none, or where the composition is not known in full.
nearest in composition, in pattern, in both
    the density of one training crystal, by `cmed_jax.solution.distances`; both is the distance in
    composition + twice the distance in pattern.
substitution
    `cmed_jax.solution.substitution`, and nearest in both where it has no answer.
refined substitution
    `cmed_jax.solution.solve`, and nearest in both where no crystal explains the pattern.

The weight and the width of the distances were chosen on the validation crystals of the cubic
benchmark, where they retrieve best; a baseline that is weaker than it could be flatters what stands
beside it.

Distances are rounded to 1e-6 and of equal ones the first material id wins, so that the choice does
not hang on the last bit of a sum.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.composition import Knowledge, anonymous_formula
from cmed_jax.data.examples import Examples
from cmed_jax.data.query import Generator, Query
from cmed_jax.solution.distances import composition_distance, pattern_distance
from cmed_jax.solution.prototypes import Prototypes
from cmed_jax.solution.solve import solve
from cmed_jax.solution.substitution import first_density, substituted_candidates

PATTERN_WEIGHT = 2.0
"""Weight of the distance in pattern against that in composition, where both count."""

OF_TRAINING = (
    "constant map",
    "mean of the formula",
    "nearest in composition",
    "nearest in pattern",
    "nearest in both",
)
"""The baselines that need the records of the training split alone."""

OF_CRYSTALS = ("substitution", "refined substitution")
"""The baselines that need known crystals, and their kind of density."""

NAMES = (*OF_TRAINING, *OF_CRYSTALS)
"""Of the baselines in the report."""


def baselines(training: Examples, prototypes: Prototypes | None = None) -> dict[str, Generator]:
    """Return every baseline by its name in the report.

    Args:
        training: the training split.
        prototypes: the known crystals; without them there is no substitution, refined or not.

    Raises:
        ValueError: if there is no training example.
    """
    if not len(training):
        raise ValueError("baselines are computed from the training split, and it is empty")
    composition = composition_distance(training.composition)
    pattern = pattern_distance(training.pattern)

    def both(query: Query) -> Float[np.ndarray, "b n"]:
        return composition(query.composition) + PATTERN_WEIGHT * pattern(query.pattern)

    constant, in_both = constant_map(training), nearest(training, both)
    found = {
        "constant map": constant,
        "mean of the formula": mean_of_formula(training, otherwise=constant),
        "nearest in composition": nearest(training, lambda query: composition(query.composition)),
        "nearest in pattern": nearest(training, lambda query: pattern(query.pattern)),
        "nearest in both": in_both,
    }
    if prototypes is not None:
        found["substitution"] = substitution(prototypes, otherwise=in_both)
        found["refined substitution"] = solution(prototypes, otherwise=in_both)
    return found


def constant_map(training: Examples) -> Generator:
    """Answer every query with one number: the mean over all training densities and voxels."""
    means = [training.densities(np.array([row])).mean() for row in range(len(training))]
    shape = (1, *training.density.shape[1:])
    constant = np.full(shape, np.mean(means, dtype=np.float64), np.float32)
    return lambda query: np.broadcast_to(constant, (len(query.pattern), *shape))


def mean_of_formula(training: Examples, otherwise: Generator) -> Generator:
    """Answer with the mean density of the training crystals of the same anonymous formula.

    Args:
        training: the training split.
        otherwise: answers where there are none, or where the composition is not known in full.
    """
    formulas = np.array([anonymous_formula(composition) for composition in training.composition])

    @cache
    def mean(formula: str) -> Float[np.ndarray, "na nb nc"]:
        total = np.zeros(training.density.shape[1:])
        rows = np.flatnonzero(formulas == formula)
        for row in rows:
            total += training.densities(slice(row, row + 1))[0]
        return (total / len(rows)).astype(np.float32)

    def generate(query: Query) -> Float[np.ndarray, "b 1 na nb nc"]:
        answers = np.array(otherwise(query))
        asked = [anonymous_formula(composition) for composition in np.asarray(query.composition)]
        known = (np.asarray(query.knowledge) == Knowledge.FULL) & np.isin(asked, formulas)
        for row in np.flatnonzero(known):
            answers[row, 0] = mean(asked[row])
        return answers

    return generate


def nearest(
    training: Examples, distance: Callable[[Query], Float[np.ndarray, "queries training"]]
) -> Generator:
    """Answer with the density of the training crystal at the smallest distance."""

    def generate(query: Query) -> Float[np.ndarray, "b 1 na nb nc"]:
        rows = np.round(distance(query), 6).argmin(axis=1)
        return training.densities(rows)[:, None]

    return generate


def substitution(prototypes: Prototypes, otherwise: Generator) -> Generator:
    """Answer with the density of the substituted template that explains the pattern best.

    Args:
        prototypes: the training crystals.
        otherwise: answers where there is no template: the training split holds no crystal of the
            anonymous formula, the composition is not known in full, or there is no pattern.
    """

    def generate(query: Query) -> Float[np.ndarray, "b 1 na nb nc"]:
        answers = np.array(otherwise(query))
        known = np.asarray(query.knowledge) == Knowledge.FULL
        patterns, compositions = np.asarray(query.pattern), np.asarray(query.composition)
        for row in np.flatnonzero(known & patterns.any(axis=1)):
            crystals = substituted_candidates(prototypes, patterns[row], compositions[row])
            density = first_density(crystals, prototypes.recipe)
            if density is not None:
                answers[row, 0] = density
        return answers

    return generate


UNEXPLAINED = 0.4
"""Above this residual the crystals say less about the density than whoever is asked instead."""


def solution(prototypes: Prototypes, otherwise: Generator) -> Generator:
    """Answer with the density of the crystal that explains the pattern best, where one does.

    Args:
        prototypes: the training crystals.
        otherwise: answers where no crystal explains the pattern, or there is no pattern.
    """

    def generate(query: Query) -> Float[np.ndarray, "b 1 na nb nc"]:
        answers = np.array(otherwise(query))[:, :1]
        for row in range(len(answers)):
            found = solve(prototypes, *(np.asarray(column[row]) for column in query))
            explaining = (each.crystal for each in found if each.residual <= UNEXPLAINED)
            density = first_density(explaining, prototypes.recipe)
            if density is not None:
                answers[row, 0] = density
        return answers

    return generate
