"""Experts: a network and refined crystals answer together, and a gate weighs their answers.

The crystals (`cmed_jax.solution.solve`) are known ones with the question's elements, moved
until they explain its pattern. The network answers whatever it is asked. Which of them to believe
shows without the truth: in how well each crystal explains the pattern, whether its cell and its
distances are usual, and whether it resembles what the others say.

How far the truth may be from the mixture follows from the same: experts contradict each other, the
network is unsure of its own answer, and crystals do not explain all of the pattern. About one
material in ten is a wrong crystal that is believed, and there that says too little.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from cmed_jax.crystal.atomic_volumes import relative_volume
from cmed_jax.crystal.composition import Knowledge, composition_vector
from cmed_jax.crystal.freedom import free_metrics, free_shifts
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import space_group
from cmed_jax.data.query import Answers, Deviating, Generator, Query
from cmed_jax.data.records import Recipe, density_of
from cmed_jax.mixture.gate import Gate, weighted_density
from cmed_jax.model.generator import network_generator, query_seeds
from cmed_jax.model.network import Network
from cmed_jax.solution.prototypes import Prototypes
from cmed_jax.solution.refinement import Refined
from cmed_jax.solution.solve import solve

CRYSTALS = 6
"""Most refined crystals that are heard, those of the smallest residuals."""

EXPERTS = 1 + CRYSTALS

CRYSTAL_FEATURES, SHARED_FEATURES, QUERY_FEATURES = 5, 2, len(Knowledge) + 1
FEATURES = 1 + CRYSTAL_FEATURES + SHARED_FEATURES + QUERY_FEATURES
"""Numbers that are told of each expert."""

LEAST = 1e-4
"""Residuals below this are equally good: the patterns of records are rounded."""

NEIGHBOURS = np.indices((3, 3, 3)).reshape(3, -1).T - 1
"""The cell and those around it: in a primitive cell the nearest image may be in any of them."""


class Expert(NamedTuple):
    """Who answered, and how much that was worth: a refined crystal, or None for the network."""

    weight: float
    refined: Refined | None


class Mixture(NamedTuple):
    """The answer to one question, and who gave it.

    densities: the mixture and then its samples. deviation: of the truth from the mixture, as it is
    to be expected; None without samples. experts: those who answered.
    """

    densities: Float[np.ndarray, "k na nb nc"]
    deviation: Float[np.ndarray, "na nb nc"] | None
    experts: tuple[Expert, ...]


class Experts(NamedTuple):
    """The answers to one question, the network's first, and what is told of each.

    Places that no crystal takes are zero, and not `present`. `crystals` are those that answer.
    """

    densities: Float[np.ndarray, "k na nb nc"]
    features: Float[np.ndarray, "k f"]
    present: Bool[np.ndarray, " k"]
    crystals: tuple[Refined, ...]


def experts(
    own: Float[np.ndarray, "na nb nc"],
    found: Sequence[Refined],
    recipe: Recipe,
    knowledge: Knowledge,
    coverage: Float[np.ndarray, "1024"],
) -> Experts:
    """Gather the answers to one question.

    Args:
        own: the network's density, e/angstrom^3.
        found: refined crystals, the smallest residual first.
        recipe: how densities are made from crystals.
        knowledge: what is known of the composition.
        coverage: 1 in the bins that were measured, else 0.
    """
    shape = (own.shape[0], own.shape[1], own.shape[2])
    heard = list(islice(_with_densities(found, recipe, shape), CRYSTALS))
    present = np.arange(EXPERTS) <= len(heard)
    densities = np.zeros((EXPERTS, *shape), np.float32)
    densities[: 1 + len(heard)] = [own, *(density for _, density in heard)]
    crystals = tuple(each for each, _ in heard)
    features = np.zeros((EXPERTS, FEATURES), np.float32)
    features[0, 0] = 1
    for row, each in enumerate(crystals, 1):
        features[row, 1 : 1 + CRYSTAL_FEATURES] = _of_crystal(each, crystals[0].residual)
    features[:, 1 + CRYSTAL_FEATURES : -QUERY_FEATURES] = _resemblance(densities, present)
    features[:, -QUERY_FEATURES:-1] = np.eye(len(Knowledge))[knowledge]
    features[:, -1] = coverage.mean()
    return Experts(densities, features, present, crystals)


def combine(
    gate: Gate,
    answers: Float[np.ndarray, "k na nb nc"],
    found: Sequence[Refined],
    recipe: Recipe,
    knowledge: Knowledge,
    coverage: Float[np.ndarray, "1024"],
    seed: Sequence[int],
) -> Mixture:
    """Return the mixture, and as many samples of it as there are of the network.

    For a sample an expert is drawn, as often as its weight says, and of the network a sample.

    Args:
        gate: weighs the experts.
        answers: of the network, the plain one first.
        found: refined crystals, the smallest residual first.
        recipe: how densities are made from crystals.
        knowledge: what is known of the composition.
        coverage: 1 in the bins that were measured, else 0.
        seed: of the samples.

    Raises:
        ValueError: the gate was told other features.
    """
    if gate.inner.in_features != FEATURES:
        raise ValueError(
            f"the gate was told {gate.inner.in_features} features of each answer, and there are "
            f"{FEATURES} now: train it again with python -m cmed_jax.train_gate"
        )
    heard = experts(answers[0], found, recipe, knowledge, coverage)
    weights = np.asarray(gate(jnp.asarray(heard.features), jnp.asarray(heard.present)), float)
    weights /= weights.sum()
    drawn = np.random.default_rng(seed).choice(EXPERTS, len(answers) - 1, p=weights)
    samples = [
        heard.densities[expert] if expert else sample
        for expert, sample in zip(drawn, answers[1:], strict=True)
    ]
    unsure = variance(answers) if samples else np.zeros_like(answers[0])
    mixture, within = mixture_and_deviation(heard.densities, heard.features, weights, unsure)
    told = np.float32(gate.spread[...]) * np.asarray(within) if samples else None
    who = (None, *heard.crystals)
    named = tuple(Expert(weight, each) for weight, each in zip(weights.tolist(), who, strict=False))
    return Mixture(np.stack([mixture, *samples]), told, named)


def variance(answers: Float[np.ndarray, "k na nb nc"]) -> Float[np.ndarray, "na nb nc"]:
    """Return the mean square distance of the samples, one or more, from the plain answer."""
    return np.square(answers[1:] - answers[0]).mean(axis=0)


@jax.jit
def mixture_and_deviation(
    densities: Float[Array | np.ndarray, "k na nb nc"],
    features: Float[Array | np.ndarray, "k f"],
    weights: Float[Array | np.ndarray, " k"],
    network_variance: Float[Array | np.ndarray, "na nb nc"],
) -> tuple[Float[Array, "na nb nc"], Float[Array, "na nb nc"]]:
    """Return the mixture and the deviation of the truth from it, both e/angstrom^3.

    The deviation follows from the law of total variance: the variance between the experts, and that
    within each of them. Within the network it is the variance of its samples, within the crystals
    r^2 m <m>, with the mixture m and the sum r of their weights times their residuals. The gate's
    spread scales it.

    Args:
        densities: of the experts, the network's first.
        features: of the experts, which hold the residuals.
        weights: of the experts; they sum to 1.
        network_variance: the variance of the network's samples.
    """
    weights = jnp.asarray(weights, jnp.float32)
    mixture = weighted_density(densities, weights)
    between = jnp.tensordot(weights, jnp.square(densities - mixture), 1, precision="highest")
    residual = weights[1:] @ (10 ** jnp.asarray(features)[1:, 1] - LEAST)
    within_crystals = residual**2 * mixture * mixture.mean()
    variances = between + weights[0] * network_variance + within_crystals
    return mixture, jnp.sqrt(variances)


def mixture_generator(
    network: Network,
    gate: Gate,
    prototypes: Prototypes,
    shape: tuple[int, int, int],
    *,
    samples: int = 0,
    seed: int = 0,
) -> Deviating:
    """Return what answers with mixtures of a network and refined crystals, and their deviations.

    Args:
        network: the first expert.
        gate: weighs the experts.
        prototypes: the crystals that others are made from.
        shape: of the densities.
        samples: of the mixture, beside the plain candidate; without them there is no deviation.
        seed: of the samples.
    """
    alone = network_generator(network, shape, samples=samples, seed=seed)

    def generate(query: Query) -> Answers:
        found = []
        for own, number, *question in zip(alone(query), query_seeds(query), *query, strict=True):
            pattern, composition, told, coverage = map(np.asarray, question)
            knowledge, seeds = Knowledge(int(told)), [seed, int(number)]
            solved = solve(prototypes, pattern, composition, knowledge, coverage)
            recipe = prototypes.recipe
            found.append(combine(gate, np.asarray(own), solved, recipe, knowledge, coverage, seeds))
        deviations = [each.deviation for each in found if each.deviation is not None]
        return Answers(
            np.stack([each.densities for each in found]),
            np.stack(deviations) if deviations else None,
        )

    return generate


def mixture(
    network: Network, gate: Gate, prototypes: Prototypes, shape: tuple[int, int, int]
) -> Generator:
    """Return a generator of the plain answers of `mixture_generator`."""
    answers = mixture_generator(network, gate, prototypes, shape)
    return lambda query: answers(query).candidates


def _with_densities(
    found: Iterable[Refined], recipe: Recipe, shape: tuple[int, int, int]
) -> Iterator[tuple[Refined, Float[np.ndarray, "na nb nc"]]]:
    """Yield refined crystals with their densities."""
    for each in found:
        with suppress(ValueError):  # its atoms came too close
            yield each, density_of(each.crystal, recipe, shape)


def _of_crystal(refined: Refined, best: float) -> list[float]:
    """Tell of a crystal what shows without the truth."""
    crystal, residual = refined
    free = len(free_metrics(space_group(crystal.space_group))) + len(free_shifts(crystal))
    atoms = len(crystal.numbers)
    return [
        np.log10(residual + LEAST),
        np.log10((residual + LEAST) / (best + LEAST)),
        np.log(relative_volume(crystal.volume, composition_vector(crystal.numbers), atoms)),
        _closest(crystal) / np.cbrt(crystal.volume / atoms),
        np.log10(free),
    ]


def _closest(crystal: Material) -> float:
    """Return the smallest distance between two atoms of the cell and its neighbours, angstrom."""
    gaps = crystal.frac_coords[:, None] - crystal.frac_coords
    images = (gaps - np.rint(gaps))[:, :, None] + NEIGHBOURS
    distances = np.linalg.norm(images @ crystal.lattice, axis=-1)
    itself = np.eye(len(gaps), dtype=bool)[:, :, None] & ~NEIGHBOURS.any(axis=1)
    return distances[~itself].min()


def _resemblance(
    densities: Float[np.ndarray, "k na nb nc"], present: Bool[np.ndarray, " k"]
) -> Float[np.ndarray, "k 2"]:
    """Return how each root correlates with the network's, and on average with the crystals'."""
    roots = np.sqrt(np.maximum(densities, 0)).reshape(len(densities), -1)
    roots -= roots.mean(axis=1, keepdims=True)
    roots /= np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-12)
    alike = roots @ roots.T
    others = np.tile(present.astype(np.float32), (len(present), 1))
    others[:, 0] = 0
    np.fill_diagonal(others, 0)
    mean = np.sum(alike * others, axis=1) / np.maximum(others.sum(axis=1), 1)
    return np.stack([alike[:, 0], mean], axis=1) * present[:, None]
