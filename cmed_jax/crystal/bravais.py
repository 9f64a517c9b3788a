"""The Bravais lattice of any cell: its conventional cell, crystal system and centring."""

from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.lattice import PRIMITIVE
from cmed_jax.crystal.material import Material, crystal_system
from cmed_jax.crystal.symmetry import centring_of

TOLERANCE = 0.02
"""The tolerance for equal lattice vectors and angles, angstrom: an error of indexing."""

_ROUNDS, _SHORTER = 100, 1e-9
_NEIGHBOURS = np.array(list(product((-1, 0, 1), repeat=3)))[14:]
_AROUND = np.array(list(product((-1, 0, 1), repeat=2)))


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


def same_lattice(
    one: Float[np.ndarray, "3 3"], other: Float[np.ndarray, "3 3"], tolerance: float = 0.01
) -> bool:
    """Return whether two cells, primitive ones, span the same lattice in any orientation.

    Args:
        one: rows a, b, c of a primitive cell, angstrom.
        other: rows of another one.
        tolerance: the relative difference of lengths that is accepted.
    """
    return alike(lattice_lengths(one), lattice_lengths(other), tolerance)


def alike(one: Float[np.ndarray, "8"], other: Float[np.ndarray, "8"], tolerance: float) -> bool:
    """Return whether the lengths of two lattices agree (`lattice_lengths`)."""
    return bool(np.allclose(one, other, rtol=tolerance, atol=0))


def lattice_lengths(lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "8"]:
    """Return lengths that do not depend on the choice of the primitive cell, angstrom.

    They are the seven shortest lengths of vectors between lattice points, and the cube root of the
    volume.
    """
    reduced = reduced_cell(lattice)
    lengths = np.sort(np.linalg.norm(_NEIGHBOURS @ reduced, axis=1))[:7]
    return np.append(lengths, np.cbrt(abs(np.linalg.det(reduced))))


def reduced_cell(lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Return the rows of a Minkowski-reduced cell of a lattice: the shortest possible edges."""
    rows = np.array(lattice, float)
    for _ in range(_ROUNDS):
        rows = rows[np.argsort(np.linalg.norm(rows, axis=1), kind="stable")]
        first = rows[1] - np.rint(rows[1] @ rows[0] / (rows[0] @ rows[0])) * rows[0]
        if first @ first < rows[1] @ rows[1] - _SHORTER:
            rows[1] = first
            continue
        plane = rows[:2]
        near = np.rint(np.linalg.solve(plane @ plane.T, plane @ rows[2]))
        tried = rows[2] - (near + _AROUND) @ plane
        best = tried[np.argmin((tried**2).sum(axis=1))]
        if best @ best >= rows[2] @ rows[2] - _SHORTER:
            break
        rows[2] = best
    return rows
