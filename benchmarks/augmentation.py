"""Cost of fresh patterns in a step of training: `python benchmarks/augmentation.py --data DIR`.

Steps of the preset `demo` on stored patterns alternate with steps on patterns measured afresh, so
that other load on the machine affects both alike. The output is the median wall time, the median
processor time of all threads, and their ratios to those of stored patterns.
"""

import dataclasses
import time
from dataclasses import dataclass
from statistics import median

import jax
import tyro
from flax import nnx

from cmed_jax.cli import ARTEFACTS, PRESETS
from cmed_jax.config import Config
from cmed_jax.data.batches import Rows
from cmed_jax.data.dataset import load_examples
from cmed_jax.data.lines import load_lines
from cmed_jax.training.optimizer import make_optimizer
from cmed_jax.training.parallel import Compiled, DataParallel
from cmed_jax.training.step import TrainState, initial_state, make_step
from cmed_jax.training.table import Table


@dataclass(frozen=True)
class Options:
    """Measure the cost of artefacts that are drawn in the step.

    Attributes:
        data: directory of a dataset, such as data/cmed/cubic/3.0.0.
        steps: number of steps of each kind.
        lines: number of lines of each material.
    """

    data: str
    steps: int = 20
    lines: int = 256


def compiled_step(config: Config, parallel: DataParallel) -> tuple[Compiled, TrainState]:
    """Return the step of a configuration, and the state at the start of a run."""
    optimizer = make_optimizer(config.optimizer, config.steps)

    def begin() -> tuple[nnx.GraphDef, TrainState]:
        return initial_state(config.network.build(nnx.Rngs(0)), optimizer)

    graph, _ = nnx.eval_shape(begin)
    step = make_step(graph, optimizer, config.step, seed=0)
    return parallel.compile(step), parallel.create(lambda: begin()[1])


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options)
    _, demo = PRESETS["demo"]
    parallel = DataParallel(devices=jax.devices()[:1])
    examples = load_examples(options.data, "train")
    lines, kept = load_lines(
        options.data, "train", max(a.s_max for a in ARTEFACTS.values() if a), options.lines
    )
    print(
        f"{len(examples)} materials, {options.lines} lines of each with at least {kept.min():.1%}"
    )
    table = parallel.place(Table.of(examples, lines))
    rows = Rows(len(examples), demo.batch, 0)
    runs = {}
    for name, artefacts in ARTEFACTS.items():
        augmentation = dataclasses.replace(demo.step.augmentation, artefacts=artefacts)
        step = dataclasses.replace(demo.step, augmentation=augmentation)
        runs[name] = compiled_step(dataclasses.replace(demo, step=step), parallel)
    wall: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.steps + 1):
        for name, (step, state) in runs.items():
            began = time.perf_counter(), time.process_time()
            batch = parallel.divide(rows[number][None])
            state, _ = jax.block_until_ready(step(state, table, batch, number))
            wall[name].append(time.perf_counter() - began[0])
            processor[name].append(time.process_time() - began[1])
            runs[name] = step, state
    base = {kind: median(times["published"][1:]) for kind, times in (("w", wall), ("p", processor))}
    print(f"{'':12} {'wall, s':>9} {'':>7} {'processor, s':>13}")
    for name in runs:
        w, p = median(wall[name][1:]), median(processor[name][1:])  # the first step compiles
        print(f"{name:12} {w:9.3f} {w / base['w']:6.2f}x {p:13.3f} {p / base['p']:6.2f}x")


if __name__ == "__main__":
    main()
