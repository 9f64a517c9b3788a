"""Agreement of powder lines with pymatgen's: `python benchmarks/agreement.py`.

The benchmark compares embedded materials of all seven crystal systems, for Mo and Cu K-alpha up to
two-theta = 180 degrees, in double and in single precision.

pymatgen joins lines that fall into one of its bins of 1e-5 degrees, and drops lines weaker than
1e-5 of the strongest. To compare only the arithmetic, its bins are made narrower and its cut is
removed, and lines of both packages closer than 3e-7 1/angstrom count as one. That line is placed at
their centroid in s, weighted by |F|^2 times multiplicity: towards 180 degrees neither two-theta nor
the Lorentz-polarization factor is linear even over so short a distance. A line that one package
lacks counts as a difference in intensity.
"""

import multiprocessing
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest

import numpy as np
import tyro
from jaxtyping import Float
from pymatgen.analysis.diffraction.core import AbstractDiffractionPatternCalculator
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Structure
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.sources import open_source
from cmed_jax.physics import Crystal, reflections_of
from cmed_jax.physics.patterns import (
    RADIATIONS,
    lorentz_polarization,
    powder_lines,
    two_theta,
)

RADIATION = ("MoKa", "CuKa")
PRECISION = {"float64": np.float64, "float32": np.float32}
TOGETHER = 3e-7
"""The distance below which lines of the two packages count as one, 1/angstrom."""
STRONG = 1e-5
"""The share of the strongest line above which positions are compared."""


@dataclass(frozen=True)
class Options:
    """Compare powder lines with pymatgen's.

    Attributes:
        materials: number of materials.
        largest: largest volume of a cell, angstrom^3; pymatgen needs minutes for the largest ones.
    """

    materials: int = 500
    largest: float = 600.0


def chosen(options: Options) -> list[Material]:
    """Return materials, taken from the crystal systems in turn."""
    systems = defaultdict(list)
    for item in open_source(None):
        if not isinstance(item, Refusal) and item.volume < options.largest:
            systems[item.crystal_system].append(item)
    spread = (
        [members[i] for i in np.random.default_rng(0).permutation(len(members))]
        for members in systems.values()
    )
    in_turn = chain.from_iterable(zip_longest(*spread))
    return [material for material in in_turn if material][: options.materials]


def theirs(material: Material, wavelength: float) -> Float[np.ndarray, "2 m"]:
    """Return two-theta and intensity of pymatgen's lines, without its joining and its cut."""
    AbstractDiffractionPatternCalculator.TWO_THETA_TOL = 1e-9
    AbstractDiffractionPatternCalculator.SCALED_INTENSITY_TOL = 0
    structure = Structure(material.lattice, material.numbers.tolist(), material.frac_coords)
    found = XRDCalculator(wavelength).get_pattern(structure, two_theta_range=(0, 180))
    return np.stack([found.x, found.y])


def differences(
    ours: Float[np.ndarray, "2 m"], theirs: Float[np.ndarray, "2 n"], wavelength: float
) -> tuple[float, float]:
    """Return the largest difference in two-theta (degrees), and in intensity (strongest 1)."""
    angle, strength = np.concatenate([ours, theirs], axis=1)
    order = np.argsort(angle)
    owner = np.repeat([0, 1], [ours.shape[1], theirs.shape[1]])
    weight = np.where(owner == np.array([[0], [1]]), strength, 0)[:, order]
    s = 2 * np.sin(np.radians(angle[order]) / 2) / wavelength
    first = np.flatnonzero(np.diff(s, prepend=-1) > TOGETHER)
    squared = weight / lorentz_polarization(angle[order])
    total, mass, moment = (
        np.add.reduceat(x, first, axis=1) for x in (weight, squared, squared * s)
    )
    intensity = total / total.max(axis=1, keepdims=True)
    seen = intensity.min(axis=0) > STRONG
    position = two_theta(moment[:, seen] / mass[:, seen], wavelength)
    return np.abs(np.diff(position, axis=0)).max(), np.abs(np.diff(intensity, axis=0)).max()


def compare(materials: Sequence[Material], name: str) -> dict[str, Float[np.ndarray, "n 2"]]:
    """Return the differences of all materials for each precision."""
    wavelength = RADIATIONS[name]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        lines = pool.imap(partial(theirs, wavelength=wavelength), materials)
        expected = list(track(lines, f"pymatgen, {name}", total=len(materials), transient=True))
    crystals = [Crystal.of(m.lattice, m.numbers, m.frac_coords) for m in materials]
    found = {}
    for precision, dtype in PRECISION.items():
        ours = reflections_of(crystals, wavelength=wavelength, table="pymatgen", dtype=dtype)
        found[precision] = np.array(
            [
                differences(np.stack(powder_lines(lines, wavelength)), reference, wavelength)
                for lines, reference in zip(ours, expected, strict=True)
            ]
        )
    return found


def main() -> None:
    """Run the comparison and print its table."""
    materials = chosen(tyro.cli(Options, prog="python benchmarks/agreement.py"))
    systems = {material.crystal_system for material in materials}
    title = f"{len(materials)} materials of {len(systems)} crystal systems: largest differences"
    table = Table("", "", "two-theta, degrees", "intensity, of the strongest", title=title)
    for name in RADIATION:
        for precision, found in compare(materials, name).items():
            position, intensity = found.max(axis=0)
            table.add_row(name, precision, f"{position:.1e}", f"{intensity:.1e}")
    Console().print(table)


if __name__ == "__main__":
    main()
