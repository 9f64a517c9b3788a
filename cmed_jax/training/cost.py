"""The operations and the memory of a compiled step, and the peak rate of the devices."""

import math
import os
import time
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.errors import JaxRuntimeError
from jaxtyping import PyTree

from cmed_jax.config import Precision
from cmed_jax.training.parallel import Program

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
AHEAD = 4
"""The number of dispatches whose batches are prepared ahead and lie on the devices."""


def compiled_step(
    program: Program, state: PyTree, table: PyTree, batches: PyTree, available: int | None = None
) -> jax.stages.Compiled:
    """Compile a step for arguments of given shapes, before the table is on the devices.

    The first call of the program does not compile it again.

    Args:
        program: the program of a run.
        state: shapes of the state.
        table: shapes of the table; None where batches hold the examples.
        batches: shapes of the batches of a dispatch.
        available: the memory of a device, bytes; `device_memory` by default.

    Raises:
        ValueError: the compiled program and the batches prepared ahead need more memory.
    """
    limit = device_memory() if available is None else available
    resident = _bytes(table)
    try:
        compiled = program.steps.lower(*program.arguments(state, table, batches)).compile()
    except JaxRuntimeError as error:  # compilers of TPUs know the memory of the chip
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise ValueError(_too_large("more memory than there is", resident, limit)) from error
    needed = memory_of_program(compiled)
    if needed is not None:
        needed += AHEAD * _bytes(batches)
        if needed > limit:
            raise ValueError(_too_large(f"{needed / 1e9:.3g} GB", resident, limit))
    return compiled


def memory_of_program(compiled: jax.stages.Compiled) -> int | None:
    """Return the bytes that a device needs to run a program, its arguments included.

    None stands for a backend that does not tell.
    """
    found: Any = compiled.memory_analysis()
    if found is None:
        return None
    return (
        found.argument_size_in_bytes
        + found.output_size_in_bytes
        - found.alias_size_in_bytes
        + found.temp_size_in_bytes
        + found.generated_code_size_in_bytes
    )


def device_memory() -> int:
    """Return the memory of a device in bytes; for CPUs, which report none, that of the machine."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    return statistics.get("bytes_limit", os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _bytes(tree: PyTree) -> int:
    """Return the bytes of arrays of given shapes on each device."""
    return sum(
        math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree)
    )


def _too_large(needed: str, resident: int, limit: int) -> str:
    return (
        f"a step needs {needed} on each device, of which the training split takes "
        f"{resident / 1e9:.3g} GB, and a device has {limit / 1e9:.3g} GB: compute a batch in more "
        "parts (--step.accumulate), stream the split (--input streaming, for published), or train "
        "on fewer materials"
    )


def flops_per_step(compiled: jax.stages.Compiled, devices: int, parts: int = 1) -> float | None:
    """Return the floating-point operations of a step over all devices, as counted by XLA.

    None stands for a backend that does not count them.

    Args:
        compiled: the program of some steps. XLA counts one iteration of a loop, and so one step.
        devices: the number of devices; XLA counts the operations of one.
        parts: the number of parts of a batch (`StepConfig.accumulate`), for the same reason. The
            operations of the optimizer are then counted once for every part.
    """
    counts: Any = compiled.cost_analysis() or {}
    flops = counts.get("flops", 0.0)
    return flops * devices * parts if flops > 0 else None


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
