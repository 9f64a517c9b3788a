"""Choice by the pattern: between the mean of the candidates and the oracle."""

import dataclasses

import numpy as np
import pytest

from cmed_jax.data.dataset import load_examples, load_structures
from cmed_jax.evaluation.ranking import choose, rankings
from cmed_jax.evaluation.scoring import Scores, evaluate
from cmed_jax.evaluation.statistics import standing
from cmed_jax.evaluation.structure_metrics import StructureMetrics
from cmed_jax.physics.density import B_FACTOR


@pytest.fixture(scope="module")
def examples(dataset):
    return load_examples(dataset, "test")


@pytest.fixture(scope="module")
def structure_metrics(examples, dataset):
    return StructureMetrics(examples, load_structures(dataset, "test"), B_FACTOR)


def candidates(examples, *strengths):
    """Candidates that mix the truth with that of another material, in given proportions."""
    row_of = {pattern.tobytes(): row for row, pattern in enumerate(examples.pattern)}

    def generate(query):
        rows = np.array([row_of[np.asarray(pattern).tobytes()] for pattern in query.pattern])
        truth, other = examples.densities(rows), examples.densities((rows + 1) % len(examples))
        return np.stack([(1 - x) * truth + x * other for x in strengths], axis=1)

    return generate


def test_of_equal_candidates_the_first_is_chosen():
    cosine = np.array([[0.5, 0.9, 0.9], [0.7, 0.7, 0.1]])
    ssim = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    np.testing.assert_array_equal(choose(cosine, ssim), [0.2, 0.4])


def test_hits_count_the_materials_whose_best_candidate_was_chosen():
    cosine = np.array([[0.9, 0.5], [0.9, 0.5], [0.5, 0.9], [0.9, 0.5]])
    ssim = np.array([[0.7, 0.6], [0.7, 0.7005], [0.7, 0.6], [0.6, 0.7]])
    names, numbers = np.array(["a", "b", "c", "d"]), np.ones(4, np.int32)
    found = {"cosine": cosine, "ssim": ssim}
    scores = Scores(
        names,
        names,
        numbers,
        numbers,
        numbers,
        {k: v[:, 0] for k, v in found.items()},
        None,
        1,
        candidates=found,
    )
    assert rankings(scores, {})["samples"]["hits"] == 0.5


def test_the_pattern_finds_the_true_density_among_others(examples, structure_metrics):
    model = evaluate(candidates(examples, 0.5, 1, 0, 0.7), examples, further=structure_metrics)
    found = rankings(model, {})["samples"]
    assert found["candidates"] == 4
    assert found["chosen"]["mean"] == found["oracle"]["mean"] == found["hits"] == 1
    assert found["mean"]["mean"] < 1


def test_baselines_join_the_list(examples, structure_metrics):
    model = evaluate(candidates(examples, 0.5, 0.9), examples, further=structure_metrics)
    truth = evaluate(candidates(examples, 0), examples, further=structure_metrics)
    found = rankings(model, {"substitution": truth})
    assert found["samples"]["chosen"]["mean"] < 1
    assert found["samples and baselines"]["candidates"] == 3
    assert found["samples and baselines"]["chosen"]["mean"] == 1


def test_the_chosen_one_is_set_beside_each_baseline(examples, structure_metrics):
    model = evaluate(candidates(examples, 0.5), examples, further=structure_metrics)
    truth = evaluate(candidates(examples, 0), examples, further=structure_metrics)
    worse = evaluate(candidates(examples, 0.9), examples, further=structure_metrics)
    leads = rankings(model, {"truth": truth, "worse": worse})["samples and baselines"]["leads"]
    assert leads["truth"]["interval"] == pytest.approx([0, 0], abs=1e-6)
    assert standing(leads["worse"]) == "above"
    assert leads["worse"]["mean"] == pytest.approx(1 - worse.plain["ssim"].mean(), abs=1e-6)


def test_without_patterns_of_densities_there_is_no_ranking(examples, dataset):
    valence = StructureMetrics(examples, load_structures(dataset, "test"))
    model = evaluate(candidates(examples, 0, 1), examples, further=valence)
    assert rankings(model, {}) == {}
    assert "cosine" not in model.plain
    assert model.plain["nmae_at_atoms"].max() == 0


def test_every_candidate_is_examined_and_the_first_is_the_plain_one(examples, structure_metrics):
    scores = evaluate(candidates(examples, 0.4, 0, 1), examples, further=structure_metrics)
    for name in ("cosine", "rwp", "nmae_at_atoms", "nmae_between"):
        assert scores.candidates[name].shape == (6, 3)
        np.testing.assert_array_equal(scores.candidates[name][:, 0], scores.plain[name])
    np.testing.assert_array_equal(scores.candidates["ssim"][:, 0], scores.plain["ssim"])
    np.testing.assert_allclose(scores.candidates["ssim"][:, 1], 1, atol=1e-6)
    assert (scores.candidates["nmae_at_atoms"][:, 1] == 0).all()
    assert scores.calibration["coverage"].shape == (6, 5)


def test_crystals_of_another_split_are_refused(examples, dataset):
    with pytest.raises(ValueError, match="4 structures are not those of the 6 examples"):
        StructureMetrics(examples, load_structures(dataset, "validation"))
    shuffled = dataclasses.replace(examples, material_id=examples.material_id[::-1])
    with pytest.raises(ValueError, match="6 structures are not those"):
        StructureMetrics(shuffled, load_structures(dataset, "test"))
