"""Data parallelism; the only module that handles devices.

The state and the resident table of examples are complete on every device; batches are divided. Two
modes give the same numbers. `jit` over a one-axis mesh, the default for any number of hosts, lets
the compiler see the global batch. In `pmap` each device sees its own share.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental.layout import Format, Layout
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree, Shaped

from cmed_jax.config import Mode
from cmed_jax.training.step import Step, Steps, TrainState, several
from cmed_jax.training.table import Batches, Table

AXIS = "data"
Compiled = Callable[
    [TrainState, Table | None, Batches, int], tuple[TrainState, dict[str, Shaped[Array, " k"]]]
]


class Program:
    """One step for each divided batch, as one program for all devices.

    It is called as steps(state, table, batches, first), and donates the state's buffers to the
    returned state. It is compiled at the first call with arguments of new shapes.

    Attributes:
        steps: the function that JAX compiles; its last argument is an array.
    """

    def __init__(self, steps: Any, parallel: "DataParallel"):
        self.steps, self._parallel = steps, parallel

    def __call__(
        self, state: TrainState, table: Table | None, batches: Batches, first: int
    ) -> tuple[TrainState, dict[str, Array]]:
        """Take the steps `first` and on, and return the state and the metrics of each."""
        return self.steps(state, table, batches, self._parallel.place(np.int32(first)))

    def arguments(self, state: PyTree, table: PyTree, batches: PyTree) -> tuple[PyTree, ...]:
        """Return the shapes of the arguments of `steps`, to lower it before there are any.

        Args:
            state: shapes of the state (`DataParallel.abstract`).
            table: shapes of the table (`DataParallel.abstract_table`), None where batches hold the
                examples.
            batches: shapes of the batches (`DataParallel.abstract_batches`).
        """
        first = self._parallel.abstract(jax.ShapeDtypeStruct((), np.int32))
        return state, table, batches, first


class DataParallel:
    """All devices of the run, used in one of the two modes."""

    def __init__(self, mode: Mode = "jit", devices: list[jax.Device] | None = None):
        if mode == "pmap" and jax.process_count() > 1:
            raise ValueError("pmap serves the devices of one process: use jit for several")
        self.mode = mode
        # A process takes one contiguous part of the batch, whatever the wiring of the machine.
        given = jax.devices() if devices is None else devices
        self.devices = sorted(given, key=lambda device: device.process_index)
        self.mesh = Mesh(np.asarray(self.devices), (AXIS,))
        self.whole = NamedSharding(self.mesh, PartitionSpec())
        self.divided = NamedSharding(self.mesh, PartitionSpec(None, AXIS))

    @property
    def axis_name(self) -> str | None:
        """The axis over which a step must average; None where the compiler does it."""
        return AXIS if self.mode == "pmap" else None

    def check_batch(self, size: int, parts: int = 1) -> None:
        """Raise ValueError where the parts of a batch cannot be divided evenly over the devices."""
        if size % (parts * len(self.devices)):
            in_parts = f" in {parts} parts" if parts > 1 else ""
            raise ValueError(
                f"a batch of {size} crystals{in_parts} cannot be divided over {len(self.devices)} "
                f"devices: choose a multiple of {parts * len(self.devices)}"
            )

    def place(self, tree: PyTree) -> PyTree:
        """Return arrays that are complete on every device."""
        if self.whole.is_fully_addressable:
            return jax.device_put(tree, self.whole)
        # Each process has the arrays; device_put would exchange them to compare them.
        place = partial(jax.make_array_from_process_local_data, self.whole)
        return jax.tree.map(lambda array: place(np.asarray(array)), tree)

    def place_table(self, table: Table | None) -> Table | None:
        """Return a table that is complete on every device, in the form of `abstract_table`."""

        def place(column: Shaped[np.ndarray, "n ..."]) -> Shaped[Array, "n ..."]:
            form = self._form(column.ndim)
            if self.whole.is_fully_addressable:
                return jax.device_put(column, form)
            return jax.jit(lambda x: x, out_shardings=form)(self.place(column))

        return jax.tree.map(place, table)

    def abstract_table(self, table: Table | None) -> PyTree:
        """Return the shapes of a table on the devices, with each row of a matrix in one piece.

        By themselves TPUs keep the longer axis of a matrix in one piece, since this pads it less.
        A step would then turn the whole table round to gather a few rows.
        """
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self._form(x.ndim)), table
        )

    def _form(self, axes: int) -> Format | NamedSharding:
        if axes != 2 or self.mode == "pmap":  # pmap takes arrays as the devices lay them out
            return self.whole
        return Format(Layout((0, 1)), self.whole)

    def own(self, tree: PyTree) -> PyTree:
        """Return arrays that are complete on every device as arrays of one local device."""
        return jax.tree.map(lambda array: array.addressable_data(0), tree)

    def share(self, size: int) -> slice:
        """Return the places of a batch of `size` that the devices of this process take."""
        shares = self.divided.addressable_devices_indices_map((1, size))
        bounds = [index[1].indices(size)[:2] for index in shares.values() if index]
        return slice(min(start for start, _ in bounds), max(stop for _, stop in bounds))

    def divide(self, batches: PyTree) -> PyTree:
        """Return this process's share of some batches (k b ...), divided over its devices."""
        return jax.tree.map(self._divide, batches)

    def create(self, make: Callable[..., PyTree], *arguments: PyTree) -> PyTree:
        """Return the result of `make`, created on the devices: its buffers may be donated."""
        return jax.jit(make, out_shardings=self.whole)(*arguments)

    def abstract(self, tree: PyTree) -> PyTree:
        """Return the shapes of a tree, complete on every device, to restore a checkpoint into."""
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=self.whole), tree
        )

    def abstract_batches(self, tree: PyTree) -> PyTree:
        """Return the shapes of divided batches (`divide`), given those of whole ones (k b ...)."""

        def divided(x: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            steps, size, *rest = x.shape
            shares = (
                (size,) if self.mode == "jit" else (len(self.devices), size // len(self.devices))
            )
            return jax.ShapeDtypeStruct((steps, *shares, *rest), x.dtype, sharding=self.divided)

        return jax.tree.map(divided, tree)

    def compile(self, step: Step) -> Program:
        """Return the program that takes one step for each divided batch."""
        steps = several(step, self.axis_name)
        return Program(self._pmap(steps) if self.mode == "pmap" else self._jit(steps), self)

    def _jit(self, steps: Steps) -> Any:
        return jax.jit(
            steps,
            in_shardings=(self.whole, None, self.divided, self.whole),  # the table comes as it is
            out_shardings=self.whole,
            donate_argnums=0,
        )

    def _pmap(self, steps: Steps) -> Any:
        return jax.pmap(
            steps,
            axis_name=AXIS,
            in_axes=(None, None, 1, None),
            out_axes=None,
            devices=self.devices,
            donate_argnums=0,
        )

    def _divide(self, array: Shaped[np.ndarray, "k b *rest"]) -> Shaped[Array, "k ..."]:
        if self.mode == "pmap":  # pmap needs an axis of devices
            steps, _, *rest = array.shape
            array = array.reshape(steps, len(self.devices), -1, *rest)
            return jax.make_array_from_process_local_data(self.divided, array)
        steps, share, *rest = array.shape
        here = len(self.divided.addressable_devices)
        shape = (steps, share * len(self.devices) // here, *rest)
        return jax.make_array_from_process_local_data(self.divided, array, shape)
