"""Train the gate of a run: `python -m cmed_jax.gate RUN`.

A run that has one answers with a mixture of its network and refined crystals
(`cmed_jax.evaluation.experts`). Most of the time goes into solving the questions that the gate
learns from; a command that was stopped is started again and goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from flax import nnx
from jaxtyping import Array, Float, Integer, PyTree
from rich.console import Console
from rich.progress import track
from scipy import stats

from cmed_jax.config import run_command
from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.augmentation import AugmentationConfig
from cmed_jax.data.dataset import fingerprint, load_structures, provenance
from cmed_jax.data.records import Recipe
from cmed_jax.evaluation.experts import FEATURES, OF_QUESTION, deviation
from cmed_jax.evaluation.lessons import Lessons, School
from cmed_jax.evaluation.metrics import ssim
from cmed_jax.evaluation.substitution import Templates
from cmed_jax.model.gate import Gate, mixed, save_gate
from cmed_jax.prediction import restore
from cmed_jax.training.checkpoint import find_checkpoint, run_folder
from cmed_jax.training.damage import checksum
from cmed_jax.training.folder import locked

LEARNING_RATE = 3e-3

SAMPLES = 5
"""Of the network, by which it tells how sure it is of a validation crystal."""

COVERED = 0.9
"""Share of the voxels that intervals of this nominal coverage hold once the spread is fitted."""

IDEAL = 0.85
"""Least share of the questions that are put with ideal lines. Where a network is asked with a
measured profile no crystal can follow, and there is little to learn from that."""


@dataclass(frozen=True)
class Options:
    """Train the gate that weighs a run's network against refined crystals.

    Attributes:
        run: a run's folder.
        data: directory of the dataset; without it the one that the run was trained on.
        questions: about training crystals, each about another one.
        validation: crystals of the validation split that are asked about at the end.
        steps: of the training.
        batch: questions in a step.
        seed: of everything that is random.
    """

    run: Annotated[Path, tyro.conf.Positional]
    data: Path | None = None
    questions: int = 2000
    validation: int = 500
    steps: int = 1500
    batch: int = 16
    seed: int = 0

    def __post_init__(self):
        for name in ("questions", "validation", "steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1")


def train_gate(options: Options, console: Console | None = None) -> Gate:
    """Train the gate of a run, fit its spread, and write it into the run's folder.

    Training crystals teach it, and the network has seen them: where it answers them better than
    others, the gate believes it too much; both SSIMs are printed. Validation crystals decide the
    spread.

    Raises:
        FileNotFoundError: there is no checkpoint, or no dataset.
        ValueError: densities of the dataset are not of independent atoms, or another process is at
            work in the run's folder.
    """
    checkpoint = find_checkpoint(options.run)
    folder = run_folder(checkpoint)
    with locked(folder):
        lessons, asked = gathered(options)
        gate = fitted(options, lessons)
        gate.spread[...] = jnp.float32(spread(gate, asked))
        network = restore(checkpoint, alone=True).network
        save_gate(folder, gate, int(checksum(nnx.state(network))))
    (console or Console()).print(_summary(gate, lessons, asked))
    return gate


def gathered(options: Options) -> tuple[Lessons, Lessons]:
    """Return the lessons of training, and all that is asked of validation crystals."""
    checkpoint = find_checkpoint(options.run)
    config, network, *_ = restore(checkpoint, alone=True)
    data = options.data or Path(config.data)
    known, held_out = (load_structures(data, split) for split in ("train", "validation"))
    templates = Templates.of_crystals(known, _recipe(data))
    school = School(network, templates, run_folder(checkpoint), fingerprint(data), options.seed)
    told = config.step.augmentation
    told = replace(told, stored=max(told.stored, IDEAL))
    everything, most = AugmentationConfig(), options.validation
    return (
        school.lessons(known, told, most=options.questions, withhold=True),
        school.lessons(held_out, everything, most=most, withhold=False, samples=SAMPLES),
    )


def _recipe(data: Path) -> Recipe:
    """Return how the densities of a dataset were made from crystals."""
    identity = provenance(data)["identity"]
    if identity["density"] != "iam":
        raise ValueError(
            f"densities in {data} are {identity['density']}, and those of refined crystals are of "
            "independent atoms: the two are never mixed"
        )
    return Recipe.of(identity)


def fitted(options: Options, lessons: Lessons) -> Gate:
    """Return the gate whose mixtures are most like the truth."""
    gate = Gate(FEATURES, nnx.Rngs(options.seed))
    graph, parameters, *rest = nnx.split(gate, nnx.Param, ...)
    optimizer = optax.adamw(optax.cosine_decay_schedule(LEARNING_RATE, options.steps))

    def loss(parameters: PyTree, batch: Lessons) -> Float[Array, ""]:
        return jnp.mean(1 - similarity(nnx.merge(graph, parameters, *rest), batch))

    @jax.jit
    def step(parameters: PyTree, moments: PyTree, batch: Lessons) -> tuple[PyTree, PyTree]:
        gradient = jax.grad(loss)(parameters, batch)
        updates, moments = optimizer.update(gradient, moments, parameters)
        return optax.apply_updates(parameters, updates), moments

    moments = optimizer.init(parameters)
    for rows in track(list(_batches(options, len(lessons.truth))), "training"):
        batch = Lessons(*(column[rows] for column in lessons))
        parameters, moments = step(parameters, moments, batch)
    return nnx.merge(graph, parameters, *rest)


def _batches(options: Options, n: int) -> Iterator[Integer[np.ndarray, " b"]]:
    """Yield the rows of each step."""
    drawn = np.random.default_rng(options.seed)
    for _ in range(options.steps):
        yield drawn.choice(n, min(options.batch, n), replace=False)


def similarity(gate: Gate, lessons: Lessons) -> Float[Array, " b"]:
    """Return the similarity of the mixtures of a batch to the truth."""
    densities, features, present, truth = map(jnp.asarray, lessons[:4])
    mixtures = jax.vmap(mixed)(densities.astype(jnp.float32), jax.vmap(gate)(features, present))
    return ssim(truth.astype(jnp.float32), mixtures)


def spread(gate: Gate, asked: Lessons) -> float:
    """Return the factor of the deviations with which intervals hold the share `COVERED` of voxels.

    Of a Gaussian of that deviation around the mixture, over all voxels of all questions.
    """
    errors = []
    for densities, features, present, truth, variance in zip(*asked, strict=True):
        weights = np.asarray(gate(jnp.asarray(features), jnp.asarray(present)))
        answers = densities.astype(np.float32)
        told = deviation(answers, features, weights, variance)
        error = np.abs(truth - np.asarray(mixed(answers, weights)))
        errors.append(error / np.maximum(told, np.finfo(np.float32).tiny))
    reach = stats.norm.ppf((1 + COVERED) / 2)
    return float(np.quantile(np.concatenate(errors, axis=None), COVERED) / reach)


def of_experts(asked: Lessons) -> Float[np.ndarray, "n k"]:
    """Return the similarity of every expert's answers to the truth; 0 where it is not present."""
    found = []
    for densities, _, present, truth, _ in zip(*asked, strict=True):
        answers = densities[present].astype(np.float32)
        found.append(np.zeros(len(present)))
        found[-1][present] = ssim(np.broadcast_to(np.float32(truth), answers.shape), answers)
    return np.stack(found)


