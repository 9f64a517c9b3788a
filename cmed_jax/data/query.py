"""Queries: the inputs of a generator, and the interface of its answers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Integer

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.examples import Examples
from cmed_jax.physics.amplitudes import amplitudes_of_bins

Truths = Float[np.ndarray, "b na nb nc"]

Densities = Float[Array | np.ndarray, "b k na nb nc"]


class Query(NamedTuple):
    """The inputs of a generator for b materials.

    Attributes:
        pattern: pattern on the published grid of 1,024 bins, strongest 1; zeros where nothing was
            measured.
        composition: atom fractions by atomic number, or the known part of them.
        knowledge: kind of knowledge of the composition, as numbered by `Knowledge`.
        coverage: 1 in measured bins and 0 in all others.
        lattice: rows a, b, c of the primitive cell, angstrom; zeros where the cell is unknown.
        amplitude: |F| at the harmonics of the cell (`cmed_jax.physics.amplitudes`).
        observed: 1 for harmonics in the measured range, else 0.
        lines: s = 1/d (1/angstrom), ascending, and |F|^2 of all lines up to the last one, on any
            scale; rows of zeros pad them, and alone stand for lines that are not known exactly.
            Networks do not read them: they are imposed on densities
            (`cmed_jax.model.observed_lines`).
    """

    pattern: Float[Array | np.ndarray, "b 1024"]
    composition: Float[Array | np.ndarray, "b 119"]
    knowledge: Integer[Array | np.ndarray, " b"]
    coverage: Float[Array | np.ndarray, "b 1024"]
    lattice: Float[Array | np.ndarray, "b 3 3"]
    amplitude: Float[Array | np.ndarray, "b h"]
    observed: Float[Array | np.ndarray, "b h"]
    lines: Float[Array | np.ndarray, "b l 2"]


Generator = Callable[[Query], Densities]
"""A function from b queries to k candidates each, in e/angstrom^3 on the grid of the truth."""


class Answers(NamedTuple):
    """Candidates for b queries, and the uncertainty of the first candidate of each.

    Attributes:
        candidates: k candidates for each query, e/angstrom^3.
        deviation: standard deviation at each voxel, e/angstrom^3; None where it is not estimated.
    """

    candidates: Densities
    deviation: Truths | None = None


Deviating = Callable[[Query], Answers]
"""A function from queries to candidates with their deviations."""

Control = Callable[[Examples], Query]
"""A function that makes the queries of a split in place of `full_query`."""


def read_in_bins(query: Query, lattice: Float[np.ndarray, "b 3 3"]) -> Query:
    """Return queries whose reflections are read from their patterns, in given cells.

    Their lines are lost: reflections in one bin cannot be told apart.

    Args:
        query: queries with patterns and coverage.
        lattice: rows a, b, c of the primitive cells, angstrom.
    """
    each = zip(lattice, np.asarray(query.pattern), np.asarray(query.coverage), strict=True)
    amplitude, observed = zip(*(amplitudes_of_bins(*one) for one in each), strict=True)
    cells = np.asarray(lattice, np.float32)
    return query._replace(
        lattice=cells,
        amplitude=np.stack(amplitude),
        observed=np.stack(observed),
        lines=no_lines(len(cells)),
    )


def no_lines(number: int) -> Float[np.ndarray, "b 1 2"]:
    """Return the lines of a number of queries that have none."""
    return np.zeros((number, 1, 2), np.float32)


def padded(lines: Sequence[Float[np.ndarray, "_ 2"]]) -> Float[np.ndarray, "b l 2"]:
    """Return lines of several materials, padded with rows of zeros to one power of two.

    Few lengths mean few compiled programs.
    """
    most = max((len(each) for each in lines), default=0)
    every = np.zeros((len(lines), 1 << max(most - 1, 0).bit_length(), 2), np.float32)
    for row, each in zip(every, lines, strict=True):
        row[: len(each)] = each
    return every


def full_query(examples: Examples) -> Query:
    """Return the query with all information: every pattern, and every composition in full."""
    knowledge = np.full(len(examples), Knowledge.FULL, np.int32)
    whole = np.ones_like(examples.pattern)
    reflections = examples.lattice, examples.amplitude, examples.observed
    lattice, amplitude, observed = (np.asarray(each, np.float32) for each in reflections)
    return Query(
        examples.pattern,
        examples.composition,
        knowledge,
        whole,
        lattice,
        amplitude,
        observed,
        padded(examples.lines.tolist()),
    )
