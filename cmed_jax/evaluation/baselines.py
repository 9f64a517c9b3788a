"""What needs no model: a constant map, and the density of the nearest training crystal.

Each baseline is a generator of one candidate (`cmed_jax.evaluation.protocol`), computed from the
training split alone. Its distances:

composition
    half the L1 distance of the atom fractions: the share of the atoms that would have to change.
pattern
    1 - cosine of the two patterns, each broadened by a Gaussian of 2.5 bins (sigma), so that peaks
    a few bins apart, from a cell that differs by a percent, still meet.
both
    the distance in composition + twice the distance in pattern.

Width and weight were chosen on the validation crystals of the cubic benchmark, where they retrieve
best; a baseline that is weaker than it could be flatters what stands beside it.

Distances are rounded to 1e-6 and of equal ones the first material id wins, so that the choice does
not hang on the last bit of a sum.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import ArrayLike, Float
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.distance import cdist

from cmed_jax.data.dataset import Examples
from cmed_jax.evaluation.protocol import Generator, Query

BROADENING = 2.5
"""Standard deviation of the Gaussian that patterns are compared under, in bins."""

PATTERN_WEIGHT = 2.0
"""Weight of the distance in pattern against that in composition, where both count."""

Distance = Callable[[Query], Float[np.ndarray, "queries training"]]


def baselines(training: Examples) -> dict[str, Generator]:
    """Return every baseline by its name in the report.

    Raises:
        ValueError: if there is no training example.
    """
    if not len(training):
        raise ValueError("baselines are computed from the training split, and it is empty")
    composition, pattern = composition_distance(training), pattern_distance(training)
    return {
        "constant map": constant_map(training),
        "nearest in composition": nearest(training, composition),
        "nearest in pattern": nearest(training, pattern),
        "nearest in both": nearest(
            training, lambda query: composition(query) + PATTERN_WEIGHT * pattern(query)
        ),
    }


def constant_map(training: Examples) -> Generator:
    """Answer every query with one number: the mean over all training densities and voxels."""
    means = [training.densities(np.array([row])).mean() for row in range(len(training))]
    shape = (1, *training.density.shape[1:])
    constant = np.full(shape, np.mean(means, dtype=np.float64), np.float32)
    return lambda query: np.broadcast_to(constant, (len(query.pattern), *shape))


def nearest(training: Examples, distance: Distance) -> Generator:
    """Answer with the density of the training crystal at the smallest distance."""

    def generate(query: Query) -> Float[np.ndarray, "b 1 na nb nc"]:
        rows = np.round(distance(query), 6).argmin(axis=1)
        return training.densities(rows)[:, None]

    return generate


def composition_distance(training: Examples) -> Distance:
    """Return half the L1 distance of the atom fractions, 0 to 1.

    Elements without ratios (ones) are taken as equal fractions; a composition that is not known
    (zeros) is at the same distance from all.
    """
    known = _fractions(training.composition)
    return lambda query: cdist(_fractions(query.composition), known, "cityblock") / 2


def pattern_distance(training: Examples) -> Distance:
    """Return 1 - cosine of the broadened patterns, 0 to 1; 1 from a pattern of zeros."""
    known = _broadened(training.pattern)
    return lambda query: 1 - _broadened(query.pattern) @ known.T


def _fractions(composition: ArrayLike) -> Float[np.ndarray, "n 119"]:
    amounts = np.asarray(composition, np.float64)
    total = amounts.sum(axis=1, keepdims=True)
    return amounts / np.where(total > 0, total, 1)


def _broadened(pattern: ArrayLike) -> Float[np.ndarray, "n 1024"]:
    """Patterns with peaks as wide as a match may be off, each of unit length."""
    smooth = gaussian_filter1d(np.asarray(pattern, np.float32), BROADENING, mode="constant")
    length = np.linalg.norm(smooth, axis=1, keepdims=True)
    return smooth / np.where(length > 0, length, 1)
