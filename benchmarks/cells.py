"""How often the cell is found, by crystal system: `python -m benchmarks.cells`.

The product indexes the lines of a pattern with the composition given and the cell not
(`cmed_jax.powder.cell_indexing`). The patterns are one of these:

- simulated laboratory measurements of materials drawn from a file of JSON lines, or of the embedded
  materials, as in `benchmarks.analogues`: background, noise, zero shift and displacement, texture,
  an impurity, and a random range of angles:
  `python -m benchmarks.cells --materials all.jsonl.gz --split validation --count 20`;
- measured patterns of a folder with `manifest.csv` (columns file, formula, wavelength_A, cell, and
  spacegroup or space_group), or simulated ones without the column cell, whose structures are in
  `--truth` by mp_id: `python -m benchmarks.cells --patterns FOLDER`.

A cell is right if its lattice is that of the truth within 1 % in the shortest lengths between
lattice points. With `--indexer rietx`, the library rietx indexes the same lines instead.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np
import tyro

from benchmarks.analogues import measured
from benchmarks.patterns import known_patterns
from cmed_jax.crystal.bravais import same_lattice
from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.cell_contents import formula_unit
from cmed_jax.crystal.composition import SYMBOLS, composition_vector
from cmed_jax.crystal.lattice import PRIMITIVE, primitive_lattice
from cmed_jax.crystal.material import CRYSTAL_SYSTEMS, Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.physics.crystal import Crystal
from cmed_jax.powder.cell_indexing import index_lines
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import prepare

Lattices = list[np.ndarray]
RIGHT = 0.01
"""The relative difference of lengths within which a cell is right."""
LISTED = 20
"""The number of cells that are considered."""


@dataclass(frozen=True)
class Options:
    """Find cells that are known.

    Attributes:
        patterns: a folder of patterns with a manifest; without it, materials are simulated.
        truth: file of JSON lines with the structures of such patterns, by mp_id.
        materials: file of JSON lines with the materials; without it, the embedded ones.
        split: the split of these materials; empty for all.
        systems: the crystal systems.
        count: the number of materials of each system, drawn at random.
        largest: the largest volume of a primitive cell, angstrom^3.
        indexer: what finds the cell.
        composition: whether the composition is given.
        seconds: the time that rietx may take for a pattern.
        every: take every n-th pattern of a folder.
        seed: the seed of the draw and of the measurements.
    """

    patterns: Path | None = None
    truth: str | None = None
    materials: str | None = None
    split: str = ""
    systems: tuple[str, ...] = tuple(CRYSTAL_SYSTEMS)
    count: int = 20
    largest: float = 600.0
    indexer: Literal["own", "rietx"] = "own"
    composition: bool = True
    seconds: float = 60.0
    every: int = 1
    seed: int = 0


class Case(NamedTuple):
    """The lines of a pattern, its composition and its primitive cell."""

    name: str
    system: str
    lines: MeasuredLines
    composition: np.ndarray
    lattice: np.ndarray


def from_folder(options: Options, folder: Path) -> Iterator[Case]:
    """Yield the patterns of a folder."""
    for pattern in list(known_patterns(folder, options.truth))[:: options.every]:
        if pattern.system in options.systems:
            prepared = prepare(pattern.measured)
            lines = MeasuredLines.of(prepared)
            yield Case(pattern.name, pattern.system, lines, pattern.composition, pattern.lattice)


def simulated(options: Options) -> Iterator[Case]:
    """Yield simulated measurements of materials, drawn at random from each crystal system."""
    every = [
        each
        for each in open_source(options.materials)
        if isinstance(each, Material)
        and options.split in ("", each.split)
        and each.volume < options.largest
    ]
    for system in options.systems:
        mine = [each for each in every if each.crystal_system == system]
        rng = np.random.default_rng(options.seed)
        for row in rng.permutation(len(mine))[: options.count].tolist():
            material = canonical_cell(mine[row])
            crystal = Crystal.of(material.lattice, material.numbers, material.frac_coords)
            key = jax.random.fold_in(jax.random.key(options.seed), row)
            try:
                lines = MeasuredLines.of(prepare(measured(crystal, key)))
            except ValueError as error:  # no peak stands out of the noise
                print(f"{material.material_id}: {error}")
                continue
            yield Case(
                f"{material.formula} {material.material_id}",
                system,
                lines,
                composition_vector(material.numbers),
                material.lattice,
            )


def own(case: Case, options: Options) -> tuple[Lattices, str]:
    """Return the cells that the product finds, and a description of the first."""
    cells = index_lines(case.lines, case.composition if options.composition else None)
    if not cells:
        return [], "none"
    best = cells[0]
    said = (
        f"{best.lattice_type} {best.parameters.round(3).tolist()} merit {best.merit:.1f}, "
        f"{best.indexed} of {best.lines} lines, {best.seen} of {best.predicted} seen"
    )
    return [each.lattice for each in cells], said


def with_rietx(case: Case, options: Options) -> tuple[Lattices, str]:
    """Return the cells that rietx finds with the same lines."""
    indexing, schemas = import_module("rietx.indexing"), import_module("rietx.schemas.indexing")
    lines = case.lines
    peaks = schemas.PeakList.from_positions(
        lines.angle, lines.wavelength, intensity=lines.area, two_theta_esd=0.02
    )
    spec = {"total_budget_seconds": options.seconds}
    search = indexing.SearchSpec(**spec)
    unit = formula_unit(case.composition) if options.composition else None
    if unit is not None:
        formula = "".join(f"{SYMBOLS[k]}{unit[k]}" for k in np.flatnonzero(unit))
        search = indexing.SearchSpec.from_formula(formula, **spec)
    found = indexing.index_pattern(peaks, spec=search, validate=False).candidates
    lattices = []
    for each in found[:LISTED]:
        conventional = primitive_lattice(list(each.cell))
        lattices.append(PRIMITIVE[each.centring if each.centring != "B" else "P"].T @ conventional)
    return lattices, str(found[0].cell) if found else "none"


INDEXERS = {"own": own, "rietx": with_rietx}


def report(cases: Iterator[Case], options: Options) -> list[tuple[str, int, float]]:
    """Print a row for each case; return its system, the rank of the right cell, and seconds."""
    rows = []
    for case in cases:
        began, busy = time.monotonic(), time.process_time()
        lattices, said = INDEXERS[options.indexer](case, options)
        taken, busy = time.monotonic() - began, time.process_time() - busy
        right = [same_lattice(each, case.lattice, RIGHT) for each in lattices[:LISTED]]
        rank = right.index(True) + 1 if any(right) else 0
        rows.append((case.system, rank, busy))
        print(
            f"{case.name:32} {case.system:12} {len(case.lines.angle):3} lines: "
            f"{f'right at {rank}' if rank else 'not found'}, {taken:.1f} s"
            + ("" if rank == 1 else f"; first {said}"),
            flush=True,
        )
    return rows


def summary(rows: Sequence[tuple[str, int, float]]) -> None:
    """Print the shares by crystal system."""
    print("\n| system | n | first | among five | among 20 | median s of a processor |")
    print("|---|---|---|---|---|---|")
    for system in [*dict.fromkeys(row[0] for row in rows), "all"]:
        ranks = [row[1] for row in rows if system in (row[0], "all")]
        middle = np.median([row[2] for row in rows if system in (row[0], "all")])
        counts = [sum(0 < rank <= most for rank in ranks) for most in (1, 5, LISTED)]
        print(f"| {system} | {len(ranks)} | {' | '.join(map(str, counts))} | {middle:.1f} |")


def main() -> None:
    """Run the command."""
    options = tyro.cli(Options, prog="python -m benchmarks.cells")
    cases = (
        simulated(options) if options.patterns is None else from_folder(options, options.patterns)
    )
    summary(report(cases, options))


if __name__ == "__main__":
    main()
