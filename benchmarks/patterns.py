"""Patterns of a folder with a manifest, and the crystals behind them, for other benchmarks."""

import csv
import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import parse_composition
from cmed_jax.crystal.lattice import PRIMITIVE, primitive_lattice
from cmed_jax.crystal.material import Material, crystal_system
from cmed_jax.crystal.sources import open_source
from cmed_jax.crystal.symmetry import centring_of
from cmed_jax.io.pattern import MeasuredPattern, load_pattern

WAVELENGTH = 1.54184
"""The wavelength of patterns whose manifest gives none, angstrom: the mean of Cu K-alpha."""


class ListedPattern(NamedTuple):
    """A pattern that the manifest of a folder lists.

    Attributes:
        path: the path of the file, which may be compressed with gzip.
        formula: the formula of the sample.
        space_group: the number of its space group; 0 where the manifest gives none.
        wavelength: the wavelength, angstrom.
        cell: the parameters of the conventional cell; None where the manifest gives none.
        mp_id: the id of the crystal in the Materials Project; empty where there is none.
    """

    path: Path
    formula: str
    space_group: int
    wavelength: float
    cell: Float[np.ndarray, "6"] | None
    mp_id: str

    @property
    def lattice(self) -> Float[np.ndarray, "3 3"]:
        """The rows of the primitive cell, angstrom."""
        return primitive_lattice(self.known_cell, centring_of(self.space_group))

    @property
    def known_cell(self) -> Float[np.ndarray, "6"]:
        """The parameters of the conventional cell.

        Raises:
            ValueError: the manifest gives none.
        """
        if self.cell is None:
            raise ValueError(f"the manifest gives no cell for {self.path.name}: add it")
        return self.cell

    def load(self, radiation: str | float | None = None) -> MeasuredPattern:
        """Return the pattern of the file, by default for the wavelength of the manifest."""
        radiation = self.wavelength if radiation is None else radiation
        if self.path.suffix != ".gz":
            return load_pattern(self.path, radiation)
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / self.path.stem
            plain.write_bytes(gzip.decompress(self.path.read_bytes()))
            return load_pattern(plain, radiation)


def listed_patterns(folder: Path) -> list[ListedPattern]:
    """Return the patterns that `manifest.csv` of a folder lists.

    The columns are file and formula, and where they are known spacegroup or space_group,
    wavelength_A, cell and mp_id.
    """
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        return [
            ListedPattern(
                folder / row["file"],
                row["formula"],
                int(row.get("spacegroup") or row.get("space_group") or 0),
                float(row.get("wavelength_A") or WAVELENGTH),
                np.array(row["cell"].split(), float) if row.get("cell") else None,
                row.get("mp_id") or "",
            )
            for row in csv.DictReader(file)
        ]


class KnownPattern(NamedTuple):
    """A pattern of a known crystal.

    Attributes:
        name: the name of the file.
        measured: the pattern.
        composition: the atom fractions by atomic number.
        system: the crystal system.
        lattice: rows a, b, c of the primitive cell, angstrom: of the manifest, or of the crystal.
        conventional: rows a, b, c of the conventional cell, whose centring is not given.
        truth: the crystal; None where the source of crystals does not hold it.
    """

    name: str
    measured: MeasuredPattern
    composition: np.ndarray
    system: str
    lattice: np.ndarray
    conventional: np.ndarray
    truth: Material | None


def known_patterns(folder: Path, truth: str | None) -> Iterator[KnownPattern]:
    """Yield the patterns of a folder whose cell is known, from its manifest or from its crystal.

    Args:
        folder: a folder with `manifest.csv`.
        truth: a source of crystals, by mp_id; the embedded ones without it.
    """
    listed = listed_patterns(folder)
    ids = {each.mp_id for each in listed}
    known = {
        each.material_id: each
        for each in open_source(truth)
        if isinstance(each, Material) and each.material_id in ids
    }
    for each in listed:
        crystal = known.get(each.mp_id)
        if each.cell is not None:
            lattice, conventional = each.lattice, primitive_lattice(each.cell)
        elif crystal is not None:
            lattice = canonical_cell(crystal).lattice
            conventional = np.linalg.inv(PRIMITIVE[centring_of(each.space_group)].T) @ lattice
        else:
            continue
        yield KnownPattern(
            each.path.name,
            each.load(),
            parse_composition(each.formula)[0],
            crystal_system(each.space_group),
            lattice,
            conventional,
            crystal,
        )
