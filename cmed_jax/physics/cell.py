"""The cell of a crystal: its reciprocal lattice, and what is asked of lattice and atoms."""

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.physics.form_factors import check_elements

FLAT = 1e-6
"""Cells under this share of the volume of a box with the same edges count as flat."""


def reciprocal_lattice(lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Return the rows a*, b*, c* in 1/angstrom: hkl @ rows has the length s = 1/d.

    Args:
        lattice: rows a, b, c in angstrom.

    Raises:
        ValueError: the lattice vectors are not finite, or span no volume.
    """
    finite = np.isfinite(lattice).all()
    if not finite or cell_volume(lattice) <= FLAT * np.prod(np.linalg.norm(lattice, axis=1)):
        rows = np.asarray(lattice).tolist()
        raise ValueError(f"lattice {rows} spans no volume: give three independent rows in angstrom")
    return np.linalg.inv(lattice).T


def cell_volume(lattice: Float[np.ndarray, "3 3"]) -> float:
    """Return the volume of a cell with rows a, b, c, angstrom^3."""
    return float(abs(np.linalg.det(lattice)))


def check_atoms(numbers: Integer[np.ndarray, " n"], frac_coords: Float[np.ndarray, "m 3"]) -> None:
    """Raise ValueError where there is no atom, an element without form factor, or no position."""
    if not len(numbers):
        raise ValueError("a crystal needs at least one atom: numbers is empty")
    if np.shape(frac_coords) != (len(numbers), 3):
        shape = np.shape(frac_coords)
        raise ValueError(f"{len(numbers)} atoms need as many rows x, y, z, not shape {shape}")
    if not np.isfinite(frac_coords).all():
        atom = np.flatnonzero(~np.isfinite(frac_coords).all(axis=1))[0]
        raise ValueError(f"atom {atom} is at {frac_coords[atom].tolist()}: give finite coordinates")
    check_elements(numbers)
