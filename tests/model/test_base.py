"""The `base` network: its symmetries, its Fourier series, and its losses against closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
from flax import nnx

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.model.base import BaseConfig, harmonics
from cmed_jax.model.network import Latent

CONFIG = BaseConfig(width=16, blocks=1, latent=8, harmonics=6, kl_weight=0.5)


@pytest.fixture(scope="module")
def base():
    network = CONFIG.build(nnx.Rngs(0))
    network.eval()
    return network


@pytest.fixture(scope="module")
def crystals():
    """Sparse patterns, compositions of two elements, and every kind of knowledge."""
    rng = np.random.default_rng(0)
    pattern = np.where(rng.random((4, 1024)) < 0.02, rng.random((4, 1024)), 0)
    composition = np.zeros((4, 119))
    composition[np.arange(4), [3, 11, 12, 26]] = 0.5
    composition[np.arange(4), [8, 9, 16, 17]] = 0.5
    coverage = jnp.arange(1024) < jnp.array([1024, 700, 300, 0])[:, None]
    return jnp.float32(pattern), jnp.float32(composition), jnp.arange(4), jnp.float32(coverage)


@pytest.fixture(scope="module")
def conditioning(base, crystals):
    return base.condition(base.encode(*crystals).mean)


def test_the_density_is_periodic(base, conditioning):
    rng = np.random.default_rng(1)
    coordinates = jnp.float32(rng.random((4, 20, 3)))
    away = coordinates + rng.integers(-3, 4, (4, 20, 3))
    here, there = base.values(conditioning, coordinates), base.values(conditioning, away)
    np.testing.assert_allclose(there, here, atol=1e-4 * np.abs(here).max())


def test_a_prediction_does_not_depend_on_its_neighbours(base, crystals):
    together = base.encode(*crystals)
    for row in range(4):
        alone = base.encode(*(part[row : row + 1] for part in crystals))
        np.testing.assert_allclose(alone.mean[0], together.mean[row], atol=1e-5)
        np.testing.assert_allclose(alone.deviation[0], together.deviation[row], atol=1e-6)


def test_a_value_is_a_fourier_series_of_the_harmonics(base, conditioning):
    """Coefficients found on a grid vanish beyond the limit, and their sum is the value anywhere."""
    n = 12
    axes = np.meshgrid(*[np.arange(n) / n] * 3, indexing="ij")
    grid = jnp.float32(np.stack(axes, axis=-1).reshape(-1, 3))
    values = np.float64(base.values(conditioning, grid)).reshape(4, n, n, n)
    coefficients = np.fft.fftn(values, axes=(1, 2, 3)) / n**3
    index = np.stack(np.meshgrid(*[np.fft.fftfreq(n, 1 / n)] * 3, indexing="ij"), axis=-1)
    beyond = (index**2).sum(axis=-1) > CONFIG.harmonics
    size = np.abs(coefficients).max()
    assert np.abs(coefficients[:, beyond]).max() < 1e-5 * size
    assert np.abs(coefficients[:, ~beyond]).min() > 1e-4 * size
    anywhere = np.random.default_rng(2).random((30, 3))
    waves = np.exp(2j * np.pi * np.einsum("pi,abci->pabc", anywhere, index))
    expected = np.einsum("pabc,kabc->kp", waves, coefficients).real
    found = base.values(conditioning, jnp.float32(anywhere))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_coordinates_that_crystals_share_are_as_good_as_their_own(base, conditioning):
    one = jnp.float32(np.random.default_rng(3).random((9, 3)))
    own = base.values(conditioning, jnp.stack([one] * 4))
    np.testing.assert_allclose(base.values(conditioning, one), own, rtol=1e-5, atol=1e-6)


def test_a_step_of_adam_changes_a_coefficient_by_about_as_much_as_a_weight(base, crystals):
    latent, step = base.encode(*crystals).mean, 1e-3
    moved = nnx.clone(base)
    moved.coefficients.kernel[...] += step
    change = np.abs(moved.condition(latent) - base.condition(latent)).max()
    assert 0.05 * step < change < 2 * step


@pytest.fixture(scope="module")
def truth(conditioning):
    """Densities with empty space, and the conditioning and the values that represent them."""
    density = np.random.default_rng(4).gamma(0.3, 20, (4, 50))
    density[:, :5] = 0
    values = jnp.float32(np.log(1 + density / 10))
    density = jnp.float32(density)
    return conditioning, values, density, density.max(axis=1)


def test_perfect_values_are_the_density_and_cost_nothing(base, truth):
    conditioning, values, density, maximum = truth
    np.testing.assert_allclose(base.to_density(conditioning, values), density, rtol=1e-4, atol=1e-6)
    loss = base.reconstruction_loss(conditioning, values, density, maximum)
    np.testing.assert_allclose(loss, 0, atol=1e-5)


def test_a_density_is_never_negative(base, truth):
    conditioning, values, *_ = truth
    np.testing.assert_array_equal(base.to_density(conditioning, -values), 0)


def test_an_error_costs_its_size_and_a_small_one_its_square(base, truth):
    """The loss is Huber's, compared with scipy's, in units of its threshold."""
    conditioning, values, density, maximum = truth
    for error in (0.1, -0.3, 0.03, -0.01, 0.002):
        loss = base.reconstruction_loss(conditioning, values + error, density, maximum)
        np.testing.assert_allclose(loss, scipy.special.huber(0.03, error) / 0.03, rtol=2e-3)


def test_rounding_of_values_that_are_right_hardly_turns_the_loss(base, truth):
    """Otherwise devices with different rounding would train differently."""
    conditioning, values, density, maximum = truth

    def slope(values):
        def loss(values):
            return base.reconstruction_loss(conditioning, values, density, maximum).sum()

        return jax.grad(loss)(values)

    size = np.abs(slope(values + 1)).max()
    change = slope(values * (1 + 1e-6)) - slope(values * (1 - 1e-6))
    assert np.abs(change).max() < 1e-3 * size


def test_ripples_below_zero_cost_what_an_empty_voxel_costs(base, truth):
    conditioning, values, density, maximum = truth
    ripples = jnp.where(density == 0, -0.01, density)
    loss = base.reconstruction_loss(conditioning, values, ripples, maximum)
    np.testing.assert_allclose(loss, 0, atol=1e-5)


def test_the_loss_has_gradients_where_the_density_is_zero(base, truth):
    conditioning, values, density, maximum = truth

    def loss(values):
        return base.reconstruction_loss(conditioning, values, density, maximum).sum()

    assert np.isfinite(jax.grad(loss)(values)).all()


def divergence(mean, deviation):
    """The divergence of a normal distribution from the standard one, by quadrature."""
    one, other = scipy.stats.norm(mean, deviation), scipy.stats.norm()
    reach = (mean - 10 * deviation, mean + 10 * deviation)
    return scipy.integrate.quad(lambda x: one.pdf(x) * (one.logpdf(x) - other.logpdf(x)), *reach)[0]


def test_the_latent_loss_is_the_divergence_per_dimension(base):
    rng = np.random.default_rng(5)
    mean, deviation = rng.normal(size=(2, 8)), rng.uniform(0.05, 2, (2, 8))
    expected = 0.5 * np.vectorize(divergence)(mean, deviation).mean(axis=1)
    found = base.latent_loss(Latent(jnp.float32(mean), jnp.float32(deviation)))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_deviations_are_positive(base, crystals):
    assert (base.encode(*crystals).deviation > 0).all()


INPUTS = ("pattern", "composition", "knowledge", "coverage")


def _with_kernel(network, kernel):
    network = nnx.clone(network)
    network.unmeasured.kernel[...] = kernel
    return network


@pytest.mark.parametrize("part", INPUTS)
def test_every_input_counts(base, crystals, part):
    given = dict(zip(INPUTS, crystals, strict=True))
    weights = jax.random.normal(jax.random.key(0), base.unmeasured.kernel.shape)
    network = _with_kernel(base, weights)  # the initial ones are zero
    other = given | {part: given[part][::-1]}
    change = network.encode(**other).mean - network.encode(**given).mean
    assert (np.abs(change).max(axis=1) > 1e-3).all()


def test_a_network_that_saw_whole_patterns_only_takes_no_notice_of_coverage(base, crystals):
    *given, coverage = crystals
    whole = jnp.ones_like(coverage)
    gradient = jax.grad(lambda kernel: _with_kernel(base, kernel).encode(*given, whole).mean.sum())(
        base.unmeasured.kernel[...]
    )
    np.testing.assert_array_equal(gradient, 0)
    np.testing.assert_array_equal(base.encode(*given, whole).mean, base.encode(*crystals).mean)


def test_every_kind_of_knowledge_is_another_input(base, crystals):
    pattern, composition, _, coverage = crystals
    same = (jnp.repeat(pattern[:1], 4, axis=0), jnp.repeat(composition[:1], 4, axis=0))
    mean = np.asarray(base.encode(*same, jnp.array(list(Knowledge)), coverage).mean)
    assert len(np.unique(mean.round(4), axis=0)) == len(Knowledge)


def test_one_harmonic_stands_for_each_pair():
    vectors = {tuple(vector) for vector in harmonics(14).astype(int).tolist()}
    opposite = {tuple(-x for x in vector) for vector in vectors}
    assert not vectors & opposite
    ball = np.argwhere(np.ones((11, 11, 11))) - 5
    inside = ball[(ball**2).sum(axis=1) <= 14].tolist()
    assert vectors | opposite | {(0, 0, 0)} == {tuple(vector) for vector in inside}


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(CONFIG) if f.type is int])
def test_sizes_are_at_least_one(name):
    with pytest.raises(ValueError, match=f"{name} is 0: give at least 1"):
        dataclasses.replace(CONFIG, **{name: 0})
