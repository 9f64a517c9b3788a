"""Known structures in the search: their free coordinates are fitted, and they are judged.

A known crystal with other elements has coordinates that are nearly right. They are refined as those
of the search are, in its own space group and on its own positions.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.solid_solutions import UNSHARED, Shares
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
from cmed_jax.search.description import describe, search_space, with_fitted
from cmed_jax.search.exploration import fits_of
from cmed_jax.search.observed import ObservedLines, group_lines
from cmed_jax.search.order import LEAST_SHARE, LINES_PER_FREE, SearchSpace
from cmed_jax.search.reflection_model import orbits_of
from cmed_jax.search.score import scored
from cmed_jax.search.separations import Separations, atoms_of
from cmed_jax.search.solved import SolvedStructure

ROUNDS = ((4.0, 5), (0.0, 12))
"""The damping B (angstrom^2) and the number of steps of each round."""
GAIN = 0.85
"""The share of its residual that a structure must come below by the fit, or it stays as it was.

The residual is raised for the fitted coordinates.
"""
SOUGHT = 6
"""The largest number of free coordinates that are sought anew as well."""
B_FACTORS = 26
"""The number of displacement factors that are tried for a known structure."""


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
    described = describe(crystal)
    assignment, free = described.assignment, described.free
    if not assignment.free:
        return crystal
    space = search_space(crystal, described, lines)
    if len(space.model.target) < LINES_PER_FREE * assignment.free:
        return crystal
    best = _fit(space, assignment, free)
    if best is None:
        return crystal
    return with_fitted(crystal, described, best)


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
    described = describe(crystal)
    space = search_space(crystal, described, lines, shares)
    orbits = orbits_of(described.assignment.places)
    free = described.free[None].astype(np.float32)
    factors = structure_factors(space.model, orbits, free)
    trials = np.linspace(0, LARGEST_B, B_FACTORS, dtype=np.float32)
    squared = residuals(space.model, np.repeat(factors, B_FACTORS, axis=0), trials)
    best = squared.argmin()
    fits = Fits(free, trials[[best]], squared[[best]])
    used = described.assignment._replace(free=described.assignment.free if fitted else 0)
    judged = scored(space.model, space.separations, used, fits)
    assert judged is not None  # there is one structure
    outside = group_lines(lines, crystal.lattice).outside
    return replace(SolvedStructure.of(crystal, judged, origin, shares), outside=outside)


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


def _fit(
    space: SearchSpace, assignment: Assignment, free: Float[np.ndarray, " p"]
) -> Float[np.ndarray, " p"] | None:
    """Return free coordinates that explain the lines; None where they gain too little.

    Beside those of the prototype, a few coordinates are sought anew: light atoms have more than one
    place near which a descent ends.
    """
    model, orbits = space.model, orbits_of(assignment.places)
    usual = np.full(1, USUAL_B, np.float32)
    begun = descend(model, orbits, Fits(free[None].astype(np.float32), usual, usual), 0)
    fits = begun
    for damping, steps in ROUNDS:
        fits = descend(model, orbits, fits, steps, damping)
    sought = None
    if assignment.free <= SOUGHT:
        sought = fits_of(space, assignment, np.random.default_rng(0))
    if sought is not None:
        fits = Fits(*(np.concatenate(pair) for pair in zip(fits, sought, strict=True)))
    atoms = atoms_of(model.group, orbits)
    fits = fits.at(space.separations.worst(atoms, fits.free) >= LEAST_SHARE)
    best = scored(model, space.separations, assignment, fits)
    if best is None or best.raised > GAIN * np.sqrt(max(begun.residual[0], 0.0)):
        return None
    return best.free.astype(float)
