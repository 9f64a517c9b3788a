"""The background of a measured profile, by the methods of pybaselines."""

import warnings
from typing import Literal

import numpy as np
from jaxtyping import Float
from pybaselines import Baseline

Method = Literal["iarpls", "arpls", "airpls", "none"]
"""Names of pybaselines; `python -m benchmarks.backgrounds` compares them."""

STIFFNESS = 10.0
"""Of the backgrounds of laboratory patterns, degrees."""


def background(
    angle: Float[np.ndarray, " n"],
    intensity: Float[np.ndarray, " n"],
    method: Method = "iarpls",
    stiffness: float = STIFFNESS,
) -> Float[np.ndarray, " n"]:
    """Return the background of an evenly spaced profile, in its unit; zero by "none".

    The default is "improved asymmetrically reweighted penalized least squares" (Ye et al., Appl.
    Opt. 59, 10933, 2020): of the methods tried on simulated laboratory patterns with many lines it
    takes the least of the peaks for background.

    Args:
        angle: two-theta, degrees.
        intensity: as measured.
        method: by which it is found.
        stiffness: period, degrees, of the waves that it follows to a half.
    """
    if method == "none":
        return np.zeros_like(intensity)
    step = (angle[-1] - angle[0]) / (len(angle) - 1)
    fitter = Baseline(x_data=angle)
    with warnings.catch_warnings():  # of fits that end before they have converged to the last digit
        warnings.simplefilter("ignore")
        # Penalized second differences halve a wave of this many points (Eilers, 2003).
        penalty = (stiffness / step / (2 * np.pi)) ** 4
        return getattr(fitter, method)(intensity, lam=penalty)[0]
