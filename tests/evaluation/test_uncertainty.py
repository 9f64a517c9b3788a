"""Calibration of samples from the distribution of the truth, and from another."""

import json

import numpy as np
import pytest

from cmed_jax.evaluation.uncertainty import LEVELS, PARTS, of_deviation, of_samples, summary, trust

SHAPE = (30, 30, 30)


def drawn(samples, seed=0, spread=1.0):
    """A truth and samples around one mean, with a deviation of their own at each voxel."""
    rng = np.random.default_rng(seed)
    deviation = rng.uniform(0.1, 3, SHAPE)
    mean = rng.uniform(5, 10, SHAPE)
    truth, *others = mean + deviation * rng.normal(size=(samples + 1, *SHAPE))
    return truth, mean + spread * (np.stack(others) - mean)


@pytest.mark.parametrize("samples", [2, 5, 30])
def test_what_is_drawn_alike_is_covered_as_often_as_it_says(samples):
    found = of_samples(*drawn(samples))
    np.testing.assert_allclose(found["coverage"], LEVELS, atol=0.015)


def test_samples_that_agree_too_well_cover_too_little():
    found = of_samples(*drawn(5, spread=0.1))
    assert (found["coverage"] < 0.5 * np.array(LEVELS)).all()
    assert (found["expected"] < 0.2 * found["error"]).all()


def alike(samples):
    """A truth and samples from one Gaussian, the same at every voxel."""
    truth, *others = 5 + np.random.default_rng(0).normal(size=(samples + 1, *SHAPE))
    return truth, np.stack(others)


@pytest.mark.parametrize("samples", [4, 5])
def test_of_few_samples_what_is_expected_is_not_chosen_by_its_own_noise(samples):
    """No voxel differs from another: in each part both errors are the deviation of the Gaussian."""
    found = of_samples(*alike(samples))
    wanted = np.full(PARTS, np.sqrt(1 + 1 / samples) / 5)
    np.testing.assert_allclose(found["expected"], wanted, rtol=0.06)
    np.testing.assert_allclose(found["error"], wanted, rtol=0.06)


def test_fewer_than_four_samples_do_not_say_what_to_expect():
    found = of_samples(*alike(3))
    assert "expected" not in found
    np.testing.assert_allclose(found["error"], np.sqrt(4 / 3) / 5, rtol=0.06)
    one = {name: None if value is None else value[None] for name, value in found.items()}
    assert json.loads(json.dumps(summary(one)))["expected"] is None


def test_errors_grow_with_the_deviation_where_it_tells():
    found = of_samples(*drawn(40))
    assert found["expected"].shape == found["error"].shape == (PARTS,)
    np.testing.assert_allclose(found["expected"], found["error"], rtol=0.2)
    assert (np.diff(found["error"]) > 0).all()


def test_spread_is_the_mean_deviation_relative_to_the_density():
    truth, samples = drawn(4)
    expected = samples.std(axis=0, ddof=1).mean() / samples.mean(axis=0).mean()
    assert of_samples(truth, samples)["spread"] == pytest.approx(expected)
    assert of_samples(truth, 7 * samples)["spread"] == pytest.approx(expected)


def test_samples_that_are_all_the_same_are_counted_not_divided_by():
    truth = np.ones(SHAPE)
    found = of_samples(truth, np.zeros((3, *SHAPE)))
    assert found["spread"] == 0
    assert not found["coverage"].any()
    np.testing.assert_array_equal(of_samples(truth, np.ones((3, *SHAPE)))["coverage"], 1)


def test_a_deviation_that_is_stated_is_taken_at_its_word():
    rng = np.random.default_rng(0)
    answer, deviation = rng.uniform(5, 10, SHAPE), rng.uniform(0.1, 3, SHAPE)
    truth = rng.normal(answer, deviation)
    found = of_deviation(truth, answer, deviation)
    np.testing.assert_allclose(found["coverage"], LEVELS, atol=0.015)
    np.testing.assert_allclose(found["expected"], found["error"], rtol=0.1)
    assert found["spread"] == pytest.approx(deviation.mean() / answer.mean())
    timid = of_deviation(truth, answer, 10 * deviation)
    assert (timid["coverage"] > 0.9).all() or timid["coverage"][0] > LEVELS[0]


def test_the_summary_is_the_mean_over_materials():
    both = [of_samples(*drawn(5, seed)) for seed in (0, 1)]
    figures = {name: np.stack([found[name] for found in both]) for name in both[0]}
    found = summary(figures)
    assert json.loads(json.dumps(found)) == found
    assert found["levels"] == list(LEVELS)
    assert found["error"][3] == pytest.approx((both[0]["error"][3] + both[1]["error"][3]) / 2)


def test_a_confidence_that_ranks_like_the_truth_parts_good_from_bad():
    ssim = np.array([0.5, 0.9, 0.7, 0.8, 0.6])
    found = trust(ssim**3, ssim)
    assert found["spearman"] == pytest.approx(1)
    assert found["trusted"] == pytest.approx(0.8)
    assert found["doubted"] == pytest.approx(0.55)
    assert trust(-ssim, ssim)["spearman"] == pytest.approx(-1)


def test_a_constant_confidence_ranks_nothing():
    assert trust(np.zeros(4), np.arange(4.0))["spearman"] is None
    assert trust(np.zeros(1), np.ones(1))["doubted"] is None
