"""Cost of measured reflections in training: `python -m benchmarks.augmentation --data DIR`.

Steps of the preset `demo` on ideal reflections alternate with steps on reflections with the errors
of a laboratory, so that other load on the machine affects both alike. The output is the median wall
time, the median processor time of all threads, and their ratios to those of ideal reflections.
"""

import dataclasses
import time
from dataclasses import dataclass
from statistics import median

import jax
import tyro
from flax import nnx

from cmed_jax.cli import PRESETS
from cmed_jax.config import Config
from cmed_jax.data.dataset import load_compact_examples
from cmed_jax.physics.amplitude_errors import AmplitudeErrors
from cmed_jax.training.inputs import reflection_inputs
from cmed_jax.training.optimizer import make_optimizer
from cmed_jax.training.parallel import Compiled, DataParallel
from cmed_jax.training.step import TrainState, initial_state, make_step

KINDS = {"ideal": None, "laboratory": AmplitudeErrors()}
"""The errors of each kind of step."""


@dataclass(frozen=True)
class Options:
    """Measure the cost of errors that are drawn in the step.

    Attributes:
        data: directory of a dataset, such as data/cmed/cubic/3.1.0.
        steps: number of steps of each kind.
    """

    data: str
    steps: int = 20


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
    options = tyro.cli(Options, prog="python -m benchmarks.augmentation")
    _, demo = PRESETS["demo"]
    parallel = DataParallel(devices=jax.devices()[:1])
    examples = load_compact_examples(options.data, "train")
    inputs = reflection_inputs(examples, demo.network.recalled, parallel, demo.batch, 0).placed()
    runs = {}
    for name, errors in KINDS.items():
        augmentation = dataclasses.replace(demo.step.augmentation, errors=errors, stored=0.0)
        step = dataclasses.replace(demo.step, augmentation=augmentation)
        runs[name] = compiled_step(dataclasses.replace(demo, step=step), parallel)
    wall: dict[str, list[float]] = {name: [] for name in runs}
    processor: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(options.steps + 1):
        (batch,) = inputs.batches([range(number, number + 1)])
        for name, (step, state) in runs.items():
            began = time.perf_counter(), time.process_time()
            state, _ = jax.block_until_ready(step(state, inputs.table, batch, number))
            wall[name].append(time.perf_counter() - began[0])
            processor[name].append(time.process_time() - began[1])
            runs[name] = step, state
    base = {kind: median(times["ideal"][1:]) for kind, times in (("w", wall), ("p", processor))}
    print(f"{'':12} {'wall, s':>9} {'':>7} {'processor, s':>13}")
    for name in runs:
        w, p = median(wall[name][1:]), median(processor[name][1:])  # the first step compiles
        print(f"{name:12} {w:9.3f} {w / base['w']:6.2f}x {p:13.3f} {p / base['p']:6.2f}x")


if __name__ == "__main__":
    main()
