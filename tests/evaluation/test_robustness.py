"""Robustness curves: they begin at the records, and perturb the condition that they name."""

import numpy as np
import pytest

from cmed_jax.data.dataset import load_examples
from cmed_jax.data.lines import load_lines
from cmed_jax.data.query import full_query
from cmed_jax.evaluation.robustness import CONDITIONS, LINES, perturbed_query, robustness_curves
from cmed_jax.physics.patterns import MO_K_ALPHA


@pytest.fixture(scope="module")
def examples(dataset):
    return load_examples(dataset, "test")


@pytest.fixture(scope="module")
def lines(dataset):
    return load_lines(dataset, "test", 2 / MO_K_ALPHA, LINES)[0]


def perturbed(examples, lines, name, value):
    return perturbed_query(examples, lines, CONDITIONS[name], value)


def cosines(one, other):
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / lengths


@pytest.mark.parametrize("name", ["Noise", "Zero shift", "Background", "Texture"])
def test_a_harmless_measurement_is_nearly_the_pattern_of_the_record(examples, lines, name):
    query = perturbed(examples, lines, name, CONDITIONS[name].values[0])
    assert (cosines(query.pattern, examples.pattern) > 0.9).all()
    assert query.coverage.all()
    full = full_query(examples)
    np.testing.assert_array_equal(query.composition, full.composition)
    np.testing.assert_array_equal(query.knowledge, full.knowledge)


def test_small_crystallites_have_wide_lines(examples, lines):
    peaks = [
        (perturbed(examples, lines, "Crystallite size", size).pattern > 0.5).sum()
        for size in CONDITIONS["Crystallite size"].values
    ]
    assert (np.diff(peaks) >= 0).all()
    assert peaks[-1] > 3 * peaks[0]


def test_fewer_quanta_are_noisier(examples, lines):
    clean = perturbed(examples, lines, "Background", 0).pattern
    off = [
        np.abs(perturbed(examples, lines, "Noise", quanta).pattern - clean).mean()
        for quanta in CONDITIONS["Noise"].values
    ]
    assert (np.diff(off) > 0).all()


def test_a_shift_moves_the_lines(examples, lines):
    still, moved = (perturbed(examples, lines, "Zero shift", x).pattern for x in (0, 0.4))
    # 0.4 degrees are 2.3 bins.
    correlation = [(still[:, 10:-10] * np.roll(moved, -k)[:, 10:-10]).sum() for k in range(6)]
    assert np.argmax(correlation) in (2, 3)


def test_what_was_not_measured_is_zero_and_said_so(examples, lines):
    query = perturbed(examples, lines, "Measured range", 80)
    assert not query.pattern[query.coverage == 0].any()
    # These are copper's 10 and 80 degrees, at molybdenum's wavelength.
    first, last = (
        1024 / 180 * 2 * np.degrees(np.arcsin(np.sin(np.radians(x) / 2) * 0.71073 / 1.5418))
        for x in (10, 80)
    )
    covered = np.flatnonzero(query.coverage[0])
    np.testing.assert_allclose(covered[[0, -1]], [first, last], atol=1.5)


def test_background_and_texture_change_intensities(examples, lines):
    for name, worst in (("Background", 0.2), ("Texture", 0.4)):
        query = perturbed(examples, lines, name, worst)
        assert (cosines(query.pattern, examples.pattern) < 0.98).any()
    assert (np.median(perturbed(examples, lines, "Background", 0.2).pattern, axis=1) > 0.02).all()


def test_curves_hold_the_scores_of_what_was_asked(examples, lines, monkeypatch):
    kept = {name: CONDITIONS[name] for name in ("Noise", "Measured range")}
    monkeypatch.setattr("cmed_jax.evaluation.robustness.CONDITIONS", kept)

    def generate(query):
        """The truth, reduced by the share of the pattern that was not measured."""
        share = query.coverage.mean(axis=1)[:, None, None, None]
        return (examples.densities(slice(None)) * share)[:, None]

    done = []
    found = robustness_curves(generate, examples, lines, done.append)
    assert done == list(found["curves"]) == list(kept)
    assert found["materials"] == len(examples)
    assert found["ideal"] == pytest.approx(1)
    assert found["curves"]["Noise"]["ssim"] == pytest.approx([1] * 5)
    measured = found["curves"]["Measured range"]
    assert (np.diff(measured["ssim"]) < 0).all()
    for mean, (low, high) in zip(measured["ssim"], measured["interval"], strict=True):
        assert low <= mean <= high
