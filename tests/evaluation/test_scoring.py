import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from cmed_jax.data.query import full_query
from cmed_jax.evaluation.controls import wrong_pattern
from cmed_jax.evaluation.metrics import PSNR_CEILING, pearson, r_factor, ssim
from cmed_jax.evaluation.overlap import TrainingOverlap
from cmed_jax.evaluation.rotations import ROTATIONS, rotate
from cmed_jax.evaluation.scoring import Scores, evaluate, missing_planes, score_batch
from cmed_jax.evaluation.statistics import (
    bootstrap_interval,
    format_interval,
    paired,
    standing,
    summary,
)


def reader(examples):
    """A generator that identifies the truth by its pattern and reads nothing else."""
    row_of = {pattern.tobytes(): row for row, pattern in enumerate(examples.pattern)}

    def generate(query):
        rows = [row_of.get(np.asarray(pattern).tobytes(), 0) for pattern in query.pattern]
        return examples.densities(rows)[:, None]

    return generate


def sampler(examples, *samples):
    """The generator with samples, functions of the true density, after a blurred candidate 0."""

    def generate(query):
        truth = reader(examples)(query)[:, 0]
        plain = np.stack([gaussian_filter(t, 2, mode="wrap") for t in truth])
        return np.stack([plain, *(np.stack(list(map(s, truth))) for s in samples)], axis=1)

    return generate


def made_scores(ssim, space_group=None, atoms=None, elements=None):
    n = len(ssim)
    values = np.asarray(ssim, np.float32)
    return Scores(
        material_id=np.array([f"m{i}" for i in range(n)]),
        formula=np.array(["NaCl"] * n),
        space_group=np.asarray(space_group or [225] * n, np.int32),
        atoms=np.asarray(atoms or [2] * n, np.int32),
        elements=np.asarray(elements or [2] * n, np.int32),
        plain={"ssim": values, "psnr": 10 * values, "nmae": 1 - values},
        published=None,
        samples=0,
    )


def test_a_perfect_generator_scores_one_everywhere(test_split):
    scores = evaluate(reader(test_split), test_split)
    np.testing.assert_array_equal(scores.plain["ssim"], 1)
    np.testing.assert_array_equal(scores.plain["nmae"], 0)
    np.testing.assert_allclose(scores.plain["psnr"], PSNR_CEILING, rtol=1e-6)
    assert scores.published is None
    assert scores.samples == 0


def test_plain_scores_are_of_every_metric_and_published_ones_of_three(test_split):
    two = test_split.evenly_spaced(2)
    scores = evaluate(sampler(two, lambda t: t), two, batch_size=1)
    assert set(scores.published) == {"ssim", "psnr", "nmae"}
    assert set(scores.plain) - set(scores.published) == {"periodic_ssim", "pearson", "r_factor"}
    truth = two.densities(slice(None))
    plain = sampler(two)(full_query(two))[:, 0]
    for name, metric in (("pearson", pearson), ("r_factor", r_factor)):
        np.testing.assert_allclose(scores.plain[name], metric(truth, plain), atol=1e-5)
    expected = ssim(truth, plain, periodic=True)
    np.testing.assert_allclose(scores.plain["periodic_ssim"], expected, atol=1e-5)


def test_a_generator_that_reads_the_pattern_falls_under_the_wrong_one(test_split):
    wrong = evaluate(reader(test_split), test_split, control=wrong_pattern)
    assert (wrong.plain["ssim"] < 0.95).all()


def test_plain_scores_are_those_of_candidate_zero(test_split):
    five = test_split.evenly_spaced(5)
    generate = sampler(five, lambda t: t)
    scores = evaluate(generate, five, batch_size=4)
    truth = five.densities(slice(None))
    plain = generate(full_query(five))[:, 0]
    expected = [
        structural_similarity(t, p, data_range=t.max() - t.min())
        for t, p in zip(truth.astype(float), plain.astype(float), strict=True)
    ]
    np.testing.assert_allclose(scores.plain["ssim"], expected, atol=1e-5)
    assert list(scores.material_id) == list(five.material_id)


