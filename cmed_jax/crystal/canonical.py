"""The canonical cell: one crystal has one description, whatever cell its source chose.

moyo brings a crystal to the standard primitive cell of its space group. What that leaves open is
the Euclidean normalizer of the space group (International Tables A, chapter 3.5): the isometries
that carry the symmetry elements onto themselves, but not the atoms. In rock salt they exchange
sodium and chlorine; in a polar group they shift the origin along the axis. Of all these equivalent
descriptions the one is taken that comes first when the atoms are listed from the most
electropositive element on, by rounded coordinates. So the most electropositive element comes to the
origin where symmetry allows it, and related compounds have related targets.

Mirror images count as equivalent: a powder pattern cannot tell them apart.
"""

import logging
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import NamedTuple

import moyopy
import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.lattice import PRIMITIVE
from cmed_jax.crystal.material import Material

SYMPREC = 0.1
"""Tolerance of the symmetry search in angstrom, as for the space groups of the sources."""
_TOLERANCES = 0.9 ** np.arange(40)  # as shares of that, where what is found at it forms no group

# Shifts of origin between equivalent descriptions are multiples of 1/24 of the primitive cell.
STEPS = 24
# Coordinates compare in thousandths, whose boundaries keep away from multiples of 1/24 and 1/64.
_RESOLUTION, _BIAS = 1000, 0.5625

_SETTING = moyopy.Setting.spglib()  # the first Hall number of each space group
# It warns of supercells whose shape has less symmetry than the crystal; only the crystal's counts.
logging.getLogger("moyo").setLevel(logging.ERROR)


class SpaceGroup(NamedTuple):
    """A space group on its standard primitive cell.

    Attributes:
        cell: (a_p, b_p, c_p) = (a, b, c) M of that cell in the standard one.
        rotations: W of each operation x -> W x + w, modulo the lattice.
        translations: w of each in multiples of 1/24.
        laue: W and -W of all operations: the group that turns equal reflections into each other.
    """

    cell: Float[np.ndarray, "3 3"]
    rotations: Integer[np.ndarray, "m 3 3"]
    translations: Integer[np.ndarray, "m 3"]
    laue: Integer[np.ndarray, "p 3 3"]


class CellChange(NamedTuple):
    """A change of cell and origin, x' = matrix x + shift (columns of fractional coordinates)."""

    matrix: Integer[np.ndarray, "3 3"]
    shift: Float[np.ndarray, "3"]


class Normalizer(NamedTuple):
    """The Euclidean normalizer of a space group on its standard primitive cell, modulo the group.

    Attributes:
        rotations: R of one isometry x -> R x + t for each coset.
        translations: t of each.
        polar: Q, such that any shift x -> x + Q y of the origin belongs to the normalizer as well.
            It is integral and Q Q = Q, so that x - Q x is free of such a shift.
    """

    rotations: Integer[np.ndarray, "k 3 3"]
    translations: Float[np.ndarray, "k 3"]
    polar: Integer[np.ndarray, "3 3"]


def canonical_cell(material: Material, symprec: float = SYMPREC) -> Material:
    """Return the material in its canonical primitive cell, with the space group that moyo finds.

    The cell is idealised: lattice and coordinates obey the symmetry exactly. A density stays
    behind, as it is sampled on the old cell; `canonical_description` says how to carry it over.

    Raises:
        ValueError: no symmetry was found, for instance because atoms coincide.
    """
    return canonical_description(material, symprec)[0]


def canonical_description(
    material: Material, symprec: float = SYMPREC
) -> tuple[Material, CellChange]:
    """Return the material in its canonical cell, and the change of cell that leads there.

    Args:
        material: a crystal in any cell.
        symprec: tolerance of the symmetry search, angstrom.

    Raises:
        ValueError: no symmetry was found, for instance because atoms coincide.
    """
    dataset = _symmetry(material, symprec)
    group = space_group(dataset.number)
    to_primitive = np.linalg.inv(group.cell)
    to_standard = np.linalg.inv(dataset.std_linear)
    matrix = np.rint(to_primitive @ to_standard).astype(int)
    shift = -to_primitive @ to_standard @ dataset.std_origin_shift
    old_lattice = np.linalg.inv(matrix).T @ material.lattice
    metric = _invariant(old_lattice @ old_lattice.T, group.rotations)
    copies = np.array(dataset.mapping_std_prim)
    coords, first = _merge_copies(material.frac_coords @ matrix.T + shift, copies)
    numbers = material.numbers[first]
    coords = _symmetrized(coords, numbers, metric, group)
    rotation, origin = _first_description(numbers, coords, normalizer(dataset.number))
    coords = _in_cell(coords @ rotation.T + origin)
    order = np.lexsort((_keys(coords), electropositivity(numbers)))
    canonical = replace(
        material,
        lattice=group.cell.T @ np.linalg.cholesky(to_primitive.T @ metric @ to_primitive),
        numbers=numbers[order],
        frac_coords=coords[order],
        space_group=dataset.number,
        density=None,
    )
    return canonical, CellChange(rotation @ matrix, rotation @ shift + origin)


