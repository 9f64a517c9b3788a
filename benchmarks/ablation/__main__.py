"""Ablation of `base` at equal training time: `python -m benchmarks.ablation --data D --out R`.

An arm changes one thing about `base`: its size, what it recalls or predicts, the errors of its
reflections, the units of its target, or the crystals that it is trained on. Every arm trains from
scratch with the batches, voxels, optimizer and augmentation of `base`, and predicts validation
materials from the latent's mean. The budget is the processor time of training alone, which on a
quiet core is wall time: neither compilation nor scoring counts. The fastest of a few steps gives
the number of steps within the budget, and the schedule ends with the last of them. Pin the command
to one core, for example with `taskset -c 1`.

Finished arms are added to R/results.jsonl and skipped when the command is started again, so that a
kill costs only the arm under way. Arms that were asked about other materials, or trained on another
dataset, are refused. Scores are paired by the ids of the materials.
"""

import dataclasses
import json
import time
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

from cmed_jax.cli import PRESETS, run_command
from cmed_jax.config import StepConfig
from cmed_jax.data.dataset import fingerprint, load_compact_examples, load_examples
from cmed_jax.data.examples import CompactExamples, Examples
from cmed_jax.data.memory import Memory
from cmed_jax.evaluation.overlap import TrainingOverlap, overlap_key, training_overlap
from cmed_jax.evaluation.scoring import evaluate
from cmed_jax.evaluation.statistics import format_interval, paired
from cmed_jax.model.base import BaseConfig
from cmed_jax.model.generator import network_generator
from cmed_jax.model.network import Network
from cmed_jax.model.standards import Standards
from cmed_jax.training.inputs import Inputs, reflection_inputs
from cmed_jax.training.optimizer import make_optimizer
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.step import TrainState, initial_state, make_step

BASE = PRESETS["base"][1]
"""The options of all arms that they do not change."""
TIMED = 20
"""The number of steps by which the pace of an arm is measured."""
SIZE = BaseConfig()
OURS = "base"
"""The arm that the others are compared with."""
SCORES = ("ssim", "nmae", "pearson")


@dataclass(frozen=True)
class Arm:
    """An arm of the comparison.

    Attributes:
        network: the size of the network, and what it recalls and predicts.
        ideal: whether reflections have no errors in training.
        plain: whether coefficients are predicted as they are, and not in units of their deviation.
        substituted: whether to train on substituted crystals as well.
    """

    network: BaseConfig = SIZE
    ideal: bool = False
    plain: bool = False
    substituted: bool = False

    @property
    def step(self) -> StepConfig:
        """The augmentation and arithmetic of its steps."""
        if not self.ideal:
            return BASE.step
        augmentation = dataclasses.replace(BASE.step.augmentation, errors=None, stored=0.0)
        return dataclasses.replace(BASE.step, augmentation=augmentation)

    def standards(self, training: CompactExamples) -> Standards:
        """Return the units in which its network reads and writes."""
        learned = Standards.of(training, self.network.harmonics)
        if not self.plain:
            return learned
        terms = learned.series.shape[1]
        return learned._replace(series=Standards.neutral(len(learned.power), terms).series)


ARMS = {
    OURS: Arm(),
    "no known crystals": Arm(BaseConfig(recalled=0)),
    "|h|^2 up to 30": Arm(BaseConfig(harmonics=30)),
    "narrow": Arm(BaseConfig(width=384)),
    "one block": Arm(BaseConfig(blocks=1)),
    "ideal reflections": Arm(ideal=True),
    "plain coefficients": Arm(plain=True),
    "substituted crystals": Arm(substituted=True),
}


@dataclass(frozen=True)
class Options:
    """Compare variants of `base` at equal training time.

    Attributes:
        data: directory of a dataset, such as data/cmed/cubic/3.1.0.
        out: folder of results.jsonl.
        minutes: processor time of each arm.
        arms: the arms to run; by default all for which there is a dataset.
        substituted: directory of a dataset with substituted crystals in its training split
            (`python -m benchmarks.ablation.substituted`).
        materials: largest number of validation materials, evenly spaced.
    """

    data: str
    out: Path
    minutes: float = 10.0
    arms: tuple[str, ...] = ()
    substituted: str | None = None
    materials: int = 400

    def __post_init__(self):
        if not self.minutes > 0:
            raise ValueError(f"minutes is {self.minutes}: give a positive number")
        if self.materials < 1:
            raise ValueError(f"materials is {self.materials}: give at least 1")
        if unknown := [name for name in self.arms if name not in ARMS]:
            raise ValueError(f"there is no arm {unknown[0]!r}: choose from {', '.join(ARMS)}")
        if self.substituted is None and any(ARMS[name].substituted for name in self.arms):
            raise ValueError(
                "substituted crystals are not in the dataset: give --substituted DIR, or other arms"
            )

    @property
    def chosen(self) -> list[str]:
        """The names of the arms to run."""
        possible = [name for name, arm in ARMS.items() if self.substituted or not arm.substituted]
        return list(self.arms) or possible


def asked(options: Options) -> tuple[Examples, np.ndarray]:
    """Return the validation materials, and their overlap with the training crystals."""
    training = load_compact_examples(options.data, "train")
    held_out = load_examples(options.data, "validation")
    if options.substituted:
        held_out = unseen(held_out, load_compact_examples(options.substituted, "train"))
    held_out = held_out.evenly_spaced(options.materials)
    return held_out, training_overlap(held_out, training.composition, training.space_group)


