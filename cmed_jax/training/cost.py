"""The floating-point operations of a step, and the peak rate of the devices."""

import dataclasses
import time
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from cmed_jax.config import Precision, StepConfig
from cmed_jax.model.presets import BaseConfig, NetworkConfig
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.physics.instrument import Lines
from cmed_jax.physics.log_series import TERMS
from cmed_jax.training.step import initial_state, make_step
from cmed_jax.training.table import Reflections, Table

PEAKS: dict[str, tuple[float, float, float]] = {
    "NVIDIA B200": (75, 1125, 2250),
    "NVIDIA H200": (67, 495, 989),
    "NVIDIA GH200": (67, 495, 989),
    "NVIDIA H100 PCIe": (51, 378, 756),
    "NVIDIA H100 NVL": (60, 418, 836),
    "NVIDIA H100": (67, 495, 989),
    "NVIDIA A100": (19.5, 156, 312),
    "NVIDIA L40S": (91.6, 183, 362),
    "NVIDIA L40": (90.5, 90.5, 181),
    "NVIDIA L4": (30.3, 60, 121),
    "TPU v6 lite": (153, 306, 918),
    "TPU v5 lite": (32.8, 65.7, 197),
    "TPU v5": (76.5, 153, 459),
    "TPU v4": (45.8, 91.7, 275),
}
"""TFLOP/s of a device in float32, tf32 and bfloat16, dense, from the vendors' data sheets.

The first key that is a prefix of the device's kind is used. TPUs multiply in bfloat16 and take six
passes for float32, and three for what JAX calls tf32.
"""
SIZE, TIMES = 1024, 8
"""The size and the number of the matrix products by which the peak of a CPU is measured."""


def flops_per_step(
    network: NetworkConfig,
    optimizer: optax.GradientTransformation,
    config: StepConfig,
    batch: int,
    lines: Lines | None = None,
) -> float:
    """Return the floating-point operations of a step over all devices, as counted by XLA.

    Args:
        network: the architecture.
        optimizer: the optimizer of the run.
        config: the augmentation and the precision of a step.
        batch: the number of crystals in a step.
        lines: the lines of the training split, where patterns are measured afresh.
    """

    def shapes(*shape: int, dtype: jax.typing.DTypeLike = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype)

    graph, state = nnx.eval_shape(lambda: initial_state(network.build(nnx.Rngs(0)), optimizer))
    half, read = partial(shapes, dtype=jnp.float16), len(harmonics())
    told = shapes(batch, 119)
    if isinstance(network, BaseConfig):
        reflections = Reflections(
            shapes(batch, 3, 3),
            half(batch, read),
            half(batch, read),
            half(batch, TERMS),
            shapes(batch, 2, network.recalled, dtype=jnp.int32),
        )
        examples = Table(told, reflections=reflections)
    else:
        measured = jax.tree.map(
            lambda column: shapes(batch, *column.shape[1:], dtype=column.dtype), lines
        )
        grids = half(batch, 50, 50, 50)
        examples = Table(told, shapes(batch, 1024), grids, shapes(batch), measured)
    whole = dataclasses.replace(config, accumulate=1)  # XLA counts one iteration of a loop
    step = make_step(graph, optimizer, whole, seed=0)
    rows = shapes(batch, dtype=jnp.int32)
    lowered = jax.jit(step).lower(state, examples, rows, rows, shapes(dtype=jnp.int32))
    counts: Any = lowered.cost_analysis()
    return counts["flops"]


def peak_flops(precision: Precision, devices: list[jax.Device]) -> float | None:
    """Return the peak operations per second of devices; None where it is not known.

    The peak of CPUs is measured by matrix products.
    """
    if devices[0].platform == "cpu":
        return _measured_peak()
    peak = peak_of(devices[0].device_kind, precision)
    return peak and peak * len(devices)


def peak_of(kind: str, precision: Precision) -> float | None:
    """Return the peak operations per second of a kind of device; None where it is not known."""
    column = ("float32", "tf32", "bfloat16").index(precision)
    known = (peaks[column] * 1e12 for name, peaks in PEAKS.items() if kind.startswith(name))
    return next(known, None)


@cache
def _measured_peak() -> float:
    matrix = jnp.ones((SIZE, SIZE))
    product = jax.jit(jnp.matmul)
    product(matrix, matrix).block_until_ready()  # compiles
    seconds = []
    for _ in range(TIMES):
        began = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return 2 * SIZE**3 / min(seconds)
