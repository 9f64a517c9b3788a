"""The protocol of every reported figure: who is asked what, and how the answers are scored.

A *generator* answers a `Query` (patterns and what is known of the compositions) with candidates.
The model is one, each baseline is one, and everything here treats them alike. Candidate 0 is the
plain answer (the latent's mean, or the gate's mixture); further candidates are samples. Two scores
are kept apart:

plain
    candidate 0 as it is.
published
    the best of all samples in all 24 rotations about the periodic origin, each metric on its own.
    With 5 samples that is the procedure of CrystalNet's article (Guo et al., npj Comput. Mater.
    2024): an oracle, since it chooses among 120 answers with the truth in hand.

`as_published` goes further and computes as the article's code does: index 29 of its 50-point axes,
which it misses by rounding, is zero in truths and predictions alike, and its rotations are those of
an array, about index 24.5 and not about the lattice. It is for setting the two side by side.

Controls (`cmed_jax.evaluation.controls`) ask something else about the same materials.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, Float, Integer, Shaped

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.dataset import Examples
from cmed_jax.evaluation import metrics, uncertainty
from cmed_jax.evaluation.kinship import Kinship
from cmed_jax.evaluation.rotations import ROTATIONS, rotate

RESAMPLES = 9_999
"""Bootstrap resamples behind each interval."""

CONFIDENCE = 0.95

MISSING_PLANE = 29
"""int(29 / 50 * 50) is 28: the index on each axis of 50 points that the article never fills."""

ATOM_BINS = (2, 4, 8, 16, 32)
"""Largest number of atoms in each group by size; the last group is all that is larger."""

DENSITIES = 48
"""Candidates that are generated at once: a network's memory for them is 0.5 GB at most."""

Truths = Float[np.ndarray, "b na nb nc"]
Densities = Float[Array | np.ndarray, "b k na nb nc"]
Metrics = Mapping[str, Float[np.ndarray, " n"]]
MetricsOfEach = Mapping[str, Float[np.ndarray, "n k"]]


class Query(NamedTuple):
    """What a generator is told of b materials.

    pattern: on the published grid of 1,024 bins, strongest = 1, or zeros: not measured.
    composition: atom fractions by atomic number, or what is known of them.
    knowledge: how much that is, as numbered by `Knowledge`.
    coverage: 1 in the bins that were measured, 0 in those that were not.
    """

    pattern: Float[Array | np.ndarray, "b 1024"]
    composition: Float[Array | np.ndarray, "b 119"]
    knowledge: Integer[Array | np.ndarray, " b"]
    coverage: Float[Array | np.ndarray, "b 1024"]


Generator = Callable[[Query], Densities]
"""Answers b queries with k candidates each, in e/angstrom^3 on the grid of the truth."""


class Answers(NamedTuple):
    """Candidates for b queries, and how far the truth may be from the first of each.

    deviation: the standard deviation at each voxel, e/angstrom^3; None where it is not told.
    """

    candidates: Densities
    deviation: Truths | None = None


Deviating = Callable[[Query], Answers]
"""Answers like a generator, and tells the deviations."""

Control = Callable[[Examples], Query]
"""What is asked about a split in the place of `full_query`."""

Examine = Callable[[Integer[np.ndarray, " b"], Truths, Densities], MetricsOfEach]
"""Finds further metrics of every candidate for some rows of a split."""


@dataclass(frozen=True, eq=False)
class Scores:
    """The metrics of one generator, material by material.

    elements: their number. plain, published: metrics of each material by name, all of
    `compare_in_full` and of the examination for the one, and those of `compare` for the other,
    which is None where there are no samples. samples: how many the generator gave besides the plain
    candidate. as_published: whether they are computed as the article's code does. candidates: of
    every candidate, as it is, SSIM and what the examination found. calibration: of the deviations
    that are told, or else of two or more samples (`cmed_jax.evaluation.uncertainty`); None where
    there are neither.
    """

    material_id: Shaped[np.ndarray, " n"]
    formula: Shaped[np.ndarray, " n"]
    space_group: Integer[np.ndarray, " n"]
    atoms: Integer[np.ndarray, " n"]
    elements: Integer[np.ndarray, " n"]
    plain: Metrics
    published: Metrics | None
    samples: int
    as_published: bool = False
    candidates: MetricsOfEach = field(default_factory=dict)
    calibration: Mapping[str, Float[np.ndarray, "n ..."]] | None = None


