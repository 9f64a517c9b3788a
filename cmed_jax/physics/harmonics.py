"""The harmonics of a cell: the integer vectors h at which networks read and write Fourier series.

One set serves all crystals and all networks, one of each pair +-h. It ascends in |h|^2, so the
harmonics of a smaller limit come first.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Complex, Float, Integer

LIMIT = 60
"""The largest |h|^2 of the harmonics that are read from a pattern."""


@lru_cache
def harmonics(limit: int = LIMIT) -> Integer[np.ndarray, "h 3"]:
    """Return one of each pair +-h of integer vectors with 0 < |h|^2 <= limit, read-only.

    Args:
        limit: the largest |h|^2.

    Example:
        >>> harmonics(1).tolist()
        [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    """
    reach = np.arange(-int(limit**0.5), int(limit**0.5) + 1)
    vectors = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 3)
    second_half = vectors[len(vectors) // 2 + 1 :]  # in this order -h mirrors h
    squared = np.sum(second_half**2, axis=1)
    order = np.argsort(squared, kind="stable")
    found = second_half[order[: np.count_nonzero(squared <= limit)]]
    found.flags.writeable = False
    return found


def lengths(
    lattice: Float[np.ndarray, "3 3"], hkl: Integer[np.ndarray, "h 3"]
) -> Float[np.ndarray, " h"]:
    """Return s = 1/d of integer vectors, 1/angstrom, for a lattice with rows a, b, c, angstrom."""
    return np.linalg.norm(hkl @ np.linalg.inv(lattice).T, axis=1)


def within(lattice: Float[np.ndarray, "3 3"], s_max: float) -> Bool[np.ndarray, " h"]:
    """Return which harmonics of a lattice have an s of at most s_max, 1/angstrom."""
    return lengths(lattice, harmonics()) <= s_max


@lru_cache
def waves(points: int, reach: int) -> Complex[np.ndarray, "n r"]:
    """Return exp(2 pi i h x) at the points x = k / n of an axis, complex64, read-only.

    Args:
        points: n, the number of points.
        reach: the columns are h from -reach to reach.
    """
    turns = np.outer(np.arange(points), np.arange(-reach, reach + 1)) % points / points
    found = np.exp(2j * np.pi * turns).astype(np.complex64)
    found.flags.writeable = False
    return found
