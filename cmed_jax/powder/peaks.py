"""The lines of a measured profile: searched in a smoothed copy, fitted in the profile itself.

Each line belongs to one d. It has one pseudo-Voigt for each component of the radiation, at the
angle and with the share of the area of that component. Neighbouring lines with profiles that touch
are fitted together, by least squares weighted with the counting noise.

Lines that overlap have one maximum in the smoothed copy. They show afterwards: as a line that is
broader than those around it, which is fitted as several, and as peaks in what the fit leaves over.
"""

from collections.abc import Sequence

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Bool, Float

from cmed_jax.io.formats.scan import Radiation
from cmed_jax.physics.patterns import s_of_two_theta, two_theta
from cmed_jax.powder.line_fit import ALIKE, WINDOW, fit_cluster, fit_together, surroundings
from cmed_jax.powder.line_profiles import Column, FittedLines, profile

SIGNIFICANT = 6.0
"""The least prominence of a peak in the smoothed pattern, in standard deviations of its noise."""
LEAST = 0.003
"""The least prominence and area of a line, as a share of the largest."""
SHAPES = (0.4, 2.5)
"""The limits of line widths, as shares of the median width.

Narrower lines are spikes; wider ones are humps of the background or crowds of lines.
"""
ROUNDS = 2
"""The largest number of times that overlapping lines are sought."""
STRONG = 0.02
"""The least area of a line that counts for the usual width, as a share of the largest."""
BROAD, HUMP = 1.5, 6.0
"""The ratio of the width of a line to the usual one there above which it is fitted as several.

Above the second ratio it is a hump of the background, and stays one.
"""
AROUND = 9
"""The number of these lines around a line whose median width is the usual one there."""
DIVIDED = 4
"""The largest number of lines that a broad one is fitted as at once."""
APART = 0.5
"""The least distance between the lines that a broad one is fitted as, in usual widths."""
CLEARER = 0.8
"""The share of its sum of squares that a line must come below when it is fitted as more lines."""
GAINED = 16.0
"""The least decrease of that sum for each line more, in variances."""
LEFT_OVER = ((1, 0.15), (3, 0.05))
"""The least height of a line in what is left over, as a share of the lines around it.

Each share goes with a distance in widths. The pseudo-Voigt is not exactly the shape of a line, and
so some of each line is left over.
"""
ONE = 0.6
"""The distance below which two lines are given as one, in widths."""
AREA = 1.2
"""The area of a line over its height and width: 1.06 for a Gaussian, 1.57 for a Lorentzian."""


def fit_peaks(
    angle: Column, net: Column, noise: Column, radiation: Radiation, *, smoothing: bool = True
) -> FittedLines:
    """Return one line for each peak of an evenly spaced profile, in order of angle.

    Args:
        angle: two-theta, degrees.
        net: the intensity without background.
        noise: the standard deviation of the intensity.
        radiation: the radiation; each line has all of its components.
        smoothing: whether peaks are searched in a smoothed profile.

    Raises:
        ValueError: if no peak stands out of the noise.
    """
    sigma = max(_rough_width(net) / 5, 0.5) if smoothing else 0.0
    lines = _peaks(angle, net, noise, radiation, sigma)
    if not len(lines.angle):
        raise ValueError("no peak stands out of the pattern: check the file, or give peaks")
    lines = fit_together(angle, net, noise, lines, radiation)
    return lines.at(np.argsort(lines.angle))


def with_overlapping(
    angle: Column, net: Column, noise: Column, peaks: FittedLines, radiation: Radiation
) -> FittedLines:
    """Return lines with those that overlap in one peak, in order of angle.

    Lines of negligible area or unusual width are left out.

    Args:
        angle: two-theta, degrees.
        net: the intensity without background.
        noise: the standard deviation of the intensity.
        peaks: the lines of `fit_peaks`.
        radiation: the radiation.
    """
    lines = peaks
    for _ in range(ROUNDS):
        lines, new = _with_hidden(angle, net, noise, lines, radiation)
        if not new.any():
            break
        lines = fit_together(angle, net, noise, lines, radiation, new)
    return _as_one(sensible(lines))


