"""The free parameters of a crystal under its symmetry: the metric of its cell, and atom shifts."""

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import STEPS, SpaceGroup, normalizer, space_group

_ZERO = 1e-6
"""The singular value below which a value is a rounding error; true ones are of order one."""


def free_metrics(group: SpaceGroup) -> Float[np.ndarray, "p 3 3"]:
    """Return a basis of the reciprocal metric tensors that a space group allows.

    They refer to its standard primitive cell: W G* W^T = G* for every rotation W.
    """
    units = np.zeros((6, 3, 3))
    for unit, i, j in zip(units, *np.triu_indices(3), strict=True):
        unit[i, j] = unit[j, i] = 1
    invariant = np.mean(group.rotations @ units[:, None] @ group.rotations.mT, axis=1)
    _, size, basis = np.linalg.svd(invariant.reshape(6, 9))
    return basis[: (size > _ZERO).sum()].reshape(-1, 3, 3)


def free_shifts(crystal: Material) -> Float[np.ndarray, "p n 3"]:
    """Return a basis of the shifts of the atoms that keep the space group and the origin.

    A shift u of all atoms keeps an operation x -> W x + w that maps atom i to atom j if
    u_j = W u_i. The mean over the operations projects any shift onto the shifts that keep all of
    them. In a polar group these include shifts of the whole crystal along the polar directions.
    They change no powder pattern and are left out.

    Args:
        crystal: crystal in its canonical cell.

    Returns:
        Shifts of the fractional coordinates; empty where symmetry fixes every atom.
    """
    group = space_group(crystal.space_group)
    images = _images(crystal, group.rotations, group.translations)
    atoms = np.arange(len(crystal.numbers))
    mean = np.zeros((len(atoms), 3, len(atoms), 3))
    for rotation, image in zip(group.rotations, images, strict=True):
        mean[image, :, atoms, :] += rotation / len(group.rotations)
    free = _span(mean.reshape(3 * len(atoms), -1))
    whole = _span(np.tile(normalizer(crystal.space_group).polar, (len(atoms), 1)).astype(float))
    return _span(free - whole @ (whole.T @ free)).T.reshape(-1, len(atoms), 3)


def _images(
    crystal: Material,
    rotations: Integer[np.ndarray, "m 3 3"],
    translations: Integer[np.ndarray, "m 3"],
) -> Integer[np.ndarray, "m n"]:
    """Return the index of the atom to which each operation maps each atom."""
    moved = crystal.frac_coords @ rotations.mT + translations[:, None] / STEPS
    gaps = moved[:, :, None] - crystal.frac_coords
    distance = np.abs(gaps - np.rint(gaps)).sum(axis=-1)
    other = crystal.numbers[:, None] != crystal.numbers
    return np.where(other, np.inf, distance).argmin(axis=-1)


def _span(columns: Float[np.ndarray, "m k"]) -> Float[np.ndarray, "m r"]:
    """Return an orthonormal basis of the span of columns."""
    basis, size, _ = np.linalg.svd(columns, full_matrices=False)
    return basis[:, size > _ZERO]
