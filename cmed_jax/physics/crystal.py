"""The crystal of the physics functions: arrays that can be batched, padded and differentiated."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Integer

from cmed_jax.physics.cell import check_atoms, check_lattice


class Crystal(NamedTuple):
    """One crystal, or a batch with a leading axis in every field.

    Species and sites are separate: `occupancy` holds the share of each species (row) at each site
    (column), and a site that several elements share is one column. Species 0 and columns of zeros
    are padding that scatters nothing. Padded crystals of different size fit into one batch.

    Attributes:
        lattice: rows a, b, c in angstrom.
        species: distinct atomic numbers.
        occupancy: share of a site that a species fills.
        frac_coords: fractional coordinates of the sites.
    """

    lattice: Float[Array | np.ndarray, "*b 3 3"]
    species: Integer[Array | np.ndarray, "*b k"]
    occupancy: Float[Array | np.ndarray, "*b k n"]
    frac_coords: Float[Array | np.ndarray, "*b n 3"]

    @classmethod
    def of(
        cls,
        lattice: Float[np.ndarray, "3 3"],
        numbers: Integer[np.ndarray, " n"],
        frac_coords: Float[np.ndarray, "m 3"],
        occupancies: Float[np.ndarray, " k"] | None = None,
    ) -> "Crystal":
        """Return the crystal of a list of atoms, float64.

        Args:
            lattice: rows a, b, c in angstrom.
            numbers: atomic numbers.
            frac_coords: fractional coordinates.
            occupancies: share of the cells in which each atom is present; None means all cells.

        Raises:
            ValueError: the lattice is flat, there is no atom, a coordinate is not finite, an
                element has no form factor, or an occupancy is not within 0 to 1.

        Example:
            >>> numbers, coordinates = np.array([26, 26]), np.array([[0.0] * 3, [0.5] * 3])
            >>> iron = Crystal.of(2.87 * np.eye(3), numbers, coordinates)
            >>> iron.species.tolist(), iron.occupancy.tolist()
            ([26], [[1.0, 1.0]])
        """
        filled = np.ones(len(numbers)) if occupancies is None else np.asarray(occupancies, float)
        check_lattice(lattice)
        check_atoms(numbers, frac_coords, filled)
        species, index = np.unique(numbers, return_inverse=True)
        occupancy = np.zeros((len(species), len(numbers)))
        occupancy[index, np.arange(len(numbers))] = filled
        # Coordinates in [0, 1) keep phases precise in float32.
        return cls(
            np.asarray(lattice, float), species.astype(np.int32), occupancy, frac_coords % 1.0
        )


def padded_size(crystal: Crystal) -> tuple[int, int]:
    """Return the padded numbers of sites and species of a crystal.

    Sites are padded to a power of two, species to a multiple of four. Few sizes mean few
    compilations.
    """
    species, sites = crystal.occupancy.shape[-2:]
    return max(1 << (sites - 1).bit_length(), 4), -(-species // 4) * 4


def stack(crystals: Sequence[Crystal], least: int = 1) -> Crystal:
    """Stack crystals into one batch, padded to the largest and to at least `least` sites."""
    sites, species = map(max, zip((least, 1), *map(padded_size, crystals), strict=True))
    count = len(crystals)
    batch = Crystal(
        np.zeros((count, 3, 3)),
        np.zeros((count, species), np.int32),
        np.zeros((count, species, sites)),
        np.zeros((count, sites, 3)),
    )
    for row, crystal in enumerate(crystals):
        for whole, part in zip(batch, crystal, strict=True):
            whole[row][tuple(map(slice, np.shape(part)))] = part
    return batch
