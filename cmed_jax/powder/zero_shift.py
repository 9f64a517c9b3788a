"""The zero shift of a pattern, and the displacement of its sample, from the positions of its lines.

Where a lattice has one or two free parameters and the pattern many lines, Bragg's law determines
the shift as well. Such lattices are guessed from pairs of lines, at several shifts. Each guess is
tested against chance. Under a lattice that is unrelated to the pattern, the position of a measured
line within the gap between two calculated lines is uniformly distributed. Minus the sum of the
logarithms of such positions has a gamma distribution (Fisher, 1925).
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Float

from cmed_jax.physics.patterns import s_of_two_theta
from cmed_jax.powder.indexing import (
    FAR,
    Axes,
    Indexed,
    Shift,
    distinct,
    guessed_metrics,
    quadratic_forms,
    refine,
    two_theta_or_far,
)

ZEROS = (-0.2, 0.0, 0.2)
"""The zero shifts at which lattices are guessed, degrees."""
LINES = 16
"""The number of lines, the strongest ones, that a guess is tested with."""
GUESSED = 5
"""The number of these lines, from the lowest angle, that guesses are made from."""
LEFT = 4
"""The least number of lines beyond the number of fitted parameters."""
PRECISION = 0.02
"""The smallest difference of angles that counts, degrees.

