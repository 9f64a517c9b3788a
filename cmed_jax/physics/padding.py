"""Crystals of every size in a few array shapes, so that a few compilations serve them all."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer


class Atoms(NamedTuple):
    """The atoms of a crystal, padded to a power of two (atoms) and a multiple of four (species).

    ``species`` holds the distinct atomic numbers (0 pads), ``member`` is 1 where an atom (column)
    is of a species (row) and zero in the columns that pad; ``frac_coords`` lie in [0, 1).
    """

    species: Integer[np.ndarray, " k"]
    member: Float[np.ndarray, "k n"]
    frac_coords: Float[np.ndarray, "n 3"]


def pad_atoms(numbers: Integer[np.ndarray, " n"], frac_coords: Float[np.ndarray, "n 3"]) -> Atoms:
    """Return the atoms of a crystal in one of the few shapes that are compiled for."""
    distinct, index = np.unique(numbers, return_inverse=True)
    atoms = 1 << (len(numbers) - 1).bit_length()
    kinds = -(-len(distinct) // 4) * 4
    species = np.zeros(kinds, np.int32)
    species[: len(distinct)] = distinct
    member = np.zeros((kinds, atoms))
    member[index, np.arange(len(numbers))] = 1.0
    positions = np.zeros((atoms, 3))
    positions[: len(numbers)] = frac_coords % 1.0  # keeps phases precise in float32
    return Atoms(species, member, positions)
