"""The Bravais lattice of any cell: its conventional cell, crystal system and centring."""

from typing import NamedTuple

import moyopy
import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.lattice import PRIMITIVE
from cmed_jax.crystal.material import Material, crystal_system

TOLERANCE = 0.02
"""The tolerance for equal lattice vectors and angles, angstrom: an error of indexing."""


class Bravais(NamedTuple):
    """A lattice in its conventional cell.

    Attributes:
        system: the crystal system of its metric.
        centring: the centring of the conventional cell: P, A, C, I, F or R (on hexagonal axes).
        conventional: the idealised rows a, b, c of the conventional cell, angstrom.
    """

    system: str
    centring: str
    conventional: Float[np.ndarray, "3 3"]


def bravais(lattice: Float[np.ndarray, "3 3"], tolerance: float = TOLERANCE) -> Bravais:
    """Return the conventional cell of a lattice, with the symmetry of its metric.

    Args:
        lattice: the rows a, b, c of any cell, angstrom.
        tolerance: the tolerance of the symmetry, angstrom.

    Raises:
        ValueError: the rows span no lattice.
    """
    point = Material("lattice", np.asarray(lattice, float), np.array([1]), np.zeros((1, 3)))
    ideal = canonical_cell(point, tolerance)
    number = int(ideal.space_group or 1)
    centring = centring_of(number)
    conventional = np.linalg.inv(PRIMITIVE[centring].T) @ ideal.lattice
    return Bravais(crystal_system(number), centring, conventional)


def centring_of(space_group: int) -> str:
    """Return the centring of the standard conventional cell of a space group."""
    return moyopy.SpaceGroupType(space_group).hm_short[0]
