"""Full grids and candidates, for every kind of network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from cmed_jax.data.query import full_query
from cmed_jax.model.network import CHUNK, QUERIES, density_on_grid, grid_coordinates, predict
from tests.networks import LATENT, random_network
from tests.synthetic import synthetic_examples

SHAPE = (21, 20, 19)
KEYS = jax.random.split(jax.random.key(0), 2)
HIGHEST = (jax.lax.Precision.HIGHEST,) * 2


@pytest.fixture(scope="module")
def network():
    network = random_network()
    network.eval()
    return network


@pytest.fixture(scope="module")
def query():
    return full_query(synthetic_examples(2, seed=0))


def test_grid_points_are_i_over_n_and_the_last_axis_is_fastest():
    points = grid_coordinates((2, 3, 5))
    expected = np.indices((2, 3, 5)).reshape(3, -1).T / (2, 3, 5)
    np.testing.assert_allclose(points, expected, rtol=1e-6)
    assert points.dtype == np.float32


def test_a_full_grid_holds_the_values_at_its_points(network):
    assert np.prod(SHAPE) > CHUNK
    assert np.prod(SHAPE) % CHUNK
    latent = jnp.float32(np.random.default_rng(1).normal(size=(2, LATENT)))
    found = np.asarray(density_on_grid(network, latent, SHAPE))
    assert found.shape == (2, *SHAPE)
    picked = np.random.default_rng(2).integers(0, SHAPE, (50, 3))
    picked[:2] = (0, 0, 0), np.array(SHAPE) - 1
    conditioning = network.condition(latent)
    values = network.values(conditioning, jnp.float32(picked / SHAPE))
    expected = network.to_density(values)
    np.testing.assert_allclose(found[:, *picked.T], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("latents", [1, 48, 49, 1001])
def test_the_queries_at_once_are_bounded_for_many_latents_too(network, monkeypatch, latents):
    asked = []

    def watched(self, conditioning, coordinates):
        asked.append(len(conditioning) * len(coordinates))
        return jnp.zeros((len(conditioning), len(coordinates)))

    monkeypatch.setattr(type(network), "values", watched)
    latent = jax.ShapeDtypeStruct((latents, LATENT), jnp.float32)
    found = jax.eval_shape(lambda latent: density_on_grid(network, latent, (50, 40, 30)), latent)
    assert found.shape == (latents, 50, 40, 30)
    assert asked
    assert max(asked) <= QUERIES


def test_the_first_candidate_is_the_latent_mean(network, query):
    mean = network.encode(query, None).mean
    expected = density_on_grid(network, mean, (4, 5, 6))
    for samples in (0, 3):
        found = predict(network, query, shape=(4, 5, 6), samples=samples, keys=KEYS)
        assert found.shape == (2, 1 + samples, 4, 5, 6)
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4, atol=1e-6)


def test_samples_are_a_function_of_the_keys(network, query):
    def draw(seed):
        keys = jax.random.split(jax.random.key(seed), 2)
        return np.asarray(predict(network, query, shape=(4, 5, 6), samples=3, keys=keys))

    one, same, other = draw(1), draw(1), draw(2)
    np.testing.assert_array_equal(one, same)
    assert len(np.unique(one[:, 1:].reshape(6, -1), axis=0)) == 6
    assert (one[:, 1:] != other[:, 1:]).any(axis=(2, 3, 4)).all()


def test_each_crystal_is_drawn_by_a_key_of_its_own(network, query):
    """The draw does not depend on the row or on the other crystals of the batch."""
    together = predict(network, query, shape=(4, 5, 6), samples=3, keys=KEYS)
    for row in range(2):
        one = predict(
            network,
            type(query)(*(part[row : row + 1] for part in query)),
            shape=(4, 5, 6),
            samples=3,
            keys=KEYS[row : row + 1],
        )
        np.testing.assert_allclose(one[0], together[row], rtol=1e-4, atol=1e-5)


def products(jaxpr):
    """The precision of every matrix product, including those of inner programs."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.params["precision"]
        for inner in jaxprs_in_params(equation.params):
            yield from products(inner)


def test_predictions_are_computed_in_float32_whatever_the_device_prefers(network, query):
    """GPUs and TPUs would round the factors of a product that does not set its precision."""

    def asked(query):
        return predict(network, query, shape=SHAPE, samples=1, keys=KEYS)

    found = list(products(jax.make_jaxpr(asked)(query).jaxpr))
    assert len(found) > 5
    assert set(found) == {HIGHEST}
