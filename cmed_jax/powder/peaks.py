"""The lines of a measured profile: searched in a smoothed copy, fitted in the profile itself.

A line is one d: of every component of the radiation it shows a pseudo-Voigt, at that component's
angle and with that component's share of the area. Neighbours whose profiles touch are fitted
together, by least squares weighted with the noise of counting.
"""

from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Float, Integer

from cmed_jax.io.formats.scan import Radiation
from cmed_jax.physics.patterns import s_of_two_theta, two_theta

SIGNIFICANT = 6.0
"""Peaks stand out of the smoothed pattern by this many standard deviations of its noise."""
LEAST = 0.003
"""And by this share of the highest."""
TOUCHING = 3.0
"""Profiles touch whose centres are nearer than this many of their widths together."""
TOGETHER = 6
"""Most lines that are fitted at once."""
WINDOW = 4.0
"""Widths on either side of its lines that a fit sees."""
SHAPES = (0.4, 2.5)
"""Widths of lines, as shares of the median: narrower are spikes, wider ones humps or crowds."""
SWEEPS = 2
"""How often all lines are fitted, each beside what the others leave."""
MEDIAN_OF_SQUARES = 0.4549
"""Median of the square of a normal variable."""

Column = Float[np.ndarray, " n"]


class FittedLines(NamedTuple):
    """Lines as they are fitted; `lorentzian` is the Lorentzian share of each area."""

    angle: Float[np.ndarray, " k"]
    area: Float[np.ndarray, " k"]
    width: Float[np.ndarray, " k"]
    lorentzian: Float[np.ndarray, " k"]

    def at(self, lines: Integer[np.ndarray, " m"]) -> "FittedLines":
        """Return some of the lines."""
        return FittedLines(*(column[lines] for column in self))


def counting_noise(intensity: Column) -> Column:
    """Return the standard deviation at each point of an even profile.

    Counts deviate by the root of their mean; what one count is in the file's unit is told by the
    differences of neighbours, whose squares have twice the variance.
    """
    mean = scipy.ndimage.gaussian_filter1d(np.maximum(intensity, 0), 3.0)
    between = (mean[1:] + mean[:-1]) / 2
    seen = between > 0
    unit = np.median(np.diff(intensity)[seen] ** 2 / (2 * between[seen])) / MEDIAN_OF_SQUARES
    return np.sqrt(unit * np.maximum(mean, np.median(mean) / 10) + (1e-4 * intensity.max()) ** 2)


def fit_lines(
    angle: Column, net: Column, noise: Column, radiation: Radiation, *, smoothing: bool = True
) -> FittedLines:
    """Return the lines of an even profile, ascending; angles are of the mean wavelength.

    Args:
        angle: two-theta, degrees.
        net: intensity without background.
        noise: its standard deviation.
        radiation: whose components every line shows.
        smoothing: search the peaks in a smoothed profile.

    Raises:
        ValueError: no peak stands out of the noise.
    """
    lines = search(angle, net, noise, radiation, smoothing=smoothing)
    for _ in range(SWEEPS):
        model = profile(angle, lines, radiation)
        for cluster in _clusters(lines):
            mine = lines.at(cluster)
            others = model - profile(angle, mine, radiation)
            fitted = _fit_cluster(angle, net - others, noise, mine, radiation)
            model = others + profile(angle, fitted, radiation)
            for column, values in zip(lines, fitted, strict=True):
                column[cluster] = values
    return _sensible(lines)


def search(
    angle: Column, net: Column, noise: Column, radiation: Radiation, *, smoothing: bool = True
) -> FittedLines:
    """Return where lines are to be fitted, with rough areas and widths.

    Raises:
        ValueError: no peak stands out of the noise.
    """
    step = _step(angle)
    sigma = max(_rough_width(net) / 5, 0.5) if smoothing else 0.0
    smooth = scipy.ndimage.gaussian_filter1d(net, sigma) if smoothing else net
    left = noise * np.sqrt(min(1.0, 1 / (2 * np.sqrt(np.pi) * sigma))) if smoothing else noise
    single = without_companions(angle, smooth, radiation)
    tops, found = scipy.signal.find_peaks(single, prominence=LEAST * single.max(), width=1)
    real = np.minimum(found["prominences"], single[tops]) > SIGNIFICANT * left[tops]
    tops, widths = tops[real], np.maximum(found["widths"][real] * step, 2 * step)
    if not len(tops):
        raise ValueError("no peak stands out of the pattern: check the file, or give peaks")
    half = np.full(len(tops), 0.5)
    shown = s_of_two_theta(angle[tops], radiation.wavelengths[0])
    mean = two_theta(shown, radiation.mean)
    return FittedLines(mean, 1.2 * single[tops] * widths / radiation.weights[0], widths, half)


