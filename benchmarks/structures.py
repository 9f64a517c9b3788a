"""Success rate of the search for known structures: `python -m benchmarks.structures`.

Known crystals are used only for the tables that order the search. The cell is given, the number of
formula units is not. The command prints one of these tables:

- measured patterns of a folder with `manifest.csv` (columns file, formula, wavelength_A, cell,
  mp_id), compared with the structures of `--truth`:
  `python -m benchmarks.structures --patterns FOLDER --truth all.jsonl.gz --seconds 14`;
- ideal lines (s up to 1.3 per angstrom) of materials of a file of JSON lines, by crystal system:
  `python -m benchmarks.structures --materials trigonal.jsonl.gz --split test --count 40`;
- with `--shuffled`, a control for either: the areas of the lines are permuted. Structures that are
  right then follow from cell, absences, composition and distances alone.

A structure is right if pymatgen's StructureMatcher accepts it, with loose tolerances (ltol 0.3,
stol 0.5, angle 10) or tight ones (0.2, 0.3, 5).
"""

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import moyopy
import numpy as np
import tyro

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import composition_vector, parse_composition
from cmed_jax.crystal.lattice import PRIMITIVE, primitive_lattice
from cmed_jax.crystal.material import Material, crystal_system
from cmed_jax.crystal.sources import open_source
from cmed_jax.io.pattern import load_pattern
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.patterns import two_theta
from cmed_jax.physics.reflections import reflections
from cmed_jax.powder.preparation import prepare
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.search import SearchResult, search_structures

S_MAX = 1.3
"""The largest s of ideal lines, 1/angstrom."""
SYMPREC = 0.01
"""The tolerance of the cells of ideal lines, angstrom."""


@dataclass(frozen=True)
class Options:
    """Search for known structures.

    Attributes:
        patterns: a folder of measured patterns with a manifest.
        truth: file of JSON lines with their structures, by mp_id.
        materials: file of JSON lines with materials for ideal lines.
        split: split of those materials; empty for all.
        system: crystal system of those materials; empty for any.
        count: number of those materials, drawn at random.
        atoms: largest number of atoms in a primitive cell.
        seconds: time of the search for each structure.
        shuffled: permute the areas of the lines.
        seed: seed of the draw and of the permutation.
    """

    patterns: Path | None = None
    truth: str | None = None
    materials: str | None = None
    split: str = ""
    system: str = ""
    count: int = 40
    atoms: int = 60
    seconds: float = 14.0
    shuffled: bool = False
    seed: int = 0


class Case(NamedTuple):
    """An input of the search, and the known structure."""

    name: str
    lattice: np.ndarray
    composition: np.ndarray
    lines: ObservedLines
    truth: Material


def measured(options: Options, folder: Path) -> Iterator[Case]:
    """Yield the patterns of a folder that have known structures."""
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    known = {each.material_id: each for each in materials_of(options.truth)}
    for row in rows:
        if row["mp_id"] in known:
            prepared = prepare(load_pattern(folder / row["file"], float(row["wavelength_A"])))
            wavelength = prepared.radiation.mean
            lines = ObservedLines.of_angles(
                two_theta(prepared.peaks.s, wavelength),
                prepared.peaks.area,
                tuple(prepared.measured.two_theta[[0, -1]].tolist()),
                float(np.nanmedian(prepared.peaks.width)),
                wavelength,
            )
            lattice = primitive_lattice([float(each) for each in row["cell"].split()])
            composition = parse_composition(row["formula"])[0]
            yield Case(row["file"], lattice, composition, lines, known[row["mp_id"]])


def ideal(options: Options) -> Iterator[Case]:
    """Yield materials with their ideal lines, drawn at random."""
    every = [
        each
        for each in materials_of(options.materials)
        if options.split in ("", each.split)
        and options.system in ("", each.crystal_system)
        and len(each.numbers) <= 4 * options.atoms
    ]
    drawn = 0
    for row in np.random.default_rng(options.seed).permutation(len(every)):
        material = canonical_cell(every[row], SYMPREC)
        if len(material.numbers) > options.atoms:
            continue
        crystal = Crystal.of(material.lattice, material.numbers, material.frac_coords)
        found = reflections(crystal, s_max=S_MAX)
        centring = moyopy.SpaceGroupType(int(material.space_group or 1)).hm_short[0]
        lattice = np.linalg.inv(PRIMITIVE[centring].T) @ material.lattice
        lines = ObservedLines(found[:, 0], found[:, 1], 0.02, S_MAX)
        name = f"{material.formula} {material.material_id}"
        yield Case(name, lattice, composition_vector(material.numbers), lines, material)
        drawn += 1
        if drawn == options.count:
            return


def materials_of(path: str | None) -> Iterator[Material]:
    """Yield the materials of a file of JSON lines, or the embedded ones."""
    return (each for each in open_source(path) if isinstance(each, Material))


def matches(result: SearchResult, truth: Material) -> tuple[list[bool], list[bool]]:
    """Return which structures are right, under loose and under tight tolerances."""
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Lattice, Structure

    right = Structure(Lattice(truth.lattice), truth.numbers.tolist(), truth.frac_coords)
    loose = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)
    tight = StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5)
    return (
        [loose.fit(right, each.structure) for each in result.structures],
        [tight.fit(right, each.structure) for each in result.structures],
    )


def shuffled(lines: ObservedLines, rng: np.random.Generator) -> ObservedLines:
    """Return the lines with permuted areas."""
    return replace(lines, area=rng.permutation(lines.area))


def report(cases: Iterator[Case], options: Options) -> list[tuple[str, bool, bool, bool, float]]:
    """Print a row for each case; return system, top-1 loose, tight, among five, and seconds."""
    rng = np.random.default_rng(options.seed)
    rows = []
    for case in cases:
        lines = shuffled(case.lines, rng) if options.shuffled else case.lines
        began = time.monotonic()
        try:
            result = search_structures(
                case.lattice, case.composition, lines, seconds=options.seconds
            )
        except ValueError as error:
            result = SearchResult((), "not found", 1.0, 0, 0.0, False)
            print(f"{case.name}: {error}")
        taken = time.monotonic() - began
        loose, tight = matches(result, case.truth)
        first = result.structures[0] if result.structures else None
        said = f"R {first.residual:.3f} in {first.space_group}" if first else "nothing"
        print(
            f"{case.name:34} {case.truth.space_group:3} {len(case.truth.numbers):3} atoms: "
            f"{'right' if any(loose[:1]) else 'wrong'} {'tight' if any(tight[:1]) else '':5} "
            f"{result.verdict:9} {said}, p {first.probability if first else 0:.2f}, "
            f"{result.tried} tried, {taken:.1f} s",
            flush=True,
        )
        system = crystal_system(case.truth.space_group)
        rows.append((system, any(loose[:1]), any(tight[:1]), any(loose), taken))
    return rows


def summary(rows: Sequence[tuple[str, bool, bool, bool, float]]) -> None:
    """Print the shares by crystal system."""
    print("\n| system | n | top-1 loose | top-1 tight | among five | median s |")
    print("|---|---|---|---|---|---|")
    for system in [*dict.fromkeys(row[0] for row in rows), "all"]:
        chosen = [row for row in rows if system in (row[0], "all")]
        loose, tight, five = (sum(row[column] for row in chosen) for column in (1, 2, 3))
        middle = np.median([row[4] for row in chosen])
        print(f"| {system} | {len(chosen)} | {loose} | {tight} | {five} | {middle:.1f} |")


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options)
    cases = ideal(options) if options.patterns is None else measured(options, options.patterns)
    summary(report(cases, options))


if __name__ == "__main__":
    main()
