"""Crystals in the standard conventional cell of International Tables, with their Wyckoff letters.

A space group has several origins that differ by its normalizer, and the letters depend on the
origin. Number, cell, coordinates and letters are therefore taken from one analysis of the symmetry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import moyopy
import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.composition import SYMBOLS
from cmed_jax.crystal.material import Material

EXACT_SYMPREC = 1e-3
"""The tolerance of the symmetry that an idealised structure has, angstrom."""
_TOLERANCES = (EXACT_SYMPREC, EXACT_SYMPREC / 10, EXACT_SYMPREC / 100)
_STANDARD = moyopy.Setting.standard()


@dataclass(frozen=True)
class Site:
    """An orbit of atoms in the standard conventional cell.

    Attributes:
        element: the symbol of the element.
        letter: the letter of the Wyckoff position.
        multiplicity: the number of atoms in the conventional cell.
        coords: the fractional coordinates of one of the atoms.
    """

    element: str
    letter: str
    multiplicity: int
    coords: tuple[float, float, float]


class StandardCell(NamedTuple):
    """A crystal in the standard conventional cell of its space group.

    Attributes:
        space_group: the number of the space group.
        lattice: the rows a, b, c, angstrom.
        numbers: the atomic numbers.
        coords: the fractional coordinates of the atoms.
        sites: the orbits of the atoms.
        tolerance: the tolerance of the symmetry, angstrom.
    """

    space_group: int
    lattice: Float[np.ndarray, "3 3"]
    numbers: Integer[np.ndarray, " n"]
    coords: Float[np.ndarray, "n 3"]
    sites: tuple[Site, ...]
    tolerance: float


def standard_cell(crystal: Material) -> StandardCell:
    """Return an idealised crystal in the standard conventional cell of its space group.

    Where atoms are within the tolerance of a higher symmetry, the tolerance is tightened until the
    space group is that of the crystal, if it is known.

    Args:
        crystal: a crystal in a primitive cell.

    Raises:
        ValueError: moyo finds no symmetry, for instance because atoms coincide.
    """
    cell = moyopy.Cell(
        crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.numbers.tolist()
    )
    for tolerance in _TOLERANCES:
        found = moyopy.MoyoDataset(cell, symprec=tolerance, setting=_STANDARD)
        if crystal.space_group in (None, found.number):
            break
    else:
        tolerance = EXACT_SYMPREC
        found = moyopy.MoyoDataset(cell, symprec=tolerance, setting=_STANDARD)
    return StandardCell(
        found.number,
        np.array(found.std_cell.basis),
        np.array(found.std_cell.numbers),
        np.array(found.std_cell.positions),
        _sites(crystal, found),
        tolerance,
    )


def _sites(crystal: Material, found: moyopy.MoyoDataset) -> tuple[Site, ...]:
    """Return the orbits of the atoms in the standard cell of an analysis.

    Letters and orbits of the analysis are those of the atoms of the crystal. Each atom is therefore
    followed into the standard cell.
    """
    standard = np.array(found.std_cell.positions)
    moved = (crystal.frac_coords - found.std_origin_shift) @ np.linalg.inv(found.std_linear).T
    gaps = moved[:, None] - standard
    place = np.abs(gaps - np.rint(gaps)).max(axis=-1).argmin(axis=1)
    orbits = np.array(found.orbits)
    return tuple(
        Site(
            SYMBOLS[crystal.numbers[first]],
            found.wyckoffs[first],
            int((orbits == first).sum()) * len(standard) // len(orbits),
            _within_cell(standard[place[first]].tolist()),
        )
        for first in np.unique(orbits).tolist()
    )


def _within_cell(coords: Sequence[float]) -> tuple[float, float, float]:
    """Return rounded fractional coordinates within the unit cell."""
    x, y, z = (round(each, 6) % 1.0 for each in coords)
    return x, y, z
