import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cmed_jax.evaluation.metrics import PSNR_CEILING, nmae, pearson, psnr, r_factor, ssim

GRID = (50, 50, 50)


def noise(rng):
    return rng.random(GRID), rng.random(GRID)


def smooth(rng):
    return tuple(gaussian_filter(rng.normal(size=GRID), 3, mode="wrap") for _ in range(2))


def peaky(rng):
    truth = 200 * rng.random(GRID) ** 40
    return truth, np.roll(truth, 1, axis=0) + rng.normal(0, 0.5, GRID)


def offset(rng):
    truth = 1000 + gaussian_filter(rng.random(GRID), 1)
    return truth, truth + rng.normal(0, 0.01, GRID)


def scaled(rng):
    truth = gaussian_filter(rng.random(GRID) ** 20, 1.5)
    return truth, rng.uniform(-3, 3) * truth


def flattened(rng):
    truth = gaussian_filter(rng.random(GRID) ** 20, 1.5)
    return truth, np.full(GRID, truth.mean())


def pairs(kind, count=9):
    rng = np.random.default_rng(0)
    return np.stack([kind(rng) for _ in range(count)], axis=1).astype(np.float32)


def reference(metric, truths, predictions):
    return [
        metric(t.astype(float), p.astype(float), data_range=float(t.max()) - float(t.min()))
        for t, p in zip(truths, predictions, strict=True)
    ]


@pytest.mark.parametrize("kind", [noise, smooth, peaky, offset, scaled, flattened])
def test_metrics_equal_scikit_image(kind):
    truths, predictions = pairs(kind)
    expected = reference(structural_similarity, truths, predictions)
    np.testing.assert_allclose(ssim(truths, predictions), expected, atol=1e-5)
    expected = reference(peak_signal_noise_ratio, truths, predictions)
    np.testing.assert_allclose(psnr(truths, predictions), expected, atol=1e-4)


@pytest.mark.parametrize("grid", [(7, 7, 7), (9, 20, 13)])
def test_ssim_takes_any_grid_that_holds_a_window(grid):
    truth, prediction = np.random.default_rng(0).random((2, *grid), np.float32)
    (expected,) = reference(structural_similarity, truth[None], prediction[None])
    np.testing.assert_allclose(ssim(truth, prediction), expected, atol=1e-5)


def test_periodic_ssim_is_that_of_scikit_image_on_the_wrapped_volume():
    (truth,), (prediction,) = pairs(peaky, count=1)
    wrapped = (np.pad(volume.astype(float), 3, mode="wrap") for volume in (truth, prediction))
    expected = structural_similarity(*wrapped, data_range=float(truth.max() - truth.min()))
    np.testing.assert_allclose(ssim(truth, prediction, periodic=True), expected, atol=1e-5)


def test_periodic_ssim_does_not_depend_on_the_origin():
    (truth,), (prediction,) = pairs(peaky, count=1)
    shifted = [np.roll(volume, (7, 20, 31), axis=(0, 1, 2)) for volume in (truth, prediction)]
    expected = ssim(truth, prediction, periodic=True)
    np.testing.assert_allclose(ssim(*shifted, periodic=True), expected, atol=1e-5)


