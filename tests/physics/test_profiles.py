"""Widths and shapes against closed forms, scipy's Voigt profile, and quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

from cmed_jax.physics import profiles
from cmed_jax.physics.profiles import NARROWEST, height, microstrain

# One program each, instead of one for every operation.
arctangent = jax.jit(profiles.arctangent)
caglioti = jax.jit(profiles.caglioti)
cumulative_pseudo_voigt = jax.jit(profiles.cumulative_pseudo_voigt)
scherrer = jax.jit(profiles.scherrer)
thompson_cox_hastings = jax.jit(profiles.thompson_cox_hastings)
slopes = jax.jit(jax.vmap(jax.grad(lambda x, w, m: profiles.cumulative_pseudo_voigt(x / w, m))))

ANGLES = jnp.array([1.0, 30.0, 90.0, 150.0, 179.0])


def test_caglioti_width_at_known_angles():
    # tan(theta) = 1 at two-theta 90 degrees, 1 / sqrt(3) at 60.
    found = caglioti(jnp.array([60.0, 90.0]), 0.03, -0.02, 0.05)
    expected = [(0.03 / 3 - 0.02 / 3**0.5 + 0.05) ** 0.5, 0.06**0.5]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_width_never_vanishes_and_has_gradients():
    width = jax.jit(jax.vmap(jax.value_and_grad(lambda x: caglioti(x, 1e-3, -0.1, 1e-3))))
    found, gradient = width(ANGLES)
    assert found.min() == pytest.approx(NARROWEST)
    assert np.isfinite(gradient).all()


def test_a_nanometre_of_crystal_is_eight_degrees_wide():
    # 0.9 * 1.5406 / 10 = 0.13865 rad at theta = 0; at two-theta = 120 cos(theta) = 1/2.
    found = scherrer(jnp.array([0.0, 120.0]), jnp.full(2, 1.5406), 10.0)
    np.testing.assert_allclose(found, [7.9442, 15.8884], rtol=1e-4)
    np.testing.assert_array_equal(scherrer(ANGLES, jnp.full(5, 1.5), np.inf), 0)


def test_strain_is_four_times_its_tangent():
    assert microstrain(jnp.array([90.0]), 1e-3)[0] == pytest.approx(np.degrees(4e-3), rel=1e-6)


def voigt_width(gaussian, lorentzian):
    sigma, gamma = gaussian / np.sqrt(8 * np.log(2)), lorentzian / 2
    half = scipy.special.voigt_profile(0, sigma, gamma) / 2

    def above(x):
        return scipy.special.voigt_profile(x, sigma, gamma) - half

    return 2 * scipy.optimize.brentq(above, 0, gaussian + lorentzian)


@pytest.mark.parametrize("lorentzian", [0.0, 0.01, 0.1, 0.3, 2.0])
def test_a_pseudo_voigt_stands_for_the_voigt_profile(lorentzian):
    gaussian = 0.1
    width, share = thompson_cox_hastings(jnp.array([gaussian]), jnp.array([lorentzian]))
    assert width[0] == pytest.approx(voigt_width(gaussian, lorentzian), rel=2e-3)
    x = np.linspace(-2, 2, 201) * float(width[0])
    density = slopes(jnp.asarray(x), jnp.full(201, width), jnp.full(201, share))
    exact = scipy.special.voigt_profile(x, gaussian / np.sqrt(8 * np.log(2)), lorentzian / 2)
    assert np.abs(density - exact).max() < 0.015 * exact.max()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_area_below_is_that_of_both_parts(share):
    x = np.array([-1e6, -30.0, -1.0, -0.5, 0.0, 0.2, 3.0, 1e6])  # in units of the FWHM
    gaussian = scipy.stats.norm(scale=1 / np.sqrt(8 * np.log(2))).cdf(x)
    expected = share * scipy.stats.cauchy(scale=0.5).cdf(x) + (1 - share) * gaussian
    np.testing.assert_allclose(cumulative_pseudo_voigt(jnp.asarray(x), share), expected, atol=1e-6)


def test_the_height_is_the_slope_of_the_area_below():
    width, share = jnp.array([0.1, 2.0]), jnp.array([0.2, 0.9])
    slope = slopes(jnp.zeros(2), width, share)
    np.testing.assert_allclose(height(width, share), slope, rtol=1e-5)


def test_arctangent_is_that_of_numpy_in_both_precisions():
    x = np.concatenate([np.linspace(-3, 3, 1001), np.logspace(-20, 20, 41), [-np.inf, np.inf]])
    np.testing.assert_allclose(arctangent(jnp.float32(x)), np.arctan(x), atol=3e-7)
    with jax.enable_x64(True):
        np.testing.assert_allclose(arctangent(jnp.asarray(x)), np.arctan(x), atol=1e-14)


def test_the_arctangent_has_its_gradient():
    x = jnp.array([0.0, 0.5, 1.0, -1.0, -7.0])
    np.testing.assert_allclose(
        jax.jit(jax.vmap(jax.grad(arctangent)))(x), 1 / (1 + np.asarray(x) ** 2), rtol=1e-4
    )