def with_space_group(material: Material, symprec: float = SYMPREC) -> Material:
    """Return the material as it is, with the space group that moyo finds.

    Raises:
        ValueError: moyo finds no symmetry.
    """
    return replace(material, space_group=_symmetry(material, symprec).number)


def _symmetry(material: Material, symprec: float) -> moyopy.MoyoDataset:
    """Return the symmetry at the largest tolerance, at most `symprec`, that gives a space group.

    Raises:
        ValueError: moyo finds no symmetry, or there is nothing to search.
    """
    lattice, coords, numbers = material.lattice, material.frac_coords, material.numbers
    if not (np.isfinite(lattice).all() and np.isfinite(coords).all()):
        raise ValueError("the structure holds numbers that are not finite")
    if not len(numbers):
        raise ValueError("the structure holds no atom")
    cell = moyopy.Cell(lattice.tolist(), coords.tolist(), numbers.tolist())
    try:
        for tolerance in symprec * _TOLERANCES:
            dataset = moyopy.MoyoDataset(cell, symprec=tolerance, setting=_SETTING)
            # Left to itself moyo halves its tolerance, which misses groups, or goes beyond it.
            if dataset.symprec == tolerance:
                break
    except ValueError as error:
        raise ValueError(f"moyo finds no symmetry within {symprec} angstrom: {error}") from None
    return dataset


@cache
def space_group(number: int) -> SpaceGroup:
    """Return a space group by its number, in the setting of the canonical cell."""
    operations = moyopy.operations_from_number(number, setting=_SETTING)
    cell = PRIMITIVE[moyopy.SpaceGroupType(number).hm_short[0]]
    inverse = np.linalg.inv(cell)
    rotations = np.rint(inverse @ operations.rotations @ cell).astype(int)
    translations = np.rint(STEPS * np.array(operations.translations) @ inverse.T).astype(int)
    first = np.unique(rotations, axis=0, return_index=True)[1]
    laue = np.unique(np.concatenate([rotations, -rotations]), axis=0)
    return SpaceGroup(cell, rotations[first], translations[first], laue)


