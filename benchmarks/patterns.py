"""Patterns of a folder with a manifest, with the crystals behind them, for other benchmarks."""

import csv
import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import parse_composition
from cmed_jax.crystal.lattice import PRIMITIVE, primitive_lattice
from cmed_jax.crystal.material import Material, crystal_system
from cmed_jax.crystal.sources import open_source
from cmed_jax.crystal.symmetry import centring_of
from cmed_jax.io.pattern import MeasuredPattern, load_pattern

WAVELENGTH = 1.54184
"""The wavelength of patterns whose manifest gives none, angstrom: the mean of Cu K-alpha."""


class KnownPattern(NamedTuple):
    """A pattern of a known crystal.

    Attributes:
        name: the name of the file.
        measured: the pattern.
        composition: the atom fractions by atomic number.
        system: the crystal system.
        lattice: rows a, b, c of the primitive cell, angstrom: of the manifest, or of the crystal.
        conventional: rows a, b, c of the conventional cell, whose centring is not told.
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
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    ids = {row["mp_id"] for row in rows}
    known = {
        each.material_id: each
        for each in open_source(truth)
        if isinstance(each, Material) and each.material_id in ids
    }
    for row in rows:
        crystal = known.get(row["mp_id"])
        number = int(row.get("spacegroup") or row.get("space_group") or 0)
        if row.get("cell"):
            cell = [float(each) for each in row["cell"].split()]
            lattice = primitive_lattice(cell, centring_of(number))
            conventional = primitive_lattice(cell)
        elif crystal is not None:
            lattice = canonical_cell(crystal).lattice
            conventional = np.linalg.inv(PRIMITIVE[centring_of(number)].T) @ lattice
        else:
            continue
        yield KnownPattern(
            row["file"],
            _load(folder / row["file"], float(row.get("wavelength_A") or WAVELENGTH)),
            parse_composition(row["formula"])[0],
            crystal_system(number),
            lattice,
            conventional,
            crystal,
        )


def _load(path: Path, wavelength: float) -> MeasuredPattern:
    """Return the pattern of a file, which may be compressed with gzip."""
    if path.suffix != ".gz":
        return load_pattern(path, wavelength)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.stem
        plain.write_bytes(gzip.decompress(path.read_bytes()))
        return load_pattern(plain, wavelength)
