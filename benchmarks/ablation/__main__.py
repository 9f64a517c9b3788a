"""Ablation of `base` at equal training time: `python -m benchmarks.ablation --data D --out R`.

An arm replaces one or several parts of `base` in the size of `demo`: a decoder, a target, a loss,
an encoder, or substituted crystals to train on. Every arm trains from scratch with the batches,
voxels, optimizer and augmentation of `demo` at its learning rate. It predicts all validation
materials from the latent's mean. The budget is the processor time of training alone, which on a
quiet core is wall time: neither compilation nor scoring counts. The fastest of a few steps gives
the number of steps within the budget, and the schedule ends with the last of them. Pin the command
to one core, for example with `taskset -c 1`.

Finished arms are added to R/results.jsonl and skipped when the command is started again, so that a
kill costs only the arm under way. Several processes may share a folder and divide the arms.
"""

import dataclasses
import json
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro
from flax import nnx
from rich.console import Console
from rich.table import Table

from benchmarks.ablation import decoders, encoders, targets
from cmed_jax.cli import PRESETS, run_command
from cmed_jax.data.dataset import load_examples
from cmed_jax.data.examples import Examples
from cmed_jax.evaluation.overlap import TrainingOverlap, overlap_key, training_overlap
from cmed_jax.evaluation.scoring import evaluate
from cmed_jax.evaluation.statistics import format_interval, paired
from cmed_jax.model.base import Base, BaseConfig
from cmed_jax.model.generator import network_generator
from cmed_jax.model.network import Network
from cmed_jax.training.inputs import Inputs, open_inputs
from cmed_jax.training.optimizer import make_optimizer
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.step import TrainState, initial_state, make_step

DEMO = PRESETS["demo"][1]
SIZE = DEMO.network
TIMED = 20
"""The number of steps by which the pace of an arm is measured."""
OURS = "base"
"""The arm that the others are compared with."""
SCORES = ("ssim", "nmae", "pearson")


@dataclass(frozen=True)
class Arm:
    """An arm of the comparison.

    Attributes:
        parts: classes that replace those of `Base`; earlier ones override later ones.
        config: the network's size.
        seed: the seed of everything that is random.
        substituted: whether to train on substituted crystals as well.
    """

    parts: tuple[type[Base], ...] = ()
    config: BaseConfig = SIZE
    seed: int = 0
    substituted: bool = False

    @property
    def network(self) -> type[Base]:
        """The class of the network, assembled from all parts."""
        return types.new_class("Network", (*self.parts, Base))


ARMS = {
    OURS: Arm(),
    "base, another seed": Arm(seed=1),
    "large steps": Arm((decoders.LargeSteps,)),
    "large steps, another seed": Arm((decoders.LargeSteps,), seed=1),
    "no hidden features": Arm((decoders.Straight,)),
    "raw density": Arm((targets.Raw, decoders.LargeSteps)),
    "no root": Arm((targets.Scaled, decoders.LargeSteps)),
    "series": Arm((targets.Root, decoders.LargeSteps)),
    "series, another seed": Arm((targets.Root, decoders.LargeSteps), seed=1),
    "2,048 features, 4 blocks": Arm(
        (targets.Root, decoders.LargeSteps), BaseConfig(width=2048, blocks=4)
    ),
    "threefold series": Arm((targets.Root, decoders.Threefold)),
    "shared basis": Arm((targets.Root, decoders.SharedBasis)),
    "shared basis, another seed": Arm((targets.Root, decoders.SharedBasis), seed=1),
    "FiLM": Arm((targets.Root, decoders.Film)),
    "periodic FiLM": Arm((targets.Root, decoders.PeriodicFilm)),
    "logarithm of the shared basis": Arm((decoders.SharedBasis,)),
    "logarithm of the shared basis, another seed": Arm((decoders.SharedBasis,), seed=1),
    "intensities": Arm((encoders.Intensities,)),
    "logarithms of intensities": Arm((encoders.Logarithms,)),
    "convolutions": Arm((encoders.Convolutional,)),
    "set of peaks": Arm((encoders.WithPeaks,)),
    "absolute error": Arm((targets.Sizes,)),
    "absolute error, another seed": Arm((targets.Sizes,), seed=1),
    "squared error": Arm((targets.Squares,)),
    "slopes": Arm((targets.Slopes,)),
    "no sampling": Arm((encoders.Deterministic,), dataclasses.replace(SIZE, kl_weight=0.0)),
    "substituted crystals": Arm(substituted=True),
}


