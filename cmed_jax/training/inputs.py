"""The input of a run: a split that is resident on the devices, or examples streamed from disk.

In both modes a batch is the same function of the seed and the step. Threads prepare it a few
dispatches ahead, so that it is on the devices when it is needed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import grain
import jax
import numpy as np
from jaxtyping import Int32, PyTree, Shaped

from cmed_jax.config import InputMode
from cmed_jax.data.batches import Rows
from cmed_jax.data.dataset import Records, load_examples, number_of_records
from cmed_jax.data.examples import CompactExamples
from cmed_jax.physics.instrument import Lines
from cmed_jax.training.cost import AHEAD, device_memory
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.table import Batches, Table

EXAMPLE = 4 * 1024 + 4 * 119 + 2 * 50**3 + 4
"""The size of an example without lines, bytes."""
SHARE = 0.5
"""The largest share of a device's memory that a resident split may take."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """The batches of a run.

    Attributes:
        material_id: the id of every row of the training split.
        rows: the rows that each step trains on.
        table: the split; None where batches hold the examples themselves.
        read: the function that makes batches (k b ...) of rows (k b).
        parallel: the devices over which batches are divided.
    """

    material_id: Shaped[np.ndarray, " n"]
    rows: Rows
    table: Table | None
    read: Callable[[Int32[np.ndarray, "k b"]], Batches]
    parallel: DataParallel

    def placed(self) -> "Inputs":
        """Return these inputs with the table on the devices."""
        return replace(self, table=self.parallel.place_table(self.table))

    def abstract(self, steps: int, batch: int) -> PyTree:
        """Return the shapes of the batches of some steps on the devices."""
        one = self.read(np.zeros((1, 1), np.int32))
        return self.parallel.abstract_batches(
            jax.tree.map(lambda x: jax.ShapeDtypeStruct((steps, batch, *x.shape[2:]), x.dtype), one)
        )

    def batches(self, dispatches: Sequence[range]) -> Iterator[Batches]:
        """Return an iterator over the batches of some dispatches, each of one or more steps."""
        ahead = grain.MapDataset.source(dispatches).map(self._batches)
        options = grain.ReadOptions(num_threads=AHEAD, prefetch_buffer_size=AHEAD)
        return iter(ahead.to_iter_dataset(options))

    def _batches(self, steps: range) -> Batches:
        rows = np.stack([self.rows[step] for step in steps])
        return self.parallel.divide(self.read(rows[:, self.parallel.share(rows.shape[1])]))


def reflection_inputs(
    examples: CompactExamples,
    recalled: int,
    parallel: DataParallel,
    batch: int,
    seed: int,
    kept: Path | None = None,
) -> Inputs:
    """Return the batches of a split for a network that reads reflections; they are rows of it.

    Args:
        examples: the training split.
        recalled: number of known crystals that each query recalls.
        parallel: the devices.
        batch: number of crystals in a step, over all devices.
        seed: seed of the order.
        kept: the file in which a run keeps which crystals each recalls.

    Raises:
        ValueError: a record is not finite, or the batch is larger than the split.
    """
    rows = Rows(len(examples), batch, seed)
    table = Table.of_reflections(examples, recalled, kept)
    return Inputs(examples.material_id, rows, table, lambda rows: rows, parallel)


def open_inputs(
    directory: str,
    mode: InputMode,
    lines: Lines | None,
    parallel: DataParallel,
    batch: int,
    seed: int,
) -> Inputs:
    """Return the batches of the training split for a network that reads the published pattern.

    Args:
        directory: the directory of the dataset.
        mode: resident, streaming, or auto. The last is resident where the split takes at most half
            of the memory of a device (for CPUs, of the machine).
        lines: the lines of every material, where patterns are measured afresh; they stay in memory.
        parallel: the devices.
        batch: the number of crystals in a step, over all devices.
        seed: the seed of the order.

    Raises:
        FileNotFoundError: there is no dataset, or a part of it is missing.
        ValueError: a record cannot be read or is not finite, or the batch is larger than the split.
    """
    fits = _fits(number_of_records(directory, "train"), lines)
    if mode == "resident" or (mode == "auto" and fits):
        examples = load_examples(directory, "train")
        names, table = examples.material_id, Table.of(examples, lines)
        return Inputs(names, Rows(len(names), batch, seed), table, lambda rows: rows, parallel)
    records = Records(directory, "train")
    names = records.material_id
    return Inputs(names, Rows(len(names), batch, seed), None, _reader(records, lines), parallel)


def _reader(records: Records, lines: Lines | None) -> Callable[[Int32[np.ndarray, "k b"]], Table]:
    def read(rows: Int32[np.ndarray, "k b"]) -> Table:
        def of_rows(columns: PyTree) -> PyTree:
            return jax.tree.map(lambda column: column[rows.ravel()], columns)

        table = Table.of(records.read(rows.ravel()), of_rows(lines))
        return jax.tree.map(lambda column: column.reshape(*rows.shape, *column.shape[1:]), table)

    return read


def _fits(examples: int, lines: Lines | None) -> bool:
    of_lines = sum(column.nbytes for column in jax.tree.leaves(lines))
    return examples * EXAMPLE + of_lines <= SHARE * device_memory()
