"""The score of a structure: agreement, parsimony, and usual distances.

With more free coordinates any structure agrees better, and the residual is raised accordingly.
Between structures that agree equally well, for instance with oxygen and fluorine exchanged, the
distances to the nearest neighbours decide.
"""

from typing import NamedTuple

import numpy as np

from cmed_jax.search.assignments import Assignment
from cmed_jax.search.chemistry import neighbour_misfit
from cmed_jax.search.descent import Fits
from cmed_jax.search.reflection_model import ReflectionModel, orbits_of
from cmed_jax.search.separations import Separations, atoms_of

PER_FREE = 0.003
"""The score added for each free coordinate."""
PER_ORBIT = 0.001
"""The score added for each orbit."""
CHEMISTRY = 0.06
"""The weight of the misfit of nearest neighbours."""
SENSITIVE = 0.1
"""The residual below which the weight of the misfit decreases in proportion.

A perfect fit needs no other evidence.
"""
LEAST_CHEMISTRY = 0.1
"""The least share of the weight of the misfit that remains."""
CONSTRAINED = 2.5
"""The number of lines that a free coordinate uses up.

It is more than one, for the coordinates are the best of many starts and arrangements.
"""


class Scored(NamedTuple):
    """A structure of one assignment.

    Attributes:
        model: the space group and the lattice.
        assignment: the positions of the atoms.
        free: the free coordinates, one orbit after the other.
        b_factor: the overall displacement factor, angstrom^2.
        residual: R = sqrt(1 - cos^2) of the amplitudes.
        raised: the residual, raised for the free coordinates.
        misfit: the mean misfit of the nearest neighbours, 0 to 1.
        score: the score that ranks structures, small ones first.
    """

    model: ReflectionModel
    assignment: Assignment
    free: np.ndarray
    b_factor: float
    residual: float
    raised: float
    misfit: float
    score: float


def scored(
    model: ReflectionModel, separations: Separations, assignment: Assignment, fits: Fits
) -> Scored | None:
    """Return the best of some structures of an assignment; None where there is none.

    Args:
        model: the reflections and the measured lines.
        separations: the distances that the elements keep.
        assignment: the assignment of the structures.
        fits: the structures, which keep their distances.
    """
    found = [
        _scored(model, separations, assignment, fits.at(np.array([row])))
        for row in range(len(fits.residual))
    ]
    return min(found, key=lambda each: each.score, default=None)


def _scored(
    model: ReflectionModel, separations: Separations, assignment: Assignment, fit: Fits
) -> Scored:
    """Return one structure with its score."""
    residual = float(np.sqrt(max(float(fit.residual[0]), 0.0)))
    misfit = _misfit(model, separations, assignment, fit)
    lines, used = len(model.target), CONSTRAINED * assignment.free
    raised = residual * np.sqrt(lines / max(lines - used, 2.0))
    weight = CHEMISTRY * float(np.clip(residual / SENSITIVE, LEAST_CHEMISTRY, 1.0))
    orbits = len(orbits_of(assignment.places))
    score = raised + PER_FREE * assignment.free + PER_ORBIT * orbits + weight * misfit
    return Scored(
        model,
        assignment,
        fit.free[0],
        float(fit.b_factor[0]),
        residual,
        float(raised),
        misfit,
        float(score),
    )


def _misfit(
    model: ReflectionModel, separations: Separations, assignment: Assignment, fit: Fits
) -> float:
    """Return the mean misfit of the nearest neighbours of the orbits."""
    atoms = atoms_of(model.group, orbits_of(assignment.places))
    distances = separations.distances(atoms, fit.free)[0]
    nearest = distances.argmin(axis=1)
    numbers = np.array(model.numbers)[atoms.element]
    return float(
        np.mean(
            [
                neighbour_misfit(int(numbers[first]), int(numbers[near]), float(row[near]))
                for first, near, row in zip(atoms.first, nearest, distances, strict=True)
            ]
        )
    )
