"""Does a model know what it does not know? Its samples, or its deviations, against the truth.

Were the truth one more draw from where the k samples come from, and that Gaussian at each voxel,
it would lie within t sqrt(1 + 1/k) deviations of their mean as often as Student's t of k - 1
degrees of freedom says, whatever k is. A model that tells its deviation at each voxel is taken at
its word: a Gaussian around its answer. How often the truth lies within is the coverage; how large
the error is where the deviation is small and where it is large, voxels in ten equal parts, says
whether the deviation points at the errors. The spread of a material is one number that needs no
truth: materials with little of it should be those that are predicted well.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Array, Float
from scipy import stats

LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95)
"""Nominal coverages."""

PARTS = 10
"""Of the voxels of a material, by their deviation."""


def of_samples(
    truth: Float[np.ndarray, "a b c"], samples: Float[Array | np.ndarray, "k a b c"]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Return the calibration of the deviation of two or more samples around their mean."""
    samples = np.asarray(samples)
    k = len(samples)
    mean, deviation = samples.mean(axis=0), samples.std(axis=0, ddof=1)
    return _calibration(truth, mean, deviation, float(np.sqrt(1 + 1 / k)), stats.t(k - 1))


def of_deviation(
    truth: Float[np.ndarray, "a b c"],
    answer: Float[np.ndarray, "a b c"],
    deviation: Float[np.ndarray, "a b c"],
) -> dict[str, Float[np.ndarray, "..."]]:
    """Return the calibration of the deviation that is told of an answer."""
    return _calibration(truth, answer, deviation, 1.0, stats.norm)


def _calibration(
    truth: Float[np.ndarray, "a b c"],
    answer: Float[np.ndarray, "a b c"],
    deviation: Float[np.ndarray, "a b c"],
    widening: float,
    distribution: Any,
) -> dict[str, Float[np.ndarray, "..."]]:
    """Compare the deviation at each voxel with the error of the answer.

    Args:
        truth: the density.
        answer: what is said in its place.
        deviation: at each voxel.
        widening: what the deviation is multiplied by, since the answer errs as well.
        distribution: of errors / (widening * deviation), from `scipy.stats`.

    Returns:
        spread: mean deviation / mean |answer|.
        coverage: share of the voxels whose truth lies within the interval of each of `LEVELS`.
        expected: error to expect in each of `PARTS` equal parts of the voxels, in the order of
            their deviation: its root mean square, widened, / mean |truth|.
        error: root mean square error of the answer there, / mean |truth|.
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
    """Return means over materials of what calibrations give, for JSON."""
    means = {name: np.mean(values, axis=0, dtype=float) for name, values in figures.items()}
    return {"levels": list(LEVELS)} | {name: mean.tolist() for name, mean in means.items()}


def trust(
    confidence: Float[np.ndarray, " n"], ssim: Float[np.ndarray, " n"]
) -> dict[str, float | None]:
    """Say how well a confidence, which was found without the truth, ranks the materials.

    Args:
        confidence: larger where a prediction is trusted more.
        ssim: plain, of each material.

    Returns:
        spearman: rank correlation of confidence and SSIM; None where either is constant.
        trusted, doubted: mean SSIM of the half that is trusted most, and of the rest.
    """
    order = np.argsort(-confidence, kind="stable")
    half = (len(order) + 1) // 2
    constant = np.ptp(confidence) == 0 or np.ptp(ssim) == 0
    trusted, doubted = ssim[order[:half]], ssim[order[half:]]
    return {
        "spearman": None if constant else float(stats.spearmanr(confidence, ssim).statistic),
        "trusted": float(np.mean(trusted, dtype=float)),
        "doubted": float(np.mean(doubted, dtype=float)) if len(doubted) else None,
    }


def _root_mean_square(
    values: Float[np.ndarray, "a b c"], parts: list[np.ndarray]
) -> Float[np.ndarray, " parts"]:
    squares = np.square(values.ravel(), dtype=float)
    return np.sqrt([squares[part].mean() for part in parts])
