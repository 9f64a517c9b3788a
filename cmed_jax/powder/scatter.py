"""Removal of air scatter and the primary beam at the beginning of a scan, below the first line.

They appear as a steep fall, which is neither a line nor a background that a baseline follows. Where
the fall starts at a large enough share of the highest line, all points before its end are left out.
"""

from dataclasses import replace

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Float

from cmed_jax.io.pattern import MeasuredPattern

Column = Float[np.ndarray, " n"]
STEEP = 0.1
"""The share of the highest line from which on a fall at the beginning is left out."""
SMOOTH = 0.12
"""The standard deviation, degrees, of the smoothing in which a fall is followed."""
FLAT = 0.003
"""The share of the highest line that a fall may still lose over a degree after its end."""
RISE = 0.02
"""The share of the highest line by which a fall may rise again before a line ends it."""
MOST = 0.5
"""The largest share of a scan that may be left out."""
LEAST_POINTS = 200


def end_of_scatter(angle: Column, intensity: Column) -> int:
    """Return the first point, from 0, after a steep fall at the beginning of an even profile.

    The point is 0 without a steep fall, as in a background that falls gently, or with a line there.

    Args:
        angle: two-theta, degrees.
        intensity: the measured intensity.
    """
    if len(angle) < LEAST_POINTS:
        return 0
    step = (angle[-1] - angle[0]) / (len(angle) - 1)
    smooth = scipy.ndimage.gaussian_filter1d(intensity.astype(float), SMOOTH / step, mode="nearest")
    half, degree = int(MOST * len(angle)), max(round(1 / step), 1)
    fall = smooth[0] - smooth[:half].min()
    highest = float(intensity[half // 4 :].max() - np.median(intensity))
    if fall < STEEP * highest or highest <= 0 or np.argmax(smooth[:degree]) * step > SMOOTH:
        return 0
    before, after = smooth[:half], smooth[degree : half + degree]
    flat = before[: len(after)] - after < FLAT * highest
    rising = before > np.minimum.accumulate(before) + RISE * highest
    ended = np.flatnonzero(rising[: len(flat)] | flat)
    if not len(ended):
        return 0
    # A line on the fall begins at the lowest point of the fall.
    return int(np.argmin(smooth[: ended[0] + 1]))


def without_scatter(measured: MeasuredPattern) -> MeasuredPattern:
    """Return a profile without a steep fall at its beginning, with a note; others unchanged."""
    angle = measured.two_theta
    begin = end_of_scatter(angle, measured.intensity)
    if not begin:
        return measured
    sigma = measured.sigma
    note = (
        f"the steep fall from {angle[0]:.4g} to {angle[begin]:.4g} degrees, of air scatter or the "
        "primary beam, is left out"
    )
    return replace(
        measured,
        two_theta=angle[begin:],
        intensity=measured.intensity[begin:],
        sigma=None if sigma is None else sigma[begin:],
        notes=(*measured.notes, note),
    )
