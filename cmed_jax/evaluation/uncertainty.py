"""Calibration of a model's uncertainty: its samples, or its deviations, against the truth.

Suppose that the truth is one more draw from the distribution of the k samples, Gaussian at each
voxel. It then lies within t sqrt(1 + 1/k) deviations of their mean as often as Student's t of k - 1
degrees of freedom predicts, for every k. A deviation that a model predicts itself is taken as that
of a Gaussian around the prediction. The coverage is how often the truth lies within the interval.
The error in ten equal parts of the voxels, ordered by their deviation, shows whether the deviation
locates the errors. The spread of a material is one number that needs no truth: materials of small
spread should be predicted well.
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


def of_samples(
    truth: Float[np.ndarray, "a b c"], samples: Float[Array | np.ndarray, "k a b c"]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Return the calibration of the deviation of two or more samples around their mean."""
    samples = np.asarray(samples)
    k = len(samples)
    mean, deviation = samples.mean(axis=0), samples.std(axis=0, ddof=1)
    return _calibration(truth, mean, deviation, float(np.sqrt(1 + 1 / k)), scipy.stats.t(k - 1))


def of_deviation(
    truth: Float[np.ndarray, "a b c"],
    answer: Float[np.ndarray, "a b c"],
    deviation: Float[np.ndarray, "a b c"],
) -> dict[str, Float[np.ndarray, "..."]]:
    """Return the calibration of the deviation that a model predicts for its answer."""
    return _calibration(truth, answer, deviation, 1.0, scipy.stats.norm)


def _calibration(
    truth: Float[np.ndarray, "a b c"],
    answer: Float[np.ndarray, "a b c"],
    deviation: Float[np.ndarray, "a b c"],
    widening: float,
    distribution: Any,
) -> dict[str, Float[np.ndarray, "..."]]:
    """Compare the deviation at each voxel with the error of the answer.

    Args:
        truth: the true density.
        answer: the predicted density.
        deviation: the deviation at each voxel.
        widening: the factor of the deviation that accounts for the error of the answer.
        distribution: the distribution of errors / (widening * deviation), from `scipy.stats`.

    Returns:
        spread: mean deviation / mean |answer|.
        coverage: the share of voxels with the truth within the interval, for each of `LEVELS`.
        expected: the expected error in each of `PARTS` equal parts of the voxels, in the order of
            their deviation: root mean square of the widened deviation / mean |truth|.
        error: the root mean square error of the answer in each part / mean |truth|.
    """
    reach = widening * distribution.ppf((1 + np.array(LEVELS)) / 2)
    error = np.abs(truth - answer)
    parts = np.array_split(np.argsort(deviation, axis=None), PARTS)
    magnitude = np.abs(truth).mean() or 1.0
    return {
        "spread": np.array(deviation.mean() / (np.abs(answer).mean() or 1.0)),
        "coverage": np.array([(error <= r * deviation).mean() for r in reach]),
        "expected": widening * _root_mean_square(deviation, parts) / magnitude,
        "error": _root_mean_square(error, parts) / magnitude,
    }


def summary(figures: Mapping[str, Float[np.ndarray, "n ..."]]) -> dict:
    """Return the means of calibrations over materials, for JSON."""
    means = {name: np.mean(values, axis=0, dtype=float) for name, values in figures.items()}
    return {"levels": list(LEVELS)} | {name: mean.tolist() for name, mean in means.items()}


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


def _root_mean_square(
    values: Float[np.ndarray, "a b c"], parts: list[np.ndarray]
) -> Float[np.ndarray, " parts"]:
    squares = np.square(values.ravel(), dtype=float)
    return np.sqrt([squares[part].mean() for part in parts])
