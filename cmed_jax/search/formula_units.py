"""The number of formula units in a cell, from its volume and the usual volumes of atoms."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.atomic_volumes import volume_of_atom
from cmed_jax.crystal.cell_contents import LARGEST_UNIT, formula_unit
from cmed_jax.crystal.lattice import lattice_points
from cmed_jax.crystal.symmetry import centring_of
from cmed_jax.search.settings import Setting

USUAL, UNUSUAL = 0.13, 0.45
"""The deviation of the logarithm of a volume from the usual one.

The second value applies where the usual volume of no element is known.
"""
FARTHEST = 3.5
"""The number of deviations beyond which a number of formula units is not tried."""
UNKNOWN = 16.0
"""The volume of an atom where the usual volume of no element is known, angstrom^3."""


class Contents(NamedTuple):
    """The atoms of a primitive cell.

    Attributes:
        numbers: the atomic numbers of the elements that scatter, without hydrogen.
        counts: the number of atoms of each of these elements.
        hydrogen: the number of hydrogen atoms.
        cost: minus the logarithm of the probability of the volume.
    """

    numbers: tuple[int, ...]
    counts: tuple[int, ...]
    hydrogen: int
    cost: float


def contents(
    setting: Setting,
    composition: Float[np.ndarray, "119"],
    visible: Float[np.ndarray, "119"],
    atoms: int | None = None,
) -> list[Contents]:
    """Return the possible contents of the primitive cell, the most usual volume first.

    Args:
        setting: the setting with its lattice.
        composition: the atom fractions by atomic number.
        visible: the fractions of the elements that scatter enough to be placed.
        atoms: the number of atoms in the conventional cell, where it is known.

    Raises:
        ValueError: the formula unit has too many atoms.
    """
    unit = formula_unit(composition)
    if unit is None:
        raise ValueError(
            f"the formula unit has more than {LARGEST_UNIT} atoms, or no whole numbers of them: "
            "give a formula with smaller whole numbers"
        )
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
            fits = units * unit.sum() * lattice_points(centring_of(setting.number)) == atoms
        else:
            fits = abs(off) <= FARTHEST
        if fits:
            hydrogen = int(units * unit[1])
            found.append(Contents(numbers, counts, hydrogen, off**2 / 2))
    return sorted(found, key=lambda each: each.cost)
