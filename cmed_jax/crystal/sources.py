"""Where materials come from: embedded rows, JSON lines, CIF, CHGCAR, the Materials Project."""

import gzip
import hashlib
import json
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import takewhile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.canonical import symmetry
from cmed_jax.crystal.composition import atomic_number
from cmed_jax.crystal.material import SPLITS, Material, Refusal

if TYPE_CHECKING:
    from pymatgen.core import Structure

EMBEDDED = "the embedded materials (Materials Project structures of Open Catalyst 2020)"

FORMS = """\
nothing (the embedded materials), a file of JSON lines (.jsonl, .json, plain or .gz), \
a folder of .cif files, a folder of VASP CHGCAR files (plain or .gz), \
or a search of the Materials Project such as mp:crystal_system=cubic"""

_log = logging.getLogger(__name__)


class Source(Protocol):
    """A collection of materials.

    Iteration gives structures alone; the density of a material, which may be large or far away, is
    fetched when it is asked for. Sources are small and picklable, so that workers can ask.
    """

    @property
    def description(self) -> str:
        """What the source is, for people."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content; equal content has an equal fingerprint wherever it lies."""
        ...

    def __iter__(self) -> Iterator[Material | Refusal]:
        """Give every material, or the reason why it cannot be used, in a fixed order."""
        ...

    def density(self, material_id: str) -> Float[np.ndarray, "na nb nc"]:
        """Return a material's density in e/angstrom^3; ValueError where the source has none."""
        ...


def open_source(materials: str | None = None) -> Source:
    """Return the source that a path or a search names.

    Args:
        materials: None, a path, or "mp:" and a search; see `FORMS`.

    Raises:
        ValueError: the source does not exist or is of no known form.
    """
    if materials is None:
        return JsonLines(files("cmed_jax.crystal") / "embedded" / "oc20_bulks.jsonl.gz", EMBEDDED)
    if materials.startswith("mp:"):
        return MaterialsProject(materials.removeprefix("mp:"))
    path = Path(materials).expanduser()
    if not path.exists():
        raise ValueError(f"no materials at {materials}: give {FORMS}")
    if path.is_file() and re.search(r"\.jsonl?(\.gz)?$", path.name):
        return JsonLines(path, f"JSON lines {path.name}")
    if path.is_dir():
        forms = [form for form in (CifFolder(path), ChgcarFolder(path)) if form.paths]
        if len(forms) == 1:
            return forms[0]
        if forms:
            raise ValueError(f"{materials} holds CIF and CHGCAR files: give a folder of one kind")
    raise ValueError(f"{materials} is not a form of materials that is known: give {FORMS}")


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line: material_id, lattice, species, frac_coords.

    Optional are space_group (found with spglib where it is missing) and split; other fields
    are ignored.
    """

    path: Traversable
    description: str

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the uncompressed lines."""
        digest = hashlib.sha256()
        with self._open() as lines:
            for line in lines:
                digest.update(line)
        return digest.hexdigest()

    def __iter__(self) -> Iterator[Material | Refusal]:
        """Give the material of each line; a bad line is refused by its id or its number."""
        with self._open() as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _read_line(number, line)

    def density(self, material_id: str) -> Float[np.ndarray, "na nb nc"]:
        """Raise ValueError: rows hold structures alone."""
        raise _no_density(material_id)

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        with self.path.open("rb") as file:
            if not self.path.name.endswith(".gz"):
                yield file
                return
            with gzip.open(file) as lines:
                yield lines


@dataclass(frozen=True)
class CifFolder:
    """A folder of CIF files, one crystal each; the material's id is the file's name."""

    folder: Path

    @property
    def description(self) -> str:
        """The folder's name."""
        return f"CIF files of {self.folder.name}"

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The files by material id."""
        found = sorted(self.folder.glob("*.cif")) + sorted(self.folder.glob("*.cif.gz"))
        return _by_id(found, lambda path: path.name.removesuffix(".gz").removesuffix(".cif"))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the ids and the files' bytes."""
        return _fingerprint(self.paths)

    def __iter__(self) -> Iterator[Material | Refusal]:
        """Give the material of each file."""
        for material_id, path in self.paths.items():
            yield _attempt(material_id, lambda path=path: _read_cif(path))

    def density(self, material_id: str) -> Float[np.ndarray, "na nb nc"]:
        """Raise ValueError: CIF files hold structures alone."""
        raise _no_density(material_id)


