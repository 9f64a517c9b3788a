"""The steps of profiles: which angles are those of a profile, and which are even."""

import numpy as np
from jaxtyping import Float

from cmed_jax.io.formats.rows import PROFILE_POINTS
from cmed_jax.io.formats.scan import Column

FEWEST_EVEN = 20
"""The number of points from which on even steps are those of a profile, as of no list of lines."""
UNEVEN, PRINTED = 0.02, 1.1e-3
"""The share by which steps of few points may differ, and their rounding to three decimals."""
OFF_STEP = 0.1
"""The share of a step by which points of even steps may be off, for rounding."""
ALIKE = 0.8
"""The correlation of neighbouring intensities from which on they form a profile."""
ONE_LINE = 0.01
"""The degrees within which lines are one: those that a small distortion splits are alike."""


def is_profile(angle: Column) -> bool:
    """Return whether angles are those of a profile and not of peaks.

    The steps of a profile are even except for a few gaps and for rounding, which may halve or
    double them. Those of few points are all even.
    """
    steps = np.diff(angle)
    if len(angle) >= PROFILE_POINTS:
        return bool(np.mean(steps < 2.5 * np.median(steps)) > 0.95)
    return len(angle) >= FEWEST_EVEN and bool(np.ptp(steps) <= UNEVEN * np.median(steps) + PRINTED)


def is_smooth(angle: Column, intensity: Column) -> bool:
    """Return whether neighbouring intensities are alike, as in a profile.

    Their correlation decides. For lines it is <I>^2 / <I^2>, 1/2 or less by Wilson's statistics
    (International Tables B, section 2.1), and 0.6 where K-alpha 2 is listed beside K-alpha 1.
    Points within `ONE_LINE` count as one with their mean. A sum would follow the number of points.
    """
    _, at, points = np.unique(angle // ONE_LINE, return_inverse=True, return_counts=True)
    mean = np.bincount(at, intensity) / points
    relative = mean / np.abs(mean).max()
    return bool(relative[1:] @ relative[:-1] > ALIKE * (relative @ relative))


def has_even_steps(angle: Column) -> bool:
    """Return whether steps are even, except for rounding or where they change slowly, as over Q."""
    steps, even = np.diff(angle), np.linspace(angle[0], angle[-1], len(angle))
    half = np.median(steps) / 2
    return bool(np.ptp(steps) <= half or np.abs(angle - even).max() <= half)


def even_angles(angle: Column) -> Float[np.ndarray, " m"]:
    """Return even angles over the range of others.

    Where all of these lie on steps of one size, but for gaps, it is kept. Otherwise there are as
    many.
    """
    places = (angle - angle[0]) / np.median(np.diff(angle))
    on_steps = np.abs(places - np.rint(places)).max() < OFF_STEP and places[-1] < 2 * len(angle)
    return np.linspace(angle[0], angle[-1], round(places[-1]) + 1 if on_steps else len(angle))
