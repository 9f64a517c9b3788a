"""A source of materials in JSON lines, one object a line."""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.canonical import with_space_group
from cmed_jax.crystal.composition import atomic_number
from cmed_jax.crystal.material import SPLITS, Material, Refusal
from cmed_jax.crystal.splits import DROPPED

SPLIT = re.compile("[a-z][a-z0-9_]*")
"""The form of a split's name."""


@dataclass(frozen=True)
class JsonLines:
    """A file of JSON objects, one a line, with material_id, lattice, species and frac_coords.

    The fields space_group and split are optional; moyo finds a missing space group. Other fields
    are ignored.
    """

    path: Traversable
    description: str

    def fingerprint(self) -> str:
        """Return the SHA-256 of the uncompressed lines."""
        digest = hashlib.sha256()
        with self._open() as lines:
            for line in lines:
                digest.update(line)
        return digest.hexdigest()

    def __iter__(self) -> Iterator[Material | Refusal]:
        """Yield the material of each line, or a refusal with the id or number of a bad line."""
        with self._open() as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _read_line(number, line)

    def density(self, material_id: str) -> Float[np.ndarray, "na nb nc"]:
        """Raise ValueError, because JSON lines hold only structures."""
        raise ValueError(f"JSON lines hold no density of {material_id}: build with density iam")

    @contextmanager
    def _open(self) -> Iterator[Iterable[bytes]]:
        with self.path.open("rb") as file:
            try:
                yield gzip.GzipFile(fileobj=file) if self.path.name.endswith(".gz") else file
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise ValueError(f"{self.path.name} is damaged: {error}") from error


def _read_line(number: int, line: bytes) -> Material | Refusal:
    place = f"line {number}"
    try:
        row = json.loads(line)
        name = str(row.get("material_id") or place)[:100]
    except (ValueError, AttributeError, RecursionError):
        return Refusal(place, "is not a JSON object")
    try:
        return _read_row(row)
    except KeyError as error:
        return Refusal(name, f"{place} has no {error}")
    except (ValueError, TypeError, OverflowError) as error:
        return Refusal(name, f"{place}: {' '.join(str(error).split())[:300]}")


def _read_row(row: dict[str, Any]) -> Material:
    lattice = np.array(row["lattice"], float)
    frac_coords = np.array(row["frac_coords"], float)
    numbers = np.array([atomic_number(symbol) for symbol in row["species"]], np.int64)
    space_group, split = row.get("space_group"), row.get("split")
    if lattice.shape != (3, 3):
        raise ValueError(f"the lattice has shape {lattice.shape}, not (3, 3)")
    if not len(numbers) or frac_coords.shape != (len(numbers), 3):
        shape = frac_coords.shape
        raise ValueError(f"{len(numbers)} species do not match frac_coords of shape {shape}")
    if not (np.isfinite(lattice).all() and np.isfinite(frac_coords).all()):
        raise ValueError("lattice and frac_coords hold numbers that are not finite")
    if not abs(np.linalg.det(lattice)) > 0:
        raise ValueError("the rows of the lattice span no cell")
    if split is not None and (split == DROPPED or not SPLIT.fullmatch(str(split))):
        raise ValueError(
            f"split {split!r} is no name: give {', '.join(SPLITS)}, or small letters and digits "
            f"other than {DROPPED}"
        )
    if space_group is not None and space_group not in range(1, 231):
        raise ValueError(f"space_group {space_group!r:.40} is not a number from 1 to 230")
    material = Material(str(row["material_id"]), lattice, numbers, frac_coords, space_group, split)
    return material if space_group else with_space_group(material)
