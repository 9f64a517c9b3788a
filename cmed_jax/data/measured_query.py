"""What is asked with patterns as they are measured, in the place of ideal ones."""

import jax
import jax.numpy as jnp
import numpy as np

from cmed_jax.data.examples import Examples
from cmed_jax.data.query import Control, Query, full_query
from cmed_jax.physics.artefact_ranges import Artefacts
from cmed_jax.physics.artefacts import measured
from cmed_jax.physics.instrument import Lines

CHUNK = 64
"""Patterns rendered at once, which bounds the memory."""


def measured_query(lines: Lines, artefacts: Artefacts, *, seed: int = 0) -> Control:
    """Return a control that hands out each material's pattern as it is measured.

    Args:
        lines: of the materials that will be asked about, in their order (`load_lines`).
        artefacts: from which the conditions of each measurement are drawn.
        seed: of the conditions and the counting noise; the n-th material's depend on (seed, n).
    """

    def control(examples: Examples) -> Query:
        keys = jax.random.split(jax.random.key(seed), len(examples))
        crystals = keys, jax.tree.map(jnp.asarray, lines)
        drawn = jax.lax.map(
            lambda one: measured(one[0], one[1], artefacts), crystals, batch_size=CHUNK
        )
        pattern, coverage = map(np.asarray, drawn)
        return full_query(examples)._replace(pattern=pattern, coverage=coverage)

    return control