def sensible(lines: FittedLines) -> FittedLines:
    """Return lines in order of angle, without those of negligible area or unusual width."""
    strong = lines.area > LEAST * lines.area.max()
    typical = np.median(lines.width[strong])
    low, high = SHAPES
    kept = strong & (lines.width > low * typical) & (lines.width < high * typical)
    order = np.flatnonzero(kept)
    return lines.at(order[np.argsort(lines.angle[order])])


def usual_widths(lines: FittedLines) -> Float[np.ndarray, " k"]:
    """Return the usual width at each line, in order of angle: the median around it, degrees.

    Weak lines, which may be noise, do not count.
    """
    strong = lines.area > STRONG * lines.area.max()
    median = scipy.ndimage.median_filter(lines.width[strong], AROUND, mode="nearest")
    return np.interp(lines.angle, lines.angle[strong], median)


def _peaks(
    angle: Column,
    net: Column,
    noise: Column,
    radiation: Radiation,
    sigma: float,
    least: float | None = None,
) -> FittedLines:
    """Return the peaks of a profile, with approximate areas and widths.

    Args:
        angle: two-theta, degrees.
        net: the intensity without background.
        noise: the standard deviation of the intensity.
        radiation: the radiation.
        sigma: the standard deviation of the Gaussian that smooths the profile, in points; 0 leaves
            it as it is.
        least: the least prominence; None takes a share of the largest intensity.
    """
    step = _step(angle)
    smooth = scipy.ndimage.gaussian_filter1d(net, sigma) if sigma else net
    left = noise * np.sqrt(min(1.0, 1 / (2 * np.sqrt(np.pi) * sigma))) if sigma else noise
    single = without_companions(angle, smooth, radiation)
    least = LEAST * single.max() if least is None else least
    tops, found = scipy.signal.find_peaks(single, prominence=least, width=1)
    real = np.minimum(found["prominences"], single[tops]) > SIGNIFICANT * left[tops]
    tops, widths = tops[real], np.maximum(found["widths"][real] * step, 2 * step)
    half = np.full(len(tops), 0.5)
    shown = s_of_two_theta(angle[tops], radiation.wavelengths[0])
    mean = two_theta(shown, radiation.mean)
    return FittedLines(mean, AREA * single[tops] * widths / radiation.weights[0], widths, half)


def without_companions(angle: Column, intensity: Column, radiation: Radiation) -> Column:
    """Return a profile without the second component of the radiation, for the search alone.

    Each point holds the intensity of the first component at its own angle, and that of the second
    component from a smaller angle (Rachinger, J. Sci. Instrum. 25, 254, 1948).
    """
    if len(radiation.wavelengths) != 2:
        return intensity
    first, second = radiation.wavelengths
    ratio = radiation.weights[1] / radiation.weights[0]
    source = two_theta(s_of_two_theta(angle, second), first)
    left = intensity.copy()
    for _ in range(8):  # each round is right to another power of the ratio
        left = intensity - ratio * np.interp(source, angle, left, left=0.0)
    return left


def _with_hidden(
    angle: Column, net: Column, noise: Column, lines: FittedLines, radiation: Radiation
) -> tuple[FittedLines, Bool[np.ndarray, " k"]]:
    """Return lines with those that they hid, in order of angle, and which are new.

    Broad lines are fitted as several. Others stand in what is left over.
    """
    lines = lines.at(np.argsort(lines.angle))
    left = net - profile(angle, lines, radiation)
    parts = []
    for at, usual in enumerate(usual_widths(lines)):
        line = lines.at(np.array([at]))
        if BROAD * usual < line.width[0] < HUMP * usual:
            near = surroundings(angle, line)
            own = left[near] + profile(angle[near], line, radiation)
            line = _divided(angle[near], own, noise[near], line, float(usual), radiation)
        parts.append(line)
    divided = np.concatenate([np.full(len(each.angle), len(each.angle) > 1) for each in parts])
    found = _joined(parts)
    hidden = _left_over(angle, net, noise, found.at(np.argsort(found.angle)), radiation)
    found = _joined([found, hidden])
    order = np.argsort(found.angle)
    return found.at(order), np.append(divided, np.ones(len(hidden.angle), bool))[order]


