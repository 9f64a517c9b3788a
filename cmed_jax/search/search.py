"""The search for a structure: from a cell, a composition and powder lines to a list of structures.

No known crystal is needed. `cmed_jax.search.order` describes the order of the search, and
`cmed_jax.search.exploration` its end.

    lines = ObservedLines.of_angles(two_theta, area, span=(10, 80), width=0.1, wavelength=1.5406)
    result = search_structures(lattice, "ZnCO3", lines, seconds=20)
    print(result.verdict, result.structures[0].space_group, result.structures[0].sites)
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

from cmed_jax.crystal.cell_contents import formula_unit
from cmed_jax.crystal.composition import Knowledge, parse_composition
from cmed_jax.crystal.lattice import primitive_lattice
from cmed_jax.powder.cell_indexing import IndexedCell
from cmed_jax.search.alignment import aligned
from cmed_jax.search.exploration import Explored, Progress, explore
from cmed_jax.search.observed import Groups, ObservedLines, group_lines
from cmed_jax.search.reflection_model import HYDROGEN
from cmed_jax.search.score import Scored
from cmed_jax.search.settings import lattice_for
from cmed_jax.search.solved import (
    SolvedStructure,
    Verdict,
    as_found,
    different,
    solved_structures,
    verdict,
)
from cmed_jax.search.variants import GAIN, distortions, exchanges

VARYING = 0.2
"""The share of the time that is left for variants of the best structures."""
VARIED = 2
"""The number of structures whose variants are tried, the best first."""
LEAST, MOST = 0.02, 0.35
"""The residuals R between which variants are tried.

They are those of measured patterns; ideal lines have smaller ones (`ObservedLines.expected_error`).
"""


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The result of a search.

    Attributes:
        structures: different structures, the best first; empty where no structure fits in the cell.
        verdict: the verdict of the search: how far the first structure can be trusted.
        outside: the share of the measured intensity where the cell has no line; it belongs to
            another phase, or the cell is wrong.
        tried: the number of Wyckoff assignments tried, in all cells.
        seconds: the time that the search took, in all cells.
        complete: whether all assignments within the limits were tried, in all cells.
        interrupted: whether Ctrl-C ended the search.
        cells: the cells that the lines were indexed with, the best first; none for a given cell.
        refused: the reasons for which cells could not be searched, one for each of them.
    """

    structures: tuple[SolvedStructure, ...]
    verdict: Verdict
    outside: float
    tried: int
    seconds: float
    complete: bool
    interrupted: bool = False
    cells: tuple[IndexedCell, ...] = ()
    refused: tuple[str, ...] = ()


def search_structures(
    cell: Real[np.ndarray, "3 3"] | Real[np.ndarray, "6"],
    composition: str | Mapping[str, float | int] | Float[np.ndarray, "119"],
    lines: ObservedLines,
    *,
    seconds: float | int = 60.0,
    space_group: int | None = None,
    atoms: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
) -> SearchResult:
    """Return the structures that explain powder lines best.

    Ctrl-C ends the search with the best structures so far.

    Args:
        cell: the rows a, b, c, or the edges in angstrom and the angles in degrees, of a primitive
            or a conventional cell. The centring of a conventional cell need not be known.
        composition: a formula, amounts, or atom fractions by atomic number.
        lines: measured or ideal lines.
        seconds: the longest time that the search may take; a good structure ends it sooner.
        space_group: the number of the space group, where it is known. Of two space groups that are
            mirror images, the structure has the one with the smaller number.
        atoms: the number of atoms in the conventional cell, where it is known.
        progress: a function called with the progress before each assignment.
        seed: the seed of everything that is drawn.

    Raises:
        ValueError: the cell spans no lattice, the composition is not known in full or has too many
            atoms in a formula unit, no line is where the cell allows one, the space group does not
            go with the lattice, or no number of formula units fits its volume.
    """
    began = time.monotonic()
    end = began + seconds
    lattice = (
        primitive_lattice(np.asarray(cell, float))
        if np.shape(cell) == (6,)
        else np.asarray(cell, float)
    )
    fractions = _fractions(composition)
    refined, lines = aligned(lattice_for(lattice, space_group), lines)
    groups = group_lines(lines, refined.conventional)
    found = explore(
        refined,
        fractions,
        lines,
        seconds=(1 - VARYING) * seconds,
        space_group=space_group,
        atoms=atoms,
        progress=progress,
        seed=seed,
    )
    structures, interrupted = _finished(
        found, fractions, lines, groups, end, seed, distorted=space_group is None
    )
    return SearchResult(
        tuple(structures),
        verdict(structures, lines),
        groups.outside,
        found.tried,
        time.monotonic() - began,
        found.complete,
        interrupted,
    )


