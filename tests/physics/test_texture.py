"""March's distribution against quadrature, and lines against the sum over their members."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from cmed_jax.physics import texture
from cmed_jax.physics.texture import moments

line_factors, march_dollase = jax.jit(texture.line_factors), jax.jit(texture.march_dollase)


@pytest.mark.parametrize("r", [0.3, 0.7, 1.0, 1.4, 3.0])
def test_the_mean_over_all_directions_is_one(r):
    mean = scipy.integrate.quad(lambda x: float(march_dollase(np.float32(x**2), r)), 0, 1)[0]
    assert mean == pytest.approx(1, abs=1e-5)


def test_plates_strengthen_the_lines_along_the_axis():
    along, across = march_dollase(jnp.array([1.0, 0.0]), 0.5)
    assert along == pytest.approx(8)  # r^-3
    assert across == pytest.approx(0.5**1.5)


@pytest.mark.parametrize("r", [0.7, 0.9, 1.0, 1.2, 1.4])
def test_a_merged_line_has_the_mean_of_its_members(r):
    rng = np.random.default_rng(0)
    members, axis = rng.normal(size=(40, 5, 3)), rng.normal(size=3)
    members /= np.linalg.norm(members, axis=-1, keepdims=True)
    axis /= np.linalg.norm(axis)
    cosine = members @ axis
    expected = ((r**2 * cosine**2 + (1 - cosine**2) / r) ** -1.5).mean(axis=1)
    averaged = moments(members.reshape(-1, 3)).reshape(40, 5, -1).mean(axis=1)
    found = line_factors(jnp.asarray(averaged), jnp.asarray(axis), r)
    np.testing.assert_allclose(found, expected, atol=0.1 if r != 1 else 1e-5)


@pytest.mark.parametrize("r", [0.7, 1.4])
def test_the_series_errs_little_in_any_direction(r):
    cosine = np.linspace(0, 1, 101)
    directions = np.stack([cosine, np.sqrt(1 - cosine**2), 0 * cosine], axis=1)
    found = line_factors(jnp.asarray(moments(directions)), jnp.array([1.0, 0.0, 0.0]), r)
    np.testing.assert_allclose(found, march_dollase(jnp.asarray(cosine) ** 2, r), atol=0.1)
