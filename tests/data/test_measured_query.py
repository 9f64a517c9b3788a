"""Queries with measured patterns: their order, and their other columns."""

import numpy as np
import pytest

from cmed_jax.data.measured_query import CHUNK, measured_query
from cmed_jax.data.query import full_query
from cmed_jax.physics.amplitudes import amplitudes_of_bins
from cmed_jax.physics.artefact_ranges import LABORATORY
from cmed_jax.physics.instrument import Lines


@pytest.fixture(scope="module")
def lines(training_split):
    rng = np.random.default_rng(0)
    s = np.sort(rng.uniform(0.2, 1.1, (len(training_split), 6)), axis=1)
    return Lines(np.float32(s), np.float32(rng.uniform(0.2, 1, s.shape)))


def test_each_material_is_asked_about_with_its_own_lines(lines, training_split):
    query = measured_query(lines, LABORATORY)(training_split)
    sharp = [np.argmax(pattern) for pattern in query.pattern]
    s = 2 * np.sin(np.radians((np.array(sharp) + 0.5) * 90 / 1024)) / 0.71073
    assert np.abs(lines.s - s[:, None]).min(axis=1).max() < 0.01
    assert not query.pattern[query.coverage == 0].any()
    whole = full_query(training_split)
    np.testing.assert_array_equal(query.lattice, np.float32(training_split.lattice))
    for row in (0, 17):
        read = amplitudes_of_bins(
            training_split.lattice[row], query.pattern[row], query.coverage[row]
        )
        np.testing.assert_array_equal(query.amplitude[row], read.amplitude)
        np.testing.assert_array_equal(query.observed[row], read.observed)
    np.testing.assert_array_equal(query.composition, whole.composition)
    np.testing.assert_array_equal(query.knowledge, whole.knowledge)


def test_a_material_depends_on_the_seed_and_its_place_alone(lines, training_split):
    assert len(training_split) < CHUNK
    one, same, other = (
        measured_query(lines, LABORATORY, seed=seed)(training_split).pattern for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any(axis=1).all()
