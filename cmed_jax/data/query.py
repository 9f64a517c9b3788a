"""Queries: the inputs of a generator, and the interface of its answers."""

from collections.abc import Callable
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
    """

    pattern: Float[Array | np.ndarray, "b 1024"]
    composition: Float[Array | np.ndarray, "b 119"]
    knowledge: Integer[Array | np.ndarray, " b"]
    coverage: Float[Array | np.ndarray, "b 1024"]
    lattice: Float[Array | np.ndarray, "b 3 3"]
    amplitude: Float[Array | np.ndarray, "b h"]
    observed: Float[Array | np.ndarray, "b h"]


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

    Args:
        query: queries with patterns and coverage.
        lattice: rows a, b, c of the primitive cells, angstrom.
    """
    each = zip(lattice, np.asarray(query.pattern), np.asarray(query.coverage), strict=True)
    amplitude, observed = zip(*(amplitudes_of_bins(*one) for one in each), strict=True)
    cells = np.asarray(lattice, np.float32)
    return query._replace(lattice=cells, amplitude=np.stack(amplitude), observed=np.stack(observed))


def full_query(examples: Examples) -> Query:
    """Return the query with all information: every pattern, and every composition in full."""
    knowledge = np.full(len(examples), Knowledge.FULL, np.int32)
    whole = np.ones_like(examples.pattern)
    reflections = examples.lattice, examples.amplitude, examples.observed
    lattice, amplitude, observed = (np.asarray(each, np.float32) for each in reflections)
    return Query(
        examples.pattern, examples.composition, knowledge, whole, lattice, amplitude, observed
    )
