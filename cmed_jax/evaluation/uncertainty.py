"""Calibration of a model's uncertainty: its samples, or its deviations, against the truth.

Suppose that the truth is one more draw from the distribution of the k samples, Gaussian at each
voxel. It then lies within t sqrt(1 + 1/k) deviations of their mean as often as Student's t of k - 1
degrees of freedom predicts, for every k. A deviation that a model predicts itself is taken as that
of a Gaussian around the prediction. The coverage is how often the truth lies within the interval.
The error in ten equal parts of the voxels, ordered by their deviation, shows whether the deviation
locates the errors. A deviation of few samples is noisy: the largest are too large, by chance. One
part of the samples therefore orders the voxels, and the other one says what error to expect. The
spread of a material is one number that needs no truth: materials of small spread should be
predicted well.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Array, Float

LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95)
"""The nominal coverages."""

PARTS = 10
"""The number of parts into which the voxels of a material are divided by their deviation."""
ENOUGH = 4
"""The number of samples from which two parts have a deviation each."""

Calibration = dict[str, Float[np.ndarray, "..."]]
"""The figures of one material by name, without those that are not known."""


def of_samples(
    truth: Float[np.ndarray, "a b c"], samples: Float[Array | np.ndarray, "k a b c"]
) -> Calibration:
    """Return the calibration of the deviation of two or more samples around their mean."""
    samples = np.asarray(samples)
    k = len(samples)
    mean, deviation = samples.mean(axis=0), samples.std(axis=0, ddof=1)
    widening = float(np.sqrt(1 + 1 / k))
    order, expected = deviation, None
    if k >= ENOUGH:
        half = (k + 1) // 2
        order = samples[:half].std(axis=0, ddof=1)
        expected = widening * samples[half:].std(axis=0, ddof=1)
    reach = widening * _reach(scipy.stats.t(k - 1))
    return _calibration(truth, mean, deviation, reach, order, expected)


def of_deviation(
    truth: Float[np.ndarray, "a b c"],
    answer: Float[np.ndarray, "a b c"],
    deviation: Float[np.ndarray, "a b c"],
) -> Calibration:
    """Return the calibration of the deviation that a model predicts for its answer."""
    return _calibration(truth, answer, deviation, _reach(scipy.stats.norm), deviation, deviation)


def _calibration(
    truth: Float[np.ndarray, "a b c"],
    answer: Float[np.ndarray, "a b c"],
    deviation: Float[np.ndarray, "a b c"],
    reach: Float[np.ndarray, " levels"],
    order: Float[np.ndarray, "a b c"],
    expected: Float[np.ndarray, "a b c"] | None,
) -> Calibration:
    """Compare the deviation at each voxel with the error of the answer.

    Args:
        truth: the true density.
        answer: the predicted density.
        deviation: the deviation at each voxel.
        reach: half the width of the interval of each of `LEVELS`, in deviations.
        order: the values by which the voxels are ordered. They must not be those of `expected`
            where these are noisy.
        expected: the error to expect at each voxel; None where it is not known.

    Returns:
        spread: mean deviation / mean |answer|.
        coverage: the share of voxels with the truth within the interval, for each of `LEVELS`.
        expected: the error to expect in each of `PARTS` equal parts of the voxels, in their order:
            root mean square / mean |truth|. It is missing where it is not known.
        error: the root mean square error of the answer in each part / mean |truth|.
    """
    error = np.abs(truth - answer)
    parts = np.array_split(np.argsort(order, axis=None), PARTS)
    magnitude = np.abs(truth).mean() or 1.0
    found = {
        "spread": np.array(deviation.mean() / (np.abs(answer).mean() or 1.0)),
        "coverage": np.array([(error <= r * deviation).mean() for r in reach]),
        "error": _root_mean_square(error, parts) / magnitude,
    }
    if expected is not None:
        found["expected"] = _root_mean_square(expected, parts) / magnitude
    return found


def summary(figures: Mapping[str, Float[np.ndarray, "n ..."]]) -> dict[str, Any]:
    """Return the means of calibrations over materials, for JSON; null for what is not known."""
    means = {
        name: np.mean(values, axis=0, dtype=float).tolist() for name, values in figures.items()
    }
    return {"levels": list(LEVELS), "expected": None} | means


def trust(
    confidence: Float[np.ndarray, " n"], ssim: Float[np.ndarray, " n"]
) -> dict[str, float | None]:
    """Return how well a confidence that was found without the truth ranks the materials.

    Args:
        confidence: the confidence, larger where a prediction is trusted more.
        ssim: the plain SSIM of each material.

    Returns:
        spearman: rank correlation of confidence and SSIM; None where either is constant.
        trusted, doubted: the mean SSIM of the more trusted half of the materials, and of the rest.
    """
    order = np.argsort(-confidence, kind="stable")
    half = (len(order) + 1) // 2
    constant = np.ptp(confidence) == 0 or np.ptp(ssim) == 0
    trusted, doubted = ssim[order[:half]], ssim[order[half:]]
    return {
        "spearman": None if constant else float(scipy.stats.spearmanr(confidence, ssim).statistic),
        "trusted": float(np.mean(trusted, dtype=float)),
        "doubted": float(np.mean(doubted, dtype=float)) if len(doubted) else None,
    }


def _reach(distribution: Any) -> Float[np.ndarray, " levels"]:
    """Return half the widths of the intervals of `LEVELS` of a distribution of `scipy.stats`."""
    return distribution.ppf((1 + np.array(LEVELS)) / 2)


def _root_mean_square(
    values: Float[np.ndarray, "a b c"], parts: list[np.ndarray]
) -> Float[np.ndarray, " parts"]:
    squares = np.square(values.ravel(), dtype=float)
    return np.sqrt([squares[part].mean() for part in parts])