def test_published_scores_are_the_best_over_samples_and_rotations(test_split):
    noise = np.random.default_rng(0).normal(0, 0.2, (50, 50, 50)).astype(np.float32)
    samples = (
        lambda t: np.asarray(rotate(0.8 * t, ROTATIONS[5])),
        lambda t: np.asarray(rotate(t, ROTATIONS[17])) + noise,
    )
    one = type(test_split)(
        **{name: getattr(test_split, name)[:1] for name in test_split.__dataclass_fields__}
    )
    scores = evaluate(sampler(one, *samples), one, batch_size=1)
    truth = one.densities([0])[0].astype(float)
    turned = [
        np.asarray(rotate(s(truth.astype(np.float32)), r)).astype(float)
        for s in samples
        for r in ROTATIONS
    ]
    scale = {"data_range": truth.max() - truth.min()}
    expected = {
        "ssim": max(structural_similarity(truth, t, **scale) for t in turned),
        "psnr": max(peak_signal_noise_ratio(truth, t, **scale) for t in turned),
        "nmae": min(np.abs(t - truth).mean() / truth.mean() for t in turned),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(scores.published[name], [value], atol=1e-4)


def test_rotations_undo_a_rotated_sample(test_split):
    three = test_split.evenly_spaced(3)
    turn = sampler(three, lambda t: np.asarray(rotate(t, ROTATIONS[9])))
    scores = evaluate(turn, three, batch_size=3)
    np.testing.assert_allclose(scores.published["ssim"], 1, atol=1e-6)
    assert (scores.plain["ssim"] < 1).all()
    assert scores.samples == 1


def missing(volume):
    volume = volume.astype(float)
    volume[29], volume[:, 29], volume[:, :, 29] = 0, 0, 0
    return volume


def quarter_turns(volume):
    """The 24 orientations by `numpy.rot90`: each face in front, in four turns."""
    for axes, turns in (((0, 1), range(4)), ((0, 2), (1, 3))):
        for turn in turns:
            faced = np.rot90(volume, turn, axes)
            yield from (np.rot90(faced, k, (1, 2)) for k in range(4))


def test_as_published_scores_are_those_of_the_articles_procedure(test_split):
    one = test_split.evenly_spaced(1)
    noise = np.random.default_rng(0).normal(0, 0.3, (50, 50, 50)).astype(np.float32)
    generate = sampler(
        one, lambda t: np.rot90(t, 1, (0, 2)) + noise, lambda t: np.rot90(0.7 * t, 2)
    )
    scores = evaluate(generate, one, batch_size=1, as_published=True)
    plain, *samples = generate(full_query(one))[0]
    truth = missing(one.densities([0])[0])
    scale = {"data_range": truth.max() - truth.min()}
    expected = structural_similarity(truth, missing(plain), **scale)
    np.testing.assert_allclose(scores.plain["ssim"], [expected], atol=1e-5)
    turned = [t for sample in samples for t in quarter_turns(missing(sample))]
    assert len(turned) == 48
    expected = {
        "ssim": max(structural_similarity(truth, t, **scale) for t in turned),
        "psnr": max(peak_signal_noise_ratio(truth, t, **scale) for t in turned),
        "nmae": min(np.abs(t - truth).mean() / truth.mean() for t in turned),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(scores.published[name], [value], atol=1e-4)
    assert scores.as_published


def test_the_planes_that_the_article_misses_are_those_of_its_rounding():
    filled = {int(i / 50 * 50) for i in range(50)}
    (plane,) = set(range(50)) - filled
    kept = np.asarray(missing_planes(np.ones((2, 50, 50, 50), np.float32)))
    assert (kept == 0).sum() == 2 * (50**3 - 49**3)
    for axis in (1, 2, 3):
        assert not kept.take(plane, axis).any()


def test_scores_and_progress_do_not_depend_on_the_batches(test_split):
    expected = evaluate(sampler(test_split), test_split)
    for batch_size in (1, 4, 11, 100):
        done = []
        scores = evaluate(
            sampler(test_split), test_split, batch_size=batch_size, progress=done.append
        )
        np.testing.assert_allclose(scores.plain["ssim"], expected.plain["ssim"], rtol=1e-6)
        assert sum(done) == len(test_split)


def test_batches_can_be_scored_elsewhere(test_split):
    generator, query = sampler(test_split), full_query(test_split)

    def elsewhere(batches):
        last_first = [
            score_batch(generator, query, test_split, batch, None, False)
            for batch in reversed(batches)
        ]
        return reversed(last_first)

    scores = evaluate(generator, test_split, batch_size=4, elsewhere=elsewhere)
    expected = evaluate(generator, test_split, batch_size=4)
    for metric, values in expected.plain.items():
        np.testing.assert_array_equal(scores.plain[metric], values)


def test_every_batch_has_the_same_size(test_split):
    sizes = set()

    def generate(query):
        sizes.add(tuple(len(field) for field in query))
        return np.ones((len(query.pattern), 1, 50, 50, 50), np.float32)

    evaluate(generate, test_split, batch_size=4)
    assert sizes == {(4,) * 8}


def test_an_empty_split_is_refused(test_split):
    empty = type(test_split)(
        **{name: getattr(test_split, name)[:0] for name in test_split.__dataclass_fields__}
    )
    with pytest.raises(ValueError, match="no material to evaluate"):
        evaluate(reader(test_split), empty)


def test_densities_on_another_grid_are_refused(test_split):
    with pytest.raises(ValueError, match=r"shape \(8, 1, 25, 25, 25\) to 11 queries"):
        evaluate(lambda q: np.ones((8, 1, 25, 25, 25), np.float32), test_split)


@pytest.mark.parametrize("candidate", [0, 1])
def test_densities_that_are_not_finite_are_refused_by_name(test_split, candidate):
    def generate(query):
        densities = np.ones((4, 2, 50, 50, 50), np.float32)
        densities[2, candidate, 7, 7, 7] = np.nan
        return densities

    with pytest.raises(ValueError, match=f"generated for {test_split.material_id[2]} is not"):
        evaluate(generate, test_split, batch_size=4)


def test_bootstrap_interval_is_the_percentile_interval_of_resampled_means():
    values = np.random.default_rng(1).normal(0.8, 0.1, 60).astype(np.float32)
    low, high = bootstrap_interval(values)
    resampled = np.random.default_rng(2).choice(values, (20_000, 60)).mean(axis=1)
    np.testing.assert_allclose([low, high], np.percentile(resampled, [2.5, 97.5]), atol=1e-3)
    assert [low, high] == bootstrap_interval(values)


def test_bootstrap_interval_of_a_small_sample_by_hand():
    # Of the 27 resamples of (0, 0, 1), 8 have mean 0 (30 %) and 1 has mean 1 (3.7 % > 2.5 %).
    assert bootstrap_interval(np.array([0.0, 0.0, 1.0])) == [0, 1]
    assert bootstrap_interval(np.array([0.5])) is None


def test_pairs_are_resampled_together():
    rng = np.random.default_rng(3)
    first = rng.uniform(0, 1, 60).astype(np.float32)
    change = rng.normal(0.02, 0.01, 60)
    found = paired(first + change, first)
    resampled = rng.choice(change, (20_000, 60)).mean(axis=1)
    np.testing.assert_allclose(found["interval"], np.percentile(resampled, [2.5, 97.5]), atol=1e-3)
    assert found["mean"] == pytest.approx(change.mean(), abs=1e-6)
    assert found["median"] == pytest.approx(np.median(change), abs=1e-6)
    assert found["larger"] == np.mean(change > 0)


@pytest.mark.parametrize(
    ("change", "where", "printed"),
    [
        ([0.1, 0.1], "above", "+0.100 [+0.100, +0.100]"),
        ([-0.1, -0.1], "below", "-0.100 [-0.100, -0.100]"),
        ([0.3, -0.1], "not distinguishable", "+0.100 [-0.100, +0.300]"),
        ([0.0, 0.0], "not distinguishable", "+0.000 [+0.000, +0.000]"),
        ([0.1], "not distinguishable", "+0.100"),  # one material proves nothing
    ],
)
def test_what_a_difference_shows_hangs_on_its_interval(change, where, printed):
    found = paired(np.array(change), np.zeros(len(change)))
    assert (standing(found), format_interval(found, "+.3f")) == (where, printed)


def test_summary_by_hand():
    figures = summary(made_scores([0.6, 0.92, 0.96, 1.0]))
    ssim = figures["plain"]["ssim"]
    assert figures["materials"] == 4
    np.testing.assert_allclose(ssim["mean"], 0.87, rtol=1e-6)
    np.testing.assert_allclose(ssim["median"], 0.94, rtol=1e-6)
    assert (ssim["above_0.9"], ssim["above_0.95"], ssim["below_0.7"]) == (0.75, 0.5, 0.25)
    np.testing.assert_allclose(figures["plain"]["psnr"]["mean"], 8.7, rtol=1e-6)
    assert figures["published"] is None
    json.dumps(figures, allow_nan=False)


def test_summary_groups_by_space_group_and_atoms():
    groups = summary(made_scores([0.5, 0.7, 0.9], space_group=[225, 221, 225], atoms=[2, 3, 200]))
    by_space_group = groups["by_space_group"]
    assert {key: group["materials"] for key, group in by_space_group.items()} == {
        "221": 1,
        "225": 2,
    }
    np.testing.assert_allclose(by_space_group["225"]["mean"], 0.7, rtol=1e-6)
    assert list(groups["by_atoms"]) == ["1-2", "3-4", "33+"]


def test_summary_groups_by_elements_and_kin():
    overlap = np.array(
        [TrainingOverlap.NONE, TrainingOverlap.ONE_ELEMENT, TrainingOverlap.ONE_ELEMENT], np.int32
    )
    scores = made_scores([0.5, 0.7, 0.9], elements=[3, 1, 3])
    groups = summary(scores, overlap)
    elements = {key: group["materials"] for key, group in groups["by_elements"].items()}
    assert elements == {"1": 1, "3": 2}
    assert list(groups["by_kin"]) == ["sibling", "none"]
    np.testing.assert_allclose(groups["by_kin"]["sibling"]["mean"], 0.8, rtol=1e-6)
    np.testing.assert_allclose(groups["by_elements"]["3"]["median"], 0.7, rtol=1e-6)
    assert summary(scores)["by_kin"] == {}


@pytest.mark.parametrize(
    ("atoms", "label"),
    [(1, "1-2"), (4, "3-4"), (5, "5-8"), (16, "9-16"), (32, "17-32"), (33, "33+")],
)
def test_atom_bins_hold_their_upper_end(atoms, label):
    assert list(summary(made_scores([0.5], atoms=[atoms]))["by_atoms"]) == [label]
