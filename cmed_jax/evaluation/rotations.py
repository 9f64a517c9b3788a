"""The 24 proper rotations of the cube about the periodic origin, as exact operations on a grid.

A rotation R is a signed permutation matrix of determinant +1. It moves fractional coordinate x to
R x, and so voxel i of an n^3 grid to voxel R i modulo n. Index 0 stays in place, i becomes -i mod n
under a half-turn, and no value is interpolated. (A rotation of the array, such as `numpy.rot90`,
turns about index (n - 1) / 2 instead, which is off the lattice by one voxel.)
"""

from itertools import permutations, product

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Integer


def _proper_rotations() -> Int[np.ndarray, "24 3 3"]:
    signed_permutations = [
        np.diag(signs) @ np.eye(3, dtype=int)[list(order)]
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    ]
    return np.stack([m for m in signed_permutations if round(np.linalg.det(m)) == 1])


ROTATIONS = _proper_rotations()
"""The rotations as integer matrices on columns of fractional coordinates, identity first."""


def source_voxels(
    rotation: Integer[Array | np.ndarray, "3 3"], n: int, *, as_array: bool = False
) -> Integer[Array, "n n n"]:
    """Return the flat index of the voxel that moves to each voxel of an n^3 grid."""
    fixed = (n - 1) * as_array  # twice the index that stays in place
    voxel = 2 * jnp.indices((n, n, n)).reshape(3, -1) - fixed
    source = (jnp.asarray(rotation).T @ voxel + fixed) // 2 % n  # the transpose is the inverse
    return jnp.ravel_multi_index(tuple(source), (n, n, n), mode="clip").reshape(n, n, n)


def rotate(
    volumes: Float[Array | np.ndarray, "*batch a b c"],
    rotation: Integer[Array | np.ndarray, "3 3"],
    *,
    as_array: bool = False,
) -> Float[Array, "*batch a b c"]:
    """Rotate volumes about the periodic origin.

    Args:
        volumes: the densities, on grids of equal axes.
        rotation: one of `ROTATIONS`.
        as_array: whether to rotate about index (n - 1) / 2 instead, as `numpy.rot90` does.

    Raises:
        ValueError: if the axes of the grid differ, so that a rotation would not map it to itself.
    """
    *batch, a, b, c = volumes.shape
    if not a == b == c:
        raise ValueError(f"a grid of {(a, b, c)} voxels cannot be rotated; its axes must be equal")
    flat = jnp.asarray(volumes).reshape(*batch, a**3)
    return flat[..., source_voxels(rotation, a, as_array=as_array)]
