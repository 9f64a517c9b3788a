"""The search for a structure: from a cell, a composition and powder lines to a list of structures.

No known crystal is needed. What the search looks at, and in which order, stands in
`cmed_jax.search.order`; how it ends in `cmed_jax.search.exploration`.

    lines = ObservedLines.of_angles(two_theta, area, span=(10, 80), width=0.1, wavelength=1.5406)
    result = search_structures(lattice, "ZnCO3", lines, seconds=20)
    print(result.verdict, result.structures[0].space_group, result.structures[0].sites)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

from cmed_jax.crystal.composition import Knowledge, parse_composition
from cmed_jax.crystal.lattice import primitive_lattice
from cmed_jax.search.alignment import aligned
from cmed_jax.search.exploration import Progress, explore
from cmed_jax.search.formula_units import formula_unit
from cmed_jax.search.frame import HYDROGEN
from cmed_jax.search.observed import ObservedLines, group_lines
from cmed_jax.search.score import Scored
from cmed_jax.search.settings import bravais
from cmed_jax.search.solved import SolvedStructure, Verdict, solved_structures, verdict


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes:
        structures: different ones, the best first; empty where nothing has room in the cell.
        verdict: how far the first can be trusted.
        outside: share of the measured intensity at which the cell has no line: of another phase, or
            the cell is wrong.
        tried: Wyckoff assignments.
        seconds: that the search took.
        complete: whether everything within its limits was tried.
    """

    structures: tuple[SolvedStructure, ...]
    verdict: Verdict
    outside: float
    tried: int
    seconds: float
    complete: bool


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
    """Return the structures that explain powder lines best. Ctrl-C ends it with the best so far.

    Args:
        cell: rows a, b, c, or edges in angstrom and angles in degrees, of a primitive or a
            conventional cell. Of a conventional one the centring need not be known.
        composition: a formula, amounts, or atom fractions by atomic number.
        lines: as measured, or ideal ones.
        seconds: that the search may take; what is found before ends it sooner.
        space_group: number, where it is known.
        atoms: in the conventional cell, where that is known.
        progress: told what is tried, before each assignment.
        seed: of what is drawn.

    Raises:
        ValueError: the cell is none, the composition is not known in full, no line is where the
            cell allows one, or no number of formula units fits its volume.
    """
    lattice = (
        primitive_lattice(np.asarray(cell, float))
        if np.shape(cell) == (6,)
        else np.asarray(cell, float)
    )
    fractions = _fractions(composition)
    refined, lines = aligned(bravais(lattice), lines)
    groups = group_lines(lines, refined.conventional)
    found = explore(
        refined,
        fractions,
        lines,
        seconds=float(seconds),
        space_group=space_group,
        atoms=atoms,
        progress=progress,
        seed=seed,
    )
    hydrogen = [_hydrogen(each, fractions) for each in found.best]
    structures = tuple(solved_structures(found.best, hydrogen, lines, groups))
    return SearchResult(
        structures,
        verdict(structures, lines),
        groups.outside,
        found.tried,
        found.seconds,
        found.complete,
    )


def _fractions(
    composition: str | Mapping[str, float | int] | Float[np.ndarray, "119"],
) -> Float[np.ndarray, "119"]:
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


def _hydrogen(each: Scored, composition: Float[np.ndarray, "119"]) -> int:
    """Return the atoms of hydrogen in the primitive cell of a structure."""
    unit = formula_unit(composition)
    element = each.frame.numbers[0]
    atoms = sum(each.frame.group.positions[k].multiplicity for k in each.assignment.places[0])
    return int(atoms * unit[HYDROGEN] // unit[element])
