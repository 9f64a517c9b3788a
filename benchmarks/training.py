"""Speed of training and its parts: `python -m benchmarks.training --data DIR`.

Each preset is measured in batches of 128 crystals with 1,000 voxel queries each, with the training
split on the devices and, for `published`, streamed from the disk. The output is the steps and voxel
queries per second, the floating-point operations of a step, the share of the devices' peak, and the
share of the time that the loop waits for input. The time of a step is then divided: reading the
query (encoder), decoding the voxel queries and comparing (decoder), the backward pass, and the rest
(augmentation, gathering, optimizer). The parts are differences between programs that compute more
and more of a step.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import jax
import jax.numpy as jnp
import tyro
from flax import nnx
from jaxtyping import Array, PyTree
from rich.console import Console
from rich.table import Table as Columns

from cmed_jax.cli import PRESETS
from cmed_jax.config import Config, Precision
from cmed_jax.data.batches import QUERIES
from cmed_jax.data.dataset import load_compact_examples
from cmed_jax.model.network import Network
from cmed_jax.training.cost import compiled_step, flops_per_step, peak_flops
from cmed_jax.training.inputs import Inputs, open_inputs, reflection_inputs
from cmed_jax.training.loss import Task, task_of
from cmed_jax.training.optimizer import make_optimizer
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.speed import Throughput
from cmed_jax.training.step import TrainState, compute_as, initial_state, make_step


@dataclass(frozen=True)
class Options:
    """Measure the speed of training.

    Attributes:
        data: directory of a dataset, such as data/cmed/cubic/3.1.0.
        presets: the networks.
        inputs: where the training split is held.
        steps: measured steps of each.
        batch: crystals in a step.
        steps_per_dispatch: steps that the devices take without the host.
        precision: precision of the arithmetic.
        remat: recompute the activations inside blocks in the backward pass.
        parts: repetitions for dividing the time of a step; 0 skips this.
    """

    data: str
    presets: tuple[Literal["demo", "base", "published"], ...] = ("demo", "base", "published")
    inputs: tuple[Literal["resident", "streaming"], ...] = ("resident", "streaming")
    steps: int = 20
    batch: int = 128
    steps_per_dispatch: int = 1
    precision: Precision = "float32"
    remat: bool = False
    parts: int = 3

    def config(self, preset: str) -> Config:
        """Return the configuration of a preset with these options."""
        _, config = PRESETS[preset]
        step = dataclasses.replace(config.step, precision=self.precision, remat=self.remat)
        return dataclasses.replace(config, data=self.data, batch=self.batch, step=step)


def pace(config: Config, inputs: Inputs, options: Options, peak: float | None) -> dict[str, Any]:
    """Return the speed of steady training."""
    parallel = inputs.parallel
    optimizer = make_optimizer(config.optimizer, config.steps)

    def begin() -> tuple[nnx.GraphDef, TrainState]:
        return initial_state(config.network.build(nnx.Rngs(0), parallel.axis_name), optimizer)

    graph, abstract = nnx.eval_shape(begin)
    compiled = parallel.compile(make_step(graph, optimizer, config.step, 0, parallel.axis_name))
    state = parallel.create(lambda: begin()[1])
    each = options.steps_per_dispatch
    spans = [range(first, first + each) for first in range(0, each + options.steps, each)]
    shapes = parallel.abstract(abstract), parallel.abstract_table(inputs.table)
    ahead = compiled_step(compiled, *shapes, inputs.abstract(each, config.batch))
    flops = flops_per_step(ahead, len(parallel.devices), config.step.accumulate)
    inputs = inputs.placed()
    speed = Throughput(0, config.batch * QUERIES, flops, peak)
    pending: PyTree = None
    for span, batches in zip(spans, speed.waiting(inputs.batches(spans)), strict=True):
        state, metrics = compiled(state, inputs.table, batches, span.start)
        jax.device_get(pending)  # one dispatch behind, as in training
        pending = metrics
        if span.start == 0:  # the first dispatch compiles
            jax.block_until_ready(state)
            speed.lap(each)
    jax.block_until_ready(state)
    return {"flops": flops or math.nan} | speed.lap(spans[-1].stop)


def parts(config: Config, inputs: Inputs, step_seconds: float, times: int) -> dict[str, float]:
    """Return the seconds of the parts of a step."""
    graph, weights, statistics = nnx.split(config.network.build(nnx.Rngs(0)), nnx.Param, ...)
    inputs = inputs.placed()
    (rows,) = next(inputs.batches([range(1)]))
    key = jax.random.key(0)
    keys = jax.random.split(key, (len(rows), 4))
    task = task_of(inputs.table, rows, keys, key, config.step)

    def encoded(network: Network, task: Task) -> tuple[Array, Array]:
        latent = network.encode(task.query, task.recalled)
        return network.condition(latent.mean), jnp.mean(network.latent_loss(latent))

    def loss(network: Network, task: Task) -> Array:
        conditioning, divergence = encoded(network, task)
        return divergence + jnp.mean(
            network.reconstruction_loss(conditioning, task.coordinates, task.density)
        )

    def of_weights(function: Callable[[Network, Task], Any]) -> Callable[[PyTree, Task], Any]:
        def call(weights: PyTree, task: Task) -> Any:
            network = nnx.merge(graph, weights, statistics, copy=True)
            network.train()
            compute_as(config.step, network)
            return function(network, task)

        return call

    programs = [of_weights(encoded), of_weights(loss), jax.value_and_grad(of_weights(loss))]
    # The task is an argument: XLA computes ahead what depends on constants alone.
    encoder, forward, both = (
        seconds(jax.jit(program), (weights, task), times) for program in programs
    )
    return {
        "encoder": encoder,
        "decoder": forward - encoder,
        "way back": both - forward,
        "rest": step_seconds - both,
    }


def seconds(program: Callable[..., Any], arguments: tuple[PyTree, ...], times: int) -> float:
    """Return the median time of a compiled program."""
    found = []
    for _ in range(times + 1):
        began = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        found.append(time.perf_counter() - began)
    return median(found[1:])


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options)
    parallel = DataParallel()
    peak = peak_flops(options.precision, parallel.devices)
    console = Console(width=100)
    limit = f"{peak / 1e12:.3g} TFLOP/s" if peak else "an unknown number of operations a second"
    devices = f"{len(parallel.devices)} x {parallel.devices[0].device_kind}"
    console.print(f"{devices}, {options.precision}, at most {limit}")
    speeds = Columns("", "input", "s/step", "steps/s", "queries/s", "GFLOP", "of peak", "waiting")
    divided = Columns("s/step", "encoder", "decoder", "way back", "rest")
    for preset in options.presets:
        config = options.config(preset)
        for mode in options.inputs:
            if config.network.reads_reflections:
                if mode == "streaming":  # it is always resident
                    continue
                training = load_compact_examples(options.data, "train")
                recalled = config.network.recalled
                inputs = reflection_inputs(training, recalled, parallel, config.batch, 0)
            else:
                inputs = open_inputs(options.data, mode, None, parallel, config.batch, 0)
            found = pace(config, inputs, options, peak)
            rate = found["voxel_queries_per_second"] / (config.batch * QUERIES)
            speeds.add_row(
                preset,
                mode,
                f"{1 / rate:.3g}",
                f"{rate:.3g}",
                f"{found['voxel_queries_per_second']:.3g}",
                f"{found['flops'] / 1e9:.3g}",
                f"{found['share_of_peak']:.1%}" if "share_of_peak" in found else "",
                f"{found['share_waiting']:.2%}",
            )
            if mode == "resident" and options.parts:
                of_step = parts(config, inputs, 1 / rate, options.parts).values()
                divided.add_row(preset, *(f"{part:.3g} ({part * rate:.0%})" for part in of_step))
    console.print(speeds, divided)


if __name__ == "__main__":
    main()
