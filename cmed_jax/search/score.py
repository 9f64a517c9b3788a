"""Which of several structures is the best: agreement, parsimony, and usual distances.

With more free coordinates any structure agrees better; the residual is raised accordingly. Between
structures that agree equally well, oxygen and fluorine exchanged for instance, the distances to the
nearest neighbours decide.
"""

from typing import NamedTuple

import numpy as np

from cmed_jax.search.assignments import Assignment
from cmed_jax.search.chemistry import neighbour_misfit
from cmed_jax.search.descent import Fits
from cmed_jax.search.frame import Frame, orbits_of
from cmed_jax.search.separations import Separations, atoms_of

PER_FREE = 0.003
"""Added to the residual for each free coordinate."""
PER_ORBIT = 0.001
"""And for each orbit."""
CHEMISTRY = 0.06
"""Weight of the misfit of nearest neighbours."""
SENSITIVE = 0.1
"""Below this residual chemistry counts less, in proportion: a perfect fit needs no witness."""
LEAST_CHEMISTRY = 0.1
"""But so much of its weight at least."""
CONSTRAINED = 1.5
"""Lines that a free coordinate uses up."""


class Scored(NamedTuple):
    """A structure of one assignment.

    Attributes:
        frame: its space group and lattice.
        assignment: its positions.
        free: its free coordinates, one orbit after the other.
        b_factor: overall temperature factor, angstrom^2.
        residual: R = sqrt(1 - cos^2) of the amplitudes.
        raised: that residual, raised for the free coordinates.
        misfit: mean of the nearest neighbours', 0 to 1.
        score: by which structures are ranked, small ones first.
    """

    frame: Frame
    assignment: Assignment
    free: np.ndarray
    b_factor: float
    residual: float
    raised: float
    misfit: float
    score: float


def scored(
    frame: Frame, separations: Separations, assignment: Assignment, fits: Fits
) -> Scored | None:
    """Return the best of some structures of an assignment; None where there is none.

    Args:
        frame: reflections and measured lines.
        separations: of the elements.
        assignment: whose structures they are.
        fits: that keep their distances.
    """
    found = [
        _scored(frame, separations, assignment, fits.at(np.array([row])))
        for row in range(len(fits.residual))
    ]
    return min(found, key=lambda each: each.score, default=None)


def _scored(frame: Frame, separations: Separations, assignment: Assignment, fit: Fits) -> Scored:
    residual = float(np.sqrt(max(float(fit.residual[0]), 0.0)))
    misfit = _misfit(frame, separations, assignment, fit)
    lines, used = len(frame.target), CONSTRAINED * assignment.free
    raised = residual * np.sqrt(lines / max(lines - used, 2.0))
    weight = CHEMISTRY * float(np.clip(residual / SENSITIVE, LEAST_CHEMISTRY, 1.0))
    orbits = len(orbits_of(assignment.places))
    score = raised + PER_FREE * assignment.free + PER_ORBIT * orbits + weight * misfit
    return Scored(
        frame,
        assignment,
        fit.free[0],
        float(fit.b_factor[0]),
        residual,
        float(raised),
        misfit,
        float(score),
    )


def _misfit(frame: Frame, separations: Separations, assignment: Assignment, fit: Fits) -> float:
    """Return how unusual the nearest neighbours of the orbits are, on average."""
    atoms = atoms_of(frame.group, orbits_of(assignment.places))
    distances = separations.distances(atoms, fit.free)[0]
    nearest = distances.argmin(axis=1)
    numbers = np.array(frame.numbers)[atoms.element]
    return float(
        np.mean(
            [
                neighbour_misfit(int(numbers[first]), int(numbers[near]), float(row[near]))
                for first, near, row in zip(atoms.first, nearest, distances, strict=True)
            ]
        )
    )
