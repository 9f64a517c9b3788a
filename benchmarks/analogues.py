"""Recovery of crystals through isostructural ones: `python benchmarks/analogues.py`.

Embedded materials of all crystal systems are measured under conditions drawn from the `laboratory`
preset with a copper tube: background, noise, zero shift and displacement, texture, an impurity, and
a random range of angles. The pattern is prepared like one from a file. The known crystals are the
embedded ones without any of the same formula, as if the compound were new.

The output, by crystal system, is how often the first match, and any of five, has the material's
structure (pymatgen's StructureMatcher, without scaling), how often the first has its volume per
atom within 1 %, and the SSIM of the first one's density with the material's own, 0 where none was
found.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from typing import NamedTuple

import jax
import numpy as np
import tyro
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import composition_vector
from cmed_jax.crystal.material import CRYSTAL_SYSTEMS, Material, Refusal
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.lines import padded_lines
from cmed_jax.evaluation.metrics import ssim
from cmed_jax.io.pattern import MeasuredPattern, pattern_of_columns
from cmed_jax.physics import Crystal, electron_density, reflections
from cmed_jax.physics.artefact_ranges import LABORATORY
from cmed_jax.physics.artefacts import expected, poisson_counts, sample_conditions
from cmed_jax.physics.grids import Grid
from cmed_jax.physics.patterns import RADIATIONS
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import prepare
from cmed_jax.prediction.known_crystals import known_crystals
from cmed_jax.solution.isostructural import find_isostructural

COPPER = replace(LABORATORY, anodes=("Cu",))
GRID = Grid(5.0, 120.0, 5750, wavelength=RADIATIONS["CuKa"])
"""The measured grid, in steps of 0.02 degrees."""
MATCHER = StructureMatcher(ltol=0.02, scale=False)
LISTED = 5


@dataclass(frozen=True)
class Options:
    """Find crystals again through isostructural ones.

    Attributes:
        materials: number of materials.
        largest: largest volume of their cells, angstrom^3.
        seed: seed of the choice and of the measurements.
    """

    materials: int = 140
    largest: float = 600.0
    seed: int = 0


class Found(NamedTuple):
    """The result of the search for one material."""

    first: bool
    among: bool
    volume: bool
    ssim: float
    seconds: float


def embedded() -> list[Material]:
    """Return the embedded crystals."""
    return [each for each in open_source() if not isinstance(each, Refusal)]


def chosen(known: Sequence[Material], options: Options) -> list[Material]:
    """Return materials, taken from the crystal systems in turn, in their canonical cells."""
    rng = np.random.default_rng(options.seed)
    systems = defaultdict(list)
    for row in rng.permutation(len(known)):
        if known[row].volume < options.largest:
            systems[known[row].crystal_system].append(known[row])
    in_turn = chain.from_iterable(zip_longest(*systems.values()))
    return [canonical_cell(each) for each in in_turn if each][: options.materials]


def measured(crystal: Crystal, key: jax.Array) -> MeasuredPattern:
    """Return a measurement of a crystal under conditions drawn from the preset."""
    conditions, noise = jax.random.split(key)
    drawn = sample_conditions(conditions, COPPER)
    lattice = np.asarray(crystal.lattice)
    lines, _ = padded_lines(lattice, reflections(crystal, s_max=COPPER.s_max))
    signal, coverage = expected(lines, drawn, GRID)
    counts = np.asarray(poisson_counts(noise, drawn.counts * signal))
    inside = np.asarray(coverage) > 0
    return pattern_of_columns(GRID.centres[inside], counts[inside], "CuKa")


def search(material: Material, known: Sequence[Material], key: jax.Array) -> Found:
    """Measure a material, and search for it among known crystals of other formulas."""
    crystal = Crystal.of(material.lattice, material.numbers, material.frac_coords)
    pattern = measured(crystal, key)
    others = [each for each in known if each.formula != material.formula]
    began = time.monotonic()
    try:
        lines = MeasuredLines.of(prepare(pattern))
        found = find_isostructural(lines, composition_vector(material.numbers), others, LISTED)
    except ValueError:  # no peak stands out of the noise
        found = []
    seconds = time.monotonic() - began
    if not found:
        return Found(False, False, False, 0.0, seconds)
    fits = [MATCHER.fit(_structure(each.crystal), _structure(material)) for each in found]
    ratio = _volume_of_atom(found[0].crystal) / _volume_of_atom(material)
    truth = electron_density(crystal)
    likeness = float(ssim(truth, found[0].density()))
    return Found(fits[0], any(fits), abs(ratio - 1) < 0.01, likeness, seconds)


def _structure(material: Material) -> Structure:
    return Structure(material.lattice, material.numbers.tolist(), material.frac_coords)


def _volume_of_atom(material: Material) -> float:
    return material.volume / len(material.numbers)


def main() -> None:
    """Run the search and print its table."""
    options = tyro.cli(Options, prog="python benchmarks/analogues.py")
    known = [each for each in known_crystals(None) if not isinstance(each, Refusal)]
    materials = chosen(embedded(), options)
    keys = jax.random.split(jax.random.key(options.seed), len(materials))
    found = defaultdict(list)
    for material, key in zip(track(materials, "searching", transient=True), keys, strict=True):
        found[material.crystal_system].append(search(material, known, key))
    table = Table(title=f"{len(materials)} materials, without known crystals of their formulas")
    for heading in ("", "materials", "first", "among 5", "volume", "SSIM", "median seconds"):
        table.add_column(heading, justify="right" if heading else "left")
    everyone = list(chain.from_iterable(found.values()))
    for system in CRYSTAL_SYSTEMS:
        if system in found:
            table.add_row(system, *_row(found[system]))
    table.add_section()
    table.add_row("all", *_row(everyone))
    Console().print(table)


def _row(found: Sequence[Found]) -> list[str]:
    first, among, volume, likeness, _ = np.mean(found, axis=0)
    seconds = np.median([each.seconds for each in found])
    shares = [f"{share:.0%}" for share in (first, among, volume)]
    return [str(len(found)), *shares, f"{likeness:.3f}", f"{seconds:.1f}"]


if __name__ == "__main__":
    main()
