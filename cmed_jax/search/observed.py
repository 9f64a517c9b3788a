"""Measured lines, gathered into resolved groups of reflections for the search.

A third and more of the reflections of a cubic or trigonal powder overlap exactly (in s = 1/d), and
others nearly. All positions at which the lattice allows a line are therefore gathered into groups
that the measurement resolves. A group has the area of the lines measured there, or zero. The search
compares this area with the sum of the reflections in the group.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from cmed_jax.physics.patterns import lorentz_polarization, s_of_two_theta, two_theta
from cmed_jax.physics.reflections import half_sphere
from cmed_jax.powder.indexing import UNSHIFTED
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import NOTHING_LEFT

MOST_GROUPS = 130
"""The number of groups of lines compared, from low angles on; more add time and little evidence."""
RESOLVED = 0.8
"""The share of the full width at half maximum below which two lines count as one."""
WEAK_REACH = 1.25
"""The distance up to which what is left over belongs to a group of reflections, in resolutions."""
WEAK_SIGNIFICANT = 2.0
"""The least area of a weak group, in standard deviations of the noise."""
NEAR = 1.6
"""The largest distance of a measured line from its group of reflections, in resolutions."""
IDEAL = 0.2
"""The residual of a right structure for ideal lines, as a share of that for measured ones."""


@dataclass(frozen=True, eq=False)
class ObservedLines:
    """Powder lines, and the range of the measurement.

    Attributes:
        s: 1/d of each line, 1/angstrom, corrected for shifts of the zero and the sample.
        area: the integrated intensity of each line in any unit, 0 or more.
        s_min: the start of the range, 1/angstrom.
        s_max: the end of the range, 1/angstrom.
        resolution: the distance below which lines are not distinguished, 1/angstrom.
        wavelength: the wavelength, angstrom; None where the areas are sums of |F|^2, as in an ideal
            pattern, without Lorentz-polarization factor and dispersion.
        monochromator: two-theta of the monochromator's reflection, degrees, as in
            `lorentz_polarization`.
        left: the intensity that the lines leave over, point by point: s, area, which may be
            negative, and its variance. Reflections too weak to stand out as lines are sought there.
    """

    s: Float[np.ndarray, " k"]
    area: Float[np.ndarray, " k"]
    s_min: float | int
    s_max: float | int
    resolution: float = 5e-4
    wavelength: float | None = None
    monochromator: float | int = 0.0
    left: Float[np.ndarray, "3 n"] = field(default_factory=lambda: NOTHING_LEFT)

    def __post_init__(self):
        if not (np.isfinite(self.area).all() and (self.area >= 0).all() and self.area.any()):
            raise ValueError("areas of lines must be finite, 0 or more, and not all 0: check them")
        if not 0 <= self.s_min < self.s_max:
            raise ValueError(
                f"lines from s = {self.s_min} to {self.s_max} have no range: give 0 <= s_min < "
                "s_max in 1/angstrom"
            )

    @classmethod
    def of_angles(
        cls,
        angle: Float[np.ndarray, " k"],
        area: Float[np.ndarray, " k"],
        span: tuple[float | int, float | int],
        width: float | int,
        wavelength: float,
        monochromator: float | int = 0.0,
        left: Float[np.ndarray, "3 n"] = NOTHING_LEFT,
    ) -> "ObservedLines":
        """Return lines that were measured over two-theta.

        Args:
            angle: two-theta of each line, degrees, corrected.
            area: the intensity of each line, integrated over two-theta.
            span: the first and the last two-theta of the measurement, degrees.
            width: the typical full width at half maximum of the lines, degrees.
            wavelength: the wavelength, angstrom.
            monochromator: two-theta of the monochromator's reflection, degrees.
            left: the intensity that the lines leave over, point by point: two-theta, area and its
                variance.
        """
        low, high = s_of_two_theta(np.array(span, float), wavelength)
        middle = np.cos(np.radians(np.mean(angle) / 2))
        resolution = RESOLVED * np.radians(width) * middle / wavelength
        s = s_of_two_theta(np.asarray(angle, float), wavelength)
        left = np.stack([s_of_two_theta(left[0], wavelength), *left[1:]])
        return cls(
            s, area, float(low), float(high), float(resolution), wavelength, monochromator, left
        )

    @property
    def expected_error(self) -> float:
        """The expected residual of a right structure relative to those of measured patterns."""
        return 1.0 if self.wavelength is not None else IDEAL

    @classmethod
    def of_measured(cls, lines: MeasuredLines) -> "ObservedLines":
        """Return the lines of a measured pattern, corrected for its shift."""
        shift = lines.shift or UNSHIFTED
        return cls.of_angles(
            shift.correct(lines.angle),
            lines.area,
            (lines.start, lines.stop),
            lines.width,
            lines.wavelength,
            lines.monochromator,
            np.stack([shift.correct(lines.left[0]), *lines.left[1:]]),
        )

    def moved(
        self, by: Callable[[Float[np.ndarray, " k"]], Float[np.ndarray, " k"]]
    ) -> "ObservedLines":
        """Return the lines with another s.

        Args:
            by: a function of s, 1/angstrom.
        """
        return replace(self, s=by(self.s), left=np.stack([by(self.left[0]), *self.left[1:]]))

    def factor(self, s: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Return the Lorentz-polarization factor at s; 1 for ideal lines."""
        if self.wavelength is None:
            return np.ones_like(s)
        return lorentz_polarization(two_theta(s, self.wavelength), self.monochromator)