Overlapping lines and differences between instruments cause smaller ones.
"""
CHANCE = 1e-4
"""The largest accepted chance that any of the guesses explains the lines by accident."""
EXPLAINED = 0.9
"""The least share of the intensity that an accepted lattice explains."""
UNCERTAIN = 0.03
"""The largest standard deviation of an accepted zero shift, degrees."""
CERTAIN = 4.0
"""The least distance of a displacement from zero, in standard deviations."""
REFINED = 20
"""The number of guesses that are refined."""
CHUNK = 256
"""The number of guesses that are assessed at once, which limits the memory."""
OUT_OF_REACH = 4.1
"""The value of (wavelength s)^2 of all lines that the wavelength does not reach; 4 is the limit."""
SIMILAR = 0.3
"""The difference of the logarithms of metrics that are assessed together."""
ALIKE = 0.02
"""Metrics that differ by less than this share count as one guess."""

Column = Float[np.ndarray, " k"]
Forms = dict[Axes, Float[np.ndarray, "m p"]]


def _forms(axes: Axes, base: int, ell: int) -> Float[np.ndarray, "m p"]:
    """Return the quadratic forms of all lines of a primitive lattice up to limits of h, k and l."""
    hkl = np.array(list(product(range(base + 1), range(base + 1), range(ell + 1))))[1:]
    return np.unique(quadratic_forms(axes, hkl), axis=0)


FORMS: Forms = {
    "cubic": _forms("cubic", 6, 6),
    "tetragonal": _forms("tetragonal", 4, 13),
    "hexagonal": _forms("hexagonal", 4, 13),
}
"""The quadratic forms of the lines that a lattice is tested with."""
GUESSES: Forms = {
    "cubic": _forms("cubic", 3, 3),
    "tetragonal": _forms("tetragonal", 2, 6),
    "hexagonal": _forms("hexagonal", 2, 6),
}
"""The quadratic forms that are tried for the first lines."""


def estimate_shift(
    angle: Column, area: Column, wavelength: float, precision: float = PRECISION
) -> Shift | None:
    """Return the shift of lines; None where no lattice explains them beyond doubt.

    The displacement is returned only where the lines separate it from the zero shift. Elsewhere it
    is 0, and the zero shift accounts for both.

    Args:
        angle: two-theta of the lines, degrees, ascending.
        area: the integrated intensities; only the strongest lines are used.
        wavelength: the wavelength, angstrom.
        precision: the precision of the angles, degrees.
    """
    strongest = np.sort(np.argsort(-area, kind="stable")[:LINES])
    angle, area = angle[strongest], area[strongest]
    fits = [
        (chance, axes, fit)
        for axes in FORMS
        for chance, fit in _lattices(axes, angle, wavelength, precision)
        if chance < CHANCE
        and area[fit.matched].sum() > EXPLAINED * area.sum()
        and fit.deviation.zero < UNCERTAIN
    ]
    if not fits:
        return None
    _, axes, fit = min(fits, key=lambda each: each[0])
    both = refine(fit.metric, FORMS[axes], angle, wavelength, fit.shift, free="both")
    certain = abs(both.shift.displacement) > CERTAIN * both.deviation.displacement
    return both.shift if certain and both.deviation.zero < UNCERTAIN else fit.shift


def _lattices(
    axes: Axes, angle: Column, wavelength: float, precision: float
) -> Iterator[tuple[float, Indexed]]:
    """Yield fitted lattices, each with the chance that one fits as well by accident."""
    forms = FORMS[axes]
    free = forms.shape[1] + 1
    if len(angle) < free + LEFT:
        return
    first = angle[:GUESSED]
    guesses = [
        guessed_metrics(axes, GUESSES[axes], s_of_two_theta(first - zero, wavelength) ** 2)
        for zero in ZEROS
    ]
    zeros = np.repeat(ZEROS, [len(each) for each in guesses])
    metrics = np.concatenate(guesses)
    scores = evidence(metrics, forms, angle - zeros[:, None], wavelength, precision)
    for row in distinct(metrics, scores, ALIKE)[:REFINED]:
        fit = refine(metrics[row], forms, angle, wavelength, Shift(zeros[row]))
        at = fit.shift.correct(angle)[None]
        accident = evidence(fit.metric[None], forms, at, wavelength, precision).item()
        # The tail of the gamma distribution.
        yield len(metrics) * scipy.special.gammaincc(len(angle) - free, accident).item(), fit


def evidence(
    metrics: Float[np.ndarray, "t p"],
    forms: Float[np.ndarray, "m p"],
    angle: Float[np.ndarray, "t k"],
    wavelength: float,
    precision: float = PRECISION,
) -> Float[np.ndarray, " t"]:
    """Return how unlikely it is that measured lines are so close to calculated ones by accident.

    The values are minus the sums of the logarithms of the positions in the gaps, one per lattice.

    Args:
        metrics: the metrics of the lattices.
        forms: the quadratic forms of their lines.
        angle: two-theta of the measured lines, degrees, corrected by the shift of each lattice.
        wavelength: the wavelength, angstrom.
        precision: the precision of the angles, degrees.
    """
    # Lattices of similar metrics are assessed together, with the lines that they have in reach.
    order = np.lexsort(np.floor(np.log(metrics) / SIMILAR).T)
    found = np.empty(len(metrics))
    for start in range(0, len(metrics), CHUNK):
        some = order[start : start + CHUNK]
        reached = forms @ metrics[some].min(axis=0) < OUT_OF_REACH / wavelength**2
        found[some] = _evidence(metrics[some], forms[reached], angle[some], wavelength, precision)
    return found


def _evidence(
    metrics: Float[np.ndarray, "t p"],
    forms: Float[np.ndarray, "m p"],
    angle: Float[np.ndarray, "t k"],
    wavelength: float,
    precision: float,
) -> Float[np.ndarray, " t"]:
    # Neighbours are sought in s^2, so that only theirs become angles. One search serves all
    # lattices, whose values are set far apart for it. Each has a first and a last value besides.
    beyond = OUT_OF_REACH / wavelength**2
    apart = 2 * beyond * np.arange(len(metrics))[:, None]
    calculated = np.pad(metrics @ forms.T, ((0, 0), (1, 1)), constant_values=(0, beyond))
    calculated = np.sort(np.minimum(calculated, beyond) + apart, axis=1).ravel()
    measured = s_of_two_theta(np.maximum(angle, 0), wavelength) ** 2 + apart
    place = np.searchsorted(calculated, measured.ravel(), side="right").reshape(angle.shape)
    left, right = calculated[place - 1] - apart, calculated[place] - apart
    below = np.where(left > 0, angle - two_theta_or_far(left, wavelength), FAR)
    above = two_theta_or_far(right, wavelength) - angle
    gap = np.maximum(below + above, precision)
    share = np.maximum(2 * np.minimum(below, above), precision) / gap
    # Beyond the last line, and before the first, there is no gap, and so no evidence.
    return -np.log(np.where(gap < 180, np.minimum(share, 1), 1)).sum(axis=1)
