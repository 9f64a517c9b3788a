"""Baselines that need no trained model: constants, the nearest crystal, and substitution.

Each baseline is a generator of one candidate (`cmed_jax.evaluation.scoring`), computed from the
training split alone:

constant map
    the mean over all training densities and voxels.
mean of the formula
    the mean density of the training crystals of the same anonymous formula (AB3 for AlNi3). The
    constant map is used where there are none, or where the composition is not fully known.
nearest in composition, in pattern, in both
    the density of one training crystal, chosen by `cmed_jax.solution.distances`. "In both" uses
    the distance in composition plus twice the distance in pattern.
nearest in reflections
    the density of the training crystal that a network would recall first (`cmed_jax.data.memory`).
its phases
    the phases of that density with the observed amplitudes.
its density modified
    that density with the observed lines, where they agree (`cmed_jax.model.observed_lines`): what
    the lines are worth without a network.
substitution
    `cmed_jax.solution.substitution`, or nearest in both where substitution finds nothing.
refined substitution
    `cmed_jax.solution.solve`, or nearest in both where no crystal explains the pattern.

The weight and the width of the distances were chosen on the validation crystals of the cubic
benchmark, where they retrieve best. A baseline weaker than necessary would flatter the model that
it is compared with.

Distances are rounded to 1e-6, and the first material id wins among equal ones, so that the choice
does not depend on the last bit of a sum.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.composition import Knowledge, anonymous_formula
from cmed_jax.data.examples import Examples
from cmed_jax.data.memory import Memory
from cmed_jax.data.query import Generator, Query
from cmed_jax.model.observed_lines import with_observed_lines
from cmed_jax.physics.harmonics import harmonics, lengths
from cmed_jax.solution.distances import composition_distance, pattern_distance
from cmed_jax.solution.prototypes import Prototypes
from cmed_jax.solution.solve import solve
from cmed_jax.solution.substitution import first_density, substituted_candidates

PATTERN_WEIGHT = 2.0
"""The weight of the distance in pattern relative to that in composition, where both are used."""

PHASES = "its phases"
"""The name of the baseline that has the observed amplitudes."""

MODIFIED = "its density modified"
"""The name of the baseline that has the observed lines."""

OF_PATTERN = frozenset({PHASES, MODIFIED})
"""The names of the baselines that agree with the pattern by construction."""

OF_TRAINING = (
    "constant map",
    "mean of the formula",
    "nearest in composition",
    "nearest in pattern",
    "nearest in both",
    "nearest in reflections",
    PHASES,
    MODIFIED,
)
"""The names of the baselines that need only the records of the training split."""

OF_CRYSTALS = ("substitution", "refined substitution")
"""The names of the baselines that need known crystals and densities of independent atoms."""

NAMES = (*OF_TRAINING, *OF_CRYSTALS)
"""The names of all baselines in the report."""


def baselines(
    training: Examples, b_factor: float | None, prototypes: Prototypes | None = None
) -> dict[str, Generator]:
    """Return every baseline by its name in the report.

    Args:
        training: the training split.
        b_factor: the isotropic B of its densities, angstrom^2; None for densities that are not of
            independent atoms. Lines are those of independent atoms, and without B no baseline of
            `OF_PATTERN` is returned.
        prototypes: the known crystals; without them neither kind of substitution is returned.

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
    in_reflections = nearest_in_reflections(training)
    found = {
        "constant map": constant,
        "mean of the formula": mean_of_formula(training, otherwise=constant),
        "nearest in composition": nearest(training, lambda query: composition(query.composition)),
        "nearest in pattern": nearest(training, lambda query: pattern(query.pattern)),
        "nearest in both": in_both,
        "nearest in reflections": in_reflections,
    }
    if b_factor is not None:
        found[PHASES] = with_observed_amplitudes(in_reflections, b_factor)
        found[MODIFIED] = with_lines_imposed(in_reflections, b_factor)
    if prototypes is not None:
        found["substitution"] = substitution(prototypes, otherwise=in_both)
        found["refined substitution"] = solution(prototypes, otherwise=in_both)
    return found


