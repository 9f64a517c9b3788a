"""Decoders and targets at equal time: `python -m benchmarks.decoders --data DIR --out FOLDER`.

Every arm trains from scratch with the encoder, batches, voxels, optimizer and seed of `demo`, and
answers for all validation materials from the latent's mean. The budget is processor time, which on
a quiet core is wall time, of training alone: neither compilation nor scoring counts. Two learning
rates are tried over 50 steps, and the one that ends with the lower loss is taken. The fastest of
these steps says how many fit into the budget, and the schedule ends with the last of them. Pin the
command to one core, such as with `taskset -c 1`.

Arms are added to FOLDER/results.jsonl as they end and left out when the command is started again,
so that a kill costs the arm under way; processes may share a folder and divide the arms.
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

from benchmarks.decoders import networks
from cmed_jax.config import PRESETS, run_command
from cmed_jax.data.dataset import Examples, load_examples
from cmed_jax.evaluation.network import network_generator
from cmed_jax.evaluation.protocol import bootstrap_interval, evaluate
from cmed_jax.model.base import Base, BaseConfig
from cmed_jax.model.network import Network
from cmed_jax.training.inputs import Inputs, open_inputs
from cmed_jax.training.optimizer import make_optimizer
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.step import TrainState, initial_state, make_step

DEMO = PRESETS["demo"][1]
SIZE = BaseConfig(width=1024, blocks=3)
RATES = (1e-3, 2e-3)
"""Learning rates that an arm tries, unless it says otherwise."""
TRIAL, LAST = 50, 10
"""Steps for which they are tried, and those at the end whose losses count."""
OURS = "series"
"""The arm that the others are compared with."""
SCORES = ("ssim", "nmae", "pearson")


@dataclass(frozen=True)
class Arm:
    """What is compared: a network class and its size.

    The seed is that of everything that is random; rates are the learning rates that are tried.
    """

    network: type[Base]
    config: BaseConfig = SIZE
    seed: int = 0
    rates: tuple[float, ...] = RATES


ARMS = {
    OURS: Arm(Base),
    "threefold series": Arm(networks.Threefold),
    "shared basis": Arm(networks.SharedBasis),
    "FiLM": Arm(networks.Film),
    "periodic FiLM": Arm(networks.PeriodicFilm),
    "no root": Arm(networks.Scaled),
    "logarithm": Arm(networks.Compressed),
    "raw density": Arm(networks.Raw),
    "shared basis, another seed": Arm(networks.SharedBasis, seed=1),
    "series, another seed": Arm(Base, seed=1),
    "series, another seed, 0.001": Arm(Base, seed=1, rates=(1e-3,)),
    "logarithm, 0.001": Arm(networks.Compressed, rates=(1e-3,)),
    "raw density, 0.001": Arm(networks.Raw, rates=(1e-3,)),
    "size of base": Arm(Base, BaseConfig()),
}


@dataclass(frozen=True)
class Options:
    """Compare decoders, targets and sizes at equal training time.

    Attributes:
        data: directory of a dataset, such as data/cmed/cubic/2.0.0.
        out: folder of results.jsonl.
        minutes: processor time of each arm.
        arms: which of them; none names all.
    """

    data: str
    out: Path
    minutes: float = 4.0
    arms: tuple[str, ...] = tuple(ARMS)

    def __post_init__(self):
        if not self.minutes > 0:
            raise ValueError(f"minutes is {self.minutes}: give a positive number")
        if unknown := [name for name in self.arms if name not in ARMS]:
            raise ValueError(f"there is no arm {unknown[0]!r}: choose from {', '.join(ARMS)}")


def run_arm(arm: Arm, inputs: Inputs, held_out: Examples, minutes: float) -> dict[str, Any]:
    """Return what an arm is and how it scores."""
    trials = {rate: train(arm, rate, TRIAL, inputs) for rate in arm.rates}
    ends = {rate: float(np.mean(trial.losses[-LAST:])) for rate, trial in trials.items()}
    best = min(ends, key=ends.__getitem__)
    pace = min(min(trial.seconds) for trial in trials.values())
    steps = max(2, int(60 * minutes / pace))
    run = train(arm, best, steps, inputs)
    parameters = jax.tree.leaves(nnx.state(run.network, nnx.Param))
    return {
        "budget": minutes,
        "learning_rate": best,
        "trials": ends,
        "parameters": sum(array.size for array in parameters),
        "steps": steps,
        "minutes": sum(run.seconds) / 60,
        **{name: values.tolist() for name, values in score(run.network, held_out).items()},
    }


class Run(NamedTuple):
    """A trained network, the loss of each step, and its processor time.

    The first step compiles: its time is left out.
    """

    network: Network
    losses: list[float]
    seconds: list[float]


def train(arm: Arm, rate: float, steps: int, inputs: Inputs) -> Run:
    """Train an arm from scratch."""
    parallel = inputs.parallel
    optimizer = make_optimizer(dataclasses.replace(DEMO.optimizer, learning_rate=rate), steps)

    def begin() -> tuple[nnx.GraphDef, TrainState]:
        return initial_state(arm.network(arm.config, nnx.Rngs(arm.seed)), optimizer)

    graph, _ = nnx.eval_shape(begin)
    step = parallel.compile(make_step(graph, optimizer, DEMO.step, arm.seed))
    state = parallel.create(lambda: begin()[1])
    spans = [range(number, number + 1) for number in range(steps)]
    losses, clock = [], []
    for span, batches in zip(spans, inputs.batches(spans), strict=True):
        state, metrics = step(state, inputs.table, batches, span.start)
        losses.append(float(jax.device_get(metrics["loss"])[0]))
        clock.append(time.process_time())
    network = nnx.merge(graph, *parallel.own((state.parameters, state.statistics)), copy=True)
    return Run(network, losses, np.diff(clock).tolist())


def score(network: Network, held_out: Examples) -> dict[str, np.ndarray]:
    """Return the plain scores of each material."""
    plain = evaluate(network_generator(network, held_out.density.shape[1:]), held_out).plain
    return {name: plain[name] for name in SCORES}


def add_result(path: Path, result: dict[str, Any]) -> None:
    """Add an arm that has ended, on a line of its own."""
    with path.open("a") as file:
        file.write(json.dumps(result) + "\n")


def read_results(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the arms that have ended."""
    yield from map(json.loads, path.read_text().splitlines() if path.exists() else ())


