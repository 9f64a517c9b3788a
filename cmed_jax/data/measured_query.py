"""Queries with simulated measured patterns in place of ideal ones."""

import jax
import jax.numpy as jnp
import numpy as np

from cmed_jax.data.examples import Examples
from cmed_jax.data.query import Control, Query, full_query, read_in_bins
from cmed_jax.physics.artefact_ranges import Artefacts
from cmed_jax.physics.artefacts import measured
from cmed_jax.physics.instrument import Lines

CHUNK = 64
"""The number of patterns rendered at once; it bounds the memory."""


def measured_query(lines: Lines, artefacts: Artefacts, *, seed: int = 0) -> Control:
    """Return a control that replaces each material's pattern by a simulated measurement.

    Args:
        lines: lines of the queried materials, in their order (`load_lines`).
        artefacts: ranges from which the conditions of each measurement are drawn.
        seed: seed of the conditions and the counting noise; those of the n-th material depend on
            (seed, n) alone.
    """

    def control(examples: Examples) -> Query:
        keys = jax.random.split(jax.random.key(seed), len(examples))
        crystals = keys, jax.tree.map(jnp.asarray, lines)
        drawn = jax.lax.map(
            lambda one: measured(one[0], one[1], artefacts), crystals, batch_size=CHUNK
        )
        pattern, coverage = map(np.asarray, drawn)
        query = full_query(examples)._replace(pattern=pattern, coverage=coverage)
        return read_in_bins(query, examples.lattice)

    return control
