"""A network as a generator: its candidates in the protocol's order, the same for the same query."""

import jax
import numpy as np
import pytest
from flax import nnx

from cmed_jax.data.memory import Memory
from cmed_jax.data.query import full_query
from cmed_jax.evaluation.scoring import evaluate
from cmed_jax.model import generator
from cmed_jax.model.generator import network_generator, query_seeds
from cmed_jax.model.network import density_on_grid, predict
from tests.networks import random_network

SHAPE = (6, 5, 4)


@pytest.fixture(scope="module")
def network():
    return random_network()


def test_candidates_are_the_plain_density_and_then_samples(network, test_split):
    query = full_query(test_split)
    plain = network_generator(network, SHAPE)(query)
    drawn = network_generator(network, SHAPE, samples=3, seed=1)(query)
    assert plain.shape == (11, 1, *SHAPE)
    assert drawn.shape == (11, 4, *SHAPE)
    expected = density_on_grid(network, network.encode(query, None).mean, SHAPE)
    for candidates in (plain, drawn):
        np.testing.assert_allclose(candidates[:, 0], expected, rtol=1e-3, atol=1e-5)


def test_known_crystals_are_recalled_for_each_query(network, test_split, training_split):
    query, memory = full_query(test_split), Memory.of(training_split)
    found = network_generator(network, SHAPE, memory=memory)(query)
    keys = jax.random.split(jax.random.key(0), len(test_split))  # no sample is drawn
    expected = predict(network, query, memory(query), shape=SHAPE, keys=keys)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert (np.asarray(found) != network_generator(network, SHAPE)(query)).any()


def test_the_same_query_has_the_same_samples(network, test_split):
    query = full_query(test_split)
    one, other = (network_generator(network, SHAPE, samples=2, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(one(query), one(query))
    assert (np.asarray(one(query))[:, 1:] != np.asarray(other(query))[:, 1:]).any()


def test_samples_belong_to_the_query_whatever_is_asked_beside_it(network, test_split):
    query = full_query(test_split)
    generator = network_generator(network, SHAPE, samples=2, seed=1)
    together = np.asarray(generator(query))
    spread = together[:, 1:].std(axis=1).max()
    alone = generator(type(query)(*(column[[7]] for column in query)))
    np.testing.assert_allclose(alone[0], together[7], atol=1e-3 * spread)
    two_of_one = generator(type(query)(*(column[[7, 7]] for column in query)))
    np.testing.assert_allclose(two_of_one[1], together[7], atol=1e-3 * spread)


@pytest.mark.parametrize("column", range(7))  # networks do not read the lines, which come last
def test_another_query_has_another_number(test_split, column):
    query = full_query(test_split)
    assert len(set(query_seeds(query).tolist())) == len(test_split)
    parts = [np.array(part) for part in query]
    parts[column][3] += 1
    changed = query_seeds(query) != query_seeds(type(query)(*parts))
    np.testing.assert_array_equal(changed, np.arange(len(test_split)) == 3)


@pytest.mark.optimised
def test_it_answers_the_protocol(network, test_split):
    scores = evaluate(network_generator(network, (50, 50, 50), samples=1), test_split)
    assert scores.samples == 1
    assert len(scores.published["ssim"]) == 11


def test_it_predicts_in_evaluation_mode(network):
    """Batch statistics must not leak from one query into others of the batch."""
    probed = nnx.clone(network)
    probed.probe = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
    probed.train()
    network_generator(probed, SHAPE)
    assert probed.probe.use_running_average


def test_lines_are_imposed_where_the_b_of_the_densities_is_known(network, test_split, monkeypatch):
    def imposed(query, densities, b_factor):
        np.testing.assert_array_equal(query.lines, full_query(test_split).lines)
        return b_factor * densities

    monkeypatch.setattr(generator, "with_observed_lines", imposed)
    query = full_query(test_split)
    plain = network_generator(network, SHAPE)(query)
    found = network_generator(network, SHAPE, b_factor=2.0)(query)
    np.testing.assert_allclose(found, 2 * plain, rtol=1e-5)
