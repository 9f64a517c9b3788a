"""The noise of a measured profile: as its file gives it, or from the scatter of its points."""

from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Float

from cmed_jax.io.pattern import MeasuredPattern
from cmed_jax.powder.line_profiles import Column

QUIET = 0.6
"""The share of the points, those with the smallest differences, that tell the variance."""
MEAN_OF_QUIET = 0.2146
"""The mean of the smallest 60 % of the squares of a standard normal variable."""
GROUP = 32
"""The least number of points whose differences tell a variance."""
FEW_COUNTS = 0.2
"""The share of differences of zero from which on a profile has few counts."""
UNCERTAIN = 5.4
"""Two relative standard deviations of such a variance, times the root of the number of points.

Neighbouring second differences share points. Simulated, one is 2.6 to 2.85; it would be 2.28 for
independent ones.
"""
ALIKE_POINTS, CURVED = 0.6, 0.12
"""The ratios of variances of near and farther points that show neighbours to be alike.

The ratio is 1 for independent points, and 1/16 for a smooth curve without noise.
"""
LEAST_NOISE = 1e-4
"""The least standard deviation of a point, as a share of the largest intensity."""
INCREDIBLE = 4.0
"""The ratio of standard deviations in a file to the scatter from which on they are wrong."""


def noise_of(measured: MeasuredPattern) -> Float[np.ndarray, " n"]:
    """Return the standard deviation of each intensity, as given or as of counts.

    A file that gives none for its strongest point does not know them, nor does one whose values
    are far from the scatter of its points. The counts themselves are no measure: those that are
    low by chance would weigh most.
    """
    intensity, noise = measured.intensity, measured.sigma
    excess = excess_of_sigma(measured)
    if noise is None or excess is None or not is_credible(excess):
        noise = counting_noise(intensity)
    return np.maximum(noise, LEAST_NOISE * intensity.max())


def excess_of_sigma(measured: MeasuredPattern) -> float | None:
    """Return the given standard deviations over the scatter of the points; None without them."""
    intensity, sigma = measured.intensity, measured.sigma
    if sigma is None or not sigma[np.argmax(intensity)] > 0:
        return None
    scatter = np.maximum(counting_noise(intensity), LEAST_NOISE * intensity.max())
    return float(np.median(sigma / scatter))


def is_credible(excess: float) -> bool:
    """Return whether given standard deviations can be right, by their ratio to the scatter."""
    return 1 / INCREDIBLE < excess < INCREDIBLE


def counting_noise(intensity: Column) -> Column:
    """Return the standard deviation at each point of an evenly spaced profile.

    The variance is a constant, that of the detector or of the file's rounding, plus the mean times
    the size of one count in the unit of the file. Both come from second differences, whose squares
    have six times the variance of a point, in groups of points of like intensity. Where lines are
    steep or narrow the squares are too large, and so the size of a count is the least ratio of
    variance to mean in any group. Ratios that are less by chance alone do not count.

    Points that were smoothed or interpolated resemble their neighbours. Then every second point is
    compared, or every fourth.
    """
    mean = scipy.ndimage.gaussian_filter1d(np.maximum(intensity, 0).astype(float), 3.0)
    floor = (LEAST_NOISE * np.abs(intensity).max(initial=0.0)) ** 2
    groups = _variances(intensity, mean, 1)
    for step in (2, 4):
        wider = _variances(intensity, mean, step)
        if not (groups and wider):
            break
        ratio = groups[0].variance / max(wider[0].variance, floor)
        if not CURVED < ratio < ALIKE_POINTS:
            break
        groups = wider
    if not groups:
        return np.full(len(intensity), np.sqrt(floor))
    unit = groups[0].variance / groups[0].level
    for each in groups[1:]:
        other = each.variance / each.level
        unit = other if other * (1 + UNCERTAIN / np.sqrt(each.points)) < unit else unit
    constant = max(groups[0].variance - unit * groups[0].level, 0.0)
    return np.sqrt(constant + unit * np.maximum(mean, np.median(mean) / 10) + floor)


class _Group(NamedTuple):
    """Points of like intensity: their mean, the variance of one of them, and their number."""

    level: float
    variance: float
    points: int


def _variances(intensity: Column, mean: Column, step: int) -> list[_Group]:
    """Return the variance of points that are some steps apart, in groups from low to high ones.

    The first group is the lower half of the points, each later one half of those that are left.
    """
    if len(intensity) <= 2 * step:
        return []
    inner = intensity[step:-step]
    squares = (intensity[2 * step :] - 2 * inner + intensity[: -2 * step]) ** 2 / 6
    # A detector at its limit gives equal intensities.
    used = np.flatnonzero((squares > 0) | (inner < inner.max() / 2))
    order, groups = used[np.argsort(mean[step:-step][used])], []
    while len(order):
        size = len(order) // 2 if len(order) > 2 * GROUP else len(order)
        rows, order = order[:size], order[size:]
        level = float(inner[rows].mean())
        if level > 0:
            groups.append(_Group(level, _variance(squares[rows]), size))
    return groups


def _variance(squares: Column) -> float:
    """Return the variance of normal variables from their squares.

    Large squares, on the flanks of lines, are left out. The mean of the others, unlike their
    median, is right for few counts, which differ by whole numbers. Where many do not differ at all,
    all squares are needed.
    """
    if np.mean(squares == 0) > FEW_COUNTS:
        return float(squares.mean())
    quiet = np.sort(squares)[: max(round(QUIET * len(squares)), 1)]
    return float(quiet.mean() / MEAN_OF_QUIET)