def _finished(
    found: Explored,
    composition: Float[np.ndarray, "119"],
    lines: ObservedLines,
    groups: Groups,
    end: float,
    seed: int,
    *,
    distorted: bool,
) -> tuple[list[SolvedStructure], bool]:
    """Return the different structures of a search with their variants, and whether Ctrl-C came.

    The best structure is symmetrised in any case, the others until the time is over. Ctrl-C ends
    this, too, with the structures so far.
    """
    first, varied = list[SolvedStructure](), list[SolvedStructure]()
    structures, interrupted = list[SolvedStructure](), found.interrupted
    try:
        hydrogen = [_hydrogen(each, composition) for each in found.best]
        for each in solved_structures(found.best, hydrogen, lines, groups, end):
            first.append(each)
        structures = different(first, lines)
        begun = [] if interrupted else structures[:VARIED]
        for variant in _variants(begun, lines, seed, distorted=distorted):
            varied += [] if variant is None else [variant]
            if time.monotonic() > end:
                break
    except KeyboardInterrupt:
        interrupted = True
        first = first or as_found(found.best[:1], groups)
    every = sorted([*(structures or first), *varied], key=lambda each: each.score)
    try:
        return different(every, lines), interrupted
    except KeyboardInterrupt:
        return structures or different(first[:1], lines), True


def _fractions(
    composition: str | Mapping[str, float | int] | Float[np.ndarray, "119"],
) -> Float[np.ndarray, "119"]:
    """Return the atom fractions of a composition that is known in full."""
    if isinstance(composition, np.ndarray):
        fractions, known = composition, Knowledge.FULL
    else:
        fractions, known = parse_composition(composition)
    whole = known is Knowledge.FULL and abs(float(fractions.sum()) - 1) < 1e-3
    if not whole or not set(np.flatnonzero(fractions).tolist()) - {HYDROGEN}:
        raise ValueError(
            "the search needs all elements and their ratios, and one besides hydrogen: give a "
            "formula such as ZnCO3"
        )
    return fractions


def _variants(
    structures: Sequence[SolvedStructure], lines: ObservedLines, seed: int, *, distorted: bool
) -> Iterator[SolvedStructure | None]:
    """Yield variants of structures and of their best variants; None for those that are none.

    Args:
        structures: the structures.
        lines: the measured lines.
        seed: the seed of the displacements.
        distorted: whether the space group may become a subgroup.
    """
    rng, waiting = np.random.default_rng(seed), list(structures)
    while waiting:
        parent = waiting.pop(0)
        if not LEAST < parent.residual / lines.expected_error < MOST:
            continue
        better = []
        lower = distortions(parent, lines, rng) if distorted else ()
        for each in itertools.chain(lower, exchanges(parent, lines, rng)):
            yield each
            if each is not None and each.score < GAIN * parent.score:
                better.append(each)
        waiting[:0] = sorted(better, key=lambda each: each.score)[:1]


def _hydrogen(each: Scored, composition: Float[np.ndarray, "119"]) -> int:
    """Return the number of hydrogen atoms in the primitive cell of a structure."""
    unit = formula_unit(composition)
    if unit is None:
        return 0
    element = each.model.numbers[0]
    atoms = sum(each.model.group.positions[k].multiplicity for k in each.assignment.places[0])
    return int(atoms * unit[HYDROGEN] // unit[element])