def of_network(lessons: Lessons) -> Float[np.ndarray, " m"]:
    """Return the similarity of the network's answers to the truth, where it was told everything."""
    of_question = lessons.features[:, 0, -OF_QUESTION:]
    everything = (of_question[:, Knowledge.FULL] == 1) & (of_question[:, -1] == 1)
    truths, answers = lessons.truth[everything], lessons.densities[everything, 0]
    pairs = zip(truths[:, None], answers[:, None], strict=True)
    return np.array([float(ssim(*(x.astype(np.float32) for x in pair))[0]) for pair in pairs])


def of_mixtures(gate: Gate, asked: Lessons) -> Float[np.ndarray, " n"]:
    """Return the similarity of the mixtures to the truth."""
    one_by_one = (Lessons(*(column[None] for column in each)) for each in zip(*asked, strict=True))
    return np.array([float(similarity(gate, one)[0]) for one in one_by_one])


def smallest_residual(ssims: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """Return those of the crystals with the smallest residuals; of the network without crystals."""
    return np.where(ssims[:, 1] > 0, ssims[:, 1], ssims[:, 0])


def _summary(gate: Gate, lessons: Lessons, asked: Lessons) -> str:
    """Say how good the mixtures are, and the experts themselves."""
    each, seen = of_experts(asked), of_network(lessons)
    of_seen = ""
    if len(seen):
        of_seen = f"; {seen.mean():.4f} of the network of {len(seen)} training materials"
    return (
        f"SSIM of {len(each)} validation materials: {of_mixtures(gate, asked).mean():.4f} of the "
        f"mixture, {each[:, 0].mean():.4f} of the network, {smallest_residual(each).mean():.4f} of "
        "the crystal with the smallest residual (the network's where there is none), "
        f"{each.max(axis=1).mean():.4f} of the best expert (oracle){of_seen}"
    )


def main(args: list[str] | None = None) -> int:
    """Run the command."""
    train_gate(tyro.cli(Options, args=args, prog="python -m cmed_jax.gate"))
    return 0


if __name__ == "__main__":
    run_command(main)