@cache
def normalizer(number: int) -> Normalizer:
    """Return the normalizer of a space group (by its number) on its primitive cell.

    Only isometries that every lattice of the group's Bravais type admits are counted.
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


def _invariant(
    metric: Float[np.ndarray, "3 3"], rotations: Integer[np.ndarray, "m 3 3"]
) -> Float[np.ndarray, "3 3"]:
    """Return the mean of a metric tensor over a point group."""
    return np.mean(rotations.mT @ metric @ rotations, axis=0)


def _holohedry(rotations: Integer[np.ndarray, "m 3 3"]) -> Integer[np.ndarray, "k 3 3"]:
    """Return the point group of a lattice that has these rotations and is otherwise general."""
    general = np.array([[1.0, 0.12, 0.23], [0.12, 1.7, 0.31], [0.23, 0.31, 2.6]])
    metric = _invariant(general, rotations)
    matrices = np.indices([3] * 9).reshape(9, -1).T.reshape(-1, 3, 3) - 1
    return matrices[np.isclose(matrices.mT @ metric @ matrices, metric).all(axis=(1, 2))]


def _polar_shifts(rotations: Integer[np.ndarray, "m 3 3"]) -> Integer[np.ndarray, "3 3"]:
    """Return Q with Q Q = Q, integral, whose columns span what every rotation leaves as it is."""
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
    """Return every t for which x -> R x + t carries the space group onto itself.

    It turns (W, w) into (W', R w + t - W' t) with W' = R W / R, which has to be an operation
    (W', w') of the group again: (1 - W') t = w' - R w modulo the lattice. Along polar directions t
    is free and left out.
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


def _merge_copies(
    coords: Float[np.ndarray, "n 3"], copies: Integer[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "k 3"], Integer[np.ndarray, " k"]]:
    """Return the mean of the atoms that are translates of one, and the index of the first each."""
    members = copies == np.arange(copies.max() + 1)[:, None]
    first = members.argmax(axis=1)
    deviations = coords - coords[first[copies]]
    deviations -= np.rint(deviations)
    return coords[first] + members @ deviations / members.sum(axis=1)[:, None], first


def _symmetrized(
    coords: Float[np.ndarray, "n 3"],
    numbers: Integer[np.ndarray, " n"],
    metric: Float[np.ndarray, "3 3"],
    group: SpaceGroup,
) -> Float[np.ndarray, "n 3"]:
    """Return the mean of the crystal's images under its space group.

    Unlike the idealisations of spglib and moyo the mean does not depend on which cell or origin the
    distorted crystal was given in: an error of the origin averages out, or lies along a polar
    direction.
    """
    edges = np.linalg.cholesky(metric)
    images = coords @ group.rotations.mT + group.translations[:, None] / STEPS
    ideal = coords.copy()
    for number in np.unique(numbers):
        same = np.flatnonzero(numbers == number)
        gaps = images[:, same, None] - coords[same]
        gaps -= np.rint(gaps)
        nearest = np.argmin(np.sum((gaps @ edges) ** 2, axis=-1), axis=1)[:, None, :, None]
        ideal[same] += np.take_along_axis(gaps, nearest, axis=1)[:, 0].mean(axis=0)
    return ideal


def _first_description(
    numbers: Integer[np.ndarray, " n"],
    coords: Float[np.ndarray, "n 3"],
    normal: Normalizer,
) -> tuple[Integer[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Return R and t of the isometry x -> R x + t of the normalizer whose result comes first."""
    ranks = electropositivity(numbers)
    rotations, shifts = _anchored(coords[ranks == ranks.min()], normal)
    for rank in np.unique(ranks):
        if len(shifts) == 1:
            break
        images = coords[ranks == rank] @ rotations.mT + shifts[:, None]
        listings = np.sort(_keys(images), axis=1)
        first = listings[np.lexsort(listings.T[::-1])[0]]
        ties = (listings == first).all(axis=1)
        rotations, shifts = rotations[ties], shifts[ties]
    return rotations[0], shifts[0]


def _anchored(
    anchors: Float[np.ndarray, "m 3"], normal: Normalizer
) -> tuple[Integer[np.ndarray, "k 3 3"], Float[np.ndarray, "k 3"]]:
    """Return the normalizer's isometries, along polar directions with each anchor atom at zero."""
    rotations, shifts, polar = normal
    if not polar.any():
        return rotations, shifts
    images = anchors @ rotations.mT + shifts[:, None]
    shifts = shifts[:, None] - images @ polar.T
    return np.repeat(rotations, len(anchors), axis=0), shifts.reshape(-1, 3)


@cache
def _electronegativity_ranks() -> Integer[np.ndarray, "119"]:
    """Return the rank of each atomic number, the most electropositive first.

    By Pauling's electronegativity, then by atomic number; elements without one come last.
    """
    from pymatgen.core import Element

    values = [Element.from_Z(z).data.get("X") or np.inf for z in range(1, 119)]
    ranks = np.zeros(119, int)
    ranks[1 + np.argsort(values, kind="stable")] = np.arange(1, 119)
    return ranks


def electropositivity(numbers: Integer[np.ndarray, "*n"]) -> Integer[np.ndarray, "*n"]:
    """Return the rank of atomic numbers, 1 for the most electropositive element."""
    return _electronegativity_ranks()[numbers]


def _in_cell(coords: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Return coordinates in [0, 1), where what lies a rounding error under 1 is 0."""
    return np.maximum(coords - np.floor(coords + 1e-6), 0.0)


def _keys(coords: Float[np.ndarray, "*n 3"]) -> Integer[np.ndarray, "*n"]:
    """Return one integer for each atom, which sorts as its rounded coordinates do."""
    x, y, z = np.moveaxis(np.floor(_RESOLUTION * coords + _BIAS).astype(int) % _RESOLUTION, -1, 0)
    return (x * _RESOLUTION + y) * _RESOLUTION + z
