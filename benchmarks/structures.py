"""Success rate of the search for known structures: `python -m benchmarks.structures`.

Known crystals are used only for the tables that order the search. The number of formula units is
not given. The command prints one of these tables:

- patterns of a folder with `manifest.csv` (`benchmarks.patterns`), compared with the structures of
  `--truth`: `python -m benchmarks.structures --patterns FOLDER --truth all.jsonl.gz --seconds 14`.
  With `--cell found` the product indexes the lines, and the agreement of the structures decides
  between the cells;
- ideal lines (s up to 1.3 per angstrom) of materials of a file of JSON lines, by crystal system,
  with their cells: `python -m benchmarks.structures --materials trigonal.jsonl.gz --count 40`.

Two controls for either show what follows without the pattern. With `--control shuffled` the areas
of the lines are permuted: right structures follow from cell, absences, composition and distances
alone. With `--control wrong` each composition meets the pattern and the cell of another material of
the same crystal system: no structure should be accepted.

A structure is right if pymatgen's StructureMatcher accepts it, with loose tolerances (ltol 0.3,
stol 0.5, angle 10) or tight ones (0.2, 0.3, 5).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tyro
from pymatgen.analysis.structure_matcher import StructureMatcher

from benchmarks.patterns import KnownPattern, known_patterns
from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import composition_vector
from cmed_jax.crystal.lattice import PRIMITIVE
from cmed_jax.crystal.material import Material, crystal_system
from cmed_jax.crystal.sources import open_source
from cmed_jax.crystal.symmetry import centring_of
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.reflections import reflections
from cmed_jax.powder.cell_indexing import index_lines
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import prepare
from cmed_jax.prediction.structures import INDEXED, observed_lines
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.search import SearchResult
from cmed_jax.search.several_cells import search_cells

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
        cell: whether the cells of these patterns are given, or found by the product.
        every: take every n-th of these patterns.
        materials: file of JSON lines with materials for ideal lines.
        split: split of those materials; empty for all.
        system: crystal system of patterns or materials; empty for any.
        count: number of those materials, drawn at random.
        atoms: largest number of atoms in a primitive cell.
        seconds: time of the search for each structure, in all cells together.
        control: what is put in place of the pattern.
        seed: seed of the draw and of the permutation.
    """

    patterns: Path | None = None
    truth: str | None = None
    cell: Literal["given", "found"] = "given"
    every: int = 1
    materials: str | None = None
    split: str = ""
    system: str = ""
    count: int = 40
    atoms: int = 60
    seconds: float = 14.0
    control: Literal["none", "shuffled", "wrong"] = "none"
    seed: int = 0


class Case(NamedTuple):
    """An input of the search, and the known structure."""

    name: str
    lattices: list[np.ndarray]
    composition: np.ndarray
    lines: ObservedLines
    truth: Material
    seconds: float = 0.0


def measured(options: Options, folder: Path) -> Iterator[Case]:
    """Yield the patterns of a folder that have known structures."""
    patterns = [
        each
        for each in known_patterns(folder, options.truth)
        if each.truth is not None and options.system in ("", each.system)
    ]
    for pattern, other in others(patterns[:: options.every], options):
        prepared = prepare(other.measured)
        began = time.monotonic()
        lattices = [other.conventional]
        if options.cell == "found":
            indexed = index_lines(MeasuredLines.of(prepared), pattern.composition)
            lattices = [each.lattice for each in indexed[:INDEXED]]
        seconds = time.monotonic() - began
        assert pattern.truth is not None  # chosen so
        composition, lines = pattern.composition, observed_lines(prepared)
        yield Case(pattern.name, lattices, composition, lines, pattern.truth, seconds)


def others(
    patterns: Sequence[KnownPattern], options: Options
) -> Iterator[tuple[KnownPattern, KnownPattern]]:
    """Yield each pattern with itself, or with the next one of its system as a control."""
    for number, pattern in enumerate(patterns):
        if options.control != "wrong":
            yield pattern, pattern
            continue
        later = [*patterns[number + 1 :], *patterns[:number]]
        alike = [
            each
            for each in later
            if each.system == pattern.system
            and not np.allclose(each.composition, pattern.composition)
        ]
        if alike:
            yield pattern, alike[0]