def test_nmae_follows_its_definition():
    truths, predictions = pairs(smooth)
    error = np.abs(predictions.astype(float) - truths).mean(axis=(1, 2, 3))
    expected = error / np.abs(truths.astype(float)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(nmae(truths, predictions), expected, rtol=1e-5)


def test_any_batch_shape_is_kept():
    truths, predictions = pairs(noise, count=6)
    volumes = [jnp.asarray(x).reshape(2, 3, *GRID) for x in (truths, predictions)]
    for metric in (ssim, psnr, nmae):
        expected = np.reshape(metric(truths, predictions), (2, 3))
        np.testing.assert_array_equal(metric(*volumes), expected)


def test_a_perfect_prediction_has_finite_scores():
    truth = pairs(peaky, count=1)[0]
    assert ssim(truth, truth) == 1
    assert nmae(truth, truth) == 0
    np.testing.assert_allclose(psnr(truth, truth), PSNR_CEILING, rtol=1e-6)


def test_a_constant_truth_counts_as_of_range_one():
    truth = np.full(GRID, 2, np.float32)
    prediction = truth + np.float32(0.1)
    assert ssim(truth, truth) == 1
    np.testing.assert_allclose(psnr(truth, prediction), 20, rtol=1e-5)
    expected = structural_similarity(truth, prediction, data_range=1)
    np.testing.assert_allclose(ssim(truth, prediction), expected, atol=1e-5)


def test_a_truth_of_zero_counts_as_of_magnitude_one():
    truth = np.zeros(GRID, np.float32)
    assert nmae(truth, truth) == 0
    np.testing.assert_allclose(nmae(truth, truth + np.float32(0.25)), 0.25)


@pytest.mark.parametrize("metric", [ssim, psnr, nmae])
def test_grids_that_differ_are_refused(metric):
    with pytest.raises(ValueError, match=r"\(8, 8, 8\) and prediction \(8, 8, 9\)"):
        metric(np.zeros((8, 8, 8)), np.zeros((8, 8, 9)))


def test_a_grid_smaller_than_the_window_is_refused():
    with pytest.raises(ValueError, match="smaller than the window of 7"):
        ssim(np.zeros((8, 6, 8)), np.zeros((8, 6, 8)))


@pytest.mark.parametrize("kind", [noise, smooth, peaky, scaled])
def test_pearson_is_that_of_numpy(kind):
    truths, predictions = pairs(kind, count=3)
    expected = [
        np.corrcoef(t.ravel().astype(float), p.ravel().astype(float))[0, 1]
        for t, p in zip(truths, predictions, strict=True)
    ]
    np.testing.assert_allclose(pearson(truths, predictions), expected, atol=1e-5)


@pytest.mark.parametrize("grid", [(8, 10, 12), (7, 9, 9)])
def test_r_factor_is_the_sum_over_the_modes_of_both(grid):
    truth, prediction = np.random.default_rng(0).random((2, *grid), np.float32)
    top = bottom = 0.0
    x = np.stack(np.meshgrid(*(np.arange(n) / n for n in grid), indexing="ij"), axis=-1)
    ranges = [range(-((n - 1) // 2), (n - 1) // 2 + 1) for n in grid]
    for h in itertools.product(*ranges):
        if any(h):
            wave = np.exp(2j * np.pi * (x @ np.array(h)))
            one, other = (abs(np.sum(wave * volume)) for volume in (truth, prediction))
            top, bottom = top + abs(one - other), bottom + one
    np.testing.assert_allclose(r_factor(truth, prediction), top / bottom, rtol=1e-5)


@pytest.mark.parametrize("kind", [noise, peaky, offset])
def test_r_factor_sees_amplitudes_and_no_phases(kind):
    (truth,), _ = pairs(kind, count=1)
    shifted = np.roll(truth, (5, 11, 40), axis=(0, 1, 2))
    np.testing.assert_allclose(r_factor(truth, shifted), 0, atol=1e-4)
    np.testing.assert_allclose(r_factor(truth, 0.5 * truth), 0.5, atol=1e-5)
    np.testing.assert_allclose(r_factor(truth, np.full_like(truth, 3)), 1, atol=1e-5)


def test_constant_volumes_have_neither_modes_nor_correlation():
    constant, varied = np.full(GRID, 0.7, np.float32), noise(np.random.default_rng(0))[0]
    assert abs(pearson(varied.astype(np.float32), constant)) < 1e-3
    for metric in (pearson, r_factor):
        assert np.isfinite(metric(constant, varied.astype(np.float32)))
        assert metric(constant, constant) == 0