def without_companions(angle: Column, intensity: Column, radiation: Radiation) -> Column:
    """Return a profile of which the second component is taken off, for the search alone.

    Each point holds the first component's intensity and, of a smaller angle, the second's
    (Rachinger, J. Sci. Instrum. 25, 254, 1948).
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


def profile(angle: Column, lines: FittedLines, radiation: Radiation) -> Column:
    """Return what lines add up to, in the unit of their areas over degrees."""
    return lines.area @ shapes(angle, lines, radiation)


def shapes(angle: Column, lines: FittedLines, radiation: Radiation) -> Float[np.ndarray, "k n"]:
    """Return the profile of each line, of area 1, in all components of the radiation."""
    s = s_of_two_theta(lines.angle, radiation.mean)
    total = np.zeros((len(s), len(angle)))
    for wavelength, weight in zip(radiation.wavelengths, radiation.weights, strict=True):
        x = (angle - two_theta(s, wavelength)[:, None]) / lines.width[:, None]
        total += weight * pseudo_voigt(x, lines.lorentzian) / lines.width[:, None]
    return total


def pseudo_voigt(
    x: Float[np.ndarray, "k n"], lorentzian: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "k n"]:
    """Return pseudo-Voigts of area 1 at x, in units of the FWHM."""
    gaussian = 2 * np.sqrt(np.log(2) / np.pi) * np.exp(-4 * np.log(2) * x**2)
    share = lorentzian[:, None]
    return gaussian + share * (2 / np.pi / (1 + 4 * x**2) - gaussian)


def _step(angle: Column) -> float:
    return float((angle[-1] - angle[0]) / (len(angle) - 1))


def _rough_width(net: Column) -> float:
    """Return the FWHM of the highest peak, in points."""
    smooth = scipy.ndimage.gaussian_filter1d(net, 1.0)
    top = int(smooth.argmax())
    below = np.flatnonzero(smooth < smooth[top] / 2)
    left, right = below[below < top].max(initial=-1), below[below > top].min(initial=len(smooth))
    return float(right - left - 1)


def _clusters(lines: FittedLines) -> list[Integer[np.ndarray, " m"]]:
    """Return the lines in groups that are fitted together."""
    apart = np.diff(lines.angle) > TOUCHING * (lines.width[1:] + lines.width[:-1]) / 2
    groups = np.split(np.arange(len(lines.angle)), np.flatnonzero(apart) + 1)
    return [
        part for group in groups for part in np.split(group, range(TOGETHER, len(group), TOGETHER))
    ]


def _fit_cluster(
    angle: Column, left: Column, noise: Column, lines: FittedLines, radiation: Radiation
) -> FittedLines:
    """Return lines fitted to what the others leave of the profile, with one shape together."""
    reach = WINDOW * lines.width
    s = s_of_two_theta(lines.angle, radiation.mean)
    low, high = (
        two_theta(s, end) for end in (radiation.wavelengths.min(), radiation.wavelengths.max())
    )
    near = (angle > (low - reach)[:, None]) & (angle < (high + reach)[:, None])
    inside = near.any(axis=0)
    x, y, sigma, k = angle[inside], left[inside], noise[inside], len(lines.angle)
    if inside.sum() < 3 * k + 1:
        return lines

    def fitted(parameters: Column) -> FittedLines:
        move, area, width = parameters[:-1].reshape(3, k)
        return FittedLines(
            lines.angle + move * lines.width,
            lines.area * area,
            lines.width * np.exp(width),
            np.full(k, parameters[-1]),
        )

    start = np.concatenate([np.zeros(k), np.ones(k), np.zeros(k), lines.lorentzian[:1]])
    least = np.concatenate([np.full(k, -0.7), np.zeros(k), np.full(k, -1.5), [0.0]])
    most = np.concatenate([np.full(k, 0.7), np.full(k, 50.0), np.full(k, 1.5), [1.0]])
    result = scipy.optimize.least_squares(
        lambda p: (profile(x, fitted(p), radiation) - y) / sigma,
        np.clip(start, least + 1e-6, most - 1e-6),
        bounds=(least, most),
        max_nfev=30,
    )
    return fitted(result.x)


def _sensible(lines: FittedLines) -> FittedLines:
    """Leave out what has no area, or a width that no line there has."""
    strong = lines.area > LEAST * lines.area.max()
    typical = np.median(lines.width[strong])
    low, high = SHAPES
    kept = strong & (lines.width > low * typical) & (lines.width < high * typical)
    order = np.flatnonzero(kept)
    return lines.at(order[np.argsort(lines.angle[order])])
