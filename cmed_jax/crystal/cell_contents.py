"""The contents of a cell: its formula units, their electrons, and their relative volume."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.atomic_volumes import nearest_relative_volume, volume_of_atom
from cmed_jax.crystal.material import Material
from cmed_jax.physics.cell import cell_volume

MOST_UNITS = 2
"""The largest number of formula units that the volume determines reliably."""

SAME_VOLUME = 0.01
"""The largest relative difference in volume between cells that hold the same atoms."""

LARGEST_UNIT = 48
"""The largest number of atoms in a reduced formula unit."""


def relative_cell_volume(
    lattice: Float[np.ndarray, "3 3"],
    composition: Float[np.ndarray, "119"],
    known: Sequence[float] = (),
) -> float:
    """Return the volume of a cell relative to the usual volume of its whole formula units.

    Args:
        lattice: rows a, b, c in angstrom.
        composition: atom fractions by atomic number.
        known: the mean volumes of an atom in known crystals of the composition, angstrom^3.

    Returns:
        The ratio; 1 where the usual volume is unknown.
    """
    atoms = atoms_of_formula(composition)
    return nearest_relative_volume(cell_volume(lattice), composition, atoms, known)


def electrons(
    lattice: Float[np.ndarray, "3 3"],
    composition: Float[np.ndarray, "119"],
    known: Sequence[Material] = (),
) -> float | None:
    """Return the electrons of the whole formula units in a cell.

    Args:
        lattice: rows a, b, c in angstrom.
        composition: atom fractions by atomic number.
        known: known crystals of that composition, the best first. The first one with a cell of the
            same volume determines the number.

    Returns:
        The number of electrons; None where no known crystal has that volume and the volume alone
        does not determine the number of formula units.
    """
    volume = cell_volume(lattice)
    same = [each for each in known if abs(each.volume / volume - 1) < SAME_VOLUME]
    if same:
        return float(same[0].numbers.sum())
    units = formula_units(lattice, composition)
    if units is None or round(units) not in range(1, MOST_UNITS + 1):
        return None
    of_atom = float(composition @ np.arange(len(composition)))
    return round(units) * atoms_of_formula(composition) * of_atom


def formula_units(
    lattice: Float[np.ndarray, "3 3"], composition: Float[np.ndarray, "119"]
) -> float | None:
    """Return the number of formula units that fit into a cell, by the usual volumes of atoms.

    Args:
        lattice: rows a, b, c in angstrom.
        composition: atom fractions by atomic number.

    Returns:
        The number, not rounded; None where the volume of an atom is unknown
        (`cmed_jax.crystal.atomic_volumes`).
    """
    of_atom = volume_of_atom(composition)
    return of_atom and cell_volume(lattice) / of_atom / atoms_of_formula(composition)


def atoms_of_formula(composition: Float[np.ndarray, "119"]) -> int:
    """Return the least number of atoms for which all fractions are whole numbers of atoms."""
    fractions = composition[composition > 0].astype(float)
    numbers = np.arange(1, LARGEST_UNIT + 1)
    amounts = numbers[:, None] * fractions
    whole = np.abs(amounts - np.rint(amounts)).max(axis=1) < 1e-3
    return int(numbers[np.argmax(whole)]) if whole.any() else LARGEST_UNIT
