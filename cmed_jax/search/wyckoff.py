"""Wyckoff positions of all space groups, derived from their operations on the primitive cell.

Two points belong to one Wyckoff position where the operations that keep them fixed are conjugate
(International Tables A, section 1.4.4). All special points, and points of all special lines and
planes, lie on a grid of 24ths of the primitive cell. For each grid point the operations that keep
it are determined. They define the line or plane that the point lies on. The position consists of
the images of this line or plane.

The setting is that of `cmed_jax.crystal.canonical` except for the origin. Where the group has
centres of symmetry, the origin is one of them, so that structure factors are real.
"""

import itertools
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from cmed_jax.crystal.symmetry import STEPS, normalizer, space_group

_SMALL = np.array(
    sorted(itertools.product(range(-3, 4), repeat=3), key=lambda v: (np.abs(v).sum(), v[::-1]))
)[1:]
"""The integral vectors from which directions of lines and planes are taken, shortest first."""


class Position(NamedTuple):
    """A Wyckoff position: atoms at linear p + offset for its free coordinates p.

    Attributes:
        linear: the matrix of each atom of the primitive cell; the first is the representative atom.
        offset: the offset of each atom, in fractional coordinates.
        kept: whether each operation keeps the representative atom in its place.
    """

    linear: Float[np.ndarray, "n 3 f"]
    offset: Float[np.ndarray, "n 3"]
    kept: Bool[np.ndarray, " m"]

    @property
    def multiplicity(self) -> int:
        """The number of atoms in the primitive cell."""
        return self.linear.shape[0]

    @property
    def free(self) -> int:
        """The number of free coordinates."""
        return self.linear.shape[2]


class Wyckoff(NamedTuple):
    """A space group on its primitive cell with all its Wyckoff positions.

    Attributes:
        number: the number of the space group.
        rotations: W of each operation x -> W x + w.
        translations: w of each operation, in multiples of 1/24.
        origin: the origin of this description in that of `cmed_jax.crystal.canonical`, fractional.
        centric: whether there is a centre of symmetry, which then is the origin.
        positions: the Wyckoff positions, the special ones first, the general position last.
        equivalent: the image of each position under each isometry of the Euclidean normalizer,
            without repeated rows; the first row is the identity.
        labels: the position of each point of the grid of 24ths.
    """

    number: int
    rotations: Integer[np.ndarray, "m 3 3"]
    translations: Integer[np.ndarray, "m 3"]
    origin: Float[np.ndarray, "3"]
    centric: bool
    positions: tuple[Position, ...]
    equivalent: Integer[np.ndarray, "k w"]
    labels: Integer[np.ndarray, "24 24 24"]


@cache
def wyckoff(number: int) -> Wyckoff:
    """Return the Wyckoff positions of a space group by its number.

    `len(wyckoff(225).positions)` is 12: the letters a to l of Fm-3m.

    Raises:
        ValueError: there is no such space group.
    """
    if not 1 <= number <= 230:
        raise ValueError(f"space group {number} does not exist: give a number from 1 to 230")
    group = space_group(number)
    rotations = group.rotations
    centre, centric = _centre(rotations, group.translations)
    translations = (group.translations + centre @ (rotations - np.eye(3, dtype=int)).mT) % STEPS
    grid = np.indices([STEPS] * 3).reshape(3, -1).T
    kept = _kept(grid, rotations, translations)
    labels = np.full([STEPS] * 3, -1)
    found: list[tuple[Position, np.ndarray]] = []
    # Special points come first. The points of a line or plane that remain are general on it.
    left = np.argsort(-kept.sum(axis=1), kind="stable")
    while len(left):
        point = grid[left[0]]
        position, members = _position(point, kept, kept[left[0]], rotations, translations)
        labels[tuple(members.T)] = len(found)
        found.append((position, point))
        left = left[labels.ravel()[left] < 0]
    positions, points = zip(*found, strict=True)
    equivalent = _equivalent(number, centre, np.array(points), labels)
    return Wyckoff(
        number, rotations, translations, centre / STEPS, centric, positions, equivalent, labels
    )


def position_of(group: Wyckoff, coords: Float[np.ndarray, "3"]) -> int:
    """Return the index in `group.positions` of a point in fractional coordinates.

    Args:
        group: the space group, in the description of the coordinates.
        coords: the coordinates, exact to about 1e-4.
    """
    moved = group.rotations @ coords + group.translations / STEPS - coords
    kept = (np.abs(moved - np.rint(moved)) < 1e-3).all(axis=1)
    for place, position in enumerate(group.positions):
        if position.kept.sum() != kept.sum():
            continue
        for linear, offset in zip(position.linear, position.offset, strict=True):
            if _on_flat(coords - offset, linear):
                return place
    return len(group.positions) - 1