def constant_map(training: Examples) -> Generator:
    """Return a generator of one constant: the mean over all training densities and voxels."""
    means = [training.densities(np.array([row])).mean() for row in range(len(training))]
    shape = (1, *training.density.shape[1:])
    constant = np.full(shape, np.mean(means, dtype=np.float64), np.float32)
    return lambda query: np.broadcast_to(constant, (len(query.pattern), *shape))


def mean_of_formula(training: Examples, otherwise: Generator) -> Generator:
    """Return a generator of the mean density of training crystals of the same anonymous formula.

    Args:
        training: the training split.
        otherwise: the generator used where there is no such crystal, or where the composition is
            not fully known.
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
    """Return a generator of the density of the training crystal at the smallest distance."""

    def generate(query: Query) -> Float[np.ndarray, "b 1 na nb nc"]:
        rows = np.round(distance(query), 6).argmin(axis=1)
        return training.densities(rows)[:, None]

    return generate


def nearest_in_reflections(training: Examples) -> Generator:
    """Return a generator of the density of the training crystal with the most similar reflections.

    A query without reflections is answered by the first training crystal.
    """
    memory = Memory.of(training)

    def generate(query: Query) -> Float[np.ndarray, "b 1 na nb nc"]:
        rows, present = memory.nearest(query, 1)
        return training.densities(np.where(present, rows, 0)[:, 0])[:, None]

    return generate


def with_lines_imposed(generator: Generator, b_factor: float) -> Generator:
    """Return a generator of a generator's densities with the observed lines, where they agree."""
    return lambda query: with_observed_lines(query, generator(query), b_factor)


def with_observed_amplitudes(generator: Generator, b_factor: float) -> Generator:
    """Return a generator of the phases of a generator's first density with observed amplitudes.

    The amplitudes are damped by B, and scaled to the power of the density at the observed
    harmonics. Its other coefficients stay.
    """
    places = harmonics()

    def generate(query: Query) -> Float[np.ndarray, "b 1 na nb nc"]:
        answers = np.array(generator(query))[:, :1]
        for row, density in enumerate(answers[:, 0]):
            lattice = np.asarray(query.lattice[row], float)
            used = np.asarray(query.observed[row]) > 0
            if not used.any():
                continue
            damping = np.exp(-b_factor * lengths(lattice, places) ** 2 / 4)
            wanted = np.asarray(query.amplitude[row]) * damping
            factors = np.fft.fftn(density)
            own = factors[tuple(places.T)]
            scale = np.linalg.norm(own[used]) / np.maximum(np.linalg.norm(wanted[used]), 1e-12)
            changed = np.where(used, scale * wanted * np.exp(1j * np.angle(own)), own)
            factors[tuple(places.T)] = changed
            factors[tuple(-places.T)] = changed.conj()
            answers[row, 0] = np.fft.ifftn(factors).real
        return answers

    return generate


def substitution(prototypes: Prototypes, otherwise: Generator) -> Generator:
    """Return a generator of the density of the substituted prototype that fits the pattern best.

    Args:
        prototypes: the training crystals.
        otherwise: the generator used where there is no prototype: the training split holds no
            crystal of the anonymous formula, the composition is not fully known, or there is no
            pattern.
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
"""The residual above which `otherwise` predicts the density better than the refined crystals."""


def solution(prototypes: Prototypes, otherwise: Generator) -> Generator:
    """Return a generator of the density of the refined crystal that fits the pattern best.

    Args:
        prototypes: the training crystals.
        otherwise: the generator used where no crystal explains the pattern, or there is no pattern.
    """

    def generate(query: Query) -> Float[np.ndarray, "b 1 na nb nc"]:
        answers = np.array(otherwise(query))[:, :1]
        for row in range(len(answers)):
            columns = (query.pattern, query.composition, query.knowledge, query.coverage)
            found = solve(prototypes, *(np.asarray(column[row]) for column in columns))
            explaining = (each.crystal for each in found if each.residual <= UNEXPLAINED)
            density = first_density(explaining, prototypes.recipe)
            if density is not None:
                answers[row, 0] = density
        return answers

    return generate
