"""Materials in files: CIF files, and folders of VASP CHGCAR files."""

import gzip
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.chgcar import read_density, read_head
from cmed_jax.crystal.cif import read_cif
from cmed_jax.crystal.encodings import decode
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.structures import read_material

if TYPE_CHECKING:
    from pymatgen.core import Structure


CIF = re.compile(r"\.cif(\.gz)?$", re.IGNORECASE)
"""The pattern of the end of names of CIF files."""


@dataclass(frozen=True)
class CifFiles:
    """A CIF file or a folder of them, of one crystal each; the id is the name of the file."""

    place: Path

    @property
    def description(self) -> str:
        """The name of the file or the folder."""
        return f"CIF files of {self.place.name}" if self.place.is_dir() else self.place.name

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The files by material id."""
        found = [self.place]
        if self.place.is_dir():
            found = sorted(path for path in self.place.iterdir() if CIF.search(path.name))
        return _by_id(found, lambda path: CIF.sub("", path.name))

    def fingerprint(self) -> str:
        """SHA-256 of the ids and the files' bytes."""
        return _fingerprint(self.paths)

    def __iter__(self) -> Iterator[Material | Refusal]:
        """Give the material of each file."""
        for material_id, path in self.paths.items():
            yield read_material(material_id, _read_cif, path)

    def density(self, material_id: str) -> Float[np.ndarray, "na nb nc"]:
        """Raise ValueError: CIF files hold structures alone."""
        raise ValueError(f"CIF files hold no density of {material_id}: build with density iam")


@dataclass(frozen=True)
class ChgcarFolder:
    """A folder of VASP CHGCAR files, plain or .gz.

    The id of a material is the name of its file without "CHGCAR" (`mp-22_CHGCAR.gz`), or that of
    its folder where the name of the file is CHGCAR alone (`mp-22/CHGCAR`).
    """

    folder: Path

    @property
    def description(self) -> str:
        """The folder's name."""
        return f"CHGCAR files of {self.folder.name}"

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The files by material id."""
        found = sorted(path for path in self.folder.rglob("*") if _is_chgcar(path))
        return _by_id(found, _chgcar_id)

    def fingerprint(self) -> str:
        """SHA-256 of the ids and the files' bytes."""
        return _fingerprint(self.paths)

    def __iter__(self) -> Iterator[Material | Refusal]:
        """Give the structure at the head of each file."""
        for material_id, path in self.paths.items():
            yield read_material(material_id, _read_head, path)

    def density(self, material_id: str) -> Float[np.ndarray, "na nb nc"]:
        """Return the total density of a file, e/angstrom^3.

        Raises:
            ValueError: the file is damaged.
        """
        try:
            return read_density(decode(_bytes(self.paths[material_id])))
        except (ValueError, EOFError, OSError, zlib.error) as error:
            raise ValueError(f"the CHGCAR file cannot be read: {error}") from error


def _read_cif(path: Path) -> "Structure":
    return read_cif(decode(_bytes(path)))


def _bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked where it is a .gz."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix.lower() == ".gz" else data


def _read_head(path: Path) -> "Structure":
    """Return the structure at the head of a CHGCAR file."""
    return read_head(decode(_bytes(path))).structure


def _is_chgcar(path: Path) -> bool:
    return path.is_file() and bool(re.search(r"CHGCAR(\.vasp)?(\.gz)?$", path.name, re.IGNORECASE))


def _chgcar_id(path: Path) -> str:
    stem = re.sub(r"[._-]?CHGCAR(\.vasp)?(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    return stem or path.parent.name


def _by_id(paths: list[Path], identify: Callable[[Path], str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in paths:
        other = named.setdefault(identify(path), path)
        if other is not path:
            raise ValueError(f"{other} and {path} have the same material id: rename one")
    return named


def _fingerprint(paths: dict[str, Path]) -> str:
    digest = hashlib.sha256()
    for material_id, path in sorted(paths.items()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{material_id} {content}\n".encode())
    return digest.hexdigest()