def _joined(parts: Sequence[FittedLines]) -> FittedLines:
    return FittedLines(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _as_one(lines: FittedLines) -> FittedLines:
    """Return lines in which those that are too near to be told apart are one."""
    near = np.diff(lines.angle) < ONE * (lines.width[1:] + lines.width[:-1]) / 2
    first = np.flatnonzero(~np.append(False, near))
    area = np.add.reduceat(lines.area, first)
    others = (np.add.reduceat(lines.area * column, first) / area for column in lines)
    return FittedLines(*others)._replace(area=area)


def _divided(
    angle: Column, own: Column, noise: Column, line: FittedLines, width: float, radiation: Radiation
) -> FittedLines:
    """Return a broad line as some lines of a usual width, or as it is where that is no better."""
    near = np.abs(angle - line.angle[0]) < WINDOW * line.width[0]
    reach = np.sqrt(line.width[0] ** 2 - width**2) / 2
    best, least = line, _squares(angle, own, noise, line, radiation)[near].sum()
    for number in range(2, DIVIDED + 1):
        parts = FittedLines(
            line.angle + reach * np.linspace(-1, 1, number),
            np.full(number, line.area[0] / number),
            np.full(number, width),
            line.lorentzian.repeat(number),
        )
        parts = fit_cluster(angle, own, noise, parts, radiation, ALIKE)
        left = _squares(angle, own, noise, parts, radiation)[near].sum()
        more = number - len(best.angle)
        enough = min(CLEARER * least, least - more * GAINED)
        if left < enough and np.diff(np.sort(parts.angle)).min() > APART * width:
            best, least = parts, left
    return best


def _squares(
    angle: Column, own: Column, noise: Column, lines: FittedLines, radiation: Radiation
) -> Column:
    """Return the squares of what lines leave of a profile, in variances."""
    return ((own - profile(angle, lines, radiation)) / noise) ** 2


def _left_over(
    angle: Column, net: Column, noise: Column, lines: FittedLines, radiation: Radiation
) -> FittedLines:
    """Return the peaks in what fitted lines leave of the profile, with usual widths."""
    model = profile(angle, lines, radiation)
    width = float(np.median(lines.width))
    sigma = max(width / _step(angle) / 5, 0.5)
    found = _peaks(angle, net - model, noise, radiation, sigma, LEAST * net.max())
    points = width / _step(angle)
    least = np.max(
        [
            share * scipy.ndimage.maximum_filter1d(model, 2 * round(far * points) + 1)
            for far, share in LEFT_OVER
        ],
        axis=0,
    )
    height = found.area / (AREA * found.width)
    usual = np.interp(found.angle, lines.angle, usual_widths(lines))
    found = found._replace(area=found.area * usual / found.width, width=usual)
    return found.at(np.flatnonzero(height > np.interp(found.angle, angle, least)))


def _step(angle: Column) -> float:
    return float((angle[-1] - angle[0]) / (len(angle) - 1))


def _rough_width(net: Column) -> float:
    """Return the FWHM of the highest peak, in points."""
    smooth = scipy.ndimage.gaussian_filter1d(net, 1.0)
    top = int(smooth.argmax())
    below = np.flatnonzero(smooth < smooth[top] / 2)
    left, right = below[below < top].max(initial=-1), below[below > top].min(initial=len(smooth))
    return float(right - left - 1)
