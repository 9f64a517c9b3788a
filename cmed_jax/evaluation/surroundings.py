"""Where in the cell a prediction is wrong: at the atoms, or between them.

The atoms are those of the true structure, and distances are periodic, in its true cell. Near the
nuclei lie the cores, most of the electrons in few of the voxels; far from them the voids, most of
the voxels.
"""

import numpy as np
from jaxtyping import Array, Bool, Float

from cmed_jax.crystal.material import Material
from cmed_jax.physics.cell import reciprocal_lattice

AT_ATOMS = 0.75
"""Voxels within this distance of an atom are at it, angstrom."""

BETWEEN = 1.2
"""Voxels beyond this distance from every atom are between them, angstrom."""


def within(crystal: Material, radius: float, shape: tuple[int, ...]) -> Bool[np.ndarray, "a b c"]:
    """Return which points i/n of the cell have an atom within a radius (angstrom)."""
    near = np.zeros(shape, bool)
    # Planes of lattice points are 1 / |a*| apart: the sphere reaches this far along each axis.
    reach = radius * np.linalg.norm(reciprocal_lattice(crystal.lattice), axis=1)
    for position in crystal.frac_coords:
        low = np.ceil((position - reach) * shape).astype(int)
        high = np.floor((position + reach) * shape).astype(int)
        points = [np.arange(i, j + 1) for i, j in zip(low, high, strict=True)]
        h, k, ell = np.ix_(*(i / n - x for i, n, x in zip(points, shape, position, strict=True)))
        squared = sum((h * a + k * b + ell * c) ** 2 for a, b, c in crystal.lattice.T)
        voxels = np.argwhere(squared <= radius**2) + low
        near[tuple((voxels % shape).T)] = True
    return near


def nmae_where(
    mask: Bool[np.ndarray, "a b c"],
    truth: Float[np.ndarray, "a b c"],
    predictions: Float[Array | np.ndarray, "k a b c"],
) -> Float[np.ndarray, " k"]:
    """Return mean |prediction - truth| / mean |truth| over some voxels; 0 where there are none.

    A truth that is zero there has no magnitude, and 1 is taken in its place.
    """
    errors = np.abs(np.asarray(predictions)[:, mask] - truth[mask]).sum(axis=1, dtype=float)
    magnitude = np.abs(truth[mask]).sum(dtype=float)
    return errors / (magnitude if magnitude > 0 else max(mask.sum(), 1))
