"""Known crystals as a network recalls them: those whose reflections resemble a query's.

Crystals of one structure type have like amplitudes at the same harmonics, whatever their size. They
are therefore found by the reflections, not by the pattern: the similarity is the cosine of the
roots of the amplitudes, less half the largest difference of the metric tensors of unit volume, less
0.3 times the difference of the sorted atom fractions where the ratios are known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int32, Integer

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.examples import CompactExamples
from cmed_jax.data.query import Query

RECALLED = 6
"""The number of known crystals recalled for a query."""
METRIC_WEIGHT, RATIO_WEIGHT = 0.5, 0.3
"""The weights of the differences in metric and in ratios, against the cosine of reflections."""
RATIOS = 6
"""The number of atom fractions compared, from the largest on."""
ROUGH = 128
"""The number of principal axes on which all known crystals are compared in a first choice."""
SAMPLED = 4000
"""The number of known crystals from which these axes are found."""
POOL = 96
"""The number of crystals of the first choice that are compared exactly."""
BLOCK = 64
"""The number of known crystals of which the best one is found first."""
ROWS = 256
"""The number of queries compared with all known crystals at once, which bounds the memory."""


class Recalled(NamedTuple):
    """The known crystals recalled for b queries, the most similar first.

    Attributes:
        lattice: rows a, b, c of their cells, angstrom.
        amplitude: |F| at the harmonics of their cells, mean square 1.
        composition: their atom fractions.
        series: the Fourier series of the logarithm of their densities.
        present: 1 where there is a crystal, 0 for padding.
    """

    lattice: Float[Array | np.ndarray, "b k 3 3"]
    amplitude: Float[Array | np.ndarray, "b k h"]
    composition: Float[Array | np.ndarray, "b k 119"]
    series: Float[Array | np.ndarray, "b k t"]
    present: Float[Array | np.ndarray, "b k"]


class Likeness(NamedTuple):
    """The likeness of queries and known crystals.

    Attributes:
        reflections: the cosine of the roots of the amplitudes, over observed harmonics.
        metric: the largest difference of the metric tensors of unit volume.
        ratios: the sum of the differences of the sorted atom fractions; 0 where they are unknown.
        elements: the scalar product of the compositions.
    """

    reflections: Float[Array, "b k"]
    metric: Float[Array, "b k"]
    ratios: Float[Array, "b k"]
    elements: Float[Array, "b k"]


def likeness(
    query: Query,
    lattice: Float[Array | np.ndarray, "b k 3 3"],
    amplitude: Float[Array | np.ndarray, "b k h"],
    composition: Float[Array | np.ndarray, "b k 119"],
) -> Likeness:
    """Return the likeness of each query and its k known crystals; for `jax.jit`."""
    observed = query.observed[:, None]
    roots = jnp.sqrt(query.amplitude)[:, None] * observed
    theirs = jnp.sqrt(amplitude) * observed
    norms = jnp.linalg.norm(roots, axis=-1) * jnp.linalg.norm(theirs, axis=-1)
    cosine = jnp.sum(roots * theirs, axis=-1) / jnp.maximum(norms, 1e-6)
    metric = jnp.abs(unit_metric(lattice) - unit_metric(query.lattice)[:, None]).max(axis=(-1, -2))
    in_full = jnp.asarray(query.knowledge == Knowledge.FULL)[:, None]
    ratios = jnp.abs(_ratios(composition) - _ratios(query.composition)[:, None]).sum(axis=-1)
    elements = jnp.sum(composition * query.composition[:, None], axis=-1)
    return Likeness(cosine, metric, jnp.where(in_full, ratios, 0.0), elements)


@jax.jit
def unit_metric(lattice: Float[Array | np.ndarray, "*b 3 3"]) -> Float[Array, "*b 3 3"]:
    """Return the metric tensors of cells scaled to unit volume; zeros for an unknown cell."""
    volume = jnp.abs(
        jnp.vecdot(lattice[..., 0, :], jnp.cross(lattice[..., 1, :], lattice[..., 2, :]))
    )
    known = (volume > 0)[..., None, None]
    scale = jnp.cbrt(jnp.where(volume > 0, volume, 1.0))[..., None, None]
    # Products of full precision: the metric tells structure types apart by a few percent.
    metric = jnp.matmul(lattice, jnp.swapaxes(lattice, -1, -2), precision="highest") / scale**2
    return jnp.where(known, metric, 0.0)


@jax.jit
def _ratios(composition: Float[Array | np.ndarray, "*b 119"]) -> Float[Array, "*b 6"]:
    return -jnp.sort(-jnp.asarray(composition), axis=-1)[..., :RATIOS]


Recall = Callable[[Query], Recalled]
"""A function that recalls known crystals for queries."""


@dataclass(frozen=True, eq=False)
class Memory:
    """Known crystals, and what is needed to find those that resemble a query.

    Attributes:
        lattice: rows a, b, c of the cells, angstrom.
        amplitude: |F| at the harmonics, mean square 1.
        composition: atom fractions.
        series: Fourier series of the logarithms of the densities; None where crystals are found
            but not given to a network.
    """

    lattice: Float[np.ndarray, "n 3 3"]
    amplitude: Float[np.ndarray, "n h"]
    composition: Float[np.ndarray, "n 119"]
    series: Float[np.ndarray, "n t"] | None = None

    @classmethod
    def of(cls, known: CompactExamples) -> "Memory":
        """Return the memory of the crystals of a split."""
        return cls(known.lattice, known.amplitude, known.composition, known.series)

    def __len__(self) -> int:
        return len(self.lattice)

    def __call__(
        self,
        query: Query,
        most: int = RECALLED,
        *,
        without: Sequence[Integer[np.ndarray, " _"]] | None = None,
    ) -> Recalled:
        """Return the known crystals that resemble each query most, in the form that networks read.

        The arguments are those of `nearest`.
        """
        rows, present = self.nearest(query, most, without=without)
        assert self.series is not None
        columns = self.lattice, self.amplitude, self.composition, self.series
        lattice, amplitude, composition, series = (
            column[rows].astype(np.float32) for column in columns
        )
        return Recalled(lattice, amplitude, composition, series, present.astype(np.float32))

    def nearest(
        self,
        query: Query,
        most: int = RECALLED,
        *,
        without: Sequence[Integer[np.ndarray, " _"]] | None = None,
    ) -> tuple[Int32[np.ndarray, "b k"], Bool[np.ndarray, "b k"]]:
        """Return the rows of the most similar crystals, the first the best, and which exist.

        A query without a cell or without observed harmonics recalls nothing.

        Args:
            query: the queries.
            most: the number of crystals of each query.
            without: for each query the rows of crystals to leave out, such as the query itself.
        """
        number = len(query.lattice)
        rows, present = np.zeros((number, most), np.int32), np.zeros((number, most), bool)
        few = min(most, len(self))
        if not few:
            return rows, present
        in_full = np.isin(np.asarray(query.knowledge), [Knowledge.FULL])
        roots = _roots(query.amplitude, query.observed)
        queries = _features(query.lattice, roots, query.composition, in_full, self._axes)
        known = self._known
        for first in range(0, number, ROWS):
            part = slice(first, min(first + ROWS, number))
            asked = Features(*(column[part] for column in queries))
            rough = np.array(_rough(asked, known))
            for score, out in zip(rough, () if without is None else without[part], strict=False):
                score[out] = -np.inf
            near = largest(rough, min(max(POOL, few), len(self)))
            those = Features(*(column[near] for column in known))
            exact = np.asarray(_exact(asked, those, np.asarray(query.observed[part])))
            exact = np.where(np.isfinite(np.take_along_axis(rough, near, axis=1)), exact, -np.inf)
            order = np.lexsort((near, -np.round(exact, 6)), axis=1)[:, :few]
            rows[part, :few] = np.take_along_axis(near, order, axis=1)
            present[part, :few] = np.isfinite(np.take_along_axis(exact, order, axis=1))
        present &= np.any(queries.roots, axis=1, keepdims=True)
        return rows, present

    @cached_property
    def _axes(self) -> Float[np.ndarray, "h r"]:
        return _principal_axes(self._known_roots)

    @cached_property
    def _known_roots(self) -> Float[np.ndarray, "n h"]:
        return _roots(self.amplitude, np.float32(1))

    @cached_property
    def _known(self) -> "Features":
        in_full = np.ones(len(self), bool)
        return _features(self.lattice, self._known_roots, self.composition, in_full, self._axes)


class Features(NamedTuple):
    """The features by which crystals are compared.

    Attributes:
        roots: roots of the amplitudes at observed harmonics, of unit length.
        rough: their projection on the principal axes of the known crystals, for a first choice.
        metric: the metric tensor of unit volume.
        ratios: the sorted atom fractions.
        in_full: 1 where the ratios are known, else 0.
    """

    roots: Float[np.ndarray, "n h"]
    rough: Float[np.ndarray, "n r"]
    metric: Float[np.ndarray, "n 6"]
    ratios: Float[np.ndarray, "n 6"]
    in_full: Float[np.ndarray, "n 1"]


def largest(scores: Float[np.ndarray, "b n"], number: int) -> Integer[np.ndarray, "b k"]:
    """Return the columns of the `number` largest scores of each row, in no particular order.

    The largest are in the blocks with the largest maxima, so that only these are partitioned.
    """
    rows, columns = scores.shape
    blocks = -(-columns // BLOCK)
    if blocks <= number:
        return np.argpartition(-scores, number - 1, axis=1)[:, :number]
    # NaN comes behind every score, those of crystals that are left out (-inf) included.
    padded = np.pad(scores, ((0, 0), (0, blocks * BLOCK - columns)), constant_values=np.nan)
    of_block = np.fmax.reduce(padded.reshape(rows, blocks, BLOCK), axis=2)
    found = np.argpartition(-of_block, number - 1, axis=1)[:, :number]
    those = (found[:, :, None] * BLOCK + np.arange(BLOCK)).reshape(rows, -1)
    some = np.take_along_axis(padded, those, axis=1)
    best = np.argpartition(-some, number - 1, axis=1)[:, :number]
    return np.take_along_axis(those, best, axis=1)


def _features(
    lattice: ArrayLike,
    roots: Float[np.ndarray, "n h"],
    composition: ArrayLike,
    in_full: Bool[np.ndarray, " n"],
    axes: Float[np.ndarray, "h r"],
) -> Features:
    metric = np.asarray(unit_metric(np.asarray(lattice, np.float32)))
    ratios = np.asarray(_ratios(np.asarray(composition, np.float32)))
    flat = metric[:, *np.triu_indices(3)]
    return Features(roots, roots @ axes, flat, ratios, in_full.astype(np.float32)[:, None])


def _roots(amplitude: ArrayLike, observed: ArrayLike) -> Float[np.ndarray, "n h"]:
    """Return the roots of amplitudes at observed harmonics, of unit length."""
    roots = np.sqrt(np.asarray(amplitude, np.float32)) * np.asarray(observed, np.float32)
    return roots / np.maximum(np.linalg.norm(roots, axis=1, keepdims=True), 1e-6)


def _principal_axes(roots: Float[np.ndarray, "n h"]) -> Float[np.ndarray, "h r"]:
    """Return the axes that carry most of the differences of roots, at most `ROUGH`."""
    some = roots[:: max(len(roots) // SAMPLED, 1)]
    if len(some) <= ROUGH:  # they span fewer axes than there are harmonics
        return np.linalg.svd(some, full_matrices=False)[2].T
    return np.linalg.eigh(some.T @ some)[1][:, -ROUGH:]


@jax.jit
def _rough(asked: Features, known: Features) -> Float[Array, "b n"]:
    """Return the similarity of queries and known crystals, nearly."""
    return _similarity(
        asked.rough @ known.rough.T,
        [asked.metric[:, None, k] - known.metric[None, :, k] for k in range(6)],
        [asked.ratios[:, None, k] - known.ratios[None, :, k] for k in range(RATIOS)],
        asked.in_full,
    )


@jax.jit
def _exact(asked: Features, near: Features, observed: Float[Array, "b h"]) -> Float[Array, "b k"]:
    """Return the similarity of queries and k known crystals of each, at observed harmonics."""
    theirs = near.roots * observed[:, None]
    cosine = jnp.sum(asked.roots[:, None] * theirs, axis=-1)
    cosine /= jnp.maximum(jnp.linalg.norm(theirs, axis=-1), 1e-6)
    return _similarity(
        cosine,
        [asked.metric[:, None, k] - near.metric[:, :, k] for k in range(6)],
        [asked.ratios[:, None, k] - near.ratios[:, :, k] for k in range(RATIOS)],
        asked.in_full,
    )


def _similarity(
    cosine: Float[Array, "b k"],
    metric: Sequence[Float[Array, "b k"]],
    ratios: Sequence[Float[Array, "b k"]],
    in_full: Float[Array | np.ndarray, "b 1"],
) -> Float[Array, "b k"]:
    # Written term by term, so that the compiler makes one pass over all pairs.
    largest = reduce(jnp.maximum, map(jnp.abs, metric))
    difference = reduce(jnp.add, map(jnp.abs, ratios))
    return cosine - METRIC_WEIGHT * largest - RATIO_WEIGHT * in_full * difference
