"""Measured patterns, peaks or a profile, brought to the network's grid."""

import numpy as np
import scipy.integrate
import scipy.ndimage
import scipy.signal
from jaxtyping import Float, Real

from cmed_jax.files.readers.columns import PROFILE_POINTS
from cmed_jax.physics.grids import PUBLISHED_GRID
from cmed_jax.physics.patterns import (
    BINS,
    MO_K_ALPHA,
    lorentz_polarization,
    s_of_two_theta,
    stick_pattern,
    two_theta,
)

BACKGROUND_WINDOW = 4.0
"""Width in degrees of the window whose lowest points are taken for the background."""
PROMINENCE = 6.0
"""Peaks stand out of a profile by this many standard deviations of its noise."""

Column = Float[np.ndarray, " n"]
Given = Real[np.ndarray, "..."]  # what a user hands over, before it is checked


def to_network_grid(
    angle: Given, intensity: Given, wavelength: float, *, as_measured: bool = False
) -> tuple[Float[np.ndarray, "1024"], Float[np.ndarray, "1024"], list[str]]:
    """Return a measured pattern on the grid of the network.

    A profile is first reduced to its peaks; then each line keeps its s = 1/d and moves to where Mo
    K-alpha shows it, with the Lorentz-polarization factor of the new angle. A network that was
    trained on measurements is shown the profile itself, bin by bin, background and all.

    Args:
        angle: two-theta in degrees, of peaks or of a profile.
        intensity: in any unit.
        wavelength: angstrom.
        as_measured: the network was trained on measurements, with their coverage.

    Returns:
        1,024 bins of two-theta 0-180 degrees, strongest 1; their coverage, 1 where the pattern was
        measured and 0 elsewhere (a list of peaks says that there is none below its first); and what
        the user should know.

    Raises:
        ValueError: the columns are empty, unequal, not finite, negative or without any intensity,
            angles are not between 0 and 180 degrees, or nothing falls into the network's range.
    """
    angle, intensity = np.asarray(angle, float), np.asarray(intensity, float)
    _check_columns(angle, intensity)
    warnings = []
    order = np.argsort(angle, kind="stable")
    angle, intensity = angle[order], intensity[order]
    seen = two_theta(s_of_two_theta(angle[-1:], wavelength), MO_K_ALPHA).item()
    if seen < 120 and not as_measured:
        warnings.append(
            f"the pattern ends at two-theta {angle[-1]:.1f} degrees, which is {seen:.1f} of the "
            "180 degrees of Mo K-alpha that the network was trained on; what lies beyond is "
            "read as empty"
        )
    begin = angle[0] if is_profile(angle) else 0.0
    coverage = np.asarray(PUBLISHED_GRID.coverage(begin, angle[-1], wavelength))
    if is_profile(angle) and as_measured:
        return _rebinned(angle, intensity, wavelength, coverage), coverage, warnings
    if is_profile(angle):
        angle, intensity = find_peaks(angle, intensity)
    target = two_theta(s_of_two_theta(angle, wavelength), MO_K_ALPHA)
    reached = target < 180 - 1e-6  # false for NaN: beyond the reach of Mo K-alpha
    if not intensity[reached].any():
        raise ValueError(
            f"wavelength {wavelength} angstrom puts all of the pattern outside the network's range "
            f"(d > {MO_K_ALPHA / 2:.3f} angstrom): check the wavelength"
        )
    angle, intensity, target = angle[reached], intensity[reached], target[reached]
    factor = lorentz_polarization(target) / lorentz_polarization(angle)
    return stick_pattern(target, intensity * factor), coverage, warnings


def check_grid_pattern(pattern: Given) -> Float[np.ndarray, "1024"]:
    """Return a pattern that is on the network's grid already, with its strongest bin 1.

    Raises:
        ValueError: it has another length, is negative, not finite, or has no intensity.
    """
    pattern = np.asarray(pattern, float)
    if pattern.shape != (BINS,):
        raise ValueError(
            f"a pattern of shape {pattern.shape} is not on the network's grid: give {BINS} bins of "
            "two-theta 0-180 degrees (Mo K-alpha), or a pair (two_theta, intensity)"
        )
    _check_intensity(pattern)
    return (pattern / pattern.max()).astype(np.float32)


def find_peaks(
    angle: Column, intensity: Column
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Return the positions (degrees) and areas of the peaks of an evenly spaced profile.

    The background is the lowest of a moving window, smoothed; areas are heights times widths at
    half maximum.

    Raises:
        ValueError: no peak stands out of the noise.
    """
    step = (angle[-1] - angle[0]) / (len(angle) - 1)
    window = max(3, round(BACKGROUND_WINDOW / step))
    smooth = scipy.ndimage.gaussian_filter1d(intensity, max(1.0, 0.03 / step))
    lowest = scipy.ndimage.minimum_filter1d(smooth, window)
    signal = smooth - scipy.ndimage.uniform_filter1d(lowest, window)
    # Differences of neighbours hold the noise without the peaks; 1.4826 turns the median of
    # absolute deviations into a standard deviation.
    noise = 1.4826 * np.median(np.abs(np.diff(intensity))) / np.sqrt(2)
    least = max(PROMINENCE * noise, 0.005 * signal.max())
    peaks, _ = scipy.signal.find_peaks(signal, height=least, prominence=least)
    if not len(peaks):
        raise ValueError("no peak stands out of the pattern: check the file, or give peaks")
    widths = scipy.signal.peak_widths(signal, peaks)[0]
    return angle[peaks], signal[peaks] * widths * step


def _rebinned(
    angle: Column, intensity: Column, wavelength: float, coverage: Float[np.ndarray, "1024"]
) -> Float[np.ndarray, "1024"]:
    """Integrate a profile over the network's bins, as `cmed_jax.physics.artefacts.measure` does."""
    below = scipy.integrate.cumulative_trapezoid(intensity, angle, initial=0.0)
    counted = np.diff(np.interp(PUBLISHED_GRID.angles(wavelength), angle, below))
    pattern = coverage * counted * np.asarray(PUBLISHED_GRID.conversion(wavelength))
    if not pattern.any():
        raise ValueError("no bin of the network's grid holds any intensity: check the wavelength")
    return (pattern / pattern.max()).astype(np.float32)


def is_profile(angle: Column) -> bool:
    """Whether angles are those of a profile, not of peaks.

    Even steps, but for a few gaps, and for rounding, which may halve or double them.
    """
    steps = np.diff(angle)
    return len(angle) >= PROFILE_POINTS and bool(np.mean(steps < 2.5 * np.median(steps)) > 0.95)


def _check_columns(angle: Given, intensity: Given) -> None:
    if angle.ndim != 1 or angle.shape != intensity.shape:
        raise ValueError(
            f"two_theta has shape {angle.shape} and intensity {intensity.shape}: "
            "give two columns of the same length"
        )
    if not len(angle):
        raise ValueError("the pattern is empty: give at least one peak")
    outside = ~((angle > 0) & (angle <= 180))
    if outside.any():
        raise ValueError(
            f"two_theta {angle[outside][0]} is not between 0 and 180 degrees: give degrees"
        )
    _check_intensity(intensity)


def _check_intensity(intensity: Given) -> None:
    wrong = ~(np.isfinite(intensity) & (intensity >= 0))
    if wrong.any():
        raise ValueError(
            f"intensity {intensity[wrong][0]} (number {np.argmax(wrong) + 1}) is negative or not a "
            "number: give counts or relative intensities from 0"
        )
    if not intensity.any():
        raise ValueError("the pattern holds no intensity: every value is zero")
