"""Known structures in the search: their free coordinates are fitted, and they are judged.

A known crystal with other elements has coordinates that are nearly right. They are refined as those
of the search are, in its own space group and on its own positions.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.solid_solutions import UNSHARED, Shares
from cmed_jax.crystal.symmetry import STEPS, space_group
from cmed_jax.search.assignments import Assignment
from cmed_jax.search.chemistry import least_distances, neighbour_misfit
from cmed_jax.search.descent import (
    LARGEST_B,
    USUAL_B,
    Fits,
    descend,
    residuals,
    structure_factors,
)
from cmed_jax.search.exploration import fits_of
from cmed_jax.search.formula_units import Contents
from cmed_jax.search.frame import HYDROGEN, frame_of, orbits_of
from cmed_jax.search.hydrogen import Placed, with_hydrogen
from cmed_jax.search.observed import ObservedLines, group_lines
from cmed_jax.search.order import LEAST_SHARE, LINES_PER_FREE, Field
from cmed_jax.search.score import scored
from cmed_jax.search.separations import Separations, atoms_of
from cmed_jax.search.settings import Setting
from cmed_jax.search.solved import SolvedStructure
from cmed_jax.search.starts import Pools
from cmed_jax.search.wyckoff import Wyckoff, position_of, wyckoff

ROUNDS = ((2.0, 5), (0.0, 12))
"""The damping (angstrom^2) and the number of steps of each round."""
GAIN = 0.85
"""The share of its residual that a structure must come below by the fit, or it stays as it was.

The residual is raised for the fitted coordinates.
"""
SOUGHT = 6
"""The largest number of free coordinates that are sought anew as well."""
B_FACTORS = 26
"""The number of temperature factors that are tried for a known structure."""
SAME_PLACE = 1e-3
"""The largest difference of coordinates that are the same, fractional."""
_SHIFTS = np.array(list(itertools.product(range(-2, 3), repeat=3)))


def fitted_coordinates(crystal: Material, lines: ObservedLines) -> Material:
    """Return a crystal with the coordinates that explain measured lines best.

    Hydrogen, which the lines do not show, is placed by distances. The crystal stays as it is where
    the fit gains nothing, where there are too few lines for its coordinates, or where atoms come
    too near to each other.

    Args:
        crystal: a crystal in its canonical cell (`cmed_jax.crystal.canonical`), with the cell of
            the measured one.
        lines: the measured lines.

    Raises:
        ValueError: no line is where the cell allows one.
    """
    described = _described(crystal)
    assignment, free = described.assignment, described.free
    if not assignment.free:
        return crystal
    field = _field(crystal, described, lines)
    if len(field.frame.target) < LINES_PER_FREE * assignment.free:
        return crystal
    best = _fit(field, assignment, free)
    if best is None:
        return crystal
    atoms = atoms_of(described.group, orbits_of(assignment.places))
    heavy = Placed(np.array(described.numbers)[atoms.element], atoms.coords(best[None])[0])
    placed = _with_hydrogen(crystal, described.group, heavy)
    coords = placed.coords + described.group.origin
    return replace(crystal, numbers=placed.numbers, frac_coords=coords)


def known_structure(
    crystal: Material, lines: ObservedLines, *, fitted: bool, origin: str, shares: Shares = UNSHARED
) -> SolvedStructure:
    """Return a known crystal as a structure that explains lines, judged as those of the search are.

    Args:
        crystal: a crystal in its canonical cell, with the cell of the measured one.
        lines: the measured lines.
        fitted: whether its free coordinates were fitted to these lines.
        origin: where it comes from.
        shares: the elements that share its sites in a solid solution.

    Raises:
        ValueError: no line is where the cell allows one.
    """
    described = _described(crystal)
    field = _field(crystal, described, lines, shares)
    orbits = orbits_of(described.assignment.places)
    free = described.free[None].astype(np.float32)
    factors = structure_factors(field.frame, orbits, free)
    trials = np.linspace(0, LARGEST_B, B_FACTORS, dtype=np.float32)
    squared = residuals(field.frame, np.repeat(factors, B_FACTORS, axis=0), trials)
    best = squared.argmin()
    fits = Fits(free, trials[[best]], squared[[best]])
    used = described.assignment._replace(free=described.assignment.free if fitted else 0)
    judged = scored(field.frame, field.separations, used, fits)
    assert judged is not None  # there is one structure
    return SolvedStructure.of(crystal, judged, origin, shares)


def distance_misfit(crystal: Material) -> float:
    """Return how unusual the nearest neighbours of atoms are: their mean misfit, 0 to 1."""
    elements, element = np.unique(crystal.numbers, return_inverse=True)
    separations = Separations.of(crystal.lattice, least_distances(elements))
    atoms = np.arange(len(element))
    (lengths,) = separations.lengths(crystal.frac_coords[None], atoms)
    nearest = lengths.argmin(axis=1)
    misfits = [
        neighbour_misfit(int(number), int(crystal.numbers[near]), float(row[near]))
        for number, near, row in zip(crystal.numbers, nearest, lengths, strict=True)
    ]
    return float(np.mean(misfits))


class _Described(NamedTuple):
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


def _described(crystal: Material) -> _Described:
    """Return a crystal by the positions of its space group."""
    group = wyckoff(crystal.space_group or 1)
    numbers = tuple(sorted({int(each) for each in crystal.numbers} - {HYDROGEN}))
    orbits = sorted(_orbits(crystal, group, numbers), key=lambda each: each[:2])
    free = np.concatenate([np.zeros(0), *(each[2] for each in orbits)])
    places = tuple(
        tuple(place for element, place, _ in orbits if element == each)
        for each in range(len(numbers))
    )
    return _Described(group, numbers, Assignment(places, len(free), 0.0), free)


def _orbits(
    crystal: Material, group: Wyckoff, numbers: Sequence[int]
) -> Iterator[tuple[int, int, Float[np.ndarray, " f"]]]:
    """Yield the element, the position and the free coordinates of each orbit but hydrogen's."""
    coords = crystal.frac_coords - group.origin
    for element, number in enumerate(numbers):
        left = coords[crystal.numbers == number]
        while len(left):
            images = group.rotations @ left[0] + group.translations / STEPS
            gaps = left[:, None] - images
            same = (np.abs(gaps - np.rint(gaps)) < SAME_PLACE).all(axis=-1).any(axis=1)
            place = position_of(group, left[0])
            yield element, place, _free(group, place, images)
            left = left[~same]


