"""The canonical cell: one description of each crystal, for any cell that its source chose.

moyo transforms a crystal to the standard primitive cell of its space group. Several equivalent
descriptions remain, related by the Euclidean normalizer of the space group (International Tables A,
chapter 3.5): the isometries that map the symmetry elements, but not the atoms, onto themselves. In
rock salt they exchange sodium and chlorine; in a polar group they shift the origin along the axis.

The canonical description is the one that comes first when the atoms are listed by rounded
coordinates, starting with the most electropositive element. This element lies at the origin where
symmetry allows it, and related compounds have related targets.

Mirror images count as equivalent, because a powder pattern cannot distinguish them. Of a pair of
enantiomorphic space groups, such as P3_121 and P3_221, the description has the smaller number.
"""

import logging
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import moyopy
import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import (
    MIRRORED,
    SETTING,
    STEPS,
    Normalizer,
    SpaceGroup,
    invariant_metric,
    normalizer,
    space_group,
)

SYMPREC = 0.1
"""The tolerance of the symmetry search, angstrom; the space groups of sources use it as well."""
SHORTEST, LONGEST = 0.5, 1000.0
"""The lengths of axes, angstrom, beyond which no crystal is; moyo does not come back from some."""
LARGEST_COORDINATE = 1000.0
"""The largest fractional coordinate; rounding spoils larger ones, and moyo panics."""
_TOLERANCES = 0.9 ** np.arange(40)  # shares of SYMPREC, tried where the operations form no group

# Coordinates compare in thousandths; their boundaries avoid the multiples of 1/24 and 1/64.
_RESOLUTION, _BIAS = 1000, 0.5625

# moyo warns of supercells with less symmetry than the crystal; only that of the crystal matters.
logging.getLogger("moyo").setLevel(logging.ERROR)


class CellChange(NamedTuple):
    """A change of cell and origin, x' = matrix x + shift (columns of fractional coordinates)."""

    matrix: Integer[np.ndarray, "3 3"]
    shift: Float[np.ndarray, "3"]


def canonical_cell(material: Material, symprec: float = SYMPREC) -> Material:
    """Return the material in its canonical primitive cell, with the space group that moyo finds.

    A material whose space group has a mirror image with a smaller number is mirrored. The cell is
    idealised: lattice and coordinates obey the symmetry exactly. The density is
    removed, because it is sampled on the old cell. `canonical_description` also returns the change
    of cell, with which a density can be resampled.

    Raises:
        ValueError: no symmetry was found, for instance because atoms coincide.
    """
    return canonical_description(material, symprec)[0]


def canonical_description(
    material: Material, symprec: float = SYMPREC
) -> tuple[Material, CellChange]:
    """Return the material in its canonical cell, and the change from the old cell to it.

    Args:
        material: a crystal in any cell.
        symprec: tolerance of the symmetry search, angstrom.

    Raises:
        ValueError: no symmetry was found, for instance because atoms coincide.
    """
    dataset, hand = _symmetry(material, symprec), 1
    if dataset.number in MIRRORED:
        hand = -1
        dataset = _symmetry(replace(material, frac_coords=-material.frac_coords), symprec)
    group = space_group(dataset.number)
    to_primitive = np.linalg.inv(group.cell)
    to_standard = np.linalg.inv(dataset.std_linear)
    matrix = hand * np.rint(to_primitive @ to_standard).astype(int)
    shift = -to_primitive @ to_standard @ dataset.std_origin_shift
    old_lattice = np.linalg.inv(matrix).T @ material.lattice
    metric = invariant_metric(old_lattice @ old_lattice.T, group.rotations)
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
    """Return the material in its own cell, with the space group that moyo finds.

    Raises:
        ValueError: moyo finds no symmetry.
    """
    return replace(material, space_group=_symmetry(material, symprec).number)


def _symmetry(material: Material, symprec: float) -> moyopy.MoyoDataset:
    """Return the symmetry at the largest tolerance, at most `symprec`, that gives a space group.

    Raises:
        ValueError: moyo finds no symmetry, the structure has no atoms, a number is not finite,
            an axis is shorter or longer than that of any crystal, or an atom is far outside the
            cell.
    """
    lattice, coords, numbers = material.lattice, material.frac_coords, material.numbers
    if not (np.isfinite(lattice).all() and np.isfinite(coords).all()):
        raise ValueError("the structure holds numbers that are not finite")
    if not len(numbers):
        raise ValueError("the structure holds no atom")
    if np.abs(coords).max() > LARGEST_COORDINATE:
        raise ValueError(f"a coordinate is {np.abs(coords).max():.4g}: give fractions of the axes")
    lengths = np.linalg.norm(lattice, axis=1)
    if lengths.min() < SHORTEST or lengths.max() > LONGEST:
        axes = ", ".join(f"{length:.4g}" for length in lengths)
        raise ValueError(f"the axes are {axes} angstrom long: give a cell of a crystal in angstrom")
    cell = moyopy.Cell(lattice.tolist(), coords.tolist(), numbers.tolist())
    try:
        for tolerance in symprec * _TOLERANCES:
            dataset = moyopy.MoyoDataset(cell, symprec=tolerance, setting=SETTING)
            # By default moyo halves its tolerance, which misses groups, or exceeds it.
            if dataset.symprec == tolerance:
                break
    except ValueError as error:
        raise ValueError(f"moyo finds no symmetry within {symprec} angstrom: {error}") from None
    return dataset


def _merge_copies(
    coords: Float[np.ndarray, "n 3"], copies: Integer[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "k 3"], Integer[np.ndarray, " k"]]:
    """Return the mean of each set of translated copies, and the index of the first of each set."""
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

    Unlike the idealisations of spglib and moyo, the mean does not depend on the cell or origin of
    the distorted crystal. An error of the origin averages out, or lies along a polar direction.
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
    """Return R and t of the isometry x -> R x + t of the normalizer with the first result."""
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
    """Return the normalizer's isometries, with each anchor atom at zero along polar directions."""
    rotations, shifts, polar = normal
    if not polar.any():
        return rotations, shifts
    images = anchors @ rotations.mT + shifts[:, None]
    shifts = shifts[:, None] - images @ polar.T
    return np.repeat(rotations, len(anchors), axis=0), shifts.reshape(-1, 3)


@cache
def _electronegativity_ranks() -> Integer[np.ndarray, "119"]:
    """Return the rank of each atomic number, the most electropositive first.

    Elements are sorted by Pauling's electronegativity, then by atomic number. Elements without an
    electronegativity come last.
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
    """Return coordinates in [0, 1); values a rounding error below 1 become 0."""
    return np.maximum(coords - np.floor(coords + 1e-6), 0.0)


def _keys(coords: Float[np.ndarray, "*n 3"]) -> Integer[np.ndarray, "*n"]:
    """Return one integer for each atom, with the sorting order of its rounded coordinates."""
    x, y, z = np.moveaxis(np.floor(_RESOLUTION * coords + _BIAS).astype(int) % _RESOLUTION, -1, 0)
    return (x * _RESOLUTION + y) * _RESOLUTION + z
