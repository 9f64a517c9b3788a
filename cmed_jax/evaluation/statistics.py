"""Statistics of scores over materials: means, bootstrap intervals, and groups."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Float, Integer

from cmed_jax.evaluation.overlap import overlap_key
from cmed_jax.evaluation.scoring import Metrics, Scores

RESAMPLES = 9_999
"""The number of bootstrap resamples for each interval."""

CONFIDENCE = 0.95

ATOM_BINS = (2, 4, 8, 16, 32)
"""The largest number of atoms in each group by size; the last group holds all larger cells."""


def summary(scores: Scores, overlap: Integer[np.ndarray, " n"] | None = None) -> dict:
    """Reduce scores to the reported figures, as plain numbers ready for JSON.

    Args:
        scores: the scores of each material.
        overlap: the closest `TrainingOverlap` of each material with the known crystals, where it
            is requested.

    Returns:
        materials: the number of materials. samples: the number of samples of each material besides
            the plain candidate.
        plain, published: for each metric the mean, its 95 % bootstrap interval (None for a single
            material) and the median; for SSIM also the shares above 0.9, above 0.95 and below 0.7.
            published is None where there are no samples.
        by_space_group: plain SSIM of each space group, by number: materials, mean, median.
        by_atoms: the same by atoms in the cell, "1-2", "3-4", "5-8", "9-16", "17-32" and "33+".
        by_elements: the same by the number of elements.
        by_kin: the same by the closest overlap with the known crystals: "sibling", "formula" or
            "none"; empty where it is not requested.
    """
    ssim = scores.plain["ssim"]
    return {
        "materials": len(ssim),
        "samples": scores.samples,
        "plain": _summaries(scores.plain),
        "published": None if scores.published is None else _summaries(scores.published),
        "by_space_group": _grouped(ssim, scores.space_group, str),
        "by_atoms": _grouped(ssim, np.searchsorted(ATOM_BINS, scores.atoms), _atom_bin),
        "by_elements": _grouped(ssim, scores.elements, str),
        "by_kin": {} if overlap is None else _grouped(ssim, overlap, overlap_key),
    }


def ssim_summary(ssim: Float[np.ndarray, " n"]) -> dict:
    """Return mean, interval and median, and the shares above 0.9, above 0.95 and below 0.7."""
    return figures(ssim) | {
        "above_0.9": float(np.mean(ssim > 0.9)),
        "above_0.95": float(np.mean(ssim > 0.95)),
        "below_0.7": float(np.mean(ssim < 0.7)),
    }


def figures(values: Float[np.ndarray, " n"]) -> dict:
    """Return the mean, the interval of the mean and the median of any metric over materials."""
    return {
        "mean": float(np.mean(values, dtype=np.float64)),
        "interval": bootstrap_interval(values),
        "median": float(np.median(values)),
    }


def paired(values: Float[np.ndarray, " n"], first: Float[np.ndarray, " n"]) -> dict:
    """Return the figures of the difference between two sets of values for the same materials.

    Materials are resampled in pairs. Both sets find the same materials hard or easy, so the mean
    difference is known far better than two intervals of means suggest. "larger" is the share of the
    materials in which `values` exceeds `first`.
    """
    change = values.astype(np.float64) - first
    return figures(change) | {"larger": float(np.mean(change > 0))}


def standing(difference: Mapping[str, Any]) -> str:
    """Return "above" or "below", or "not distinguishable" where no interval excludes 0."""
    low, high = difference["interval"] or (-np.inf, np.inf)
    if low <= 0 <= high:
        return "not distinguishable"
    return "above" if low > 0 else "below"


def format_interval(figures: Mapping[str, Any], form: str) -> str:
    """Return the text of a mean with its interval, where it has one."""
    interval = figures["interval"]
    ends = "" if interval is None else f" [{interval[0]:{form}}, {interval[1]:{form}}]"
    return f"{figures['mean']:{form}}{ends}"


def bootstrap_interval(values: Float[np.ndarray, " n"]) -> list[float] | None:
    """Return the 95 % percentile bootstrap interval of the mean; None for a single value."""
    if len(values) < 2:
        return None
    interval = scipy.stats.bootstrap(
        (values.astype(np.float64),),
        np.mean,
        n_resamples=RESAMPLES,
        batch=500,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return [float(interval.low), float(interval.high)]


def _summaries(scores: Metrics) -> dict:
    summaries = {name: figures(values) for name, values in scores.items()}
    return summaries | {"ssim": ssim_summary(scores["ssim"])}


def _grouped(
    ssim: Float[np.ndarray, " n"],
    group: Integer[np.ndarray, " n"],
    name: Callable[[int], str],
) -> dict[str, dict]:
    return {
        name(key): {
            "materials": int(np.sum(group == key)),
            "mean": float(np.mean(ssim[group == key], dtype=np.float64)),
            "median": float(np.median(ssim[group == key])),
        }
        for key in np.unique(group).tolist()
    }


def _atom_bin(index: int) -> str:
    if index == len(ATOM_BINS):
        return f"{ATOM_BINS[-1] + 1}+"
    return f"{(0, *ATOM_BINS)[index] + 1}-{ATOM_BINS[index]}"
