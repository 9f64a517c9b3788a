"""Lines of a measured pattern, as searches for cells and crystals take them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.physics.patterns import two_theta
from cmed_jax.powder.indexing import Shift
from cmed_jax.powder.preparation import Prepared

Column = Float[np.ndarray, " k"]


class MeasuredLines(NamedTuple):
    """Lines of a pattern from `start` to `stop`; two-theta in degrees for a wavelength, angstrom.

    The shift is None where it is not known; the monochromator as `lorentz_polarization` takes it.
    """

    angle: Column
    area: Column
    start: float
    stop: float
    wavelength: float
    shift: Shift | None = None
    monochromator: float = 0.0

    @classmethod
    def of(cls, prepared: Prepared) -> "MeasuredLines":
        """Return the lines of a pattern that has been prepared."""
        angle, peaks = prepared.measured.two_theta, prepared.peaks
        start = angle[0] if prepared.measured.is_profile else min(angle[0] - 1, 10.0)
        stop = angle[-1] + (not prepared.measured.is_profile)
        return cls(
            peaks.two_theta,
            peaks.area,
            float(start),
            float(stop),
            prepared.radiation.mean,
            prepared.shift,
            prepared.options.monochromator,
        )

    def up_to(self, s: float) -> "MeasuredLines":
        """Return the lines below an s, 1/angstrom."""
        limit = two_theta(np.array([s]), self.wavelength).item()
        stop = self.stop if np.isnan(limit) else min(self.stop, limit)
        near = self.angle < stop
        return self._replace(angle=self.angle[near], area=self.area[near], stop=stop)
