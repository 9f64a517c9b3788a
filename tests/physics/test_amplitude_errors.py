"""Errors of a laboratory on amplitudes: each alone, and all at once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmed_jax.physics.amplitude_errors import AmplitudeErrors, measured_amplitudes
from cmed_jax.physics.amplitudes import Amplitudes
from cmed_jax.physics.harmonics import harmonics

NOTHING = AmplitudeErrors(
    start=(0.0, 0.0),
    stop=(10.0, 10.0),
    resolution=(1e-9, 1e-9),
    b_factor=(0.0, 0.0),
    march=0.0,
    relative=0.0,
    floor=(1e-12, 1e-12),
    foreign=0,
    foreign_strength=0.0,
    cell=0.0,
)
LATTICE = jnp.array([[4.1, 0.2, -0.3], [-1.1, 5.3, 0.4], [0.7, 0.9, 6.7]])
KEYS = jax.random.split(jax.random.key(0), 200)


@pytest.fixture(scope="module")
def ideal():
    amplitude = np.random.default_rng(0).gamma(1.0, 1.0, len(harmonics())).astype(np.float32)
    amplitude /= np.sqrt(np.mean(amplitude**2))
    return Amplitudes(amplitude, np.ones_like(amplitude))


def s_of_harmonics():
    return np.linalg.norm(harmonics() @ np.linalg.inv(np.asarray(LATTICE, float)).T, axis=1)


def drawn(ideal, **errors):
    """Cells and amplitudes with only these errors, once for each key.

    It is not compiled as a whole: all tests share the programs of single operations.
    """
    changed = dataclasses.replace(NOTHING, **errors)
    given = Amplitudes(*map(jnp.asarray, ideal))
    one = jax.vmap(lambda key: measured_amplitudes(key, LATTICE, given, changed))
    return jax.tree.map(np.asarray, one(KEYS))


def test_without_errors_nothing_is_changed(ideal):
    lattice, found = drawn(ideal)
    np.testing.assert_array_equal(lattice[0], LATTICE)
    np.testing.assert_array_equal(found.observed[0], ideal.observed)
    np.testing.assert_allclose(found.amplitude[0], ideal.amplitude, rtol=1e-3, atol=1e-4)


def test_the_range_is_all_that_is_observed(ideal):
    """What was unobserved before stays so."""
    half = ideal._replace(observed=np.float32(np.arange(len(harmonics())) % 2))
    _, found = drawn(half, start=(0.2, 0.2), stop=(0.8, 0.8))
    s = s_of_harmonics()
    inside = (s >= 0.2) & (s <= 0.8) & (half.observed > 0)
    np.testing.assert_array_equal(found.observed[0], inside)
    assert not found.amplitude[0, ~inside].any()
    assert np.mean(found.amplitude[0, inside] ** 2) == pytest.approx(1, rel=1e-4)


def test_lines_closer_than_the_resolution_have_their_mean(ideal):
    resolution = 3e-4
    _, found = drawn(ideal, resolution=(resolution, resolution))
    s, intensity = s_of_harmonics(), ideal.amplitude.astype(float) ** 2
    order = np.argsort(s)
    group = np.zeros(len(s), int)
    group[order] = np.cumsum(np.diff(s[order], prepend=-1) > resolution)
    expected = (np.bincount(group, intensity) / np.maximum(np.bincount(group), 1))[group]
    sizes = np.bincount(group)
    assert (sizes > 1).sum() > 20
    same = np.isclose(found.amplitude[0] ** 2, expected, rtol=1e-2, atol=1e-3)
    assert same.mean() > 0.98  # but for distances at the limit, in float32
    assert found.amplitude[0].astype(float) @ found.amplitude[0] == pytest.approx(len(s), rel=1e-4)


def test_texture_strengthens_and_weakens_and_keeps_the_mean():
    flat = np.ones(len(harmonics()), np.float32)
    _, found = drawn(Amplitudes(flat, flat), march=0.15)
    intensity = found.amplitude**2
    assert (intensity.std(axis=1) > 0.01).mean() > 0.9
    np.testing.assert_allclose(intensity.mean(axis=0), 1, atol=0.1)


def test_vibrations_weaken_with_s(ideal):
    _, found = drawn(ideal, b_factor=(0.7, 0.7))
    expected = ideal.amplitude * np.exp(-0.7 * s_of_harmonics() ** 2 / 4)
    expected /= np.sqrt(np.mean(expected**2))
    np.testing.assert_allclose(found.amplitude[0], expected, rtol=1e-3, atol=1e-3)


def test_noise_has_its_deviation(ideal):
    _, found = drawn(ideal, relative=0.05)
    strong = ideal.amplitude > 0.5
    ratio = (found.amplitude[:, strong] / ideal.amplitude[strong]) ** 2
    assert ratio.std() == pytest.approx(0.05, rel=0.1)


def test_edges_err_by_a_tenth_of_a_percent(ideal):
    lattice, _ = drawn(ideal, cell=1e-3)
    ratio = lattice / LATTICE
    np.testing.assert_allclose(ratio, ratio[:, :, :1] * np.ones(3), rtol=1e-5)
    assert ratio.std() == pytest.approx(1e-3, rel=0.1)


def test_all_errors_at_once_are_a_function_of_the_key(ideal):
    laboratory = dataclasses.asdict(AmplitudeErrors())
    one, same = (drawn(ideal, **laboratory) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, one, same)
    _, found = one
    assert np.isfinite(found.amplitude).all()
    assert (found.amplitude >= 0).all()
    assert not found.amplitude[found.observed == 0].any()
    power = (found.amplitude**2).sum(axis=1) / found.observed.sum(axis=1)
    np.testing.assert_allclose(power, 1, rtol=1e-4)
    assert len(np.unique(found.amplitude, axis=0)) == len(KEYS)
