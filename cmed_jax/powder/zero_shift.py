"""The zero shift of a pattern, and the displacement of its sample, from the positions of its lines.

Bragg's law leaves no room for a shift where the lattice has one or two free numbers and the lines
are many. So such lattices are guessed from pairs of lines, at several shifts, and each is held
against chance: where a line lies within the gap between two lines of a lattice that has nothing to
do with it is uniform, and minus the sum of the logarithms is gamma-distributed (Fisher, 1925).
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Float

from cmed_jax.physics.patterns import s_of_two_theta
from cmed_jax.powder.indexing import (
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
"""Zero shifts that lattices are guessed at, degrees."""
LINES = 16
"""Lines that a guess is held against: the strongest."""
GUESSED = 5
"""Lines that guesses are made of: the first of these."""
LEFT = 4
"""Lines that there must be beside the numbers that are fitted."""
PRECISION = 0.02
"""Differences of angles below this, degrees, are none: lines overlap and instruments differ."""
CHANCE = 1e-4
"""Largest chance that any of the guesses explains the lines by accident."""
EXPLAINED = 0.9
"""Least share of the intensity that a lattice explains."""
UNCERTAIN = 0.03
"""Largest standard deviation of a zero shift that is taken, degrees."""
CERTAIN = 4.0
"""Standard deviations by which a displacement has to differ from none."""
REFINED = 20
"""Guesses that are refined."""
CHUNK = 256
"""Guesses that are judged at once, which bounds the memory."""
ALIKE = 0.02
"""Metrics that differ by this share are one guess."""

Column = Float[np.ndarray, " k"]
Forms = dict[Axes, Float[np.ndarray, "m p"]]


def _forms(axes: Axes, base: int, ell: int) -> Float[np.ndarray, "m p"]:
    """Return the forms of all lines of a primitive lattice with h and k, and l, up to a limit."""
    hkl = np.array(list(product(range(base + 1), range(base + 1), range(ell + 1))))[1:]
    return np.unique(quadratic_forms(axes, hkl), axis=0)


FORMS: Forms = {
    "cubic": _forms("cubic", 6, 6),
    "tetragonal": _forms("tetragonal", 4, 13),
    "hexagonal": _forms("hexagonal", 4, 13),
}
"""Of the lines that a lattice is held to."""
GUESSES: Forms = {
    "cubic": _forms("cubic", 3, 3),
    "tetragonal": _forms("tetragonal", 2, 6),
    "hexagonal": _forms("hexagonal", 2, 6),
}
"""Of those that the first lines are guessed to be."""


def estimate_shift(
    angle: Column, area: Column, wavelength: float, precision: float = PRECISION
) -> Shift | None:
    """Return the shift of lines, or None where no lattice explains them beyond doubt.

    The displacement is told only where the lines part it from the zero; else it is 0, and the zero
    stands for both.

    Args:
        angle: two-theta, degrees, ascending.
        area: integrated intensities; the strongest lines are asked.
        wavelength: angstrom.
        precision: of the angles, degrees.
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
    told = abs(both.shift.displacement) > CERTAIN * both.deviation.displacement
    return both.shift if told and both.deviation.zero < UNCERTAIN else fit.shift


def _lattices(
    axes: Axes, angle: Column, wavelength: float, precision: float
) -> Iterator[tuple[float, Indexed]]:
    """Yield fits that explain lines, each with the chance of one as good by accident."""
    forms = FORMS[axes]
    free = forms.shape[1] + 1
    if len(angle) < free + LEFT:
        return
    guesses = [
        (zero, metric)
        for zero in ZEROS
        for metric in guessed_metrics(
            axes, GUESSES[axes], s_of_two_theta(angle[:GUESSED] - zero, wavelength) ** 2
        )
    ]
    if not guesses:
        return
    zeros, metrics = map(np.array, zip(*guesses, strict=True))
    scores = evidence(metrics, forms, angle - zeros[:, None], wavelength, precision)
    for row in distinct(metrics, scores, ALIKE)[:REFINED]:
        fit = refine(metrics[row], forms, angle, wavelength, Shift(zeros[row]))
        at = fit.shift.correct(angle)[None]
        accident = evidence(fit.metric[None], forms, at, wavelength, precision).item()
        yield len(guesses) * scipy.stats.gamma.sf(accident, len(angle) - free).item(), fit


def evidence(
    metrics: Float[np.ndarray, "t p"],
    forms: Float[np.ndarray, "m p"],
    angle: Float[np.ndarray, "t k"],
    wavelength: float,
    precision: float = PRECISION,
) -> Float[np.ndarray, " t"]:
    """Return how unlikely it is that lines lie so near to those of lattices by accident.

    Args:
        metrics: of the lattices.
        forms: of their lines.
        angle: two-theta of the measured lines, degrees, as each lattice's shift corrects them.
        wavelength: angstrom.
        precision: of the angles, degrees.
    """
    parts = [slice(i, i + CHUNK) for i in range(0, len(metrics), CHUNK)]
    return np.concatenate(
        [_evidence(metrics[part], forms, angle[part], wavelength, precision) for part in parts]
    )


def _evidence(
    metrics: Float[np.ndarray, "t p"],
    forms: Float[np.ndarray, "m p"],
    angle: Float[np.ndarray, "t k"],
    wavelength: float,
    precision: float = PRECISION,
) -> Float[np.ndarray, " t"]:
    gaps = angle[:, :, None] - two_theta_or_far(metrics @ forms.T, wavelength)[:, None]
    below = np.where(gaps >= 0, gaps, np.inf).min(axis=2)
    above = np.where(gaps < 0, -gaps, np.inf).min(axis=2)
    share = np.maximum(2 * np.minimum(below, above), precision) / (below + above)
    # Beyond the last line, and before the first, there is no gap, and nothing is told.
    return -np.log(np.where(below + above < 180, np.minimum(share, 1), 1)).sum(axis=1)
