"""The reader of the dataset: a split in host memory, and the provenance of the dataset.

A directory holds one dataset, or its separately built parts (``part_1_of_4``, ...).
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Integer

from cmed_jax.crystal.material import Material
from cmed_jax.data.examples import CompactExamples, Examples, Kept, example_of
from cmed_jax.data.schema import VERSION

PROVENANCE = "provenance.json"
REFUSED = "refused.jsonl"

_PART = re.compile(r"part_(\d+)_of_(\d+)")


def load_examples(directory: str | Path, split: str) -> Examples:
    """Read a split, such as "train", "validation" or "test", of a built dataset.

    Args:
        directory: folder of one configuration and version, such as ``DATA_DIR/cmed/cubic/3.1.0``.
        split: name of the split.

    Raises:
        FileNotFoundError: there is no dataset, or a part of it is missing.
        ValueError: the dataset has no such split.
    """
    return _load(directory, split, Examples)


def load_compact_examples(directory: str | Path, split: str) -> CompactExamples:
    """Read a split without its patterns and grids.

    Raises:
        FileNotFoundError: there is no dataset, or a part of it is missing.
        ValueError: the dataset has no such split.
    """
    return _load(directory, split, CompactExamples)


def _load(directory: str | Path, split: str, kind: type[Kept]) -> Kept:
    names = [field.name for field in fields(kind)]
    examples = (example_of(record) for record in read_records(directory, split))
    kept = [{name: each[name] for name in names} for each in examples]
    kept.sort(key=itemgetter("material_id"))
    return kind.of(kept)


class Records:
    """A split on disk with access by row; the rows are those of `load_examples`.

    Attributes:
        material_id: id of the material in each row.
    """

    def __init__(self, directory: str | Path, split: str):
        """Read every record once, to find the order of the rows.

        Raises:
            FileNotFoundError: there is no dataset, or a part of it is missing.
            ValueError: the dataset has no such split, or a record of it cannot be read.
        """
        self._directory, self._split = directory, split
        with _readable(directory, split):
            places = [
                (record["material_id"].decode(), source, place)
                for source in _data_sources(directory, split)
                for place, record in enumerate(source)
            ]
        self._places = sorted(places, key=itemgetter(0))
        self.material_id = np.array([name for name, *_ in self._places])

    def read(self, rows: Integer[np.ndarray, " k"]) -> Examples:
        """Return the examples of given rows.

        Raises:
            ValueError: a record cannot be read.
        """
        with _readable(self._directory, self._split):
            places = (self._places[row] for row in rows)
            return Examples.of([example_of(source[place]) for _, source, place in places])


def load_structures(directory: str | Path, split: str) -> list[Material]:
    """Read the crystals of a split from its records, in the order of its examples.

    Args:
        directory: folder of one configuration and version, such as ``DATA_DIR/cmed/cubic/3.1.0``.
        split: name of the split.

    Raises:
        FileNotFoundError: there is no dataset, or a part of it is missing.
        ValueError: the dataset has no such split.
    """
    crystals = [_structure(record, split) for record in read_records(directory, split)]
    return sorted(crystals, key=attrgetter("material_id"))


def read_records(directory: str | Path, split: str) -> Iterator[dict[str, Any]]:
    """Yield the stored records of a split, by the names of `FEATURES`, in no particular order.

    Raises:
        FileNotFoundError: there is no dataset, or a part of it is missing.
        ValueError: the dataset has no such split, or a record of it cannot be read.
    """
    with _readable(directory, split):
        for source in _data_sources(directory, split):
            yield from source


@contextmanager
def _readable(directory: str | Path, split: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # array_record raises it for every fault of a file
        raise ValueError(
            f"a record of split {split!r} in {directory} cannot be read ({error}): "
            "build the dataset again in an empty folder"
        ) from error


def number_of_records(directory: str | Path, split: str) -> int:
    """Return the number of records of a split, without reading them.

    Raises:
        FileNotFoundError: there is no dataset, or a part of it is missing.
    """
    return provenance(directory)["records"].get(split, 0)


def provenance(directory: str | Path) -> dict[str, Any]:
    """Return the provenance of the dataset, with the counts of all parts added up.

    Raises:
        FileNotFoundError: there is no dataset, or a part of it is missing.
        ValueError: the parts were not built in the same way.
    """
    parts = [json.loads((part / PROVENANCE).read_text()) for part in parts_of(directory)]
    for part in parts:
        if part["identity"] != parts[0]["identity"]:
            change = differences(parts[0]["identity"], part["identity"])
            raise ValueError(f"the parts in {directory} were not built alike: {change}")
    records: Counter[str] = sum((Counter(part["records"]) for part in parts), Counter())
    return parts[0] | {
        "records": dict(sorted(records.items())),
        "dropped": sum(part["dropped"] for part in parts),
        "refused": sum(part["refused"] for part in parts),
        "coarse": sum(part.get("coarse", 0) for part in parts),  # version 1 did not count them
    }


def fingerprint(directory: str | Path) -> str:
    """Return a SHA-256 of the identity and the number of records of the dataset.

    Raises:
        FileNotFoundError: there is no dataset, or a part of it is missing.
    """
    content = provenance(directory)
    identity = {name: content[name] for name in ("identity", "records")}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def differences(expected: dict[str, Any], found: dict[str, Any]) -> str:
    """Return a description of the differences between two identities; empty if there are none."""
    names = sorted(expected.keys() | found.keys())
    return ", ".join(
        f"{name} is {found.get(name)!r} and not {expected.get(name)!r}"
        for name in names
        if found.get(name) != expected.get(name)
    )


def parts_of(directory: str | Path) -> list[Path]:
    """Return the directories that hold the dataset: the directory itself, or its parts in order.

    Raises:
        FileNotFoundError: there is no dataset, or a part of it is missing.
    """
    directory = Path(directory)
    if (directory / PROVENANCE).exists():
        return [directory]
    found = _numbered_parts(directory)
    if not found:
        raise FileNotFoundError(
            f"no dataset in {directory}: build it with python -m tfds_builders.cmed "
            "--config CONFIG --data_dir DATA_DIR, and give DATA_DIR/cmed/CONFIG/VERSION"
        )
    totals = {total for _, total in found}
    if len(totals) > 1:
        raise FileNotFoundError(
            f"{directory} holds parts of {' and of '.join(map(str, sorted(totals)))}: "
            "keep those of one division"
        )
    total = totals.pop()
    missing = [str(k) for k in range(1, total + 1) if (k, total) not in found]
    if missing:
        raise FileNotFoundError(
            f"part {', '.join(missing)} of {total} is missing in {directory}: build it with --part"
        )
    return [found[k, total] for k in range(1, total + 1)]


def part_name(part: int, parts: int) -> str:
    """Return the name of the folder that holds part 1, 2, ... of a dataset built in parts."""
    return f"part_{part}_of_{parts}"


def _numbered_parts(directory: Path) -> dict[tuple[int, int], Path]:
    folders = [path.parent for path in directory.glob(f"part_*/{PROVENANCE}")]
    matches = {folder: _PART.fullmatch(folder.name) for folder in folders}
    return {(int(m[1]), int(m[2])): folder for folder, m in matches.items() if m}


def _data_sources(directory: str | Path, split: str) -> list[Any]:
    builders = [tfds.builder_from_directory(part) for part in parts_of(directory)]
    found = provenance(directory)["identity"]["version"]  # checks that the parts belong together
    if found.split(".")[0] != VERSION.split(".")[0]:
        raise ValueError(
            f"the records in {directory} are of version {found}, and {VERSION} is read: build the "
            "dataset again with python -m tfds_builders.cmed"
        )
    sources = [
        builder.as_data_source(split)
        for builder in builders
        if split in builder.info.splits and builder.info.splits[split].num_examples
    ]
    if not sources:
        names = sorted({name for builder in builders for name in builder.info.splits})
        raise ValueError(f"no split {split!r} in {directory}: it has {', '.join(names)}")
    return sources


def _structure(record: dict[str, Any], split: str) -> Material:
    return Material(
        material_id=record["material_id"].decode(),
        lattice=record["lattice"],
        numbers=record["species"].astype(int),
        frac_coords=record["frac_coords"],
        space_group=int(record["space_group"]),
        split=split,
    )
