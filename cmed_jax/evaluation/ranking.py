"""Choice of the best candidate by the given pattern, without the true density.

The pattern of each candidate is calculated in the true cell and compared with the given one
(`cmed_jax.evaluation.consistency`); the candidate of the best agreement is chosen. In practice a
user must first find that cell. The first of equal candidates is chosen. The oracle chooses by the
true density, which gives the upper limit of any choice. No candidate is rotated.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from cmed_jax.evaluation.baselines import OF_PATTERN
from cmed_jax.evaluation.scoring import Scores
from cmed_jax.evaluation.statistics import paired, ssim_summary

AS_GOOD = 0.001
"""The largest difference in SSIM between candidates that count as equally good."""


def rankings(model: Scores, baselines: Mapping[str, Scores]) -> dict[str, dict]:
    """Return the results of the choice for growing lists of candidates.

    The result is empty where the self-consistency is not known.

    Args:
        model: the scores of the model, with its samples.
        baselines: the scores of the baselines; the candidate of each but those `OF_PATTERN` joins
            the last list.

    Returns:
        One entry for each list of candidates: "samples" (the model's plain candidate and its
        samples) and "samples and baselines". An entry holds the number of candidates, and the
        figures of plain SSIM of the candidate "chosen" by the pattern, of the "oracle", and of the
        "mean" over candidates. "hits" is how often the chosen candidate is the best, or as good to
        within `AS_GOOD`. "leads" is the paired difference between the chosen candidate and each
        baseline.
    """
    if "cosine" not in model.candidates:
        return {}
    others = (scores for name, scores in baselines.items() if name not in OF_PATTERN)
    everyone = [model, *others]
    lists = {"samples": [model], "samples and baselines": everyone}
    beside = {name: scores.plain["ssim"] for name, scores in baselines.items()}
    return {name: _ranking(*_joined(scores), beside) for name, scores in lists.items()}


def choose(
    cosine: Float[np.ndarray, "n k"], ssim: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, " n"]:
    """Return the SSIM of the candidate of largest cosine for each material."""
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
