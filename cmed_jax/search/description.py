"""Crystals by the Wyckoff positions of their space group, as the search describes structures."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.solid_solutions import UNSHARED, Shares
from cmed_jax.crystal.symmetry import STEPS, space_group
from cmed_jax.search.assignments import Assignment
from cmed_jax.search.chemistry import least_distances
from cmed_jax.search.formula_units import Contents
from cmed_jax.search.hydrogen import Placed, with_hydrogen
from cmed_jax.search.observed import ObservedLines, group_lines
from cmed_jax.search.order import SearchSpace
from cmed_jax.search.reflection_model import HYDROGEN, orbits_of, reflection_model
from cmed_jax.search.separations import Separations, atoms_of
from cmed_jax.search.settings import Setting
from cmed_jax.search.starts import Pools
from cmed_jax.search.wyckoff import Wyckoff, position_of, wyckoff

SAME_PLACE = 1e-3
"""The largest difference of coordinates that are the same, fractional."""
_SHIFTS = np.array(list(itertools.product(range(-2, 3), repeat=3)))


class Orbit(NamedTuple):
    """An orbit: the index of its element, its position, and its free coordinates."""

    element: int
    place: int
    free: Float[np.ndarray, " f"]


class Described(NamedTuple):
    """A crystal by the positions of its space group, without hydrogen.

    Attributes:
        group: the space group with its positions.
        numbers: the atomic numbers of the elements.
        assignment: the positions of its atoms.
        free: their free coordinates.
    """

    group: Wyckoff
    numbers: tuple[int, ...]
    assignment: Assignment
    free: Float[np.ndarray, " p"]

    @property
    def orbits(self) -> list[Orbit]:
        """The orbits of its atoms."""
        found, at = [], 0
        for element, place in orbits_of(self.assignment.places):
            free = self.group.positions[place].free
            found.append(Orbit(element, place, self.free[at : at + free]))
            at += free
        return found

    def with_orbits(self, orbits: Iterable[Orbit]) -> "Described":
        """Return other orbits of the same elements in the same space group."""
        ordered = sorted(orbits, key=lambda orbit: orbit[:2])
        places = tuple(
            tuple(orbit.place for orbit in ordered if orbit.element == each)
            for each in range(len(self.numbers))
        )
        free = np.concatenate([np.zeros(0), *(orbit.free for orbit in ordered)])
        return self._replace(assignment=Assignment(places, len(free), 0.0), free=free)


def describe(crystal: Material) -> Described:
    """Return a crystal by the positions of its space group."""
    group = wyckoff(crystal.space_group or 1)
    numbers = tuple(sorted({int(each) for each in crystal.numbers} - {HYDROGEN}))
    empty = Described(group, numbers, Assignment((), 0, 0.0), np.zeros(0))
    return empty.with_orbits(_orbits(crystal, group, numbers))


def search_space(
    crystal: Material, described: Described, lines: ObservedLines, shares: Shares = UNSHARED
) -> SearchSpace:
    """Return what a fit of any assignment of a crystal's atoms needs."""
    number, numbers = described.group.number, described.numbers
    to_primitive = space_group(number).cell.T
    groups = group_lines(lines, np.linalg.solve(to_primitive, crystal.lattice))
    setting = Setting(number, np.eye(3, dtype=int), crystal.lattice)
    model = reflection_model(setting, numbers, lines, groups, shares)
    counts = tuple(int((crystal.numbers == each).sum()) for each in numbers)
    hydrogen = int((crystal.numbers == HYDROGEN).sum())
    separations = Separations.of(crystal.lattice, least_distances(np.array(numbers)))
    pools = Pools(model, separations, counts)
    return SearchSpace(model, separations, pools, Contents(numbers, counts, hydrogen, 0.0))


def with_fitted(crystal: Material, described: Described, free: Float[np.ndarray, " p"]) -> Material:
    """Return a crystal with other free coordinates, and with its hydrogen at usual distances.

    Args:
        crystal: the crystal.
        described: its positions.
        free: the free coordinates of all atoms but hydrogen.
    """
    atoms = atoms_of(described.group, orbits_of(described.assignment.places))
    heavy = Placed(np.array(described.numbers)[atoms.element], atoms.coords(free[None])[0])
    placed = _with_hydrogen(crystal, described.group, heavy)
    coords = placed.coords + described.group.origin
    return replace(crystal, numbers=placed.numbers, frac_coords=coords)


def _orbits(crystal: Material, group: Wyckoff, numbers: Sequence[int]) -> Iterator[Orbit]:
    """Yield each orbit but hydrogen's."""
    coords = crystal.frac_coords - group.origin
    for element, number in enumerate(numbers):
        left = coords[crystal.numbers == number]
        while len(left):
            images = group.rotations @ left[0] + group.translations / STEPS
            gaps = left[:, None] - images
            same = (np.abs(gaps - np.rint(gaps)) < SAME_PLACE).all(axis=-1).any(axis=1)
            place = position_of(group, left[0])
            yield Orbit(element, place, _free(group, place, images))
            left = left[~same]


def _free(group: Wyckoff, place: int, images: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, " f"]:
    """Return the free coordinates of an orbit, given all images of one of its atoms."""
    linear, offset = group.positions[place].linear[0], group.positions[place].offset[0]
    gaps = images - offset
    gaps = (gaps - np.rint(gaps))[:, None] + _SHIFTS
    found = gaps @ np.linalg.pinv(linear).T
    away = np.abs(gaps - found @ linear.T).max(axis=-1)
    return found[np.unravel_index(away.argmin(), away.shape)]


def _with_hydrogen(crystal: Material, group: Wyckoff, heavy: Placed) -> Placed:
    """Return the atoms of a fitted crystal with its hydrogen, at usual distances."""
    hydrogen = crystal.numbers == HYDROGEN
    if not hydrogen.any():
        return heavy
    placed = with_hydrogen(group, crystal.lattice, heavy, int(hydrogen.sum()))
    if placed is not None:
        return placed
    own = crystal.frac_coords[hydrogen] - group.origin
    numbers = np.append(heavy.numbers, crystal.numbers[hydrogen])
    return Placed(numbers, np.concatenate([heavy.coords, own]))