@dataclass(frozen=True)
class ChgcarFolder:
    """A folder of VASP CHGCAR files, plain or .gz.

    The material's id is the file's name without "CHGCAR" (`mp-22_CHGCAR.gz`), or the folder's where
    the file is called CHGCAR alone (`mp-22/CHGCAR`).
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

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the ids and the files' bytes."""
        return _fingerprint(self.paths)

    def __iter__(self) -> Iterator[Material | Refusal]:
        """Give the structure at the head of each file."""
        for material_id, path in self.paths.items():
            yield _attempt(material_id, lambda path=path: _read_chgcar_structure(path))

    def density(self, material_id: str) -> Float[np.ndarray, "na nb nc"]:
        """Return the total density of a file, e/angstrom^3.

        Raises:
            ValueError: the file is damaged.
        """
        from pymatgen.io.vasp import Chgcar

        try:
            with _logged_warnings(material_id):
                chgcar = Chgcar.from_file(self.paths[material_id])
        except Exception as error:  # pymatgen raises whatever its parsing meets
            raise ValueError(f"the CHGCAR file cannot be read: {error}") from error
        return _per_volume(chgcar)


@dataclass(frozen=True)
class MaterialsProject:
    """A search of the Materials Project by the fields of its summary, such as crystal_system=cubic.

    Several fields are joined with "&", as in "chemsys=Na-Cl&is_stable=true". Needs the extra
    cmed-jax[mp] and a key in the environment variable MP_API_KEY.
    """

    search: str

    @property
    def description(self) -> str:
        """The search."""
        return f"the Materials Project, {self.search}"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the search and the version of the database."""
        with self._client() as client:
            version = client.get_database_version()
        return hashlib.sha256(f"{self.search} {version}".encode()).hexdigest()

    def __iter__(self) -> Iterator[Material | Refusal]:
        """Give every structure found, by id."""
        with self._client() as client:
            found = client.materials.summary.search(
                **self._criteria(), fields=["material_id", "structure"]
            )
        structures = {str(entry.material_id): entry.structure for entry in found}
        for material_id, structure in sorted(structures.items()):
            yield _attempt(material_id, lambda structure=structure: structure)

    def density(self, material_id: str) -> Float[np.ndarray, "na nb nc"]:
        """Return the total density of the material's CHGCAR, e/angstrom^3.

        Raises:
            ValueError: the database holds none.
        """
        with self._client() as client:
            chgcar = client.get_charge_density_from_material_id(material_id)
        if chgcar is None:
            raise ValueError("the Materials Project holds no charge density for it")
        return _per_volume(chgcar)

    def _criteria(self) -> dict[str, Any]:
        pairs = [pair.partition("=") for pair in self.search.split("&")]
        for field, _, value in pairs:
            if not (field and value):
                raise ValueError(
                    f"search {self.search!r} is not of the form field=value: give for instance "
                    "mp:crystal_system=cubic"
                )
        return {field: _search_value(field, value) for field, _, value in pairs}

    def _client(self) -> Any:
        self._criteria()
        try:
            from mp_api.client import MPRester
        except ImportError:
            raise ValueError(
                "the Materials Project needs an extra: pip install 'cmed-jax[mp]'"
            ) from None
        key = os.environ.get("MP_API_KEY")
        if not key:
            raise ValueError(
                "the environment variable MP_API_KEY is not set: take a key from "
                "https://materialsproject.org/api"
            )
        return MPRester(key)


def _read_line(number: int, line: bytes) -> Material | Refusal:
    place = f"line {number}"
    try:
        row = json.loads(line)
        name = str(row.get("material_id") or place)
    except (ValueError, AttributeError):
        return Refusal(place, "is not a JSON object")
    try:
        return _read_row(row)
    except KeyError as error:
        return Refusal(name, f"{place} has no {error}")
    except (ValueError, TypeError) as error:
        return Refusal(name, f"{place}: {error}")


def _read_row(row: dict[str, Any]) -> Material:
    material = Material(
        material_id=str(row["material_id"]),
        lattice=np.array(row["lattice"], float),
        numbers=np.array([atomic_number(symbol) for symbol in row["species"]], np.int64),
        frac_coords=np.array(row["frac_coords"], float),
        space_group=row.get("space_group"),
        split=row.get("split"),
    )
    atoms = len(material.numbers)
    if material.lattice.shape != (3, 3):
        raise ValueError(f"the lattice has shape {material.lattice.shape}, not (3, 3)")
    if not atoms or material.frac_coords.shape != (atoms, 3):
        shape = material.frac_coords.shape
        raise ValueError(f"{atoms} species do not match frac_coords of shape {shape}")
    if material.split not in (None, *SPLITS):
        raise ValueError(f"split {material.split!r} is not one of {', '.join(SPLITS)}")
    if material.space_group is None:
        return _with_space_group(material)
    if not (isinstance(material.space_group, int) and 1 <= material.space_group <= 230):
        raise ValueError(f"space_group {material.space_group!r} is not a number from 1 to 230")
    return material


def _with_space_group(material: Material) -> Material:
    if not (np.isfinite(material.lattice).all() and np.isfinite(material.frac_coords).all()):
        raise ValueError("the structure holds numbers that are not finite")
    return replace(material, space_group=int(symmetry(material).number))


def _attempt(material_id: str, read: "Callable[[], Structure]") -> Material | Refusal:
    """Return the material of a structure that is still to be read, or why there is none."""
    try:
        with _logged_warnings(material_id):
            return _from_structure(material_id, read())
    except Exception as error:  # parsers raise whatever a damaged file leads them to
        return Refusal(material_id, str(error) or type(error).__name__)


def _from_structure(material_id: str, structure: "Structure") -> Material:
    if not structure.is_ordered:
        site = next(site for site in structure if not site.is_ordered)
        raise ValueError(f"partial occupancy: {site.species_string}")
    numbers = [atomic_number(site.specie.symbol) for site in structure]
    material = Material(
        material_id, structure.lattice.matrix, np.array(numbers), structure.frac_coords
    )
    return _with_space_group(material)


def _read_cif(path: Path) -> "Structure":
    from pymatgen.io.cif import CifParser

    structures = CifParser(path).parse_structures(primitive=False, check_occu=True)
    if len(structures) != 1:
        raise ValueError(f"the file holds {len(structures)} structures: give one a file")
    return structures[0]


def _read_chgcar_structure(path: Path) -> "Structure":
    """Return the structure at the head of a CHGCAR file, which ends at the first empty line."""
    from pymatgen.io.vasp import Poscar

    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        head = list(takewhile(str.strip, file))
    if len(head) > 5 and head[5].split()[0].isdigit():
        raise ValueError("the CHGCAR file does not name its elements (line 6)")
    return Poscar.from_str("".join(head)).structure


def _per_volume(chgcar: Any) -> Float[np.ndarray, "na nb nc"]:
    # VASP writes the density times the volume of the cell.
    return np.asarray(chgcar.data["total"], float) / chgcar.structure.volume


def _is_chgcar(path: Path) -> bool:
    return path.is_file() and bool(re.search(r"CHGCAR(\.vasp)?(\.gz)?$", path.name, re.IGNORECASE))


def _chgcar_id(path: Path) -> str:
    stem = re.sub(r"[._-]?CHGCAR(\.vasp)?(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    return stem or path.parent.name


def _by_id(paths: list[Path], identify: Callable[[Path], str]) -> dict[str, Path]:
    named = {}
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


def _search_value(field: str, value: str) -> Any:
    if field == "crystal_system":
        return value.capitalize()  # as the Materials Project spells it
    if value in ("true", "false"):
        return value == "true"
    if value.isdigit():
        return int(value)
    return value.split(",") if "," in value else value


def _no_density(material_id: str) -> ValueError:
    return ValueError(
        f"the source holds no density of {material_id}: build with density iam, "
        "or give a folder of CHGCAR files"
    )


@contextmanager
def _logged_warnings(material_id: str) -> Iterator[None]:
    """Turn the warnings of a parser into lines of the log that name the material."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        _log.info("%s: %s", material_id, warning.message)
