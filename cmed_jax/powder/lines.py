"""The lines of a measured pattern, as input to the searches for cells and crystals."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.physics.patterns import s_of_two_theta, two_theta
from cmed_jax.powder.indexing import Shift
from cmed_jax.powder.preparation import NOTHING_LEFT, Prepared

LINE_WIDTH = 0.1
"""The width of lines in a list of peaks, which does not state widths, degrees."""

USUAL_START = 10.0
"""Two-theta, degrees, at which a list of peaks is taken to begin if its first line is early."""
LATE = 0.33
"""The s of a first line, 1/angstrom, from which on lines before it may have been left out.

That is 29 degrees for copper; few crystals have no line before.
"""

Column = Float[np.ndarray, " k"]


class MeasuredLines(NamedTuple):
    """The lines of a pattern that was measured from `start` to `stop`.

    Attributes:
        angle: two-theta of each line, degrees, for the wavelength.
        area: the integrated intensity of each line, in any unit.
        start: the first measured two-theta, degrees.
        stop: the last measured two-theta, degrees.
        wavelength: the mean wavelength, angstrom.
        shift: the zero shift and displacement; None where they are not known.
        monochromator: two-theta of its reflection, degrees, as in `lorentz_polarization`.
        width: the typical full width at half maximum of the lines, degrees.
        left: the intensity that the lines leave over, point by point: two-theta in degrees,
            area, which may be negative, and its variance. A list of peaks leaves nothing.
    """

    angle: Column
    area: Column
    start: float
    stop: float
    wavelength: float
    shift: Shift | None = None
    monochromator: float = 0.0
    width: float = LINE_WIDTH
    left: Float[np.ndarray, "3 n"] = NOTHING_LEFT

    @classmethod
    def of(cls, prepared: Prepared) -> "MeasuredLines":
        """Return the lines of a prepared pattern."""
        angle, peaks = prepared.measured.two_theta, prepared.peaks
        start = angle[0]
        if not prepared.measured.is_profile:  # a list of peaks does not say where it was begun
            late = s_of_two_theta(angle[:1], prepared.radiation.mean).item() > LATE
            start = max(angle[0] - 1 if late else min(angle[0] - 1, USUAL_START), 0.0)
        stop = angle[-1] + (not prepared.measured.is_profile)
        widths = peaks.width[np.isfinite(peaks.width)]
        return cls(
            peaks.two_theta,
            peaks.area,
            float(start),
            float(stop),
            prepared.radiation.mean,
            prepared.shift,
            prepared.options.monochromator,
            float(np.median(widths)) if len(widths) else LINE_WIDTH,
            prepared.left,
        )

    def up_to(self, s: float) -> "MeasuredLines":
        """Return the lines below a value of s, 1/angstrom."""
        limit = two_theta(np.array([s]), self.wavelength).item()
        stop = self.stop if np.isnan(limit) else min(self.stop, limit)
        near, left = self.angle < stop, self.left[:, self.left[0] < stop]
        return self._replace(angle=self.angle[near], area=self.area[near], stop=stop, left=left)
