"""How many formula units a cell holds, from its volume and the usual volumes of atoms."""

from fractions import Fraction
from math import lcm
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.atomic_volumes import volume_of_atom
from cmed_jax.search.settings import Setting, lattice_points

USUAL, UNUSUAL = 0.13, 0.45
"""Deviation of the logarithm of a volume from the usual one, and where it is known of no element
how much it may be off."""
FARTHEST = 3.5
"""Deviations beyond which a number of formula units is not tried."""
UNKNOWN = 16.0
"""Volume of an atom where nothing is known of its element, angstrom^3."""
LARGEST = 1000
"""Most atoms of a formula unit."""


class Contents(NamedTuple):
    """The atoms of a primitive cell.

    Attributes:
        numbers: atomic numbers of the elements that scatter, without hydrogen.
        counts: how many atoms of each.
        units: formula units.
        hydrogen: atoms of hydrogen.
        cost: minus the logarithm of how usual the volume is.
    """

    numbers: tuple[int, ...]
    counts: tuple[int, ...]
    units: int
    hydrogen: int
    cost: float


def contents(
    setting: Setting,
    composition: Float[np.ndarray, "119"],
    visible: Float[np.ndarray, "119"],
    atoms: int | None = None,
) -> list[Contents]:
    """Return what the primitive cell of a setting may hold, the most usual volume first.

    Args:
        setting: with its lattice.
        composition: atom fractions by atomic number.
        visible: those of elements that scatter enough to be placed.
        atoms: in the conventional cell, where that is known.
    """
    unit = formula_unit(composition)
    volume = abs(float(np.linalg.det(setting.lattice)))
    usual, spread = volume_of_atom(composition), USUAL
    if usual is None:
        usual, spread = UNKNOWN, UNUSUAL
    numbers = tuple(np.flatnonzero(visible).tolist())
    found = []
    for units in range(1, int(volume / (usual * unit.sum()) * np.exp(FARTHEST * spread)) + 2):
        off = float(np.log(volume / (units * unit.sum() * usual))) / spread
        counts = tuple((units * unit[list(numbers)]).tolist())
        if atoms is not None:
            fits = units * unit.sum() * lattice_points(setting.number) == atoms
        else:
            fits = abs(off) <= FARTHEST
        if fits:
            hydrogen = int(units * unit[1])
            found.append(Contents(numbers, counts, units, hydrogen, off**2 / 2))
    return sorted(found, key=lambda each: each.cost)


def formula_unit(composition: Float[np.ndarray, "119"]) -> np.ndarray:
    """Return the atoms of each element in one reduced formula unit, by atomic number."""
    amounts = composition.astype(float)
    present = np.flatnonzero(amounts)
    shares = [Fraction(x).limit_denominator(LARGEST) for x in amounts[present] / amounts.sum()]
    whole = lcm(*(share.denominator for share in shares))
    unit = np.zeros(119, int)
    unit[present] = [int(share * whole) for share in shares]
    return unit // np.gcd.reduce(unit)
