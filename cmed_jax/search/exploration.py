"""The course of a search: one assignment after the other is fitted, until time or doubt is over.

Space groups that the absent lines allow are filled with the atoms of each possible number of
formula units, one Wyckoff assignment after the other, and the coordinates that an assignment leaves
free are fitted to the intensities. There are far too many assignments to try all, so their order
decides: the next one is always that with the largest probability for the time that it takes. The
probability is that of the space group among known crystals, of its positions, of the volume per
formula unit, and of the lines that the group allows and that are empty.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.search.assignments import Assignment
from cmed_jax.search.descent import USUAL_B, Fits, descend, residuals, structure_factors
from cmed_jax.search.frame import orbits_of
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.order import LEAST_SHARE, Field, in_order
from cmed_jax.search.score import Scored, scored
from cmed_jax.search.separations import atoms_of
from cmed_jax.search.settings import Bravais
from cmed_jax.search.starts import starts

ROUNDS = ((24.0, 5, 0.5), (8.0, 5, 0.5), (2.0, 6, 0.5), (0.0, 14, 0.0))
"""Damping (angstrom^2), steps, and the share of the structures that go on to the next round."""
LAST = 6
"""At least so many structures go on."""
KEPT = 60
"""Structures of different assignments that are remembered."""
ENOUGH = ((0.02, 0.3, 0.5), (0.12, 2.0, 1.0), (0.25, 5.0, 4.0))
"""Residuals R below which the search goes on only a while longer: that as a share of the time until
then, and the least of it in seconds."""


class Progress(NamedTuple):
    """Where the search stands.

    Attributes:
        seconds: since it began.
        tried: assignments so far.
        space_group: number of the group that is being tried.
        free: its free coordinates.
        residual: smallest R so far; infinite where there is none.
    """

    seconds: float
    tried: int
    space_group: int
    free: int
    residual: float


class Explored(NamedTuple):
    """What a search ends with.

    Attributes:
        best: the best structure of each assignment, the lowest score first.
        tried: assignments.
        seconds: that it took.
        complete: whether no assignment within the limits was left.
    """

    best: list[Scored]
    tried: int
    seconds: float
    complete: bool


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
    """Return the structures that explain powder lines best. Ctrl-C ends it with the best so far.

    Args:
        cell: the lattice.
        composition: atom fractions by atomic number, known in full.
        lines: as measured.
        seconds: that it may take.
        space_group: number, where it is known.
        atoms: in the conventional cell, where that is known.
        progress: told before each assignment.
        seed: of what is drawn.

    Raises:
        ValueError: no line is where the lattice allows one, or no number of formula units fits.
    """
    began = time.monotonic()
    run = _Run(began, seconds, np.random.default_rng(seed))
    try:
        for offered in in_order(cell, composition, lines, space_group, atoms):
            if run.is_over():
                return run.found(complete=False)
            if offered is None:
                continue
            field, assignment = offered
            if progress is not None:
                progress(run.progress(field, assignment))
            run.try_assignment(field, assignment)
    except KeyboardInterrupt:
        return run.found(complete=False)
    return run.found(complete=True)


class _Run:
    """The state of a search: what was tried, and what was best."""

    def __init__(self, began: float, seconds: float, rng: np.random.Generator):
        self._began, self._seconds, self._rng = began, seconds, rng
        self._best: list[Scored] = []
        self._tried, self._residual, self._settled = 0, np.inf, np.inf

    def is_over(self) -> bool:
        """Whether the time is over, or something good was found a while ago."""
        return time.monotonic() - self._began > min(self._seconds, self._settled)

    def progress(self, field: Field, assignment: Assignment) -> Progress:
        """Return where the search stands before an assignment."""
        number = field.frame.setting.number
        passed = time.monotonic() - self._began
        return Progress(passed, self._tried, number, assignment.free, self._residual)

    def found(self, *, complete: bool) -> Explored:
        """Return what was found so far."""
        best = sorted(self._best, key=lambda each: each.score)
        return Explored(best, self._tried, time.monotonic() - self._began, complete)

    def try_assignment(self, field: Field, assignment: Assignment) -> None:
        """Fit the coordinates of an assignment, and remember the best structure of it."""
        self._tried += 1
        fits = _fit(field, assignment, self._rng)
        if fits is None:
            return
        result = scored(field.frame, field.separations, assignment, fits)
        if result is None:
            return
        if result.residual < self._residual:
            self._improved(result.residual)
        self._best.append(result)
        if len(self._best) > 2 * KEPT:
            self._best = sorted(self._best, key=lambda each: each.score)[:KEPT]

    def _improved(self, residual: float) -> None:
        """Note a residual that is the smallest so far, and how long the search goes on for it."""
        passed = time.monotonic() - self._began
        longer = (max(share * passed, least) for limit, share, least in ENOUGH if residual < limit)
        better = residual < 0.7 * self._residual
        self._residual = residual
        if better or self._settled == np.inf:
            self._settled = passed + next(longer, np.inf)


def _fit(field: Field, assignment: Assignment, rng: np.random.Generator) -> Fits | None:
    """Return structures of an assignment that explain the lines and keep their distances."""
    frame, orbits = field.frame, orbits_of(assignment.places)
    atoms = atoms_of(frame.group, orbits)
    if not assignment.free:
        nothing = np.zeros((1, 0), np.float32)
        if field.separations.worst(atoms, nothing)[0] < LEAST_SHARE:
            return None
        usual = np.full(1, USUAL_B, np.float32)
        residual = residuals(frame, structure_factors(frame, orbits, nothing), usual)
        fits = Fits(nothing, usual, residual)
        return descend(frame, orbits, fits, 4) if residual[0] < 0.5 else fits
    width = int(np.clip(12 * assignment.free, 16, 64))
    begun = starts(frame, field.separations, field.pools, orbits, width, rng)
    if begun is None:
        return None
    fits = begun
    for damping, steps, share in ROUNDS if assignment.free > 2 else ROUNDS[2:]:
        fits = descend(frame, orbits, fits, steps, damping)
        fits = fits.best(max(LAST, int(share * len(fits.residual))))
    return fits.at(field.separations.worst(atoms, fits.free) >= LEAST_SHARE)
