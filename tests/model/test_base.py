"""The `base` network: what it reads, what it recalls, its Fourier series, and its losses."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from flax import nnx

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.memory import Memory
from cmed_jax.data.query import full_query
from cmed_jax.model.base import BaseConfig
from cmed_jax.model.network import Latent
from cmed_jax.model.standards import Standards
from cmed_jax.physics.harmonics import harmonics

CONFIG = BaseConfig(width=16, blocks=1, hidden=16, harmonics=6, recalled=3, kl_weight=0.5)
TERMS = 1 + 80
"""The number of terms of a series up to |h|^2 = 6: 80 integer vectors in pairs, and the mean."""


def built(training):
    network = CONFIG.build(nnx.Rngs(0))
    network.learn_standards(Standards.of(training, CONFIG.harmonics))
    network.eval()
    return network


@pytest.fixture(scope="module")
def untrained(training_split):
    """The network before the first step: it changes nothing of what it recalls."""
    return built(training_split)


@pytest.fixture(scope="module")
def base(training_split):
    """The network with random numbers in the layers that are zero at first."""
    network = built(training_split)
    layers = network.coefficients, network.trust, network.correction, network.unobserved
    for number, layer in enumerate(layers):
        shape = layer.kernel.shape
        layer.kernel[...] = 0.3 * jax.random.normal(jax.random.key(number), shape)
    return network


@pytest.fixture(scope="module")
def query(test_split):
    """Four crystals, with all kinds of knowledge, in ranges of different lengths."""
    query = type(full_query(test_split))(*(column[:4] for column in full_query(test_split)))
    observed = query.observed * (np.arange(query.observed.shape[1]) < [[900], [400], [100], [0]])
    composition = np.where(np.arange(4)[:, None] > 0, query.composition > 0, query.composition)
    composition[3] = 0
    return query._replace(
        knowledge=np.arange(4, dtype=np.int32),
        observed=observed.astype(np.float32),
        composition=composition.astype(np.float32),
    )


@pytest.fixture(scope="module")
def recalled(query, training_split):
    return Memory.of(training_split)(query, CONFIG.recalled)


@nnx.jit
def encode(network, query, recalled):
    """Return the latent; one program instead of one for every operation."""
    return network.encode(query, recalled)


@nnx.jit
def coefficients(network, query, recalled):
    return network.condition(network.encode(query, recalled).mean)


@nnx.jit
def values_at(network, conditioning, coordinates):
    return network.values(conditioning, coordinates)


@pytest.fixture(scope="module")
def conditioning(base, query, recalled):
    return coefficients(base, query, recalled)


def test_the_density_is_periodic(base, conditioning):
    rng = np.random.default_rng(1)
    coordinates = jnp.float32(rng.random((4, 20, 3)))
    away = coordinates + rng.integers(-3, 4, (4, 20, 3))
    here, there = values_at(base, conditioning, coordinates), values_at(base, conditioning, away)
    np.testing.assert_allclose(there, here, atol=1e-4 * np.abs(here).max())


def test_a_prediction_does_not_depend_on_its_neighbours(base, query, recalled):
    together = encode(base, query, recalled)
    for row in range(4):
        alone = encode(base, *jax.tree.map(lambda x, row=row: x[[row]], (query, recalled)))
        np.testing.assert_allclose(alone.mean[0], together.mean[row], atol=1e-5)
        np.testing.assert_allclose(alone.deviation[0], together.deviation[row], atol=1e-6)


def test_a_value_is_a_fourier_series_of_the_harmonics(base, conditioning):
    """Coefficients found on a grid vanish beyond the limit, and their sum is the value anywhere."""
    n = 12
    axes = np.meshgrid(*[np.arange(n) / n] * 3, indexing="ij")
    grid = jnp.float32(np.stack(axes, axis=-1).reshape(-1, 3))
    values = np.float64(values_at(base, conditioning, grid)).reshape(4, n, n, n)
    coefficients = np.fft.fftn(values, axes=(1, 2, 3)) / n**3
    index = np.stack(np.meshgrid(*[np.fft.fftfreq(n, 1 / n)] * 3, indexing="ij"), axis=-1)
    beyond = (index**2).sum(axis=-1) > CONFIG.harmonics
    size = np.abs(coefficients).max()
    assert np.abs(coefficients[:, beyond]).max() < 1e-5 * size
    assert np.abs(coefficients[:, ~beyond]).min() > 1e-4 * size
    anywhere = np.random.default_rng(2).random((30, 3))
    waves = np.exp(2j * np.pi * np.einsum("pi,abci->pabc", anywhere, index))
    expected = np.einsum("pabc,kabc->kp", waves, coefficients).real
    found = values_at(base, conditioning, jnp.float32(anywhere))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_coordinates_that_crystals_share_are_as_good_as_their_own(base, conditioning):
    one = jnp.float32(np.random.default_rng(3).random((9, 3)))
    own = values_at(base, conditioning, jnp.stack([one] * 4))
    np.testing.assert_allclose(values_at(base, conditioning, one), own, rtol=1e-5, atol=1e-6)


class Truth(NamedTuple):
    """Densities with empty space at 50 points, and the coefficients of both answers for them."""

    coefficients: jax.Array
    coordinates: jax.Array
    density: jax.Array


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(4)
    coordinates, density = rng.random((50, 3)), rng.gamma(0.3, 20, (4, 50))
    density[:, :5] = 0
    hkl = harmonics(CONFIG.harmonics)
    turns = 2 * np.pi * coordinates @ hkl.T
    terms = np.concatenate([np.ones((50, 1)), np.cos(turns), np.sin(turns)], axis=1)
    series = np.log(1 + density / 10) @ np.linalg.pinv(terms).T
    return Truth(*map(jnp.float32, (np.tile(series, 2), coordinates, density)))


def raised(truth, of_answer, of_own):
    """Coefficients whose values at all points are larger by a constant."""
    constants = np.zeros(2 * TERMS, np.float32)
    constants[0], constants[TERMS] = of_answer, of_own
    return truth.coefficients + constants


def test_perfect_values_are_the_density_and_cost_nothing(base, truth):
    values = jnp.float32(np.log(1 + np.float64(truth.density) / 10))
    np.testing.assert_allclose(base.to_density(values), truth.density, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(base.reconstruction_loss(*truth), 0, atol=1e-5)


def test_a_density_is_never_negative(base, truth):
    np.testing.assert_array_equal(base.to_density(-truth.density), 0)


def test_an_error_costs_its_size_and_a_small_one_its_square(base, truth):
    """The loss of each answer is Huber's, compared with scipy's, in units of its threshold."""
    for errors in ((0.1, 0.1), (-0.3, 0), (0, 0.03), (-0.01, 0.02), (0.004, 0)):
        loss = base.reconstruction_loss(raised(truth, *errors), *truth[1:])
        expected = scipy.special.huber(0.03, np.float64(errors)).sum() / 0.03
        np.testing.assert_allclose(loss, expected, rtol=2e-3)


@jax.jit
def slope(base, conditioning, truth):
    def loss(conditioning):
        return base.reconstruction_loss(conditioning, *truth[1:]).sum()

    return jax.grad(loss)(conditioning)


def test_rounding_of_values_that_are_right_hardly_turns_the_loss(base, truth):
    """Otherwise devices with different rounding would train differently."""
    size = np.abs(slope(base, raised(truth, 1, 1), truth)).max()
    change = slope(base, raised(truth, 1e-6, 1e-6), truth) - slope(base, raised(truth, 0, 0), truth)
    assert np.abs(change).max() < 1e-3 * size


def test_ripples_below_zero_cost_what_an_empty_voxel_costs(base, truth):
    ripples = jnp.where(truth.density == 0, -0.01, truth.density)
    loss = base.reconstruction_loss(*truth[:2], ripples)
    np.testing.assert_allclose(loss, base.reconstruction_loss(*truth), atol=1e-6)


def test_the_loss_has_gradients_where_the_density_is_zero(base, truth):
    assert np.isfinite(slope(base, truth.coefficients, truth)).all()


def divergence(mean, deviation):
    """The divergence of a normal distribution from the standard one, by quadrature."""
    one, other = scipy.stats.norm(mean, deviation), scipy.stats.norm()
    reach = (mean - 10 * deviation, mean + 10 * deviation)
    return scipy.integrate.quad(lambda x: one.pdf(x) * (one.logpdf(x) - other.logpdf(x)), *reach)[0]


def test_the_latent_loss_is_the_divergence_per_dimension(base):
    """Features of the trunk only: the series of recalled crystals is not drawn."""
    rng = np.random.default_rng(5)
    deviation = rng.uniform(0.05, 2, (2, 16))
    expected = 0.5 * np.vectorize(divergence)(0, deviation).mean(axis=1)
    mean = jnp.float32(rng.normal(size=(2, 16 + TERMS + 1)))
    padded = jnp.float32(np.pad(deviation, ((0, 0), (0, TERMS + 1))))
    np.testing.assert_allclose(base.latent_loss(Latent(mean, padded)), expected, rtol=1e-4)


def test_deviations_are_positive_but_for_what_is_recalled(base, query, recalled):
    deviation = np.asarray(encode(base, query, recalled).deviation)
    assert deviation.shape == (4, 16 + TERMS + 1)
    assert (deviation[:, :16] > 0).all()
    assert not deviation[:, 16:].any()


@pytest.mark.parametrize(
    "part", ["lattice", "amplitude", "observed", "composition", "knowledge", "recalled"]
)
def test_every_input_counts(base, query, recalled, part):
    if part == "recalled":
        change = query, jax.tree.map(lambda x: x[::-1], recalled)
    else:
        change = query._replace(**{part: getattr(query, part)[::-1]}), recalled
    gap = np.abs(encode(base, *change).mean - encode(base, query, recalled).mean).max(axis=1)
    unseen = part == "amplitude" and np.arange(4) == 3
    assert ((gap > 1e-4) | unseen).all()


def test_the_scale_of_a_measurement_does_not_matter(base, query, recalled):
    stronger = query._replace(amplitude=7 * query.amplitude)
    expected = encode(base, query, recalled).mean
    np.testing.assert_allclose(encode(base, stronger, recalled).mean, expected, atol=2e-4)


def test_what_was_not_observed_does_not_matter(base, query, recalled):
    strange = np.where(query.observed > 0, query.amplitude, 99).astype(np.float32)
    assert (strange != query.amplitude).any(axis=1).all()
    found = encode(base, query._replace(amplitude=strange), recalled)
    np.testing.assert_array_equal(found.mean, encode(base, query, recalled).mean)


def test_absent_crystals_do_not_matter(base, query, recalled):
    one = recalled._replace(present=np.tile(np.float32([0, 1, 0]), (4, 1)))
    others = jax.tree.map(lambda x: np.where(np.arange(3)[:, None] == 1, x.T, 2 * x[::-1].T).T, one)
    others = others._replace(present=one.present)
    np.testing.assert_array_equal(encode(base, query, others).mean, encode(base, query, one).mean)
    none = recalled._replace(present=np.zeros((4, 3), np.float32))
    without = encode(base, query, None)
    np.testing.assert_allclose(encode(base, query, none).mean, without.mean, atol=1e-6)


def mean_series(training):
    """The mean coefficients up to |h|^2 = 6, which come first of 1 + 2 x 973."""
    series = training.series.astype(float).mean(axis=0)
    half = len(series) // 2
    return np.concatenate([series[:41], series[1 + half : 41 + half]])


def test_an_untrained_network_without_crystals_predicts_the_mean(untrained, query, training_split):
    found = coefficients(untrained, query, None)
    expected = np.tile(mean_series(training_split), (4, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_untrained_network_follows_a_recalled_crystal_as_it_trusts_it(
    untrained, query, recalled, training_split
):
    single = jax.tree.map(lambda x: x[:, :1], recalled)._replace(present=np.ones((4, 1)))
    half = single.series.shape[-1] // 2
    series = np.asarray(single.series)[:, 0]
    series = np.concatenate([series[:, :41], series[:, 1 + half : 41 + half]], axis=1)
    network, gaps = nnx.clone(untrained), []
    network.nobody[...] = jnp.full(1, -1e3)
    for trust in (-30, -2, 0, 2, 30):
        network.trust.bias[...] = jnp.full(TERMS, float(trust))
        gaps.append(np.abs(coefficients(network, query, single)[:, :TERMS] - series).max())
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] == pytest.approx(np.abs(series - mean_series(training_split)).max(), rel=1e-3)
    assert gaps[-1] < 1e-5


def test_without_known_crystals_the_answer_is_the_networks_own(base, query, recalled):
    answer, own = np.split(coefficients(base, query, None), 2, axis=1)
    np.testing.assert_allclose(answer, own, atol=1e-6)
    with_crystals, same = np.split(coefficients(base, query, recalled), 2, axis=1)
    np.testing.assert_allclose(same, own, atol=1e-6)
    moved = np.abs(with_crystals - own).max(axis=1) > 0.01
    np.testing.assert_array_equal(moved, recalled.present.any(axis=1))


def test_the_loss_reaches_every_parameter(base, query, recalled):
    graph, weights, rest = nnx.split(base, nnx.Param, ...)
    points = jnp.float32(np.random.default_rng(6).random((50, 3)))

    def loss(weights):
        network = nnx.merge(graph, weights, rest)
        latent = network.encode(query, recalled)
        conditioning = network.condition(latent.mean)
        terms = network.reconstruction_loss(conditioning, points, jnp.ones((4, 50)))
        return jnp.sum(terms + network.latent_loss(latent))

    # Layers that begin at zero let nothing through to those before them.
    moved = jax.tree.map(lambda weight: weight + 0.01, weights)
    for path, leaf in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(moved)):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


def test_a_network_that_saw_whole_patterns_only_takes_no_notice_of_gaps(untrained, query, recalled):
    """The weights of unobserved harmonics begin at zero, and move only where some are."""
    whole = query._replace(observed=np.ones_like(query.observed))

    def total(kernel):
        network = nnx.clone(untrained)
        network.unobserved.kernel[...] = kernel
        return (network.encode(whole, recalled).mean ** 2).sum()

    kernel = untrained.unobserved.kernel[...]
    np.testing.assert_array_equal(kernel, 0)
    np.testing.assert_array_equal(jax.jit(jax.grad(total))(kernel), 0)


def test_every_kind_of_knowledge_is_another_input(base, query, recalled):
    first = [0] * len(Knowledge)
    same = type(query)(*(column[first] for column in query))
    mean = encode(
        base,
        same._replace(knowledge=np.int32(list(Knowledge))),
        jax.tree.map(lambda x: x[first], recalled),
    ).mean
    assert len(np.unique(np.asarray(mean).round(4), axis=0)) == len(Knowledge)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *(({name: 0}, f"{name} is 0: give at least 1") for name in ("width", "blocks", "hidden")),
        ({"harmonics": 0}, "harmonics is 0: give at least 1"),
        ({"harmonics": 61}, "harmonics is 61: records hold them up to 60"),
        ({"recalled": -1}, "recalled is -1: give 0 or more"),
    ],
)
def test_impossible_sizes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)