def _free(group: Wyckoff, place: int, images: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, " f"]:
    """Return the free coordinates of an orbit, given all images of one of its atoms."""
    linear, offset = group.positions[place].linear[0], group.positions[place].offset[0]
    gaps = images - offset
    gaps = (gaps - np.rint(gaps))[:, None] + _SHIFTS
    found = gaps @ np.linalg.pinv(linear).T
    away = np.abs(gaps - found @ linear.T).max(axis=-1)
    return found[np.unravel_index(away.argmin(), away.shape)]


def _field(
    crystal: Material, described: _Described, lines: ObservedLines, shares: Shares = UNSHARED
) -> Field:
    """Return what a fit of any assignment of a crystal's atoms needs."""
    number, numbers = described.group.number, described.numbers
    to_primitive = space_group(number).cell.T
    groups = group_lines(lines, np.linalg.solve(to_primitive, crystal.lattice))
    setting = Setting(number, np.eye(3, dtype=int), crystal.lattice)
    frame = frame_of(setting, numbers, lines, groups, shares)
    counts = tuple(int((crystal.numbers == each).sum()) for each in numbers)
    hydrogen = int((crystal.numbers == HYDROGEN).sum())
    separations = Separations.of(crystal.lattice, least_distances(np.array(numbers)))
    pools = Pools(frame, separations, counts)
    return Field(frame, separations, pools, Contents(numbers, counts, 1, hydrogen, 0.0))


def _fit(
    field: Field, assignment: Assignment, free: Float[np.ndarray, " p"]
) -> Float[np.ndarray, " p"] | None:
    """Return free coordinates that explain the lines; None where they gain too little.

    Beside those of the prototype, a few coordinates are sought anew: light atoms have more than one
    place near which a descent ends.
    """
    frame, orbits = field.frame, orbits_of(assignment.places)
    usual = np.full(1, USUAL_B, np.float32)
    begun = descend(frame, orbits, Fits(free[None].astype(np.float32), usual, usual), 0)
    fits = begun
    for damping, steps in ROUNDS:
        fits = descend(frame, orbits, fits, steps, damping)
    sought = None
    if assignment.free <= SOUGHT:
        sought = fits_of(field, assignment, np.random.default_rng(0))
    if sought is not None:
        fits = Fits(*(np.concatenate(pair) for pair in zip(fits, sought, strict=True)))
    atoms = atoms_of(frame.group, orbits)
    fits = fits.at(field.separations.worst(atoms, fits.free) >= LEAST_SHARE)
    best = scored(frame, field.separations, assignment, fits)
    if best is None or best.raised > GAIN * np.sqrt(max(begun.residual[0], 0.0)):
        return None
    return best.free.astype(float)


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
