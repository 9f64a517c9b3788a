"""The Fourier series of a density's logarithm, against numpy's transform and a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmed_jax.physics import log_series
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.physics.log_series import (
    TERMS,
    density_of_logarithm,
    logarithm,
    part_of,
    series_of,
)

basis = jax.jit(log_series.basis, static_argnames="limit")
SHAPE = (16, 18, 20)


@pytest.fixture(scope="module")
def density():
    return np.random.default_rng(0).gamma(0.3, 20, SHAPE)


def test_coefficients_are_those_of_the_transform(density):
    found = series_of(density)
    factors = np.fft.fftn(np.log(1 + density / 10)) / density.size
    each = factors[tuple(harmonics().T)]
    expected = np.concatenate([[factors[0, 0, 0].real], 2 * each.real, -2 * each.imag])
    assert found.shape == (TERMS,)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_the_coefficients_of_a_smaller_limit_are_a_part(density):
    whole = series_of(density)
    np.testing.assert_allclose(part_of(whole, 14), series_of(density, 14), atol=1e-5)
    np.testing.assert_array_equal(part_of(whole, 60), np.float32(whole))


def test_a_series_has_the_values_that_it_was_made_of():
    """A logarithm of three waves, at points between those of the grid."""

    def values(x, y, z):
        waves = 0.5 * np.cos(2 * np.pi * x), 0.3 * np.sin(2 * np.pi * (y - z))
        return 2 + sum(waves) + 0.2 * np.cos(2 * np.pi * (x + y + z) + 1)

    axes = np.meshgrid(*(np.arange(n) / n for n in SHAPE), indexing="ij")
    series = series_of(10 * np.expm1(values(*axes)), 3)
    for point in np.random.default_rng(1).uniform(-2, 2, (20, 3)).astype(np.float32):
        found = series @ basis(point, limit=3)
        assert found == pytest.approx(values(*point.astype(float)), abs=1e-4)


def test_logarithms_become_densities_again_and_negative_ones_count_as_none(density):
    density = jnp.float32(density)
    np.testing.assert_allclose(density_of_logarithm(logarithm(density)), density, rtol=1e-4)
    np.testing.assert_array_equal(logarithm(-density), 0)
    np.testing.assert_array_equal(density_of_logarithm(-density), 0)
