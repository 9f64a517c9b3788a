"""The whole evaluation on predictors of known scores: perfect, shuffled, constant."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cmed_jax.data.dataset import load_examples, load_structures
from cmed_jax.evaluation.baselines import baselines
from cmed_jax.evaluation.controls import wrong_pattern
from cmed_jax.evaluation.metrics import PSNR_CEILING, psnr, ssim
from cmed_jax.evaluation.results import results
from cmed_jax.evaluation.scoring import evaluate
from cmed_jax.evaluation.structure_metrics import StructureMetrics
from cmed_jax.physics.density import B_FACTOR


@pytest.fixture(scope="module")
def examples(dataset):
    return load_examples(dataset, "test")


@pytest.fixture(scope="module")
def training(dataset):
    return load_examples(dataset, "train")


@pytest.fixture(scope="module")
def structure_metrics(examples, dataset):
    return StructureMetrics(examples, load_structures(dataset, "test"), B_FACTOR)


def perfect(examples, samples=0):
    """A generator that identifies the truth by the pattern alone."""
    row_of = {pattern.tobytes(): row for row, pattern in enumerate(examples.pattern)}

    def generate(query):
        rows = [row_of[np.asarray(pattern).tobytes()] for pattern in query.pattern]
        return np.repeat(examples.densities(rows)[:, None], 1 + samples, axis=1)

    return generate


def test_similarity_and_noise_ratio_are_those_of_scikit_image():
    """The fifty pairs are fields of every smoothness, scaled, shifted, and blurred."""
    rng = np.random.default_rng(5)
    pairs = []
    for _ in range(50):
        truth, other = (
            gaussian_filter(rng.random((24, 25, 26)), rng.uniform(0, 3), mode="wrap")
            for _ in range(2)
        )
        share, offset = rng.uniform(0, 1), rng.normal()
        pairs.append([truth, (1 - share) * truth + share * other + 0.1 * share * offset])
    truths, others = np.moveaxis(np.array(pairs, np.float32) * 50, 1, 0)
    expected = [
        (
            structural_similarity(t, o, data_range=t.max() - t.min()),
            peak_signal_noise_ratio(t, o, data_range=t.max() - t.min()),
        )
        for t, o in zip(truths.astype(float), others.astype(float), strict=True)
    ]
    similarity, ratio = np.array(expected).T
    np.testing.assert_allclose(ssim(truths, others), similarity, atol=1e-5)
    np.testing.assert_allclose(psnr(truths, others), ratio, rtol=1e-5)


def test_a_perfect_predictor_scores_one_everywhere(examples, training, structure_metrics):
    model = evaluate(perfect(examples, samples=3), examples, further=structure_metrics)
    known = {
        name: evaluate(b, examples, further=structure_metrics)
        for name, b in baselines(training, B_FACTOR).items()
    }
    found = results(model, known, {}, run={})
    for figures in (found["model"]["plain"], found["model"]["published"]):
        assert figures["ssim"]["mean"] == pytest.approx(1, abs=1e-6)
        assert figures["nmae"]["mean"] == pytest.approx(0, abs=1e-6)
        assert figures["psnr"]["mean"] == pytest.approx(PSNR_CEILING)
    plain = found["model"]["plain"]
    for name, value in {"periodic_ssim": 1, "pearson": 1, "r_factor": 0}.items():
        assert plain[name]["mean"] == pytest.approx(value, abs=1e-5)
    assert plain["nmae_at_atoms"]["mean"] == plain["nmae_between"]["mean"] == 0
    # Up to the rounding of densities to float16 and the two tables of form factors.
    assert (model.plain["cosine"] > 0.998).all()
    assert plain["rwp"]["mean"] < 0.05
    for ranking in found["ranking"].values():
        assert ranking["chosen"]["mean"] == ranking["oracle"]["mean"] == pytest.approx(1, abs=1e-6)
    assert set(found["uncertainty"]["coverage"]) == {1}


def test_a_shuffled_predictor_falls_to_the_control(examples, structure_metrics):
    """A generator that reads only the pattern predicts the density that belongs to a wrong one."""
    control = evaluate(
        perfect(examples), examples, control=wrong_pattern, further=structure_metrics
    )
    given = wrong_pattern(examples).pattern
    partner = [int(np.flatnonzero((examples.pattern == p).all(axis=1))[0]) for p in given]
    truths = examples.densities(slice(None))
    np.testing.assert_allclose(control.plain["ssim"], ssim(truths, truths[partner]), atol=1e-5)
    assert (control.plain["ssim"] < 0.9).all()
    assert (control.plain["cosine"] < 0.99).all()


def test_a_constant_predictor_is_the_constant_map(examples, training, structure_metrics):
    mean = np.float32(training.densities(slice(None)).mean(dtype=float))

    def constant(query):
        return np.full((len(query.pattern), 1, 50, 50, 50), mean)

    model = evaluate(constant, examples, further=structure_metrics)
    known = evaluate(
        baselines(training, B_FACTOR)["constant map"], examples, further=structure_metrics
    )
    for name, values in known.plain.items():
        np.testing.assert_allclose(model.plain[name], values, rtol=1e-4, atol=1e-6)
    for name, value in {"pearson": 0, "r_factor": 1, "cosine": 0, "rwp": 1}.items():
        np.testing.assert_allclose(model.plain[name], value, atol=1e-4)
