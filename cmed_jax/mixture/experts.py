"""A mixture of experts: a network, refined crystals, and a gate that weighs their densities.

The crystals (`cmed_jax.solution.solve`) are known ones with the elements of the query, refined
until they explain its pattern. The network predicts a density for every query. Some features of
each expert, known without the truth, show which one to trust: how well a crystal explains the
pattern, whether its cell and its distances are usual, and whether its density resembles those of
the other experts.

The same features give the expected deviation of the truth from the mixture. It has three sources:
experts contradict each other, the samples of the network differ, and crystals do not explain all of
the pattern. About one material in ten is a wrong crystal that is trusted. In that case the expected
deviation is too small.
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
from cmed_jax.crystal.composition import Knowledge
from cmed_jax.crystal.freedom import free_metrics, free_shifts
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import space_group
from cmed_jax.data.memory import Recall
from cmed_jax.data.query import Answers, Deviating, Generator, Query
from cmed_jax.data.records import Recipe, density_of
from cmed_jax.mixture.crystals import refined_crystals
from cmed_jax.mixture.gate import Gate, weighted_density
from cmed_jax.model.generator import network_generator, query_seeds
from cmed_jax.model.network import Network
from cmed_jax.search.separations import Separations
from cmed_jax.solution.prototypes import Prototypes
from cmed_jax.solution.refinement import Refined

CRYSTALS = 6
"""The largest number of refined crystals considered, those of the smallest residuals."""

EXPERTS = 1 + CRYSTALS

CRYSTAL_FEATURES, SHARED_FEATURES, QUERY_FEATURES = 5, 2, len(Knowledge) + 1
FEATURES = 1 + CRYSTAL_FEATURES + SHARED_FEATURES + QUERY_FEATURES
"""The number of features of each expert."""

LEAST = 1e-4
"""The residual below which all are equally good, since the patterns of records are rounded."""


class Expert(NamedTuple):
    """An expert of a mixture and its weight: a refined crystal, or None for the network."""

    weight: float
    refined: Refined | None


class Mixture(NamedTuple):
    """The prediction for one query, with its experts.

    densities: the mixture and then its samples. deviation: the expected deviation of the truth from
    the mixture; None without samples. experts: the experts in the mixture.
    """

    densities: Float[np.ndarray, "k na nb nc"]
    deviation: Float[np.ndarray, "na nb nc"] | None
    experts: tuple[Expert, ...]

    @property
    def crystal(self) -> Material | None:
        """The crystal of the expert with the largest weight; None where that is the network."""
        largest = max(self.experts, key=lambda each: each.weight, default=None)
        refined = None if largest is None else largest.refined
        return None if refined is None else refined.crystal


class Experts(NamedTuple):
    """The densities of all experts for one query, the network's first, and the experts' features.

    Places without a crystal are zero and not `present`. `crystals` are those with a density.
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
    """Gather the experts' densities and features for one query.

    Args:
        own: the network's density, e/angstrom^3.
        found: the refined crystals, the smallest residual first.
        recipe: how densities are made from crystals.
        knowledge: how much of the composition is known.
        coverage: 1 in the measured bins, else 0.
    """
    shape = (own.shape[0], own.shape[1], own.shape[2])
    answers = list(islice(_with_densities(found, recipe, shape), CRYSTALS))
    present = np.arange(EXPERTS) <= len(answers)
    densities = np.zeros((EXPERTS, *shape), np.float32)
    densities[: 1 + len(answers)] = [own, *(density for _, density in answers)]
    crystals = tuple(each for each, _ in answers)
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

    For each sample an expert is drawn with the probability of its weight. If that is the network,
    one of its samples is used.

    Args:
        gate: the gate that weighs the experts.
        answers: the densities of the network, the plain one first.
        found: the refined crystals, the smallest residual first.
        recipe: how densities are made from crystals.
        knowledge: how much of the composition is known.
        coverage: 1 in the measured bins, else 0.
        seed: the seed of the samples.

    Raises:
        ValueError: the gate was trained with another number of features.
    """
    if gate.inner.in_features != FEATURES:
        raise ValueError(
            f"the gate was given {gate.inner.in_features} features of each answer, and there are "
            f"{FEATURES} now: train it again with python -m cmed_jax.train_gate"
        )
    gathered = experts(answers[0], found, recipe, knowledge, coverage)
    weights = np.asarray(gate(jnp.asarray(gathered.features), jnp.asarray(gathered.present)), float)
    weights /= weights.sum()
    drawn = np.random.default_rng(seed).choice(EXPERTS, len(answers) - 1, p=weights)
    samples = [
        gathered.densities[expert] if expert else sample
        for expert, sample in zip(drawn, answers[1:], strict=True)
    ]
    unsure = variance(answers) if samples else np.zeros_like(answers[0])
    mixture, within = mixture_and_deviation(gathered.densities, gathered.features, weights, unsure)
    deviation = np.float32(gate.spread[...]) * np.asarray(within) if samples else None
    every = (None, *gathered.crystals)
    named = tuple(
        Expert(weight, each) for weight, each in zip(weights.tolist(), every, strict=False)
    )
    return Mixture(np.stack([mixture, *samples]), deviation, named)


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

    The deviation follows from the law of total variance: the variance between the experts plus that
    within each of them. The variance within the network is that of its samples. The variance within
    the crystals is r^2 m <m>, with the mixture m and the sum r of their weights times their
    residuals. The gate's spread, a factor of the deviation, is not yet included.

    Args:
        densities: the densities of the experts, the network's first.
        features: the features of the experts, which include the residuals.
        weights: the weights of the experts, which sum to 1.
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
    memory: Recall | None = None,
    samples: int = 0,
    seconds: float | int = 0,
    seed: int = 0,
) -> Deviating:
    """Return a generator of mixtures of a network and refined crystals, with their deviations.

    Args:
        network: the first expert.
        gate: the gate that weighs the experts.
        prototypes: the crystals that others are made from.
        shape: the shape of the densities.
        memory: the known crystals that the network may recall.
        samples: the number of samples of the mixture besides the plain candidate; without samples
            there is no deviation.
        seconds: the longest time of the search for a new structure, where no known crystal explains
            a query; 0 for no search.
        seed: the seed of the samples and of the search.
    """
    alone = network_generator(network, shape, memory=memory, samples=samples, seed=seed)

    def generate(query: Query) -> Answers:
        found = []
        for own, number, *columns in zip(alone(query), query_seeds(query), *query, strict=True):
            question, seeds = Query(*columns), [seed, int(number)]
            crystals = refined_crystals(prototypes, question, seconds=seconds, seed=seed)
            knowledge, coverage = Knowledge(int(question.knowledge)), np.asarray(question.coverage)
            recipe = prototypes.recipe
            found.append(
                combine(gate, np.asarray(own), crystals, recipe, knowledge, coverage, seeds)
            )
        deviations = [each.deviation for each in found if each.deviation is not None]
        return Answers(
            np.stack([each.densities for each in found]),
            np.stack(deviations) if deviations else None,
        )

    return generate


def plain_candidates(answers: Deviating) -> Generator:
    """Return a generator of the candidates alone, without their deviations."""
    return lambda query: answers(query).candidates


def _with_densities(
    found: Iterable[Refined], recipe: Recipe, shape: tuple[int, int, int]
) -> Iterator[tuple[Refined, Float[np.ndarray, "na nb nc"]]]:
    """Yield refined crystals with their densities."""
    for each in found:
        with suppress(ValueError):  # its atoms came too close
            yield each, density_of(each.crystal, recipe, shape)


def _of_crystal(refined: Refined, best: float) -> list[float]:
    """Return the features of a refined crystal, which need no truth."""
    crystal, residual = refined
    free = len(free_metrics(space_group(crystal.space_group))) + len(free_shifts(crystal))
    atoms = len(crystal.numbers)
    return [
        np.log10(residual + LEAST),
        np.log10((residual + LEAST) / (best + LEAST)),
        np.log(relative_volume(crystal.volume, crystal.composition, atoms)),
        _closest(crystal) / np.cbrt(crystal.volume / atoms),
        np.log10(free),
    ]


def _closest(crystal: Material) -> float:
    """Return the smallest distance between two atoms of the cell and its neighbours, angstrom."""
    atoms = len(crystal.numbers)
    # In the densest packing of spheres the distance is 1.12 of this one.
    usual = np.cbrt(crystal.volume / atoms)
    separations = Separations.of(crystal.lattice, np.array([[usual]]))
    return float(separations.lengths(crystal.frac_coords[None], np.arange(atoms)).min())


def _resemblance(
    densities: Float[np.ndarray, "k na nb nc"], present: Bool[np.ndarray, " k"]
) -> Float[np.ndarray, "k 2"]:
    """Return the correlation of the root of each density with others.

    The first column is that with the network's, the second the mean of those with the crystals'.
    """
    roots = np.sqrt(np.maximum(densities, 0)).reshape(len(densities), -1)
    roots -= roots.mean(axis=1, keepdims=True)
    roots /= np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-12)
    alike = roots @ roots.T
    others = np.tile(present.astype(np.float32), (len(present), 1))
    others[:, 0] = 0
    np.fill_diagonal(others, 0)
    mean = np.sum(alike * others, axis=1) / np.maximum(others.sum(axis=1), 1)
    return np.stack([alike[:, 0], mean], axis=1) * present[:, None]