def table_of(results: list[dict[str, Any]]) -> Table:
    """Return the arms, the best first, each beside ours on the same materials."""
    ours = next((np.array(row["ssim"]) for row in results if row["arm"] == OURS), None)
    table = Table(title=f"{len(results[0]['ssim'])} validation materials, plain")
    table.add_column("arm")
    headings = "rate", "parameters", "steps", "steps/s", "minutes", "SSIM", f"SSIM - {OURS}"
    for heading in (*headings, "NMAE", "Pearson"):
        table.add_column(heading, justify="right")
    for row in sorted(results, key=lambda row: -np.mean(row["ssim"])):
        table.add_row(
            row["arm"],
            f"{row['learning_rate']:g}",
            f"{row['parameters'] / 1e6:.1f} M",
            f"{row['steps']}",
            f"{row['steps'] / row['minutes'] / 60:.2f}",
            f"{row['minutes']:.1f}",
            f"{np.mean(row['ssim']):.3f}",
            "" if ours is None or row["arm"] == OURS else difference(np.array(row["ssim"]) - ours),
            f"{np.mean(row['nmae']):.3f}",
            f"{np.mean(row['pearson']):.3f}",
        )
    return table


def difference(values: np.ndarray) -> str:
    """Return the mean with its 95 % bootstrap interval over materials."""
    low, high = bootstrap_interval(values) or (np.nan, np.nan)
    return f"{np.mean(values):+.3f} [{low:+.3f}, {high:+.3f}]"


def main(args: list[str] | None = None) -> None:
    """Run the arms that have not ended, and print the table."""
    options = tyro.cli(Options, prog="python -m benchmarks.decoders", args=args)
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
        inputs = open_inputs(options.data, "resident", None, DataParallel(), DEMO.batch, DEMO.seed)
        held_out = load_examples(options.data, "validation")
        for name in names:
            result = run_arm(ARMS[name], inputs, held_out, options.minutes) | {"arm": name}
            add_result(path, result)
            console.print(f"{name}: SSIM {np.mean(result['ssim']):.4f}", highlight=False)
    console.print(table_of([row for row in read_results(path) if row["arm"] in options.arms]))


if __name__ == "__main__":
    run_command(main)
