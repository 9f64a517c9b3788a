"""A crystal structure with an id, and the record of a refused one."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.composition import (
    SYMBOLS,
    anonymous_formula,
    composition_vector,
    noble_gases_last,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure

CRYSTAL_SYSTEMS = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}
"""The seven crystal systems, with the last space group number of each."""

SPLITS = ("train", "validation", "test")
"""The splits of every dataset. A source may name others, such as the tests of another benchmark."""


@dataclass(frozen=True, eq=False)
class Material:
    """A crystal structure with an id, from any source.

    Attributes:
        material_id: identifier, unique in its source.
        lattice: rows a, b, c in angstrom.
        numbers: atomic numbers.
        frac_coords: fractional coordinates, atom by atom.
        space_group: space group number (1-230) from the source, or found in the canonical cell.
        split: "train", "validation", "test" or another name of held-out materials, where the source
            names one.
        density: electron density in e/angstrom^3 at the fractional coordinates i/n of `lattice`.
    """

    material_id: str
    lattice: Float[np.ndarray, "3 3"]
    numbers: Integer[np.ndarray, " n"]
    frac_coords: Float[np.ndarray, "n 3"]
    space_group: int | None = None
    split: str | None = None
    density: Float[np.ndarray, "na nb nc"] | None = None

    @property
    def formula(self) -> str:
        """The reduced formula, such as "NaCl"."""
        from pymatgen.core import Composition

        numbers, amounts = np.unique(self.numbers, return_counts=True)
        symbols = (SYMBOLS[z] for z in numbers)
        composition = Composition(dict(zip(symbols, amounts.tolist(), strict=True)))
        with noble_gases_last():
            return composition.reduced_formula

    @cached_property
    def composition(self) -> Float[np.ndarray, "119"]:
        """The atom fractions by atomic number (float32)."""
        return composition_vector(self.numbers)

    @cached_property
    def anonymous_formula(self) -> str:
        """The formula with letters for the elements, such as "AB2"."""
        return anonymous_formula(self.composition)

    @property
    def crystal_system(self) -> str:
        """The name of the crystal system, such as "cubic"."""
        return crystal_system(self.space_group)

    @cached_property
    def structure(self) -> "Structure":
        """The structure of pymatgen in the same cell."""
        from pymatgen.core import Structure

        return Structure(self.lattice, self.numbers.tolist(), self.frac_coords)

    @property
    def volume(self) -> float:
        """The volume of the cell, angstrom^3."""
        return float(abs(np.linalg.det(self.lattice)))


@dataclass(frozen=True)
class Refusal:
    """A material that cannot be used: its id (or its place in the source) and the reason."""

    material_id: str
    reason: str


def crystal_system(space_group: int | None) -> str:
    """Return the crystal system of a space group number.

    Raises:
        ValueError: the number is unknown or not 1-230.
    """
    if space_group is None or not 1 <= space_group <= 230:
        raise ValueError(f"space group {space_group} is not a number from 1 to 230")
    return next(name for name, last in CRYSTAL_SYSTEMS.items() if space_group <= last)
