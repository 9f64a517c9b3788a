"""Fit of a gate: its weights to known densities, and its spread to the remaining errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy  # its parts are imported on first use
from flax import nnx
from jaxtyping import Array, Float, PyTree
from rich.progress import track

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.evaluation.metrics import ssim
from cmed_jax.mixture.experts import FEATURES, QUERY_FEATURES, mixture_and_deviation
from cmed_jax.mixture.gate import Gate, weighted_density
from cmed_jax.mixture.gate_data import GateExamples

LEARNING_RATE = 3e-3

COVERED = 0.9
"""The nominal coverage at which intervals hold this share of the voxels after the spread's fit."""


def fit_gate(examples: GateExamples, *, steps: int, batch: int, seed: int) -> Gate:
    """Return the gate that gives the mixtures most similar to the truth.

    Args:
        examples: the training examples of the gate.
        steps: the number of training steps.
        batch: the number of queries in a step.
        seed: the seed of the initial weights and of the batches.
    """
    gate = Gate(FEATURES, nnx.Rngs(seed))
    graph, parameters, *rest = nnx.split(gate, nnx.Param, ...)
    optimizer = optax.adamw(optax.cosine_decay_schedule(LEARNING_RATE, steps))

    def loss(parameters: PyTree, batch: GateExamples) -> Float[Array, ""]:
        return jnp.mean(1 - similarity(nnx.merge(graph, parameters, *rest), batch))

    @jax.jit
    def step(parameters: PyTree, moments: PyTree, batch: GateExamples) -> tuple[PyTree, PyTree]:
        gradient = jax.grad(loss)(parameters, batch)
        updates, moments = optimizer.update(gradient, moments, parameters)
        return optax.apply_updates(parameters, updates), moments

    moments = optimizer.init(parameters)
    n, drawn = len(examples.truth), np.random.default_rng(seed)
    for _ in track(range(steps), "training"):
        rows = drawn.choice(n, min(batch, n), replace=False)
        some = GateExamples(*(column[rows] for column in examples))
        parameters, moments = step(parameters, moments, some)
    return nnx.merge(graph, parameters, *rest)


def similarity(gate: Gate, examples: GateExamples) -> Float[Array, " b"]:
    """Return the similarity of the mixtures of a batch to the truth."""
    densities, features, present, truth = map(jnp.asarray, examples[:4])
    mixtures = jax.vmap(weighted_density)(
        densities.astype(jnp.float32), jax.vmap(gate)(features, present)
    )
    return ssim(truth.astype(jnp.float32), mixtures)


def deviation_scale(gate: Gate, asked: GateExamples) -> float:
    """Return the factor of the deviations at which intervals hold the share `COVERED` of voxels.

    The intervals are those of a Gaussian of the scaled deviation around the mixture. All voxels of
    all queries count.
    """
    errors = []
    for densities, features, present, truth, variance in zip(*asked, strict=True):
        weights = np.asarray(gate(jnp.asarray(features), jnp.asarray(present)))
        answers = densities.astype(np.float32)
        mixture, within = map(
            np.asarray, mixture_and_deviation(answers, features, weights, variance)
        )
        errors.append(np.abs(truth - mixture) / np.maximum(within, np.finfo(np.float32).tiny))
    reach = scipy.stats.norm.ppf((1 + COVERED) / 2)
    return float(np.quantile(np.concatenate(errors, axis=None), COVERED) / reach)


def expert_similarities(asked: GateExamples) -> Float[np.ndarray, "n k"]:
    """Return the similarity of every expert's density to the truth; 0 where it is not present."""
    found = []
    for densities, _, present, truth, _ in zip(*asked, strict=True):
        # All experts at once: a program for every number of them would have to be compiled.
        answers = densities.astype(np.float32)
        of_each = ssim(np.broadcast_to(np.float32(truth), answers.shape), answers)
        found.append(np.where(present, of_each, 0.0))
    return np.stack(found)


def network_similarities(examples: GateExamples) -> Float[np.ndarray, " m"]:
    """Return the similarity of the network's densities to the truth for complete queries.

    These give the full composition and cover all bins.
    """
    of_question = examples.features[:, 0, -QUERY_FEATURES:]
    everything = (of_question[:, Knowledge.FULL] == 1) & (of_question[:, -1] == 1)
    truths, answers = examples.truth[everything], examples.densities[everything, 0]
    pairs = zip(truths[:, None], answers[:, None], strict=True)
    return np.array([float(ssim(*(x.astype(np.float32) for x in pair))[0]) for pair in pairs])


def mixture_similarities(gate: Gate, asked: GateExamples) -> Float[np.ndarray, " n"]:
    """Return the similarity of the mixtures to the truth."""
    one_by_one = (
        GateExamples(*(column[None] for column in each)) for each in zip(*asked, strict=True)
    )
    return np.array([float(similarity(gate, one)[0]) for one in one_by_one])


def smallest_residual(ssims: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Return the similarity of the crystal with the smallest residual, else that of the network."""
    return np.where(ssims[:, 1] > 0, ssims[:, 1], ssims[:, 0])
