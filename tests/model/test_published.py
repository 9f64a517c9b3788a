"""The published network against plain float64 formulas for its decoder, its FiLM and its losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cmed_jax.data.query import Query
from cmed_jax.model.network import Latent
from cmed_jax.model.published import (
    PublishedConfig,
    _frequencies,
    as_convolution,
    as_product,
)

KNOWN = jnp.zeros(4, int)
WHOLE = jnp.ones((4, 1024))
NOTHING = jnp.zeros((4, 0))


def query_of(pattern, composition, knowledge, coverage):
    """A query without reflections, which the published network does not read."""
    return Query(pattern, composition, knowledge, coverage, NOTHING, NOTHING, NOTHING, NOTHING)


def make_published():
    """A network with some normalisations that differ from the identity at first."""
    network = PublishedConfig().build(nnx.Rngs(0))
    rng = np.random.default_rng(0)
    for norm in batch_norms(network.decoder):
        for value in (norm.scale, norm.var):
            value.set_value(jnp.asarray(rng.uniform(0.5, 2, value.shape), jnp.float32))
        for value in (norm.bias, norm.mean):
            value.set_value(jnp.asarray(rng.normal(0, 0.3, value.shape), jnp.float32))
    return network


@pytest.fixture(scope="module")
def shared():
    return make_published()


@pytest.fixture
def published(shared):
    """A copy for each test: batch statistics change as they are used."""
    return nnx.clone(shared)


@pytest.fixture(scope="module")
def asked():
    """Conditioning vectors of four crystals, and seven coordinates of each."""
    rng = np.random.default_rng(1)
    conditioning = np.maximum(rng.normal(0.3, 1, (4, 1024)), 0).astype(np.float32)
    return jnp.asarray(conditioning), jnp.float32(rng.random((4, 7, 3)))


def batch_norms(decoder):
    perceptrons = [decoder.position, decoder.trunk, *decoder.skips]
    return [norm for perceptron in perceptrons for norm in perceptron.norms]


def linear(layer, x):
    return x @ np.float64(layer.kernel[...]) + np.float64(layer.bias[...])


def reference(decoder, conditioning, coordinates, running):
    """The decoder over rows (one for each crystal and voxel), and its batch statistics."""
    seen = []

    def perceptron(part, x):
        for layer, norm in zip(part.layers, part.norms, strict=True):
            x = linear(layer, x)
            seen.append((x.mean(axis=0), x.var(axis=0)))
            mean, var = (norm.mean[...], norm.var[...]) if running else seen[-1]
            x = (x - mean) / np.sqrt(var + 1e-5)
            x = np.maximum(np.float64(norm.scale[...]) * x + norm.bias[...], 0)
        return x

    rows = coordinates.shape[1]
    scale, bias = np.split(np.repeat(np.float64(conditioning), rows, axis=0), 2, axis=1)
    points = np.float64(coordinates).reshape(-1, 3)
    phase = 2 * np.pi * (points - 0.5) @ np.float64(_frequencies()).T
    position = perceptron(decoder.position, np.hstack([np.sin(phase), np.cos(phase)]))
    first = scale * linear(decoder.position_out, position) + bias
    x = perceptron(decoder.trunk, first)
    for skip in decoder.skips:
        x = perceptron(skip, np.hstack([x, first]))
    return linear(decoder.out, x).reshape(coordinates.shape[:2]), seen


def test_it_has_as_many_parameters_as_published():
    abstract = nnx.eval_shape(lambda: PublishedConfig().build(nnx.Rngs(0)))
    sizes = jax.tree.map(lambda x: x.size, jax.tree.leaves(nnx.state(abstract, nnx.Param)))
    assert sum(sizes) == 14_775_187


def test_the_decoder_is_normalised_over_all_crystals_and_voxels(published, asked):
    expected, seen = reference(published.decoder, *asked, running=False)
    before = [(norm.mean[...], norm.var[...]) for norm in batch_norms(published.decoder)]
    np.testing.assert_allclose(published.values(*asked), expected, atol=2e-3)
    norms = batch_norms(published.decoder)
    for norm, old, new in zip(norms, before, seen, strict=True):
        for value, was, batch in zip((norm.mean, norm.var), old, new, strict=True):
            running = 0.9 * was + 0.1 * batch
            np.testing.assert_allclose(value[...], running, rtol=1e-3, atol=1e-3)


def test_running_statistics_are_used_in_evaluation(published, asked):
    published.eval()
    expected, _ = reference(published.decoder, *asked, running=True)
    np.testing.assert_allclose(published.values(*asked), expected, atol=2e-3)
    conditioning, coordinates = asked
    alone = published.decode(conditioning[2], coordinates[2, 4])
    np.testing.assert_allclose(alone, expected[2, 4], atol=2e-3)


def test_coordinates_that_crystals_share_are_as_good_as_their_own(published, asked):
    conditioning, coordinates = asked
    one = coordinates[0]
    own = nnx.clone(published).values(conditioning, jnp.stack([one] * 4))
    np.testing.assert_allclose(published.values(conditioning, one), own, atol=1e-4)


def test_film_halves_are_never_negative(published):
    latent = jnp.float32(np.random.default_rng(2).normal(size=(4, 1024)))
    conditioning = published.condition(latent)
    assert conditioning.shape == (4, 1024)
    assert conditioning.min() == 0
    assert conditioning.max() > 0


def test_latents_are_normalised_over_the_batch_and_deviations_signed(published):
    rng = np.random.default_rng(3)
    pattern, composition = jnp.float32(rng.random((4, 1024))), jnp.float32(rng.random((4, 119)))
    latent = published.encode(query_of(pattern, composition, KNOWN, WHOLE), None)
    for half in latent:
        assert half.shape == (4, 1024)
        np.testing.assert_allclose(half.mean(axis=0), 0, atol=1e-4)
        assert half.min() < 0 < half.max()


def test_what_is_known_is_not_among_its_inputs(published):
    pattern, composition = jnp.ones((4, 1024)), jnp.eye(4, 119)
    published.eval()
    given = ((KNOWN, WHOLE), (KNOWN + 3, jnp.zeros((4, 1024))))
    one, other = (published.encode(query_of(pattern, composition, *known), None) for known in given)
    np.testing.assert_array_equal(one.mean, other.mean)


def test_the_latent_loss_is_the_published_formula(published):
    m, s = np.random.default_rng(4).normal(size=(2, 3, 1024))
    terms = 1 + np.log(s**2 + 1e-4) - m**2 - s**2
    expected = 0.05 * (-terms[:, :512].mean(axis=1) - terms[:, 512:].mean(axis=1))
    found = published.latent_loss(Latent(jnp.float32(m), jnp.float32(s)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_target_is_the_density_itself(published):
    rng = np.random.default_rng(5)
    points, error = jnp.float32(rng.random((9, 3))), jnp.float32(rng.normal(size=(2, 9)))
    conditioning = jnp.float32(rng.normal(size=(2, 1024)))
    published.eval()
    values = published.values(conditioning, points)
    np.testing.assert_array_equal(published.to_density(values), values)
    loss = published.reconstruction_loss(conditioning, points, values - error)
    np.testing.assert_allclose(loss, np.abs(error).mean(axis=1), rtol=1e-4)


@pytest.mark.parametrize("size", [1, 3])
def test_a_convolution_equals_the_product_that_tpus_compute(size):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 12, 5)), rng.normal(size=(size, 5, 4))
    factors = jnp.float32(x), jnp.float32(kernel)
    expected = [
        [
            sum(np.convolve(row[:, i], kernel[::-1, i, o], "same") for i in range(5))
            for o in range(4)
        ]
        for row in x
    ]
    ways = [jax.vjp(way, *factors) for way in (as_convolution, as_product)]
    for result, _ in ways:
        np.testing.assert_allclose(result, np.moveaxis(expected, 1, 2), atol=1e-5)
    slopes = zip(*(slope(jnp.ones((2, 12, 4))) for _, slope in ways), strict=True)
    for one, other in slopes:
        np.testing.assert_allclose(one, other, atol=1e-5)