def full_query(examples: Examples) -> Query:
    """Return the query that tells everything: every pattern, every composition in full."""
    knowledge = np.full(len(examples), Knowledge.FULL, np.int32)
    whole = np.ones_like(examples.pattern)
    return Query(examples.pattern, examples.composition, knowledge, whole)


def evaluate(
    generator: Generator | Deviating,
    examples: Examples,
    *,
    control: Control = full_query,
    examine: Examine | None = None,
    as_published: bool = False,
    batch_size: int = DENSITIES,
    progress: Callable[[int], object] | None = None,
) -> Scores:
    """Score a generator on every material of a split.

    Args:
        generator: is always asked about as many materials, so that it is compiled once.
        examples: the materials and their true densities.
        control: asks something else than all that is known.
        examine: finds more than the voxels tell (`cmed_jax.evaluation.examination`).
        as_published: compute as the article's code does, with a plane of zeros and rotations of the
            array; on the grid of 50^3.
        batch_size: most materials that are asked about at once; divide it by the number of
            candidates to bound the memory.
        progress: is told how many materials are newly done, batch by batch.

    Raises:
        ValueError: if the split is empty, or if the generator answers with the wrong number or
            shape of densities, or with NaN or infinity.
    """
    if not len(examples):
        raise ValueError("there is no material to evaluate; choose a split that is not empty")
    query = control(examples)
    parts = []
    for rows, new in _batches(len(examples), batch_size):
        answers = generator(Query(*(field[rows] for field in query)))
        answers = answers if isinstance(answers, Answers) else Answers(answers)
        candidates = answers.candidates
        truths = examples.densities(rows)
        _check_shape(candidates, truths)
        scores = _score(truths, candidates, as_published=as_published)
        _check_finite(scores, examples.material_id[rows])
        examined = {} if examine is None else examine(rows, truths, candidates)
        parts.append(_head((*scores, examined, _calibration(truths, answers)), new))
        if progress is not None:
            progress(new)
    found = jax.tree.map(lambda *values: np.concatenate(values), *parts)
    plain, published, ssim, examined, calibration = found
    return Scores(
        examples.material_id,
        examples.formula,
        examples.space_group,
        examples.atoms,
        np.count_nonzero(examples.composition, axis=1).astype(np.int32),
        plain | {name: values[:, 0] for name, values in examined.items()},
        published,
        samples=candidates.shape[1] - 1,
        as_published=as_published,
        candidates={"ssim": ssim} | examined,
        calibration=calibration,
    )


def summary(scores: Scores, kin: Integer[np.ndarray, " n"] | None = None) -> dict:
    """Reduce scores to what is reported, as plain numbers ready for JSON.

    Args:
        scores: of each material.
        kin: the nearest `Kinship` of each material among the known crystals, where it is asked.

    Returns:
        materials: their number. samples: of each, besides the plain candidate.
        plain, published: for each metric the mean, its 95 % bootstrap interval (None for a single
            material) and the median; for SSIM also the shares above 0.9, above 0.95 and below 0.7.
            published is None where there are no samples.
        by_space_group: plain SSIM of each space group, by number: materials, mean, median.
        by_atoms: the same by atoms in the cell, "1-2", "3-4", "5-8", "9-16", "17-32" and "33+".
        by_elements: the same by the number of elements.
        by_kin: the same by the nearest kin among the known crystals: "sibling", "formula" or
            "none"; empty where it is not asked.
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
        "by_kin": {} if kin is None else _grouped(ssim, kin, kin_name),
    }


def ssim_summary(ssim: Float[np.ndarray, " n"]) -> dict:
    """Return mean, interval and median, and the shares above 0.9, above 0.95 and below 0.7."""
    return figures(ssim) | {
        "above_0.9": float(np.mean(ssim > 0.9)),
        "above_0.95": float(np.mean(ssim > 0.95)),
        "below_0.7": float(np.mean(ssim < 0.7)),
    }


def figures(values: Float[np.ndarray, " n"]) -> dict:
    """Return mean, interval of the mean and median of any metric over materials."""
    return {
        "mean": float(np.mean(values, dtype=np.float64)),
        "interval": bootstrap_interval(values),
        "median": float(np.median(values)),
    }


def paired(values: Float[np.ndarray, " n"], first: Float[np.ndarray, " n"]) -> dict:
    """Return the figures of how far values are above others of the same materials.

    Materials are resampled in pairs: both share the hard and the easy ones, so the mean difference
    is known far better than two intervals of means suggest. "larger" is the share of the materials
    in which the value is.
    """
    change = values.astype(np.float64) - first
    return figures(change) | {"larger": float(np.mean(change > 0))}


def standing(difference: Mapping[str, Any]) -> str:
    """Return "above" or "below", or "not distinguishable" where no interval excludes 0."""
    low, high = difference["interval"] or (-np.inf, np.inf)
    if low <= 0 <= high:
        return "not distinguishable"
    return "above" if low > 0 else "below"


def spread(figures: Mapping[str, Any], form: str) -> str:
    """Return a mean with its interval, where it has one, as it is printed."""
    interval = figures["interval"]
    ends = "" if interval is None else f" [{interval[0]:{form}}, {interval[1]:{form}}]"
    return f"{figures['mean']:{form}}{ends}"


def kin_name(kin: int) -> str:
    """Return the name of a `Kinship` in the results."""
    return Kinship(kin).name.lower()


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


def _batches(n: int, most: int) -> Iterator[tuple[np.ndarray, int]]:
    """Rows of batches of one size, and how many are new: the last repeats the last row."""
    size = -(-n // -(-n // most))
    for start in range(0, n, size):
        yield np.minimum(np.arange(start, start + size), n - 1), min(size, n - start)


def missing_planes(
    volumes: Float[Array | np.ndarray, "*batch n n n"],
) -> Float[Array, "*batch n n n"]:
    """Return volumes with zeros at index 29 of each axis, as the article's code leaves them."""
    planes = jnp.arange(volumes.shape[-1]) == MISSING_PLANE
    return jnp.where(planes | planes[:, None] | planes[:, None, None], 0, volumes)


