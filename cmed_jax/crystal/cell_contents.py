"""The contents of a cell: its formula units, their electrons, and their relative volume."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.atomic_volumes import nearest_relative_volume, volume_of_atom
from cmed_jax.crystal.material import Material
from cmed_jax.physics.cell import cell_volume

MOST_UNITS = 2
"""The largest number of formula units that the volume determines reliably."""

SAME_VOLUME = 0.01
"""The largest relative difference in volume between cells that hold the same atoms."""

LARGEST_UNIT = 400
"""The largest number of atoms in a reduced formula unit."""

WHOLE = 0.5 / LARGEST_UNIT
"""The largest distance from a whole number of atoms.

A fraction p / q of atoms is at least 1 / q away from whole numbers in every smaller unit.
"""


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
        The ratio; 1 where the usual volume or the formula unit is unknown.
    """
    atoms = atoms_of_formula(composition)
    if atoms is None:
        return 1.0
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
    unit, units = formula_unit(composition), formula_units(lattice, composition)
    if unit is None or units is None or round(units) not in range(1, MOST_UNITS + 1):
        return None
    return float(round(units) * unit @ np.arange(len(unit)))


def formula_units(
    lattice: Float[np.ndarray, "3 3"], composition: Float[np.ndarray, "119"]
) -> float | None:
    """Return the number of formula units that fit into a cell, by the usual volumes of atoms.

    Args:
        lattice: rows a, b, c in angstrom.
        composition: atom fractions by atomic number.

    Returns:
        The number, not rounded; None where the volume of an atom
        (`cmed_jax.crystal.atomic_volumes`) or the formula unit is unknown.
    """
    of_atom, atoms = volume_of_atom(composition), atoms_of_formula(composition)
    if of_atom is None or atoms is None:
        return None
    return cell_volume(lattice) / of_atom / atoms


def atoms_of_formula(composition: Float[np.ndarray, "119"]) -> int | None:
    """Return the number of atoms in a reduced formula unit; None where there is none."""
    unit = formula_unit(composition)
    return None if unit is None else int(unit.sum())


def formula_unit(composition: Float[np.ndarray, "119"]) -> Integer[np.ndarray, "119"] | None:
    """Return the atoms of each element in the smallest unit that has whole numbers of them.

    Args:
        composition: atom fractions by atomic number, in any unit.

    Returns:
        The numbers by atomic number; None where the composition is unknown, or where its ratios
        are those of no unit of up to `LARGEST_UNIT` atoms.
    """
    present = np.flatnonzero(composition > 0)
    if not len(present):
        return None
    fractions = composition[present].astype(float)
    amounts = np.arange(1, LARGEST_UNIT + 1)[:, None] * (fractions / fractions.sum())
    whole = np.abs(amounts - np.rint(amounts)).max(axis=1) < WHOLE
    if not whole.any():
        return None
    unit = np.zeros(len(composition), int)
    unit[present] = np.rint(amounts[np.argmax(whole)]).astype(int)
    return unit
