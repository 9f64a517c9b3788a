"""Fourier resampling against trigonometric polynomials, which are known everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample as scipy_resample

from cmed_jax.physics.regrid import resample

SHAPES = [(7, 7, 7), (8, 8, 8), (9, 12, 7), (16, 7, 11), (20, 21, 24)]  # all carry |h_i| <= 3


def grid(shape):
    """Return the points k / n of a grid, (a, b, c, 3)."""
    return np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), axis=-1)


def polynomial(x, seed=0, limit=3):
    """Return at x a real function of period 1 with the modes |h_i| <= limit."""
    rng = np.random.default_rng(seed)
    hkl = rng.integers(-limit, limit + 1, (12, 3))
    phase = 2 * np.pi * (x @ hkl.T + rng.random(12))
    return 5.0 + np.cos(phase) @ rng.random(12)


@pytest.mark.parametrize("old", SHAPES)
@pytest.mark.parametrize("new", SHAPES)
def test_what_both_grids_carry_is_reproduced_exactly(old, new):
    resampled = resample(polynomial(grid(old)), new)
    np.testing.assert_allclose(resampled, polynomial(grid(new)), atol=1e-12)


@settings(deadline=None)
@given(*[st.tuples(*[st.integers(1, 12)] * 3)] * 2, st.integers(0, 99))
def test_the_mean_is_preserved(old, new, seed):
    density = np.random.default_rng(seed).random(old)
    assert resample(density, new).mean() == pytest.approx(density.mean(), rel=1e-12)


@pytest.mark.parametrize("h", range(1, 13))
@pytest.mark.parametrize("n", [10, 11])
def test_what_the_new_grid_cannot_carry_is_removed_and_not_folded_back(h, n):
    wave = np.cos(2 * np.pi * h * grid((4, 32, 3))[..., 1] + 0.3)
    resampled = resample(wave, (5, n, 2))
    carried = h <= (n - 1) // 2
    expected = carried * np.cos(2 * np.pi * h * grid((5, n, 2))[..., 1] + 0.3)
    np.testing.assert_allclose(resampled, expected, atol=1e-13)


def test_the_ambiguous_mode_of_an_even_grid_is_left_out():
    alternating = 3.0 + np.cos(np.pi * np.indices((8, 6, 4)).sum(axis=0))
    np.testing.assert_allclose(resample(alternating, (16, 12, 8)), 3.0, atol=1e-13)


def test_each_axis_is_resampled_as_by_scipy():
    density = np.random.default_rng(0).random((9, 13, 11))
    shape = (15, 7, 24)  # finer, coarser, finer and even
    expected = density
    for axis, n in enumerate(shape):
        expected = scipy_resample(expected, n, axis=axis)
    np.testing.assert_allclose(resample(density, shape), expected, atol=1e-13)


def test_on_its_own_grid_a_density_stays_as_it_is():
    density = np.random.default_rng(0).random((8, 6, 4))
    resampled = resample(density, (8, 6, 4))
    np.testing.assert_array_equal(resampled, density)
    assert not np.shares_memory(resampled, density)


CHANGES = {
    "doubled": np.diag([2, 1, 1]),
    "face-centred": np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]),
    "body-centred": np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]),
    "turned": np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    "sheared": np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]]),
    "inverted": -np.eye(3, dtype=int),
}


@pytest.mark.parametrize("matrix", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("shift", [np.zeros(3), np.array([0.21, -0.4, 0.05])], ids=["", "shifted"])
@pytest.mark.parametrize("new", [(8, 8, 8), (9, 12, 7)])
def test_a_change_of_cell_carries_the_density_along(matrix, shift, new):
    # rho in the new cell is known; in the old cell it is rho(P x + p).
    old = (24, 21, 30)
    density = polynomial(grid(old) @ matrix.T + shift)
    resampled = resample(density, new, matrix, shift)
    np.testing.assert_allclose(resampled, polynomial(grid(new)), atol=1e-12)


def test_what_does_not_repeat_with_the_new_cell_is_averaged():
    halves = np.random.default_rng(0).random((2, 5, 7, 9))
    resampled = resample(np.concatenate(halves), (5, 7, 9), np.diag([2, 1, 1]))
    np.testing.assert_allclose(resampled, halves.mean(axis=0), atol=1e-13)


def test_a_shift_by_a_grid_step_rolls_an_odd_grid():
    density = np.random.default_rng(0).random((5, 7, 9))
    shifted = resample(density, (5, 7, 9), shift=np.array([1 / 5, -2 / 7, 3 / 9]))
    np.testing.assert_allclose(shifted, np.roll(density, (1, -2, 3), axis=(0, 1, 2)), atol=1e-13)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"density": np.full((2, 2, 2), np.nan)}, "not finite"),
        ({"density": np.full((2, 2, 2), -np.inf)}, "not finite"),
        ({"density": np.zeros((2, 0, 2))}, "at least one point"),
        ({"shape": (3, 0, 3)}, "at least one point"),
        ({"matrix": np.ones((3, 3), int)}, "singular"),
        ({"shift": np.array([0.0, np.nan, 0.0])}, "finite fractions"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        resample(**{"density": np.ones((2, 2, 2)), "shape": (3, 3, 3), **change})
