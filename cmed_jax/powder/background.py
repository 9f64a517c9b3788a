"""The background of a measured profile, by the methods of pybaselines."""

import warnings
from typing import Literal

import numpy as np
from jaxtyping import Float

Method = Literal["arpls", "iarpls", "airpls", "none"]
"""Names of pybaselines."""

STIFFNESS = 10.0
"""Of the backgrounds of laboratory patterns, degrees."""


def background(
    angle: Float[np.ndarray, " n"],
    intensity: Float[np.ndarray, " n"],
    method: Method = "arpls",
    stiffness: float = STIFFNESS,
) -> Float[np.ndarray, " n"]:
    """Return the background of an evenly spaced profile, in its unit; zero by "none".

    The default, asymmetrically reweighted penalized least squares (Baek et al., Analyst 140, 250,
    2015), leaves the least between the lines of measured files. On simulated patterns with many
    lines the improved one, "iarpls", is nearer in the median, but it lies too low where there is
    much to count (`python -m benchmarks.backgrounds`).

    Args:
        angle: two-theta, degrees.
        intensity: as measured.
        method: by which it is found.
        stiffness: period, degrees, of the waves that it follows to a half.
    """
    if method == "none":
        return np.zeros_like(intensity)
    step = (angle[-1] - angle[0]) / (len(angle) - 1)
    from pybaselines import Baseline  # takes long to import, and lists of peaks need none

    fitter = Baseline(x_data=angle)
    with warnings.catch_warnings():  # of fits that end before they have converged to the last digit
        warnings.simplefilter("ignore")
        # Penalized second differences halve a wave of this many points (Eilers, 2003).
        penalty = (stiffness / step / (2 * np.pi)) ** 4
        return getattr(fitter, method)(intensity, lam=penalty)[0]