def unseen(examples: Examples, training: CompactExamples) -> Examples:
    """Return the examples of reduced formulas and space groups absent from a training split."""
    seen = set(kinds(training))
    return examples.rows(
        np.array([row for row, kind in enumerate(kinds(examples)) if kind not in seen], int)
    )


def kinds(examples: CompactExamples) -> list[tuple[str, int]]:
    """Return formula and space group, which held-out and training materials may not share."""
    return list(zip(examples.formula.tolist(), examples.space_group.tolist(), strict=True))


def run_arm(arm: Arm, data: str, held_out: Examples, minutes: float) -> dict[str, Any]:
    """Train an arm within its budget, and return its description and its scores."""
    training = load_compact_examples(data, "train")
    recalled = arm.network.recalled
    inputs = reflection_inputs(training, recalled, DataParallel(), BASE.batch, BASE.seed).placed()
    standards = arm.standards(training)
    pace = min(train(arm, TIMED, inputs, standards).seconds)
    steps = max(2, int(60 * minutes / pace))
    run = train(arm, steps, inputs, standards)
    memory = Memory.of(training) if recalled else None
    generator = network_generator(run.network, held_out.density.shape[1:], memory=memory)
    scores = evaluate(generator, held_out).plain
    parameters = jax.tree.leaves(nnx.state(run.network, nnx.Param))
    return {
        "budget": minutes,
        "parameters": sum(array.size for array in parameters),
        "steps": steps,
        "minutes": sum(run.seconds) / 60,
        **{name: scores[name].tolist() for name in SCORES},
    }


class Run(NamedTuple):
    """A trained network, and the processor time of each step after the first, which compiles."""

    network: Network
    seconds: list[float]


def train(arm: Arm, steps: int, inputs: Inputs, standards: Standards) -> Run:
    """Train an arm from scratch."""
    parallel, optimizer = inputs.parallel, make_optimizer(BASE.optimizer, steps)

    def begin() -> tuple[nnx.GraphDef, TrainState]:
        network = arm.network.build(nnx.Rngs(BASE.seed))
        network.learn_standards(standards)
        return initial_state(network, optimizer)

    graph, _ = nnx.eval_shape(begin)
    step = parallel.compile(make_step(graph, optimizer, arm.step, BASE.seed))
    state = parallel.create(lambda: begin()[1])
    clock = []
    for number, batches in enumerate(inputs.batches([range(n, n + 1) for n in range(steps)])):
        state, metrics = step(state, inputs.table, batches, number)
        jax.block_until_ready(metrics)
        clock.append(time.process_time())
    network = nnx.merge(graph, *parallel.own((state.parameters, state.statistics)), copy=True)
    return Run(network, np.diff(clock).tolist())


def add_result(path: Path, result: dict[str, Any]) -> None:
    """Add a finished arm on a line of its own."""
    with path.open("a") as file:
        file.write(json.dumps(result) + "\n")


def read_results(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the finished arms."""
    yield from map(json.loads, path.read_text().splitlines() if path.exists() else ())


def check_alike(path: Path, done: list[dict[str, Any]], options: Options) -> None:
    """Check that finished arms had this budget and these datasets.

    Raises:
        ValueError: one of them had others.
    """
    if others := {row["budget"] for row in done} - {options.minutes}:
        raise ValueError(
            f"{path} holds arms of {others.pop():g} minutes: give as many, or another folder"
        )
    if done and any(row.get("dataset") != fingerprint(options.data) for row in done):
        raise ValueError(f"{path} holds arms of another dataset: give that one, or another folder")


def check_materials(path: Path, done: list[dict[str, Any]], held_out: Examples) -> None:
    """Check that finished arms were asked about the same materials.

    Raises:
        ValueError: one of them was asked about others.
    """
    names = sorted(held_out.material_id.tolist())
    if any(sorted(row["materials"]) != names for row in done):
        raise ValueError(
            f"{path} holds arms that were asked about other materials: give the same --materials "
            "and --substituted, or another folder"
        )


def by_material(row: dict[str, Any], name: str, materials: list[str]) -> np.ndarray:
    """Return a column of an arm in the order of some materials."""
    values = dict(zip(row["materials"], row[name], strict=True))
    return np.array([values[material] for material in materials])


def table_of(results: list[dict[str, Any]]) -> Table:
    """Return the table of arms, best first, each compared with ours on the same materials."""
    materials = results[0]["materials"]
    ours = next((by_material(r, "ssim", materials) for r in results if r["arm"] == OURS), None)
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
        ssim = by_material(row, "ssim", materials)
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
    check_alike(path, done, options)
    names = [name for name in options.chosen if name not in {row["arm"] for row in done}]
    console = Console(width=140)
    if names:
        held_out, overlap = asked(options)
        check_materials(path, done, held_out)
        about = {
            "dataset": fingerprint(options.data),
            "materials": held_out.material_id.tolist(),
            "kinship": overlap.tolist(),
        }
        for name in names:
            data = (options.substituted if ARMS[name].substituted else None) or options.data
            result = run_arm(ARMS[name], data, held_out, options.minutes)
            add_result(path, result | about | {"arm": name})
            console.print(f"{name}: SSIM {np.mean(result['ssim']):.4f}", highlight=False)
    console.print(table_of([row for row in read_results(path) if row["arm"] in options.chosen]))


if __name__ == "__main__":
    run_command(main)
