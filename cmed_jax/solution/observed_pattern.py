"""The observed pattern of a refinement, broadened, and its residual with a calculated one."""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.physics.patterns import (
    BINS,
    MO_K_ALPHA,
    lorentz_polarization,
    s_of_two_theta,
    two_theta,
)

S_REFINED = 1.8
"""The largest s of the compared lines, 1/angstrom: two-theta = 80 degrees of Mo K-alpha."""

FLOOR = 0.01
"""A constant background in the weights, as a share of the strongest intensity."""

BINS_USED = int(two_theta(np.array([S_REFINED]), MO_K_ALPHA)[0] * BINS / 180)
BIN_ANGLES = (np.arange(BINS_USED) + 0.5) * 180 / BINS
BIN_S = s_of_two_theta(BIN_ANGLES, MO_K_ALPHA)
BIN_FACTOR = lorentz_polarization(BIN_ANGLES)


class ObservedPattern(NamedTuple):
    """A pattern in the form that one round of the refinement compares.

    Attributes:
        target: the smeared and broadened pattern.
        root: the square root of the weight of each bin, 0 where nothing was measured.
        b_factor: the B of the smearing, angstrom^2.
        broaden: the matrix that converts sticks to their broadened pattern.
        shift: the matrix that converts sticks to the change of that pattern per bin of upward
            movement.
    """

    target: Float[np.ndarray, " bins"]
    root: Float[np.ndarray, " bins"]
    b_factor: float
    broaden: Float[np.ndarray, "bins bins"]
    shift: Float[np.ndarray, "bins bins"]

    @classmethod
    def of(
        cls,
        pattern: Float[np.ndarray, "1024"],
        coverage: Float[np.ndarray, "1024"],
        b_factor: float,
        width: float,
    ) -> "ObservedPattern":
        """Return the form of a pattern that a round compares.

        Args:
            pattern: the pattern of a record.
            coverage: 1 in the bins that were measured, else 0.
            b_factor: the B of the smearing, angstrom^2.
            width: the standard deviation of the broadening, bins.
        """
        sticks = pattern[:BINS_USED] / BIN_FACTOR * np.exp(-b_factor * BIN_S**2 / 2)
        broaden, shift = _broadening(width)
        target = broaden @ sticks
        root = coverage[:BINS_USED] / np.sqrt(target + FLOOR * target.max())
        return cls(target, root, b_factor, broaden, shift)

    @property
    def length(self) -> float:
        """The norm of the weighted target."""
        return float(np.linalg.norm(self.root * self.target))

    def compare(
        self, sticks: Float[np.ndarray, " bins"]
    ) -> tuple[float, Float[np.ndarray, " bins"], float, Float[np.ndarray, " bins"]]:
        """Return the residual, the weighted difference in each bin, the scale, and the pattern.

        Args:
            sticks: the calculated |F|^2 of each bin, with multiplicity.
        """
        pattern = self.broaden @ sticks
        weighted = self.root * pattern
        scale = weighted @ (self.root * self.target) / max(weighted @ weighted, 1e-30)
        left = self.root * (self.target - scale * pattern)
        return float(np.linalg.norm(left)) / self.length, left, float(scale), pattern


@cache
def _broadening(width: float) -> tuple[np.ndarray, np.ndarray]:
    offsets = (np.arange(BINS_USED)[:, None] - np.arange(BINS_USED)) / width
    peak = np.exp(-(offsets**2) / 2) / (width * np.sqrt(2 * np.pi))
    return peak, offsets / width * peak
