"""Lattices from cell parameters, and the primitive cells of centred ones."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

Centring = Literal["P", "A", "C", "I", "F", "R"]
CellParameters = Sequence[float | int] | Float[np.ndarray, "6"]

# (a_p, b_p, c_p) = (a, b, c) M: spglib's primitive cells of the centred standard cells.
PRIMITIVE = {
    "P": np.eye(3),
    "A": np.array([[2, 0, 0], [0, 1, -1], [0, 1, 1]]) / 2,
    "C": np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 2]]) / 2,
    "I": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]) / 2,
    "F": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2,
    "R": np.array([[2, -1, -1], [1, 1, -2], [1, 1, 1]]) / 3,
}

# The angles of the standard settings of the centred lattices; nan is any angle.
_ANGLES = {
    "A": (90, 90, 90),
    "C": (90, np.nan, 90),
    "I": (90, 90, 90),
    "F": (90, 90, 90),
    "R": (90, 90, 120),
}
_THIN = 1e-3  # the least share of the volume of a box with the same edges


def lattice_points(centring: str) -> int:
    """Return the number of lattice points in the conventional cell of a centring."""
    return round(1 / np.linalg.det(PRIMITIVE[centring]))


def primitive_lattice(cell: CellParameters, centring: str = "P") -> Float[np.ndarray, "3 3"]:
    """Return the lattice of the canonical primitive cell of a conventional cell.

    Networks trained on canonical cells predict in this cell. For rock salt (5.64 angstrom, centring
    F) it is the rhombohedral cell with edges of 3.99 angstrom and angles of 60 degrees. The
    conventional cell must be in the standard setting of spglib: monoclinic with unique axis b (and
    C where centred), R on hexagonal axes, triclinic reduced. Its a lies along x, and its b in the
    plane of x and y.

    Args:
        cell: a, b, c in angstrom and alpha, beta, gamma in degrees.
        centring: centring of the conventional cell; P means that it is primitive.

    Returns:
        Rows a, b, c in angstrom.

    Raises:
        ValueError: there are not six parameters, they form no cell, or they do not match the
            centring.

    Example:
        >>> primitive_lattice([5.64, 5.64, 5.64, 90, 90, 90], "F").round(2).tolist()
        [[0.0, 2.82, 2.82], [2.82, 0.0, 2.82], [2.82, 2.82, 0.0]]
    """
    if centring not in PRIMITIVE:
        raise ValueError(f"unknown centring {centring!r}: give one of {', '.join(PRIMITIVE)}")
    parameters = np.asarray(cell, float)
    cosines = _checked_cosines(parameters)
    if centring != "P":
        _check_setting(parameters, centring)
    lengths = parameters[:3]
    return PRIMITIVE[centring].T @ np.linalg.cholesky(cosines * np.outer(lengths, lengths))


def cell_parameters(lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "6"]:
    """Return a, b, c in angstrom and alpha, beta, gamma in degrees of a lattice of rows a, b, c.

    Example:
        >>> lattice = primitive_lattice([5.64, 5.64, 5.64, 90, 90, 90], "F")
        >>> cell_parameters(lattice).round(2).tolist()
        [3.99, 3.99, 3.99, 60.0, 60.0, 60.0]
    """
    lengths = np.linalg.norm(lattice, axis=1)
    cosines = lattice @ lattice.T / np.outer(lengths, lengths)
    angles = np.rad2deg(np.arccos(cosines[[1, 2, 0], [2, 0, 1]]))
    return np.concatenate([lengths, angles])


def _checked_cosines(cell: Float[np.ndarray, "..."]) -> Float[np.ndarray, "3 3"]:
    """Return the cosines of the angles between the axes.

    Raises:
        ValueError: the parameters form no cell.
    """
    shown = cell.tolist()
    if cell.shape != (6,) or not np.isfinite(cell).all():
        raise ValueError(f"cell {shown} is not six numbers: give a, b, c, alpha, beta, gamma")
    if cell[:3].min() <= 0:
        raise ValueError(f"cell {shown} has a length that is not positive: give angstroms")
    if cell[3:].min() <= 0 or cell[3:].max() >= 180:
        raise ValueError(f"cell {shown} has an angle that is not between 0 and 180: give degrees")
    alpha, beta, gamma = np.cos(np.deg2rad(cell[3:]))
    cosines = np.array([[1, gamma, beta], [gamma, 1, alpha], [beta, alpha, 1]])
    if np.linalg.det(cosines) <= _THIN**2:
        raise ValueError(
            f"cell {shown} encloses no volume: each angle must be less than the sum of the other "
            "two, and all three together less than 360 degrees"
        )
    return cosines


def _check_setting(cell: Float[np.ndarray, "6"], centring: str) -> None:
    angles = np.array(_ANGLES[centring])
    fits = np.isnan(angles) | np.isclose(cell[3:], angles, rtol=0, atol=0.01)
    if not fits.all():
        wanted = ", ".join("any" if np.isnan(angle) else f"{angle:.0f}" for angle in angles)
        raise ValueError(
            f"centring {centring} goes with angles of {wanted} degrees, not {cell[3:].tolist()}: "
            "give the conventional cell in its standard setting, or centring P for a primitive one"
        )
    if centring == "R" and not np.isclose(cell[0], cell[1], rtol=1e-4):
        raise ValueError(
            f"centring R goes with hexagonal axes, where a = b, not {cell[:2].tolist()}: give these"
        )
