"""Queries: what a generator is told of materials, and the interface of its answers."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Integer

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.examples import Examples

Truths = Float[np.ndarray, "b na nb nc"]


Densities = Float[Array | np.ndarray, "b k na nb nc"]


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


def full_query(examples: Examples) -> Query:
    """Return the query that tells everything: every pattern, every composition in full."""
    knowledge = np.full(len(examples), Knowledge.FULL, np.int32)
    whole = np.ones_like(examples.pattern)
    return Query(examples.pattern, examples.composition, knowledge, whole)
