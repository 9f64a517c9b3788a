"""The course of a search: assignments are fitted one by one until the time or the doubt is over.

Space groups that the absent lines allow are filled with the atoms of each possible number of
formula units, one Wyckoff assignment after the other. The free coordinates of an assignment are
fitted to the intensities. There are far too many assignments to try them all, and their order
decides: the next one always has the largest probability for the time that it takes. The probability
is that of the space group among known crystals, of its positions, of the volume per formula unit,
and of the lines that the group allows and that are empty.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.bravais import Bravais
from cmed_jax.search.assignments import Assignment
from cmed_jax.search.descent import USUAL_B, Fits, descend, residuals, structure_factors
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.order import LEAST_SHARE, SearchSpace, in_order
from cmed_jax.search.reflection_model import orbits_of
from cmed_jax.search.score import Scored, scored
from cmed_jax.search.separations import atoms_of
from cmed_jax.search.starts import starts

ROUNDS = ((48.0, 5, 0.5), (16.0, 5, 0.5), (4.0, 6, 0.5), (0.0, 14, 0.0))
"""The damping B (angstrom^2), the steps, and the share of the structures kept, for each round."""
LAST = 6
"""The least number of structures kept after a round."""
KEPT = 60
"""The number of structures of different assignments that are kept."""
ENOUGH = ((0.02, 0.3, 0.5), (0.12, 2.0, 1.0), (0.25, 5.0, 8.0))
"""The residuals R below which the search soon ends, and its remaining time.

The residuals are those of measured patterns; ideal lines have smaller ones
(`ObservedLines.expected_error`). The time is given as a share of the time until then, and by its
least value in seconds.
"""


class Progress(NamedTuple):
    """The progress of a search.

    Attributes:
        seconds: the time since the search began.
        tried: the number of assignments tried so far.
        space_group: the number of the space group that is being tried.
        free: the number of free coordinates of the assignment that is being tried.
        residual: the smallest R so far; infinite where there is none.
    """

    seconds: float
    tried: int
    space_group: int
    free: int
    residual: float


class Explored(NamedTuple):
    """The outcome of a search.

    Attributes:
        best: the best structure of each assignment, the lowest score first.
        tried: the number of assignments tried.
        complete: whether all assignments within the limits were tried.
        interrupted: whether Ctrl-C ended it.
    """

    best: list[Scored]
    tried: int
    complete: bool
    interrupted: bool = False


def explore(
    cell: Bravais,
    composition: Float[np.ndarray, "119"],
    lines: ObservedLines,
    *,
    seconds: float = 60.0,
    space_group: int | None = None,
    atoms: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    seed: int = 0,
) -> Explored:
    """Return the structures that explain powder lines best.

    Ctrl-C ends the search with the best structures so far.

    Args:
        cell: the lattice.
        composition: the atom fractions by atomic number, known in full.
        lines: the measured lines.
        seconds: the longest time that the search may take.
        space_group: the number of the space group, where it is known.
        atoms: the number of atoms in the conventional cell, where it is known.
        progress: a function called with the progress before each assignment.
        seed: the seed of everything that is drawn.

    Raises:
        ValueError: no line is where the lattice allows one, or no number of formula units fits.
    """
    began = time.monotonic()
    run = _Run(began, seconds, lines.expected_error, np.random.default_rng(seed))
    complete = True
    try:
        for offered in in_order(cell, composition, lines, space_group, atoms):
            if run.is_over():
                return run.found(complete=False)
            if isinstance(offered, str):
                complete &= offered != "given up"
                continue
            space, assignment = offered
            if progress is not None:
                progress(run.progress(space, assignment))
            run.try_assignment(space, assignment)
    except KeyboardInterrupt:
        return run.found(complete=False)._replace(interrupted=True)
    return run.found(complete=complete)


class _Run:
    """The state of a search: the number of assignments tried, and the best structures."""

    def __init__(self, began: float, seconds: float, error: float, rng: np.random.Generator):
        self._began, self._seconds, self._error, self._rng = began, seconds, error, rng
        self._best: list[Scored] = []
        self._tried, self._residual, self._settled = 0, np.inf, np.inf

    def is_over(self) -> bool:
        """Return whether the time is over, or a good structure was found a while ago."""
        return time.monotonic() - self._began > min(self._seconds, self._settled)

    def progress(self, space: SearchSpace, assignment: Assignment) -> Progress:
        """Return the progress of the search before an assignment."""
        number = space.model.setting.number
        passed = time.monotonic() - self._began
        return Progress(passed, self._tried, number, assignment.free, self._residual)

    def found(self, *, complete: bool) -> Explored:
        """Return the outcome so far."""
        best = sorted(self._best, key=lambda each: each.score)
        return Explored(best, self._tried, complete)

    def try_assignment(self, space: SearchSpace, assignment: Assignment) -> None:
        """Fit the coordinates of an assignment, and keep its best structure."""
        self._tried += 1
        fits = fits_of(space, assignment, self._rng)
        if fits is None:
            return
        result = scored(space.model, space.separations, assignment, fits)
        if result is None:
            return
        if result.residual < self._residual:
            self._improved(result.residual)
        self._best.append(result)
        if len(self._best) > 2 * KEPT:
            self._best = sorted(self._best, key=lambda each: each.score)[:KEPT]

    def _improved(self, residual: float) -> None:
        """Record a residual that is the smallest so far, and when the search ends because of it."""
        passed = time.monotonic() - self._began
        relative = residual / self._error
        longer = (max(share * passed, least) for limit, share, least in ENOUGH if relative < limit)
        better = residual < 0.7 * self._residual
        self._residual = residual
        if better or self._settled == np.inf:
            self._settled = passed + next(longer, np.inf)


def fits_of(space: SearchSpace, assignment: Assignment, rng: np.random.Generator) -> Fits | None:
    """Return structures of an assignment that explain the lines and keep their distances.

    None where the atoms do not fit.

    Args:
        space: the space group, the lines and the distances.
        assignment: the positions of the atoms.
        rng: the source of the draws.
    """
    model, orbits = space.model, orbits_of(assignment.places)
    atoms = atoms_of(model.group, orbits)
    if not assignment.free:
        nothing = np.zeros((1, 0), np.float32)
        if space.separations.worst(atoms, nothing)[0] < LEAST_SHARE:
            return None
        usual = np.full(1, USUAL_B, np.float32)
        residual = residuals(model, structure_factors(model, orbits, nothing), usual)
        fits = Fits(nothing, usual, residual)
        return descend(model, orbits, fits, 4) if residual[0] < 0.5 else fits
    width = int(np.clip(12 * assignment.free, 16, 64))
    begun = starts(model, space.separations, space.pools, orbits, width, rng)
    if begun is None:
        return None
    fits = begun
    for damping, steps, share in ROUNDS if assignment.free > 2 else ROUNDS[2:]:
        fits = descend(model, orbits, fits, steps, damping)
        fits = fits.best(max(LAST, int(share * len(fits.residual))))
    return fits.at(space.separations.worst(atoms, fits.free) >= LEAST_SHARE)
