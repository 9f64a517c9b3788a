"""The lines of a measured profile: searched in a smoothed copy, fitted in the profile itself.

Each line belongs to one d. It has one pseudo-Voigt for each component of the radiation, at the
angle and with the share of the area of that component. Neighbouring lines with profiles that touch
are fitted together, by least squares weighted with the counting noise.
"""

from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Float, Integer

from cmed_jax.io.formats.scan import Radiation
from cmed_jax.physics.patterns import s_of_two_theta, two_theta

SIGNIFICANT = 6.0
"""The least prominence of a peak in the smoothed pattern, in standard deviations of its noise."""
LEAST = 0.003
"""The least prominence and area of a line, as a share of the largest."""
TOUCHING = 3.0
"""Two profiles touch if their centres are closer than this many times their mean width."""
TOGETHER = 6
"""The largest number of lines that are fitted at once."""
WINDOW = 4.0
"""The range of a fit on either side of its lines, in line widths."""
SHAPES = (0.4, 2.5)
"""The limits of line widths, as shares of the median width.

Narrower lines are spikes; wider ones are humps of the background or crowds of lines.
"""
SWEEPS = 2
"""The number of times that each line is fitted to what the other lines leave of the profile."""
QUIET = 0.6
"""The share of the points, those with the smallest differences, that tell the size of a count."""
MEAN_OF_QUIET = 0.2146
"""The mean of the smallest 60 % of the squares of a standard normal variable."""

Column = Float[np.ndarray, " n"]


class FittedLines(NamedTuple):
    """Fitted lines: two-theta and FWHM in degrees, and areas in intensity times degrees.

    `lorentzian` is the Lorentzian share of the area of each line.
    """

    angle: Float[np.ndarray, " k"]
    area: Float[np.ndarray, " k"]
    width: Float[np.ndarray, " k"]
    lorentzian: Float[np.ndarray, " k"]

    def at(self, lines: Integer[np.ndarray, " m"]) -> "FittedLines":
        """Return the lines at some indices."""
        return FittedLines(*(column[lines] for column in self))


def counting_noise(intensity: Column) -> Column:
    """Return the standard deviation at each point of an evenly spaced profile.

    The standard deviation of a count is the square root of its mean. The size of one count in the
    unit of the file is estimated from the differences between neighbouring points: their squares
    have twice the variance of a point. The largest ones, on the flanks of lines, are left out. The
    mean of the others, unlike their median, is right for few counts, which differ by whole numbers.
    """
    mean = scipy.ndimage.gaussian_filter1d(np.maximum(intensity, 0), 3.0)
    between = (mean[1:] + mean[:-1]) / 2
    seen = between > 0
    squares = np.sort(np.diff(intensity)[seen] ** 2 / (2 * between[seen]))
    quiet = squares[: max(round(QUIET * len(squares)), 1)]
    unit = quiet.mean() / MEAN_OF_QUIET if len(quiet) else 0.0
    return np.sqrt(unit * np.maximum(mean, np.median(mean) / 10) + (1e-4 * intensity.max()) ** 2)


def fit_lines(
    angle: Column, net: Column, noise: Column, radiation: Radiation, *, smoothing: bool = True
) -> FittedLines:
    """Return the lines of an evenly spaced profile, in order of angle for the mean wavelength.

    Args:
        angle: two-theta, degrees.
        net: the intensity without background.
        noise: the standard deviation of the intensity.
        radiation: the radiation; each line has all of its components.
        smoothing: whether peaks are searched in a smoothed profile.

    Raises:
        ValueError: if no peak stands out of the noise.
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
    """Return the starting values of the fit: the peaks, with approximate areas and widths.

    Raises:
        ValueError: if no peak stands out of the noise.
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


def profile(angle: Column, lines: FittedLines, radiation: Radiation) -> Column:
    """Return the sum of the profiles of lines, in the unit of their areas per degree."""
    return lines.area @ shapes(angle, lines, radiation)


def shapes(angle: Column, lines: FittedLines, radiation: Radiation) -> Float[np.ndarray, "k n"]:
    """Return the profile of each line, with area 1, summed over the components of the radiation."""
    s = s_of_two_theta(lines.angle, radiation.mean)
    total = np.zeros((len(s), len(angle)))
    for wavelength, weight in zip(radiation.wavelengths, radiation.weights, strict=True):
        x = (angle - two_theta(s, wavelength)[:, None]) / lines.width[:, None]
        total += weight * pseudo_voigt(x, lines.lorentzian) / lines.width[:, None]
    return total


def pseudo_voigt(
    x: Float[np.ndarray, "k n"], lorentzian: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "k n"]:
    """Return pseudo-Voigt functions of area 1 at x, where x is in units of the FWHM."""
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
    """Return the indices of lines in groups that are fitted together."""
    apart = np.diff(lines.angle) > TOUCHING * (lines.width[1:] + lines.width[:-1]) / 2
    groups = np.split(np.arange(len(lines.angle)), np.flatnonzero(apart) + 1)
    return [
        part for group in groups for part in np.split(group, range(TOGETHER, len(group), TOGETHER))
    ]


def _fit_cluster(
    angle: Column, left: Column, noise: Column, lines: FittedLines, radiation: Radiation
) -> FittedLines:
    """Return lines fitted, with one common shape, to what the other lines leave of the profile."""
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
    """Return the lines in order of angle, without those of negligible area or unusual width."""
    strong = lines.area > LEAST * lines.area.max()
    typical = np.median(lines.width[strong])
    low, high = SHAPES
    kept = strong & (lines.width > low * typical) & (lines.width < high * typical)
    order = np.flatnonzero(kept)
    return lines.at(order[np.argsort(lines.angle[order])])