class Groups(NamedTuple):
    """Groups of reflections that the measurement resolves, ascending.

    Attributes:
        low: s of the first reflection of each group, 1/angstrom.
        high: s of the last reflection of each group, 1/angstrom.
        share: the share of each group in the measured intensity; the shares sum to 1.
        outside: the share of the intensity of lines in range that no reflection explains.
        has_line: whether a line belongs to the group; others have what the lines leave over.
    """

    low: Float[np.ndarray, " g"]
    high: Float[np.ndarray, " g"]
    share: Float[np.ndarray, " g"]
    outside: float
    has_line: Bool[np.ndarray, " g"]

    @property
    def amplitude(self) -> Float[np.ndarray, " g"]:
        """The roots of the shares, which are compared: a vector of length 1."""
        return np.sqrt(self.share)


def group_lines(lines: ObservedLines, lattice: Float[np.ndarray, "3 3"]) -> Groups:
    """Return the resolved groups of all reflections of a lattice, with the measured intensities.

    Args:
        lines: the measured lines.
        lattice: the rows a, b, c of the conventional cell of unknown centring, angstrom.

    Raises:
        ValueError: no line is where the lattice allows one.
    """
    s = half_sphere(lattice, lines.s_max).s
    s = s[s >= lines.s_min]
    if not len(s):
        raise ValueError("the cell has no reflection in the measured range: check cell and range")
    start = np.flatnonzero(np.diff(s, prepend=-1.0) > lines.resolution)
    low, high = s[start], s[np.append(start[1:], len(s)) - 1]
    used = (lines.s >= lines.s_min) & (lines.s <= lines.s_max)
    gaps = np.maximum(np.maximum(low - lines.s[used, None], lines.s[used, None] - high), 0)
    # Among equally near groups, the one with the nearest middle is taken.
    middle = np.abs((low + high) / 2 - lines.s[used, None])
    nearest = np.argmin(gaps + 1e-6 * middle, axis=1)
    seen = gaps[np.arange(len(gaps)), nearest] <= NEAR * lines.resolution
    area = lines.area[used]
    share = np.bincount(nearest[seen], area[seen], len(low))[:MOST_GROUPS]
    if not share.any():
        raise ValueError(
            "no measured line is where the cell allows one: check the cell and the wavelength"
        )
    outside = float(area[~seen].sum() / area.sum())
    low, high = low[:MOST_GROUPS], high[:MOST_GROUPS]
    has_line = share > 0
    share += np.where(has_line, 0.0, _weak(lines, low, high))
    return Groups(low, high, share / share.sum(), outside, has_line)


def _weak(
    lines: ObservedLines, low: Float[np.ndarray, " g"], high: Float[np.ndarray, " g"]
) -> Float[np.ndarray, " g"]:
    """Return the significant area of each group in what the lines leave over.

    Near a line its shape is left over, and nothing is taken.
    """
    order, reach = np.argsort(lines.left[0]), WEAK_REACH * lines.resolution
    s, area, variance = lines.left[:, order]
    between = (high[:-1] + low[1:]) / 2
    begin = np.maximum(low - reach, np.append(-np.inf, between))
    end = np.minimum(high + reach, np.append(between, np.inf))
    first, last = np.searchsorted(s, begin), np.searchsorted(s, end)
    found, noise = (np.append(0.0, np.cumsum(each)) for each in (area, variance))
    found, noise = (each[last] - each[first] for each in (found, noise))
    measured = np.sort(lines.s)
    near = np.searchsorted(measured, low - 2 * reach) < np.searchsorted(measured, high + 2 * reach)
    return np.where(near | (found < WEAK_SIGNIFICANT * np.sqrt(noise)), 0.0, found)
