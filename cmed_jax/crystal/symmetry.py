"""Space groups on their standard primitive cells, their normalizers, and their names."""

from functools import cache
from itertools import combinations
from typing import NamedTuple

import gemmi
import moyopy
import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.lattice import PRIMITIVE
from cmed_jax.crystal.material import crystal_system

# Shifts of origin between equivalent descriptions are multiples of 1/24 of the primitive cell.
STEPS = 24

SETTING = moyopy.Setting.spglib()  # the first Hall number of each space group

MIRRORED = {
    78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178, 181: 180,
    213: 212,
}  # fmt: skip
"""The space groups whose mirror image has a smaller number, with that number."""


class SpaceGroup(NamedTuple):
    """A space group on its standard primitive cell.

    Attributes:
        cell: matrix M with (a_p, b_p, c_p) = (a, b, c) M, from the standard to the primitive cell.
        rotations: W of each operation x -> W x + w, modulo the lattice.
        translations: w of each operation, in multiples of 1/24.
        laue: W and -W of all operations, the group that relates equal reflections.
    """

    cell: Float[np.ndarray, "3 3"]
    rotations: Integer[np.ndarray, "m 3 3"]
    translations: Integer[np.ndarray, "m 3"]
    laue: Integer[np.ndarray, "p 3 3"]


class Normalizer(NamedTuple):
    """The Euclidean normalizer of a space group on its standard primitive cell, modulo the group.

    Attributes:
        rotations: R of one isometry x -> R x + t for each coset.
        translations: t of each isometry.
        polar: Q, for which any shift x -> x + Q y of the origin also belongs to the normalizer. Q
            is integral and Q Q = Q, so x - Q x is free of such a shift.
    """

    rotations: Integer[np.ndarray, "k 3 3"]
    translations: Float[np.ndarray, "k 3"]
    polar: Integer[np.ndarray, "3 3"]


@cache
def space_group(number: int) -> SpaceGroup:
    """Return the space group of a number, in the setting of the canonical cell."""
    operations = moyopy.operations_from_number(number, setting=SETTING)
    cell = PRIMITIVE[centring_of(number)]
    inverse = np.linalg.inv(cell)
    rotations = np.rint(inverse @ operations.rotations @ cell).astype(int)
    translations = np.rint(STEPS * np.array(operations.translations) @ inverse.T).astype(int)
    first = np.unique(rotations, axis=0, return_index=True)[1]
    laue = np.unique(np.concatenate([rotations, -rotations]), axis=0)
    return SpaceGroup(cell, rotations[first], translations[first], laue)


@cache
def normalizer(number: int) -> Normalizer:
    """Return the normalizer of the space group of a number, on its primitive cell.

    It includes only isometries that every lattice of the group's Bravais type allows.
    """
    _, rotations, translations, _ = space_group(number)
    polar = _polar_shifts(rotations)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    seen: set[bytes] = set()
    for candidate in _holohedry(rotations):
        coset = {(candidate @ rotation).tobytes() for rotation in rotations}
        if coset & seen:
            continue
        seen |= coset
        for origin in _origins(candidate, rotations, translations, polar):
            found.append((candidate, origin))
    isometries, origins = zip(*found, strict=True)
    return Normalizer(np.stack(isometries), np.stack(origins), polar)


def invariant_metric(
    metric: Float[np.ndarray, "3 3"], rotations: Integer[np.ndarray, "m 3 3"]
) -> Float[np.ndarray, "3 3"]:
    """Return the mean of a metric tensor over a point group."""
    return np.mean(rotations.mT @ metric @ rotations, axis=0)


def _holohedry(rotations: Integer[np.ndarray, "m 3 3"]) -> Integer[np.ndarray, "k 3 3"]:
    """Return the point group of an otherwise general lattice with these rotations."""
    general = np.array([[1.0, 0.12, 0.23], [0.12, 1.7, 0.31], [0.23, 0.31, 2.6]])
    metric = invariant_metric(general, rotations)
    matrices = np.indices([3] * 9).reshape(9, -1).T.reshape(-1, 3, 3) - 1
    return matrices[np.isclose(matrices.mT @ metric @ matrices, metric).all(axis=(1, 2))]


def _polar_shifts(rotations: Integer[np.ndarray, "m 3 3"]) -> Integer[np.ndarray, "3 3"]:
    """Return the integral Q with Q Q = Q and columns that span all invariant directions."""
    invariant = np.mean(rotations, axis=0)
    rank = round(np.trace(invariant))
    basis = np.linalg.svd(invariant).U[:, :rank]
    polar = np.zeros((3, 3), int)
    for pivots in map(list, combinations(range(3), rank)):
        if abs(np.linalg.det(basis[pivots])) > 1e-6:
            polar[:, pivots] = np.rint(basis @ np.linalg.inv(basis[pivots]))
            break
    return polar


def _origins(
    rotation: Integer[np.ndarray, "3 3"],
    rotations: Integer[np.ndarray, "m 3 3"],
    translations: Integer[np.ndarray, "m 3"],
    polar: Integer[np.ndarray, "3 3"],
) -> Float[np.ndarray, "k 3"]:
    """Return every t for which x -> R x + t maps the space group onto itself.

    The isometry turns (W, w) into (W', R w + t - W' t) with W' = R W / R. This must again be an
    operation (W', w') of the group: (1 - W') t = w' - R w modulo the lattice. The free part of t
    along polar directions is set to zero.
    """
    index = {matrix.tobytes(): i for i, matrix in enumerate(rotations)}
    inverse = np.rint(np.linalg.inv(rotation)).astype(int)
    origins = np.indices((STEPS, STEPS, STEPS)).reshape(3, -1).T
    for image, translation in zip(rotation @ rotations @ inverse, translations, strict=True):
        if image.tobytes() not in index:
            return np.zeros((0, 3))
        target = translations[index[image.tobytes()]] - rotation @ translation
        misfit = origins - origins @ image.T - target
        origins = origins[(misfit % STEPS == 0).all(axis=1)]
    return np.unique((origins - origins @ polar.T) % STEPS, axis=0) / STEPS


def either_hand(number: int) -> int:
    """Return the number of a space group, or of its mirror image if that is smaller.

    A powder pattern does not tell the eleven pairs of enantiomorphic groups apart.
    """
    return MIRRORED.get(number, number)


def lattice_type_of(space_group: int | None) -> str:
    """Return the lattice type of a space group, such as "hexagonal R" for number 167.

    Raises:
        ValueError: the number is unknown or not 1-230.
    """
    system = crystal_system(space_group)
    assert space_group is not None  # crystal_system has raised otherwise
    centring = moyopy.SpaceGroupType(space_group).hm_short[0]
    return f"{'hexagonal' if system == 'trigonal' else system} {centring}"


def centring_of(space_group: int | None) -> str:
    """Return the centring of the standard conventional cell of a space group, such as "R".

    Raises:
        ValueError: the number is unknown or not 1-230.
    """
    return lattice_type_of(space_group)[-1]


def space_group_name(number: int) -> str:
    """Return symbol and number of a space group, as in "Fm-3m (225)"."""
    symbol = gemmi.find_spacegroup_by_number(number).short_name()
    return f"{symbol.replace('H', 'R')} ({number})"  # H: gemmi's R on hexagonal axes
