"""The cell of a crystal: its reciprocal lattice, and checks of the lattice, the atoms and B."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from cmed_jax.physics.form_factors import check_elements

EDGES = (0.1, 1e4)
"""The smallest and largest length of a lattice vector, angstrom. Beyond them the unit is wrong."""
MOST_SHAKEN = 1000.0
"""The largest isotropic B, angstrom^2; it spreads an atom over 3.5 angstrom."""
FLAT = 1e-6
"""The share of the volume of a box with the same edges under which a cell counts as flat."""


def reciprocal_lattice(lattice: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """Return the rows a*, b*, c* in 1/angstrom: hkl @ rows has the length s = 1/d.

    Args:
        lattice: rows a, b, c in angstrom.

    Raises:
        ValueError: the lattice vectors are not finite, or span no volume.
    """
    check_lattice(lattice)
    return np.linalg.inv(lattice).T


def reciprocal_axes(lattice: Float[Array | np.ndarray, "3 3"]) -> Float[Array, "3 3"]:
    """Return the reciprocal lattice under `jax.jit`, without checks.

    The formula is a* = b x c / (a . b x c) and so on, because products compile in a fraction of the
    time of a factorisation.
    """
    a, b, c = lattice
    faces = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)])
    return faces / jnp.vdot(a, faces[0])


def cell_volume(lattice: Float[np.ndarray, "3 3"]) -> float:
    """Return the volume of a cell with rows a, b, c, angstrom^3."""
    # Written out, as every crystal needs it: numpy's functions take fifty times as long.
    (a, b, c), (d, e, f), (g, h, i) = np.asarray(lattice, float).tolist()
    return abs(a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g))


def check_lattice(lattice: Float[np.ndarray, "3 3"]) -> None:
    """Raise ValueError where lattice vectors are not finite, too short, too long, or coplanar."""
    rows = np.asarray(lattice).tolist()
    if not np.abs(lattice).max() <= EDGES[1]:  # also for NaN
        raise ValueError(f"lattice {rows} is no cell: give finite rows, in angstrom")
    lengths = np.linalg.norm(lattice, axis=1)
    if not (lengths >= EDGES[0]).all() or cell_volume(lattice) <= FLAT * np.prod(lengths):
        raise ValueError(f"lattice {rows} spans no volume: give three independent rows in angstrom")


def check_atoms(
    numbers: Integer[np.ndarray, " n"],
    frac_coords: Float[np.ndarray, "m 3"],
    occupancies: Float[np.ndarray, " k"],
) -> None:
    """Raise ValueError where atoms, elements, coordinates or occupancies are missing or invalid."""
    if not len(numbers):
        raise ValueError("a crystal needs at least one atom: numbers is empty")
    if np.shape(frac_coords) != (len(numbers), 3):
        shape = np.shape(frac_coords)
        raise ValueError(f"{len(numbers)} atoms need as many rows x, y, z, not shape {shape}")
    if not np.isfinite(frac_coords).all():
        atom = np.flatnonzero(~np.isfinite(frac_coords).all(axis=1))[0]
        raise ValueError(f"atom {atom} is at {frac_coords[atom].tolist()}: give finite coordinates")
    if len(occupancies) != len(numbers):
        raise ValueError(f"{len(numbers)} atoms need as many occupancies, not {len(occupancies)}")
    if not np.all((occupancies > 0) & (occupancies <= 1)):  # also for NaN
        span = f"{occupancies.min()} to {occupancies.max()}"
        raise ValueError(f"occupancies go from {span}: give numbers above 0, at most 1")
    check_elements(numbers)


def check_b_factor(b_factor: float) -> None:
    """Raise ValueError where an isotropic B, angstrom^2, is negative, too large or not finite."""
    if not 0 <= b_factor <= MOST_SHAKEN:  # also for NaN
        raise ValueError(f"b_factor is {b_factor}: give 0 to {MOST_SHAKEN:.0f} angstrom^2")
