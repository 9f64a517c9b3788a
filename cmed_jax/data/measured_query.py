"""Queries with simulated measured patterns in place of ideal ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

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
        drawn = _measured(keys, jax.tree.map(jnp.asarray, lines), artefacts)
        pattern, coverage = map(np.asarray, drawn)
        query = full_query(examples)._replace(pattern=pattern, coverage=coverage)
        return read_in_bins(query, examples.lattice)

    return control


@partial(jax.jit, static_argnames="artefacts")
def _measured(
    keys: Key[Array, " n"], lines: Lines, artefacts: Artefacts
) -> tuple[Float[Array, "n bins"], Float[Array, "n bins"]]:
    """Return the pattern and the coverage of each material, as one program."""
    return jax.lax.map(
        lambda one: measured(one[0], one[1], artefacts), (keys, lines), batch_size=CHUNK
    )
