"""The best of several candidates, chosen by the pattern and not by the true density.

The choice is the candidate whose own pattern, in the true cell, agrees best with the given one
(`cmed_jax.evaluation.consistency`); a user must first find that cell. Of equal ones the first
counts. The oracle chooses with the truth in hand, and is what the choice could reach at most. No
candidate is rotated.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from cmed_jax.evaluation.scoring import Scores
from cmed_jax.evaluation.statistics import paired, ssim_summary

AS_GOOD = 0.001
"""Candidates whose SSIM differs by no more are equally good."""


def rankings(model: Scores, baselines: Mapping[str, Scores]) -> dict[str, dict]:
    """Return what choosing yields, for growing lists of candidates.

    Empty where self-consistency is not known.

    Args:
        model: with its samples.
        baselines: one candidate of each joins the last list.

    Returns:
        By the name of the list, "samples" (the model's plain candidate and its samples) and
        "samples and baselines": the number of candidates, and of plain SSIM the figures of the
        candidate "chosen" by the pattern, of the "oracle", and of the "mean" over candidates; how
        often ("hits") the chosen one is the best, or as good to within `AS_GOOD`; and "leads", how
        far the chosen one is above each baseline, in pairs.
    """
    if "cosine" not in model.candidates:
        return {}
    everyone = [model, *baselines.values()]
    lists = {"samples": [model], "samples and baselines": everyone}
    beside = {name: scores.plain["ssim"] for name, scores in baselines.items()}
    return {name: _ranking(*_joined(scores), beside) for name, scores in lists.items()}


def choose(
    cosine: Float[np.ndarray, "n k"], ssim: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, " n"]:
    """Return the SSIM of the candidate of largest cosine, material by material."""
    best = np.round(cosine, 6).argmax(axis=1)
    return np.take_along_axis(ssim, best[:, None], axis=1)[:, 0]


def _joined(scores: list[Scores]) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    cosine, ssim = (
        np.concatenate([each.candidates[name] for each in scores], axis=1)
        for name in ("cosine", "ssim")
    )
    return cosine, ssim


def _ranking(
    cosine: Float[np.ndarray, "n k"],
    ssim: Float[np.ndarray, "n k"],
    beside: Mapping[str, Float[np.ndarray, " n"]],
) -> dict:
    chosen, best = choose(cosine, ssim), ssim.max(axis=1)
    return {
        "candidates": ssim.shape[1],
        "chosen": ssim_summary(chosen),
        "oracle": ssim_summary(best),
        "hits": float(np.mean(chosen >= best - AS_GOOD)),
        "mean": ssim_summary(ssim.mean(axis=1)),
        "leads": {name: paired(chosen, other) for name, other in beside.items()},
    }