@dataclass(frozen=True)
class Options:
    """Compare decoders, targets, losses, encoders and training crystals at equal time.

    Attributes:
        data: directory of a dataset, such as data/cmed/cubic/3.0.0.
        out: folder of results.jsonl.
        minutes: processor time of each arm.
        arms: the arms to run; by default all.
        substituted: directory of a dataset with substituted crystals in its training split
            (`python -m benchmarks.ablation.substituted`).
        held_out: directory of another dataset. Its validation materials are used if no training
            split holds their reduced formula and space group.
    """

    data: str
    out: Path
    minutes: float = 4.0
    arms: tuple[str, ...] = tuple(ARMS)
    substituted: str | None = None
    held_out: str | None = None

    def __post_init__(self):
        if not self.minutes > 0:
            raise ValueError(f"minutes is {self.minutes}: give a positive number")
        if unknown := [name for name in self.arms if name not in ARMS]:
            raise ValueError(f"there is no arm {unknown[0]!r}: choose from {', '.join(ARMS)}")
        if self.substituted is None and any(ARMS[name].substituted for name in self.arms):
            raise ValueError(
                "substituted crystals are not in the dataset: give --substituted DIR, or other arms"
            )


def asked(options: Options) -> tuple[Examples, np.ndarray]:
    """Return the validation materials, and their overlap with the source's training crystals."""
    training = load_examples(options.data, "train")
    held_out = unseen(load_examples(options.held_out or options.data, "validation"), training)
    if options.substituted:
        held_out = unseen(held_out, load_examples(options.substituted, "train"))
    return held_out, training_overlap(held_out, training.composition, training.space_group)


def unseen(examples: Examples, training: Examples) -> Examples:
    """Return the examples of reduced formulas and space groups absent from a training split."""
    seen = set(kinds(training))
    rows = [row for row, kind in enumerate(kinds(examples)) if kind not in seen]
    return Examples(**{name: column[rows] for name, column in vars(examples).items()})


def kinds(examples: Examples) -> list[tuple[str, int]]:
    """Return formula and space group, which held-out and training materials may not share."""
    return list(zip(examples.formula.tolist(), examples.space_group.tolist(), strict=True))


def run_arm(arm: Arm, data: str, held_out: Examples, minutes: float) -> dict[str, Any]:
    """Train an arm within its budget, and return its description and its scores."""
    inputs = open_inputs(data, "resident", None, DataParallel(), DEMO.batch, DEMO.seed)
    pace = min(train(arm, TIMED, inputs).seconds)
    steps = max(2, int(60 * minutes / pace))
    run = train(arm, steps, inputs)
    parameters = jax.tree.leaves(nnx.state(run.network, nnx.Param))
    return {
        "budget": minutes,
        "parameters": sum(array.size for array in parameters),
        "steps": steps,
        "minutes": sum(run.seconds) / 60,
        **{name: values.tolist() for name, values in score(run.network, held_out).items()},
    }


class Run(NamedTuple):
    """A trained network, and the processor time of each step after the first, which compiles."""

    network: Network
    seconds: list[float]


