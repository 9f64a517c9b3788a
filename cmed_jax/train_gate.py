"""Train the gate of a run: `python -m cmed_jax.train_gate RUN`.

A run with a gate predicts a mixture of its network and refined crystals
(`cmed_jax.mixture.experts`). Most of the time is spent on solving the training queries of the gate.
A command that was stopped continues when it is started again.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import jax.numpy as jnp
import tyro
from flax import nnx
from rich.console import Console

from cmed_jax.cli import run_command
from cmed_jax.data.augmentation import AugmentationConfig
from cmed_jax.data.dataset import fingerprint, load_compact_examples, load_structures, provenance
from cmed_jax.data.memory import Memory
from cmed_jax.data.records import Recipe
from cmed_jax.io.integrity import checksum
from cmed_jax.io.run import run_folder
from cmed_jax.mixture.fit import (
    deviation_scale,
    expert_similarities,
    fit_gate,
    mixture_similarities,
    network_similarities,
    smallest_residual,
)
from cmed_jax.mixture.gate import Gate, save_gate
from cmed_jax.mixture.gate_data import GateDataset, GateExamples
from cmed_jax.prediction.restore import restore
from cmed_jax.solution.prototypes import Prototypes
from cmed_jax.training.checkpoint import find_checkpoint
from cmed_jax.training.folder import locked
from cmed_jax.training.lineage import dataset_of

SAMPLES = 5
"""The number of samples of the network that give its variance in validation."""

IDEAL = 0.85
"""The least share of queries with ideal lines.

No crystal can match a measured profile exactly, so the gate learns little from such queries.
"""


@dataclass(frozen=True)
class Options:
    """Train the gate that weighs a run's network against refined crystals.

    Attributes:
        run: a run's folder.
        data: directory of the dataset; by default the one that the run was trained on.
        questions: number of training queries, each about another training crystal.
        validation: number of crystals of the validation split that are predicted at the end.
        steps: number of training steps.
        batch: queries in a step.
        seed: seed of everything that is random.
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

    The gate learns from training crystals, which the network was trained on too. Where the network
    predicts them better than other crystals, the gate trusts it too much; both SSIMs are printed.
    The spread is fitted on validation crystals.

    Raises:
        FileNotFoundError: there is no checkpoint, or no dataset.
        ValueError: densities of the dataset are not of independent atoms, or another process uses
            the run's folder.
    """
    checkpoint = find_checkpoint(options.run)
    folder = run_folder(checkpoint)
    with locked(folder):
        examples, asked = gathered(options)
        training = {"steps": options.steps, "batch": options.batch, "seed": options.seed}
        gate = fit_gate(examples, **training)
        gate.spread[...] = jnp.float32(deviation_scale(gate, asked))
        network = restore(checkpoint, alone=True).network
        save_gate(folder, gate, checksum(nnx.state(network)))
    (console or Console()).print(_summary(gate, examples, asked))
    return gate


def gathered(options: Options) -> tuple[GateExamples, GateExamples]:
    """Return the training examples of the gate, and those of validation crystals."""
    checkpoint = find_checkpoint(options.run)
    config, network, *_ = restore(checkpoint, alone=True)
    data = dataset_of(checkpoint, config, options.data)
    known, held_out = (load_structures(data, split) for split in ("train", "validation"))
    prototypes = Prototypes.of_crystals(known, _recipe(data))
    memory = Memory.of(load_compact_examples(data, "train")) if network.reads_reflections else None
    dataset = GateDataset(
        network, prototypes, run_folder(checkpoint), fingerprint(data), memory, options.seed
    )
    augmentation = config.step.augmentation
    augmentation = replace(augmentation, stored=max(augmentation.stored, IDEAL))
    everything, most = AugmentationConfig(), options.validation
    return (
        dataset.examples(known, augmentation, most=options.questions, withhold=True),
        dataset.examples(held_out, everything, most=most, withhold=False, samples=SAMPLES),
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


def _summary(gate: Gate, examples: GateExamples, asked: GateExamples) -> str:
    """Return a sentence on the similarity of the mixtures, and of the experts, to the truth."""
    each, seen = expert_similarities(asked), network_similarities(examples)
    mixture = mixture_similarities(gate, asked)
    of_seen = ""
    if len(seen):
        of_seen = f"; {seen.mean():.4f} of the network of {len(seen)} training materials"
    return (
        f"SSIM of {len(each)} validation materials: {mixture.mean():.4f} of the mixture, "
        f"{each[:, 0].mean():.4f} of the network, {smallest_residual(each).mean():.4f} of the "
        "crystal with the smallest residual (the network's where there is none), "
        f"{each.max(axis=1).mean():.4f} of the best expert (oracle){of_seen}"
    )


def main(args: list[str] | None = None) -> int:
    """Run the command."""
    train_gate(tyro.cli(Options, args=args, prog="python -m cmed_jax.train_gate"))
    return 0


if __name__ == "__main__":
    run_command(main)
