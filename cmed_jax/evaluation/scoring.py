"""The protocol of every reported figure: the queries, and how the predictions are scored.

A *generator* maps a `Query` (patterns and known parts of the compositions) to candidates. The model
is a generator, each baseline is one, and this module treats them alike. Candidate 0 is the plain
prediction (the latent's mean, or the gate's mixture); further candidates are samples. Two scores
are kept apart:

plain
    candidate 0 as it is.
published
    the best of all samples in all 24 rotations about the periodic origin, for each metric
    separately. With 5 samples that is the procedure of CrystalNet's article (Guo et al., npj
    Comput. Mater. 2024). It is an oracle, since it chooses among 120 predictions by the truth.

`as_published` reproduces the computation of the article's code. Index 29 of its 50-point axes,
which it misses by rounding, is zero in truths and predictions alike. Its rotations are those of an
array, about index 24.5 and not about the lattice. The option serves for comparison with the
article only.

Controls (`cmed_jax.evaluation.controls`) change the queries about the same materials.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, Shaped

from cmed_jax.data.examples import Examples
from cmed_jax.data.query import (
    Answers,
    Control,
    Densities,
    Deviating,
    Generator,
    Query,
    Truths,
    full_query,
)
from cmed_jax.evaluation import metrics, uncertainty
from cmed_jax.evaluation.rotations import ROTATIONS, rotate

MISSING_PLANE = 29
"""The index on each axis of 50 points that the article's code never fills.

int(29 / 50 * 50) is 28.
"""

DENSITIES = 48
"""The number of candidates generated at once; a network needs at most 0.5 GB of memory for them."""

Metrics = Mapping[str, Float[np.ndarray, " n"]]
MetricsOfEach = Mapping[str, Float[np.ndarray, "n k"]]

FurtherMetrics = Callable[[Integer[np.ndarray, " b"], Truths, Densities], MetricsOfEach]
"""A function that returns further metrics of every candidate for some rows of a split."""


@dataclass(frozen=True, eq=False)
class Scores:
    """The metrics of one generator for each material.

    elements: the number of elements. plain: the metrics of candidate 0 by name, those of
    `compare_in_full` and the structure metrics. published: the metrics of `compare` by name; None
    where there are no samples. samples: the number of samples besides the plain candidate.
    as_published: whether the scores are computed as the article's code does. candidates: the SSIM
    and the structure metrics of every candidate, without rotation. calibration: the calibration of
    the predicted deviations, or else of two or more samples (`cmed_jax.evaluation.uncertainty`);
    None where there are neither.
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


class Batch(NamedTuple):
    """Rows of a split in one query, and how many of them are new.

    The last batch is filled by repeating the last row.
    """

    rows: Integer[np.ndarray, " b"]
    new: int


Elsewhere = Callable[[Sequence[Batch]], Iterable[Any]]
"""A function that yields the result of `score_batch` for each batch, in their order."""


def evaluate(
    generator: Generator | Deviating,
    examples: Examples,
    *,
    control: Control = full_query,
    further: FurtherMetrics | None = None,
    as_published: bool = False,
    batch_size: int = DENSITIES,
    progress: Callable[[int], object] | None = None,
    elsewhere: Elsewhere | None = None,
) -> Scores:
    """Score a generator on every material of a split.

    Args:
        generator: the generator; it always receives batches of one size and is compiled once.
        examples: the materials and their true densities.
        control: the function that makes the queries; by default they hold all that is known.
        further: a function for further metrics (`cmed_jax.evaluation.structure_metrics`).
        as_published: whether to compute as the article's code does, with a plane of zeros and
            rotations of the array, on the grid of 50^3.
        batch_size: the largest number of materials in a query; divide it by the number of
            candidates to bound the memory.
        progress: a function that receives the number of newly finished materials after each batch.
        elsewhere: a function that scores the batches, in other processes for instance; by default
            they are scored here, one after the other.

    Raises:
        ValueError: if the split is empty, or if the generator returns the wrong number or shape of
            densities, or NaN or infinity.
    """
    if not len(examples):
        raise ValueError("there is no material to evaluate; choose a split that is not empty")
    batches = list(_batches(len(examples), batch_size))
    if elsewhere is None:
        query = control(examples)
        scored: Iterable[Any] = (
            score_batch(generator, query, examples, batch, further, as_published)
            for batch in batches
        )
    else:
        scored = elsewhere(batches)
    parts = []
    for batch, part in zip(batches, scored, strict=True):
        parts.append(part)
        if progress is not None:
            progress(batch.new)
    found = jax.tree.map(lambda *values: np.concatenate(values), *parts)
    plain, published, ssim, found_further, calibration = found
    return Scores(
        examples.material_id,
        examples.formula,
        examples.space_group,
        examples.atoms,
        np.count_nonzero(examples.composition, axis=1).astype(np.int32),
        plain | {name: values[:, 0] for name, values in found_further.items()},
        published,
        samples=ssim.shape[1] - 1,
        as_published=as_published,
        candidates={"ssim": ssim} | found_further,
        calibration=calibration,
    )


def score_batch(
    generator: Generator | Deviating,
    query: Query,
    examples: Examples,
    batch: Batch,
    further: FurtherMetrics | None,
    as_published: bool,
) -> Any:
    """Return the metrics of one batch: a tree of arrays with a row for each new material.

    Args:
        generator: the generator.
        query: the queries of the whole split.
        examples: the whole split.
        batch: the rows that are scored.
        further: as for `evaluate`.
        as_published: as for `evaluate`.
    """
    rows, new = batch
    answers = generator(Query(*(field[rows] for field in query)))
    answers = answers if isinstance(answers, Answers) else Answers(answers)
    candidates = answers.candidates
    truths = examples.densities(rows)
    _check_shape(candidates, truths)
    scores = _score(truths, candidates, as_published=as_published)
    _check_finite(scores, examples.material_id[rows])
    found_further = {} if further is None else further(rows, truths, candidates)
    return _head((*scores, found_further, _calibration(truths, answers)), new)


def _batches(n: int, most: int) -> Iterator[Batch]:
    """Yield the rows of n materials in batches of one size."""
    size = -(-n // -(-n // most))
    for start in range(0, n, size):
        yield Batch(np.minimum(np.arange(start, start + size), n - 1), min(size, n - start))


def missing_planes(
    volumes: Float[Array | np.ndarray, "*batch n n n"],
) -> Float[Array, "*batch n n n"]:
    """Return volumes with zeros at index 29 of each axis, as in the article's code."""
    planes = jnp.arange(volumes.shape[-1]) == MISSING_PLANE
    return jnp.where(planes | planes[:, None] | planes[:, None, None], 0, volumes)


@partial(jax.jit, static_argnames="as_published")
def _score(
    truths: Float[Array | np.ndarray, "b na nb nc"], candidates: Densities, *, as_published: bool
) -> tuple[
    dict[str, Float[Array, " b"]], dict[str, Float[Array, " b"]] | None, Float[Array, "b k"]
]:
    """Return plain and published metrics, and the SSIM of each candidate.

    Materials are processed one after the other to save cache and memory.
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
        columns = zip(truths, candidates[:, 0], deviations, strict=True)
        found = [uncertainty.of_deviation(*each) for each in columns]
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
