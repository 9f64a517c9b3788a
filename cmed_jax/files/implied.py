"""The pattern that a predicted density implies, on the points of the measured one."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class Implied:
    """The pattern that a density implies in its cell, beside the measured one.

    Attributes:
        two_theta: degrees; the points of the measured pattern.
        intensity: at these points, background included, on the measured pattern's scale; of a list
            of peaks, the lines next to it.
        lines: two-theta (degrees, for the mean wavelength, shifted as the pattern is) and area of
            each implied line, in the unit of the measured peaks' areas.
        cosine: of the angle between the implied and the measured net intensity, 0 to 1.
        rwp: weighted profile R factor of implied against measured intensity, 0 to 1.
    """

    two_theta: Float[np.ndarray, " n"]
    intensity: Float[np.ndarray, " n"]
    lines: Float[np.ndarray, "m 2"]
    cosine: float
    rwp: float