def ideal(options: Options) -> Iterator[Case]:
    """Yield materials with their ideal lines, drawn at random."""
    every = [
        each
        for each in materials_of(options.materials)
        if options.split in ("", each.split)
        and options.system in ("", each.crystal_system)
        and len(each.numbers) <= 4 * options.atoms
    ]
    cases: list[Case] = []
    for row in np.random.default_rng(options.seed).permutation(len(every)):
        material = canonical_cell(every[row], SYMPREC)
        if len(material.numbers) > options.atoms:
            continue
        crystal = Crystal.of(material.lattice, material.numbers, material.frac_coords)
        found = reflections(crystal, s_max=S_MAX)
        lattice = np.linalg.inv(PRIMITIVE[centring_of(material.space_group)].T) @ material.lattice
        lines = ObservedLines(found[:, 0], found[:, 1], 0.02, S_MAX)
        name = f"{material.formula} {material.material_id}"
        composition = composition_vector(material.numbers)
        cases.append(Case(name, [lattice], composition, lines, material))
        if len(cases) == options.count:
            break
    for number, case in enumerate(cases):
        other = case
        if options.control == "wrong":
            other = next(
                (
                    each
                    for each in [*cases[number + 1 :], *cases[:number]]
                    if _system(each) == _system(case)
                    and not np.allclose(each.composition, case.composition)
                ),
                case,
            )
            if other is case:
                continue
        yield case._replace(lattices=other.lattices, lines=other.lines)


def _system(case: Case) -> str:
    return crystal_system(case.truth.space_group)


def materials_of(path: str | None) -> Iterator[Material]:
    """Yield the materials of a file of JSON lines, or the embedded ones."""
    return (each for each in open_source(path) if isinstance(each, Material))


def matches(result: SearchResult, truth: Material) -> tuple[list[bool], list[bool]]:
    """Return which structures are right, under loose and under tight tolerances."""
    right, (loose, tight) = truth.structure, matchers()
    return (
        [loose.fit(right, each.structure) for each in result.structures],
        [tight.fit(right, each.structure) for each in result.structures],
    )


def matchers() -> tuple[StructureMatcher, StructureMatcher]:
    """Return the matchers of structures with loose and with tight tolerances."""
    return (
        StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10),
        StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5),
    )


def shuffled(lines: ObservedLines, rng: np.random.Generator) -> ObservedLines:
    """Return the lines with permuted areas."""
    return replace(lines, area=rng.permutation(lines.area))


class Row(NamedTuple):
    """The outcome for one case."""

    system: str
    loose: bool
    tight: bool
    five: bool
    accepted: bool
    seconds: float


def report(cases: Iterator[Case], options: Options) -> list[Row]:
    """Print a row for each case, and return all of them."""
    rng = np.random.default_rng(options.seed)
    rows = []
    for case in cases:
        lines = shuffled(case.lines, rng) if options.control == "shuffled" else case.lines
        began = time.monotonic()
        result = search_cells(case.lattices, case.composition, lines, seconds=options.seconds)
        taken = time.monotonic() - began + case.seconds
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
        accepted = result.verdict != "not found"
        right = any(loose[:1]), any(tight[:1]), any(loose)
        rows.append(Row(_system(case), *right, accepted, taken))
    return rows


def summary(rows: Sequence[Row]) -> None:
    """Print the numbers by crystal system."""
    print("\n| system | n | loose | tight | among five | accepted | accepted, wrong | median s |")
    print("|---|---|---|---|---|---|---|---|")
    for system in [*dict.fromkeys(row.system for row in rows), "all"]:
        chosen = [row for row in rows if system in (row.system, "all")]
        columns = np.array([row[1:5] for row in chosen], int).sum(axis=0).tolist()
        wrong = sum(row.accepted and not row.loose for row in chosen)
        middle = np.median([row.seconds for row in chosen])
        shown = " | ".join(map(str, (*columns, wrong)))
        print(f"| {system} | {len(chosen)} | {shown} | {middle:.1f} |")


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options)
    cases = ideal(options) if options.patterns is None else measured(options, options.patterns)
    summary(report(cases, options))


if __name__ == "__main__":
    main()