def train(arm: Arm, steps: int, inputs: Inputs) -> Run:
    """Train an arm from scratch."""
    parallel, optimizer = inputs.parallel, make_optimizer(DEMO.optimizer, steps)
    kind = arm.network

    def begin() -> tuple[nnx.GraphDef, TrainState]:
        return initial_state(kind(arm.config, nnx.Rngs(arm.seed)), optimizer)

    graph, _ = nnx.eval_shape(begin)
    step = parallel.compile(make_step(graph, optimizer, DEMO.step, arm.seed))
    state = parallel.create(lambda: begin()[1])
    clock = []
    for number, batches in enumerate(inputs.batches([range(n, n + 1) for n in range(steps)])):
        state, metrics = step(state, inputs.table, batches, number)
        jax.block_until_ready(metrics)
        clock.append(time.process_time())
    network = nnx.merge(graph, *parallel.own((state.parameters, state.statistics)), copy=True)
    return Run(network, np.diff(clock).tolist())


def score(network: Network, held_out: Examples) -> dict[str, np.ndarray]:
    """Return the plain scores of each material."""
    plain = evaluate(network_generator(network, held_out.density.shape[1:]), held_out).plain
    return {name: plain[name] for name in SCORES}


def add_result(path: Path, result: dict[str, Any]) -> None:
    """Add a finished arm on a line of its own."""
    with path.open("a") as file:
        file.write(json.dumps(result) + "\n")


def read_results(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the finished arms."""
    yield from map(json.loads, path.read_text().splitlines() if path.exists() else ())


def table_of(results: list[dict[str, Any]]) -> Table:
    """Return the table of arms, best first, each compared with ours on the same materials."""
    ours = next((np.array(row["ssim"]) for row in results if row["arm"] == OURS), None)
    overlap = np.array(results[0]["kinship"])
    groups = [
        (overlap_key(kind), overlap == kind) for kind in TrainingOverlap if (overlap == kind).any()
    ]
    counts = ", ".join(f"{name} {rows.sum()}" for name, rows in groups)
    table = Table(title=f"{len(overlap)} validation materials, plain; closest overlap: {counts}")
    table.add_column("arm")
    headings = "parameters", "steps", "steps/s", "minutes", "SSIM", f"SSIM - {OURS}"
    for heading in (*headings, *(name for name, _ in groups), "NMAE", "Pearson"):
        table.add_column(heading, justify="right")
    for row in sorted(results, key=lambda row: -np.mean(row["ssim"])):
        ssim = np.array(row["ssim"])
        table.add_row(
            row["arm"],
            f"{row['parameters']:,}",
            f"{row['steps']:,}",
            f"{row['steps'] / row['minutes'] / 60:.2f}",
            f"{row['minutes']:.1f}",
            f"{np.mean(ssim):.3f}",
            ""
            if ours is None or row["arm"] == OURS
            else format_interval(paired(ssim, ours), "+.3f"),
            *(f"{np.mean(ssim[rows]):.3f}" for _, rows in groups),
            f"{np.mean(row['nmae']):.3f}",
            f"{np.mean(row['pearson']):.3f}",
        )
    return table


def main(args: list[str] | None = None) -> None:
    """Run the unfinished arms, and print the table."""
    options = tyro.cli(Options, prog="python -m benchmarks.ablation", args=args)
    path = options.out / "results.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = list(read_results(path))
    if others := {row["budget"] for row in done} - {options.minutes}:
        raise ValueError(
            f"{path} holds arms of {others.pop():g} minutes: give as many, or another folder"
        )
    names = [name for name in options.arms if name not in {row["arm"] for row in done}]
    console = Console(width=140)
    if names:
        held_out, overlap = asked(options)
        for name in names:
            data = options.substituted if ARMS[name].substituted else options.data
            result = run_arm(ARMS[name], data, held_out, options.minutes)
            add_result(path, result | {"arm": name, "kinship": overlap.tolist()})
            console.print(f"{name}: SSIM {np.mean(result['ssim']):.4f}", highlight=False)
    console.print(table_of([row for row in read_results(path) if row["arm"] in options.arms]))


if __name__ == "__main__":
    run_command(main)
