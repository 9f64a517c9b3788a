"""What a cell holds: whole formula units, their electrons, and the room for them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.atomic_volumes import volume_of_atom
from cmed_jax.crystal.material import Material
from cmed_jax.physics.cell import cell_volume

MOST_UNITS = 2
"""More formula units than these are not told apart by the volume."""


SAME_VOLUME = 0.01
"""Cells whose volumes differ by a smaller share hold the same atoms."""


LARGEST_UNIT = 48
"""Most atoms of a formula unit that amounts are reduced to."""


def relative_cell_volume(
    lattice: Float[np.ndarray, "3 3"], composition: Float[np.ndarray, "119"]
) -> float:
    """Return the volume of a cell over what whole formula units in it usually take up.

    Returns:
        1 as well where that is not known.
    """
    units = formula_units(lattice, composition)
    return 1.0 if units is None else units / max(round(units), 1)


def electrons(
    lattice: Float[np.ndarray, "3 3"],
    composition: Float[np.ndarray, "119"],
    known: Sequence[Material] = (),
) -> float | None:
    """Return the electrons of the whole formula units in a cell.

    Args:
        lattice: rows a, b, c in angstrom.
        composition: the fractions of all elements.
        known: crystals of that composition; the best of those in a cell of the same volume tells.

    Returns:
        None where none of them does, and the volume leaves the number of units open.
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
    """Return for how many formula units a cell has room, by usual volumes of atoms.

    Args:
        lattice: rows a, b, c in angstrom.
        composition: the fractions of all elements.

    Returns:
        None where it is not known what the atoms take up (`cmed_jax.crystal.atomic_volumes`).
    """
    of_atom = volume_of_atom(composition)
    return of_atom and cell_volume(lattice) / of_atom / atoms_of_formula(composition)


def atoms_of_formula(composition: Float[np.ndarray, "119"]) -> int:
    """Return the least number of atoms that fractions of them are whole numbers of."""
    fractions = composition[composition > 0].astype(float)
    numbers = np.arange(1, LARGEST_UNIT + 1)
    amounts = numbers[:, None] * fractions
    whole = np.abs(amounts - np.rint(amounts)).max(axis=1) < 1e-3
    return int(numbers[np.argmax(whole)]) if whole.any() else LARGEST_UNIT
