"""Data parallelism: the one file that knows of devices.

The state and the table of examples are whole on every device; the batch's rows are divided. Two
ways lead to the same numbers: `jit` over a one-axis mesh, in which the compiler sees the global
batch (the default, for any number of hosts), and `pmap`, in which each device sees its own share.
"""

from collections.abc import Callable
from typing import Literal

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Integer, PyTree

from cmed_jax.training.step import Step, Table, TrainState

AXIS = "data"
Mode = Literal["jit", "pmap"]
Compiled = Callable[
    [TrainState, Table, Integer[np.ndarray, " b"], int], tuple[TrainState, dict[str, Array]]
]


class DataParallel:
    """All devices of the run, used in one of the two ways."""

    def __init__(self, mode: Mode = "jit", devices: list[jax.Device] | None = None):
        self.mode = mode
        self.devices = jax.devices() if devices is None else devices
        self.mesh = Mesh(np.asarray(self.devices), (AXIS,))
        self.whole = NamedSharding(self.mesh, PartitionSpec())
        self.divided = NamedSharding(self.mesh, PartitionSpec(AXIS))

    @property
    def axis_name(self) -> str | None:
        """The axis over which a step must average, None where the compiler does it."""
        return AXIS if self.mode == "pmap" else None

    def check_batch(self, size: int) -> None:
        """Raise ValueError where a batch cannot be divided evenly over the devices."""
        if size % len(self.devices):
            raise ValueError(
                f"a batch of {size} crystals cannot be divided over {len(self.devices)} devices: "
                "choose a multiple of their number"
            )

    def place(self, tree: PyTree) -> PyTree:
        """Return arrays whole on every device."""
        return jax.device_put(tree, self.whole)

    def create(self, make: Callable[[], PyTree]) -> PyTree:
        """Return what `make` returns, made on the devices: its buffers may be donated."""
        return jax.jit(make, out_shardings=self.whole)()

    def abstract(self, tree: PyTree) -> PyTree:
        """Return the shapes of a tree, whole on every device, to restore a checkpoint into."""
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self.whole), tree
        )

    def compile(self, step: Step) -> Compiled:
        """Return the step as a function of (state, table, rows of the global batch, number)."""
        return self._compile_pmap(step) if self.mode == "pmap" else self._compile_jit(step)

    def _compile_jit(self, step: Step) -> Compiled:
        whole, divided = self.whole, self.divided
        compiled = jax.jit(
            step,
            in_shardings=(whole, whole, divided, divided, whole),
            out_shardings=whole,
            donate_argnums=0,
        )

        def run(state: TrainState, table: Table, rows: Integer[np.ndarray, " b"], number: int):
            places = np.arange(len(rows), dtype=np.int32)
            batch = jax.device_put((rows, places), divided)
            return compiled(state, table, *batch, jax.device_put(np.int32(number), whole))

        return run

    def _compile_pmap(self, step: Step) -> Compiled:
        compiled = jax.pmap(
            step,
            axis_name=AXIS,
            in_axes=(None, None, 0, 0, None),
            out_axes=None,
            devices=self.devices,
        )

        def run(state: TrainState, table: Table, rows: Integer[np.ndarray, " b"], number: int):
            per_device = (len(self.devices), -1)
            places = np.arange(len(rows), dtype=np.int32)
            return compiled(
                state, table, rows.reshape(per_device), places.reshape(per_device), np.int32(number)
            )

        return run
