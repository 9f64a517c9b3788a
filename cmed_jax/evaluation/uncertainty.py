"""Does the network know what it does not know? Samples of the latent against the truth.

Were the truth one more draw from where the k samples come from, and that Gaussian at each voxel,
it would lie within t sqrt(1 + 1/k) deviations of their mean as often as Student's t of k - 1
degrees of freedom says, whatever k is. How often it does is the coverage; how large the error is
where the deviation is small and where it is large, voxels in ten equal parts, says whether the
deviation points at the errors. The spread of a material is one number that needs no truth:
materials with little of it should be those that are predicted well.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Array, Float
from scipy import stats

LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95)
"""Nominal coverages."""

PARTS = 10
"""Of the voxels of a material, by their deviation."""


def calibration(
    truth: Float[np.ndarray, "a b c"], samples: Float[Array | np.ndarray, "k a b c"]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Compare the deviation of two or more samples at each voxel with the error of their mean.

    Returns:
        spread: mean deviation / mean |density|, both of the samples.
        coverage: share of the voxels whose truth lies within the interval of each of `LEVELS`.
        expected: error to expect in each of `PARTS` equal parts of the voxels, in the order of
            their deviation: its root mean square times sqrt(1 + 1/k), / mean |truth|.
        error: root mean square error of the samples' mean there, / mean |truth|.
    """
    samples = np.asarray(samples)
    k = len(samples)
    mean, deviation = samples.mean(axis=0), samples.std(axis=0, ddof=1)
    reach = stats.t.ppf((1 + np.array(LEVELS)) / 2, k - 1) * np.sqrt(1 + 1 / k)
    error = np.abs(truth - mean)
    parts = np.array_split(np.argsort(deviation, axis=None), PARTS)
    magnitude = np.abs(truth).mean() or 1.0
    return {
        "spread": np.array(deviation.mean() / (np.abs(mean).mean() or 1.0)),
        "coverage": np.array([(error <= r * deviation).mean() for r in reach]),
        "expected": np.sqrt(1 + 1 / k) * _root_mean_square(deviation, parts) / magnitude,
        "error": _root_mean_square(error, parts) / magnitude,
    }


def summary(figures: Mapping[str, Float[np.ndarray, "n ..."]]) -> dict:
    """Return means over materials of what `calibration` gives, for JSON."""
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