def _on_flat(gap: Float[np.ndarray, "3"], linear: Float[np.ndarray, "3 f"]) -> bool:
    """Return whether a point is in the span of the columns, modulo the lattice."""
    gaps = (gap - np.rint(gap)) + np.array(list(itertools.product(range(-2, 3), repeat=3)))
    across = gaps - gaps @ (linear @ np.linalg.pinv(linear)).T
    return bool((np.abs(across) < 1e-3).all(axis=1).any())


def _centre(
    rotations: Integer[np.ndarray, "m 3 3"], translations: Integer[np.ndarray, "m 3"]
) -> tuple[Integer[np.ndarray, "3"], bool]:
    """Return a centre of symmetry in 24ths, zero where there is none, and whether there is one."""
    inversion = (rotations == -np.eye(3, dtype=int)).all(axis=(1, 2))
    if not inversion.any():
        return np.zeros(3, int), False
    return translations[inversion.argmax()] % STEPS // 2, True


def _kept(
    grid: Integer[np.ndarray, "g 3"],
    rotations: Integer[np.ndarray, "m 3 3"],
    translations: Integer[np.ndarray, "m 3"],
) -> Bool[np.ndarray, "g m"]:
    """Return which operations keep each grid point, modulo the lattice."""
    # Integers of 16 bits and a loop over the operations keep the arrays in the cache.
    points = grid.T.astype(np.int16)
    moves = (rotations - np.eye(3, dtype=int)).astype(np.int16)
    kept = np.zeros((len(grid), len(rotations)), bool)
    for place, (move, shift) in enumerate(zip(moves, translations.astype(np.int16), strict=True)):
        kept[:, place] = ((move @ points + shift[:, None]) % STEPS == 0).all(axis=0)
    return kept


def _position(
    point: Integer[np.ndarray, "3"],
    kept_of_all: Bool[np.ndarray, "g m"],
    kept: Bool[np.ndarray, " m"],
    rotations: Integer[np.ndarray, "m 3 3"],
    translations: Integer[np.ndarray, "m 3"],
) -> tuple[Position, Integer[np.ndarray, "q 3"]]:
    """Return the position of a grid point, and all grid points of that position, with repeats."""
    basis = _directions(rotations[kept])
    free = basis.shape[1]
    steps = np.indices([STEPS] * free).reshape(free, STEPS**free).T
    flat = (point + steps @ basis.T) % STEPS
    same = (kept_of_all[np.ravel_multi_index(tuple(flat.T), [STEPS] * 3)] == kept).all(axis=1)
    members = flat[same]
    if free < 3:  # a general position has all remaining points already
        members = (members @ rotations.mT + translations[:, None]).reshape(-1, 3) % STEPS
    # Each coset of the operations that keep the point gives one image.
    first = flat[np.lexsort(flat.T[::-1])[0]]
    linear, offset = rotations @ basis, (rotations @ first + translations) % STEPS
    cosets = np.concatenate([linear.reshape(len(linear), -1), offset], axis=1)
    once = np.sort(np.unique(cosets, axis=0, return_index=True)[1])
    # The identity's image is the representative.
    once = once[np.argsort((rotations[once] != np.eye(3)).any(axis=(1, 2)), kind="stable")]
    return Position(linear[once].astype(float), offset[once] / STEPS, kept), members


def _directions(kept: Integer[np.ndarray, "m 3 3"]) -> Integer[np.ndarray, "3 f"]:
    """Return columns that span all integral vectors that every rotation keeps."""
    free = round(float(np.trace(kept, axis1=1, axis2=2).mean()))
    fixed = _SMALL[(np.einsum("mij,vj->vmi", kept, _SMALL) == _SMALL[:, None]).all(axis=(1, 2))]
    if free == 3:
        return np.eye(3, dtype=int)
    if free < 2:
        return fixed[:free].T
    normals = np.cross(fixed[0], fixed)
    primitive = np.gcd.reduce(normals, axis=1) == 1
    return fixed[[0, int(primitive.argmax())]].T


def _equivalent(
    number: int,
    centre: Integer[np.ndarray, "3"],
    points: Integer[np.ndarray, "w 3"],
    labels: Integer[np.ndarray, "24 24 24"],
) -> Integer[np.ndarray, "k w"]:
    """Return the images of the positions of grid points under the isometries of the normalizer."""
    rotations, shifts, _ = normalizer(number)
    shifts = np.rint(STEPS * shifts).astype(int) + centre @ (rotations - np.eye(3, dtype=int)).mT
    images = (points @ rotations.mT + shifts[:, None]) % STEPS
    rows = np.unique(labels[tuple(np.moveaxis(images, -1, 0))], axis=0)
    identity = (rows == np.arange(len(points))).all(axis=1)
    return rows[np.argsort(~identity, kind="stable")]
