"""Making and writing of the records of a shard, the work of one process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import tensorflow_datasets.public_api as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from etils import epath

from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.sources import Source
from cmed_jax.data.records import Recipe, is_coarse, make_records
from cmed_jax.data.schema import FEATURES


@dataclass(frozen=True)
class Shard:
    """Materials with records in one file.

    Attributes:
        split: name of the split.
        path: path of the file.
        materials: structures from the source.
    """

    split: str
    path: epath.Path
    materials: Sequence[Material]


@dataclass
class Written:
    """The result of writing a shard.

    Attributes:
        refused: refused materials, with reasons.
        coarse: number of records with a density that the grid does not fully represent
            (`cmed_jax.data.records.is_coarse`).
    """

    refused: list[Refusal] = field(default_factory=list)
    coarse: int = 0


class Pool(Protocol):
    """A pool of workers that write shards: processes of this machine, or workers of Apache Beam."""

    def map(self, write: Callable[[Shard], Written], shards: Sequence[Shard]) -> Iterator[Written]:
        """Write all shards and yield the result of each, in their order."""


class Writer(tfds.core.ExampleWriter):
    """A writer of shards like that of TFDS; it writes array_record in two thirds of the time."""

    def write(self, path: epath.Path, examples: Iterable[tuple[str, bytes]]) -> None:
        """Write serialised examples to a file.

        Raises:
            OSError: the file cannot be written.
        """
        if self.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
            super().write(path, examples)
            return
        # Level 3 of zstd, the default of TFDS, makes files 3 % smaller.
        writer = ArrayRecordWriter(str(path), "group_size:1,zstd:2")
        for _, example in examples:
            with _unwritten(path):
                writer.write(example)
        with _unwritten(path):
            writer.close()


@contextmanager
def _unwritten(path: epath.Path) -> Iterator[None]:
    """Convert errors of array_record to an OSError that the file cannot be written."""
    try:
        yield
    except RuntimeError as error:
        reason, _, _ = str(error).partition(";")
        raise OSError(f"cannot write {path} ({reason}): nothing was kept; start again") from error


def write_shard(
    shard: Shard, source: Source, recipe: Recipe, writer: tfds.core.ExampleWriter
) -> Written:
    """Write the records of a shard, in the order of its materials, and return the result.

    Args:
        shard: materials, and the path of the file.
        source: source of the densities, if the recipe needs them.
        recipe: options for making a record.
        writer: writer for the format of the file.
    """
    written = Written()

    def examples() -> Iterator[tuple[str, bytes]]:
        for record in make_records(_with_densities(shard.materials, source, recipe), recipe):
            if isinstance(record, Refusal):
                written.refused.append(record)
            else:
                written.coarse += is_coarse(record, recipe)
                yield record["material_id"], FEATURES.serialize_example(record)

    writer.write(shard.path, examples())
    return written


def _with_densities(
    materials: Sequence[Material], source: Source, recipe: Recipe
) -> Iterator[Material | Refusal]:
    """Yield the materials with their densities, one by one, because a density needs much memory."""
    for material in materials:
        try:
            density = source.density(material.material_id) if recipe.density == "chgcar" else None
            yield replace(material, density=density)
        except ValueError as error:
            yield Refusal(material.material_id, str(error))
