"""The conversion of measured lines and profiles to the network's grid."""

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Float, Real

from cmed_jax.io.pattern import MeasuredPattern, check_intensities
from cmed_jax.physics.grids import PUBLISHED_GRID
from cmed_jax.physics.patterns import (
    BINS,
    MO_K_ALPHA,
    lorentz_polarization,
    s_of_two_theta,
    stick_pattern,
    two_theta,
)

Column = Float[np.ndarray, " n"]
Bins = Float[np.ndarray, "1024"]


def sticks_on_network_grid(
    angle: Column, area: Column, wavelength: float, monochromator: float = 0.0
) -> Bins:
    """Return lines as sticks on the network's grid, with the strongest stick 1.

    Each line keeps its s = 1/d. It moves to its angle for Mo K-alpha, and its intensity is
    converted to the Lorentz-polarization factor of that angle.

    Args:
        angle: two-theta of each line, degrees.
        area: the integrated intensity of each line, in any unit.
        wavelength: the wavelength of the measurement, angstrom.
        monochromator: two-theta of its reflection, degrees, as in `lorentz_polarization`.

    Raises:
        ValueError: if no line with an intensity falls into the network's range.
    """
    target = two_theta(s_of_two_theta(angle, wavelength), MO_K_ALPHA)
    reached = target < 180 - 1e-6  # false for NaN: beyond the reach of Mo K-alpha
    if not area[reached].any():
        raise ValueError(
            f"wavelength {wavelength:.6g} angstrom puts all of the pattern outside the network's "
            f"range (d > {MO_K_ALPHA / 2:.3f} angstrom): check the wavelength"
        )
    angle, area, target = angle[reached], area[reached], target[reached]
    factor = lorentz_polarization(target) / lorentz_polarization(angle, monochromator)
    return stick_pattern(target, area * factor)


def profile_on_network_grid(angle: Column, intensity: Column, wavelength: float) -> Bins:
    """Return a profile integrated over the bins of the network's grid, with the strongest bin 1.

    `cmed_jax.physics.artefacts.measure` integrates simulated profiles in the same way.

    Raises:
        ValueError: if no measured bin holds any intensity.
    """
    below = scipy.integrate.cumulative_trapezoid(intensity, angle, initial=0.0)
    counted = np.diff(np.interp(PUBLISHED_GRID.angles(wavelength), angle, below))
    measured = np.asarray(PUBLISHED_GRID.coverage(angle[0], angle[-1], wavelength))
    pattern = measured * np.maximum(counted, 0) * np.asarray(PUBLISHED_GRID.conversion(wavelength))
    if not pattern.any():
        raise ValueError("no bin of the network's grid holds any intensity: check the wavelength")
    return (pattern / pattern.max()).astype(np.float32)


def coverage_of(measured: MeasuredPattern, wavelength: float) -> Bins:
    """Return 1 in the bins of the network's grid that were measured, 0 elsewhere.

    A list of peaks counts as measured from zero: it states that there is no line below its first.
    """
    angle = measured.two_theta
    begin = angle[0] if measured.is_profile else 0.0
    return np.asarray(PUBLISHED_GRID.coverage(begin, angle[-1], wavelength), np.float32)


def check_grid_pattern(pattern: Real[np.ndarray, "..."]) -> Bins:
    """Check a pattern that is already on the network's grid; return it with its strongest bin 1.

    Raises:
        ValueError: if the pattern has another length, a negative or non-finite value, or no
            intensity.
    """
    pattern = np.asarray(pattern, float)
    if pattern.shape != (BINS,):
        raise ValueError(
            f"a pattern of shape {pattern.shape} is not on the network's grid: give {BINS} bins of "
            "two-theta 0-180 degrees (Mo K-alpha), or a pair (two_theta, intensity)"
        )
    check_intensities(pattern)
    return (pattern / pattern.max()).astype(np.float32)
