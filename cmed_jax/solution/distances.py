"""The distances of patterns and compositions from those of known crystals.

composition
    Half the L1 distance of the atom fractions: the share of the atoms that would have to change.
pattern
    1 - cosine of the two patterns, each broadened by a Gaussian of 2.5 bins (sigma). Peaks a few
    bins apart, as in cells that differ by a percent, still overlap after the broadening.
"""

from collections.abc import Callable

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import ArrayLike, Float

BROADENING = 2.5
"""The standard deviation of the Gaussian that broadens patterns for the comparison, in bins."""

Distance = Callable[[ArrayLike], Float[np.ndarray, "queries known"]]


def composition_distance(known: Float[np.ndarray, "n 119"]) -> Distance:
    """Return a function that gives the distances of compositions from the known ones, 0 to 1.

    Elements without ratios (ones) count as equal fractions. An unknown composition (zeros) has the
    same distance from all.
    """
    fractions = _fractions(known)
    return lambda composition: (
        scipy.spatial.distance.cdist(_fractions(composition), fractions, "cityblock") / 2
    )


def pattern_distance(known: Float[np.ndarray, "n 1024"]) -> Distance:
    """Return a function that gives the distances of patterns from the known ones, 0 to 1.

    A pattern of zeros has distance 1 from all.
    """
    broadened = _broadened(known)
    return lambda pattern: 1 - _broadened(pattern) @ broadened.T


def _fractions(composition: ArrayLike) -> Float[np.ndarray, "n 119"]:
    amounts = np.asarray(composition, np.float64)
    total = amounts.sum(axis=1, keepdims=True)
    return amounts / np.where(total > 0, total, 1)


def _broadened(pattern: ArrayLike) -> Float[np.ndarray, "n 1024"]:
    """Return patterns of unit length, with peaks broadened by `BROADENING`."""
    smooth = scipy.ndimage.gaussian_filter1d(
        np.asarray(pattern, np.float32), BROADENING, mode="constant"
    )
    length = np.linalg.norm(smooth, axis=1, keepdims=True)
    return smooth / np.where(length > 0, length, 1)
