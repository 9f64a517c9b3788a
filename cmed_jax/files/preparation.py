"""From a measured pattern to what the network is shown: every step visible, and each can be left.

The steps are, in this order: background (`cmed_jax.files.background`); peaks, fitted with the
doublet of the radiation (`cmed_jax.files.peaks`); zero shift and displacement of the sample
(`cmed_jax.files.shifts`); and the network's grid (`cmed_jax.files.patterns`).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.files.measured import MeasuredPattern
from cmed_jax.files.patterns import is_profile
from cmed_jax.files.readers.scan import Radiation


@dataclass(frozen=True)
class Preparation:
    """Which steps are taken; each can be left.

    Attributes:
        background: the method by which it is found, or "none" where it was taken off already.
        doublet: fit K-alpha 2 beside K-alpha 1 where the radiation has both; else every line is
            taken for one of the mean wavelength.
        smoothing: smooth the pattern for the search of peaks; what is fitted is never smoothed.
        shift: estimate and correct zero shift and displacement where the pattern allows it.
    """

    background: Literal["arpls", "none"] = "arpls"
    doublet: bool = True
    smoothing: bool = True
    shift: bool = True


class PeakList(NamedTuple):
    """Lines of a measured pattern, ascending.

    Attributes:
        two_theta: degrees, as measured, for the mean wavelength of the radiation.
        s: 1/d, 1/angstrom, corrected for the shift.
        area: integrated intensity over two-theta in the file's unit times degrees, all components
            of the radiation together.
        width: FWHM, degrees; NaN where the file is a list of peaks.
    """

    two_theta: Float[np.ndarray, " k"]
    s: Float[np.ndarray, " k"]
    area: Float[np.ndarray, " k"]
    width: Float[np.ndarray, " k"]


class Shift(NamedTuple):
    """By how much lines are displaced from Bragg's law: zero - 2 displacement cos(theta) radians.

    Attributes:
        zero: of the scale, degrees of two-theta.
        displacement: of the sample, as a share of the goniometer's radius.
    """

    zero: float = 0.0
    displacement: float = 0.0


@dataclass(frozen=True, eq=False)
class Prepared:
    """A measured pattern, what was found in it step by step, and what the network is shown.

    Attributes:
        measured: the pattern as it was read.
        options: the steps that were taken.
        radiation: wavelengths and weights that the lines were fitted with.
        background: at the points of the measured pattern, in its unit; zero where none was sought,
            as in a list of peaks.
        net: the measured intensity less the background.
        peaks: positions, integrated intensities and widths of the lines.
        shift: zero shift and displacement; None where the pattern does not tell them.
        pattern: what the network is shown: 1,024 bins of two-theta 0-180 degrees, Mo K-alpha,
            strongest 1.
        coverage: 1 in the bins that were measured, 0 in those that were not.
        warnings: what the user should know, in sentences.
    """

    measured: MeasuredPattern
    options: Preparation
    radiation: Radiation
    background: Float[np.ndarray, " n"]
    net: Float[np.ndarray, " n"]
    peaks: PeakList
    shift: Shift | None
    pattern: Float[np.ndarray, "1024"]
    coverage: Float[np.ndarray, "1024"]
    warnings: tuple[str, ...]

    @property
    def is_profile(self) -> bool:
        """Whether a profile was measured; else the file is a list of peaks."""
        return is_profile(self.measured.two_theta)
