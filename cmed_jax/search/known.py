"""The fit of a known structure: its free coordinates, refined against the intensities of lines.

A known crystal with other elements has coordinates that are nearly right. They are refined as those
of the search are, in its own space group and on its own positions.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import STEPS, space_group
from cmed_jax.search.assignments import Assignment
from cmed_jax.search.chemistry import least_distances, neighbour_misfit
from cmed_jax.search.descent import USUAL_B, Fits, descend
from cmed_jax.search.exploration import fits_of
from cmed_jax.search.formula_units import Contents
from cmed_jax.search.frame import HYDROGEN, Frame, frame_of, orbits_of
from cmed_jax.search.hydrogen import Placed, with_hydrogen
from cmed_jax.search.observed import ObservedLines, group_lines
from cmed_jax.search.order import LEAST_SHARE, LINES_PER_FREE, Field
from cmed_jax.search.score import scored
from cmed_jax.search.separations import Separations, atoms_of
from cmed_jax.search.settings import Setting
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
    number = crystal.space_group or 1
    group = wyckoff(number)
    numbers = sorted({int(each) for each in crystal.numbers} - {HYDROGEN})
    orbits = sorted(_orbits(crystal, group, numbers), key=lambda each: each[:2])
    free = np.concatenate([each[2] for each in orbits]) if orbits else np.zeros(0)
    if not len(free):
        return crystal
    to_primitive = space_group(number).cell.T
    groups = group_lines(lines, np.linalg.solve(to_primitive, crystal.lattice))
    setting = Setting(number, np.eye(3, dtype=int), crystal.lattice)
    frame = frame_of(setting, numbers, lines, groups)
    if len(frame.target) < LINES_PER_FREE * len(free):
        return crystal
    places = tuple(
        tuple(place for element, place, _ in orbits if element == each)
        for each in range(len(numbers))
    )
    best = _fit(_field(frame, crystal), Assignment(places, len(free), 0.0), free)
    if best is None:
        return crystal
    atoms = atoms_of(group, orbits_of(places))
    heavy = Placed(np.array(numbers)[atoms.element], atoms.coords(best[None])[0])
    placed = _with_hydrogen(crystal, group, heavy)
    return replace(crystal, numbers=placed.numbers, frac_coords=placed.coords + group.origin)


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


def _field(frame: Frame, crystal: Material) -> Field:
    """Return what a fit of any assignment of a crystal's atoms needs."""
    numbers = np.array(frame.numbers)
    counts = tuple(int((crystal.numbers == each).sum()) for each in numbers)
    hydrogen = int((crystal.numbers == HYDROGEN).sum())
    separations = Separations.of(frame.setting.lattice, least_distances(numbers))
    pools = Pools(frame, separations, counts)
    return Field(frame, separations, pools, Contents(frame.numbers, counts, 1, hydrogen, 0.0))


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
