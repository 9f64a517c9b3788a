"""The fit of lines to a profile, in clusters of neighbours that touch.

Each cluster is fitted to what the other lines leave of the profile, by least squares weighted with
the counting noise.
"""

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Bool, Float, Integer

from cmed_jax.io.formats.scan import Radiation
from cmed_jax.physics.patterns import s_of_two_theta, two_theta
from cmed_jax.powder.line_profiles import Column, FittedLines, profile, shapes, slopes

TOUCHING = 3.0
"""Two profiles touch if their centres are closer than this many times their mean width."""
TOGETHER = 6
"""The largest number of lines that are fitted at once."""
WINDOW = 4.0
"""The range of a fit on either side of its lines, in line widths."""
FEET = 60.0
"""The distance beyond which the foot of a line does not count, in line widths.

That of a Lorentzian is there below 1e-4 of its height.
"""
SWEEPS = 2
"""The number of times that each line is fitted to what the other lines leave of the profile."""
FREE, ALIKE = 1.5, 0.3
"""The largest change of the logarithm of a width in one fit, of a peak and of overlapping lines.

Overlapping lines hardly tell their widths, which are like those of other lines.
"""

Values = Float[np.ndarray, " q"]


def fit_together(
    angle: Column,
    net: Column,
    noise: Column,
    lines: FittedLines,
    radiation: Radiation,
    new: Bool[np.ndarray, " k"] | None = None,
) -> FittedLines:
    """Return lines after each was fitted to what the others leave of the profile.

    Where some are new, lines that are fitted together with none of them stay as they are.
    """
    lines = FittedLines(*(column.copy() for column in lines))
    clusters = [each for each in _clusters(lines) if new is None or new[each].any()]
    limit = FREE if new is None else ALIKE
    for _ in range(SWEEPS):
        model = profile(angle, lines, radiation)
        for cluster in clusters:
            mine = lines.at(cluster)
            near = surroundings(angle, mine)
            own = profile(angle[near], mine, radiation)
            left = net[near] - model[near] + own
            fitted = fit_cluster(angle[near], left, noise[near], mine, radiation, limit)
            model[near] += profile(angle[near], fitted, radiation) - own
            for column, values in zip(lines, fitted, strict=True):
                column[cluster] = values
    return lines


def surroundings(angle: Column, lines: FittedLines) -> slice:
    """Return the points that lines reach, with their feet."""
    reach = FEET * lines.width
    ends = [(lines.angle - reach).min(), (lines.angle + reach).max()]
    return slice(*np.searchsorted(angle, ends).tolist())


def fit_cluster(
    angle: Column,
    left: Column,
    noise: Column,
    lines: FittedLines,
    radiation: Radiation,
    limit: float,
) -> FittedLines:
    """Return lines fitted, with one common shape, to what the other lines leave of the profile.

    The logarithm of no width changes by more than a limit.
    """
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

    def fitted(parameters: Values) -> FittedLines:
        move, area, width = parameters[:-1].reshape(3, k)
        return FittedLines(
            lines.angle + move * lines.width,
            lines.area * area,
            lines.width * np.exp(width),
            np.full(k, parameters[-1]),
        )

    def misfit(parameters: Values) -> Column:
        return (profile(x, fitted(parameters), radiation) - y) / sigma

    def derivatives(parameters: Values) -> Float[np.ndarray, "n q"]:
        at = fitted(parameters)
        by = slopes(x, at, radiation)
        area = at.area[:, None]
        rows = [
            area * lines.width[:, None] * by.angle,
            lines.area[:, None] * shapes(x, at, radiation),
            area * by.width,
            at.area[None] @ by.lorentzian,
        ]
        return (np.concatenate(rows) / sigma).T

    start = np.concatenate([np.zeros(k), np.ones(k), np.zeros(k), lines.lorentzian[:1]])
    least = np.concatenate([np.full(k, -0.7), np.zeros(k), np.full(k, -limit), [0.0]])
    most = np.concatenate([np.full(k, 0.7), np.full(k, 50.0), np.full(k, limit), [1.0]])
    result = scipy.optimize.least_squares(
        misfit,
        np.clip(start, least + 1e-6, most - 1e-6),
        derivatives,
        bounds=(least, most),
        max_nfev=30,
    )
    return fitted(result.x)


def _clusters(lines: FittedLines) -> list[Integer[np.ndarray, " m"]]:
    """Return the indices of lines in groups that are fitted together."""
    apart = np.diff(lines.angle) > TOUCHING * (lines.width[1:] + lines.width[:-1]) / 2
    groups = np.split(np.arange(len(lines.angle)), np.flatnonzero(apart) + 1)
    return [
        part for group in groups for part in np.split(group, range(TOGETHER, len(group), TOGETHER))
    ]