@partial(jax.jit, static_argnames="as_published")
def _score(
    truths: Float[Array | np.ndarray, "b na nb nc"], candidates: Densities, *, as_published: bool
) -> tuple[
    dict[str, Float[Array, " b"]], dict[str, Float[Array, " b"]] | None, Float[Array, "b k"]
]:
    """Plain and published metrics, and the SSIM of each candidate.

    One material after the other, to stay in cache and memory.
    """
    if as_published:
        truths, candidates = missing_planes(truths), missing_planes(candidates)

    def score(material):
        truth, (plain, samples) = metrics.prepare(material[0]), (material[1][0], material[1][1:])
        found = metrics.compare_in_full(truth, plain)
        if not len(samples):
            return found, None, found["ssim"][None]
        of_each = jax.lax.map(lambda sample: metrics.compare(truth, sample)["ssim"], samples)
        ssim = jnp.concatenate([found["ssim"][None], of_each])
        return found, _best_of_rotations(truth, samples, as_published), ssim

    return jax.lax.map(score, (jnp.asarray(truths), jnp.asarray(candidates)))


def _best_of_rotations(
    truth: metrics.Truth, samples: Float[Array, "k n n n"], as_array: bool
) -> dict[str, Float[Array, ""]]:
    def turned(rotation):
        def score(sample):
            return metrics.compare(truth, rotate(sample, rotation, as_array=as_array))

        return jax.lax.map(score, samples)

    scores = jax.lax.map(turned, jnp.asarray(ROTATIONS))
    return {
        "ssim": scores["ssim"].max(),
        "psnr": scores["psnr"].max(),
        "nmae": scores["nmae"].min(),
    }


def _calibration(truths: Truths, answers: Answers) -> dict[str, np.ndarray] | None:
    candidates, deviations = np.asarray(answers.candidates), answers.deviation
    if deviations is not None:
        told = zip(truths, candidates[:, 0], deviations, strict=True)
        found = [uncertainty.of_deviation(*each) for each in told]
    elif candidates.shape[1] > 2:
        pairs = zip(truths, candidates[:, 1:], strict=True)
        found = [uncertainty.of_samples(*each) for each in pairs]
    else:
        return None
    return jax.tree.map(lambda *values: np.stack(values), *found)


def _head(tree: Any, n: int) -> Any:
    return jax.tree.map(lambda values: np.asarray(values)[:n], tree)


def _check_shape(candidates: Densities, truths: np.ndarray) -> None:
    b, _, *grid = candidates.shape
    if (b, *grid) != truths.shape:
        raise ValueError(
            f"the generator answered with shape {candidates.shape} to {len(truths)} queries; "
            f"it has to give (queries, candidates, *grid) on the grid {truths.shape[1:]}"
        )


def _check_finite(scores: Any, material_id: Shaped[np.ndarray, " b"]) -> None:
    for values in jax.tree.leaves(scores):
        if not np.isfinite(values).all():
            raise ValueError(
                f"the density generated for {material_id[np.isfinite(values).argmin()]} is not "
                "finite; evaluate another checkpoint"
            )


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
