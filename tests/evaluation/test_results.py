import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console
from scipy.ndimage import gaussian_filter

from cmed_jax.crystal.symmetry import space_group_name
from cmed_jax.evaluation.baselines import baselines
from cmed_jax.evaluation.controls import CONTROLS
from cmed_jax.evaluation.overlap import TrainingOverlap, training_overlap
from cmed_jax.evaluation.results import results
from cmed_jax.evaluation.scoring import evaluate
from cmed_jax.report.tables import TABLE_WIDTH, print_report


def blurred(examples):
    """A stand-in for the model: the truth of each pattern, blurred twice."""
    row_of = {pattern.tobytes(): row for row, pattern in enumerate(examples.pattern)}

    def generate(query):
        rows = [row_of.get(np.asarray(pattern).tobytes(), 0) for pattern in query.pattern]
        truth = examples.densities(rows)
        return np.stack([gaussian_filter(truth, (0, s, s, s), mode="wrap") for s in (1.5, 1)], 1)

    return generate


@pytest.fixture(scope="module")
def scores(test_split, training_split):
    model = evaluate(blurred(test_split), test_split)
    retrieved = {
        name: evaluate(generator, test_split)
        for name, generator in baselines(training_split, 4.0).items()
    }
    controls = {
        name: evaluate(lambda query: blurred(test_split)(query)[:, :1], test_split, control=control)
        for name, control in CONTROLS.items()
    }
    return model, retrieved, controls


@pytest.fixture(scope="module")
def report(scores, test_split, training_split):
    run = {"checkpoint": "runs/demo", "split": "test"}
    known = training_split.composition, training_split.space_group
    return results(*scores, run=run, overlap=training_overlap(test_split, *known))


def printed(report):
    console = Console(width=TABLE_WIDTH, record=True, file=io.StringIO())
    print_report(report, console)
    return console.export_text()


def test_results_survive_json(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["run"] == {"checkpoint": "runs/demo", "split": "test"}
    assert report["machine"]["jax"]


def test_results_hold_every_score_of_every_material(report, scores, test_split):
    model, retrieved, _ = scores
    assert len(report["materials"]) == len(test_split)
    for row, material in enumerate(report["materials"]):
        assert material["material_id"] == test_split.material_id[row]
        assert material["atoms"] == test_split.atoms[row]
        assert material["elements"] == 2
        assert material["kin"] in report["model"]["by_kin"]
        figures = material["scores"]
        assert figures["model"]["ssim"] == model.plain["ssim"][row]
        assert figures["model, published"]["psnr"] == model.published["psnr"][row]
        assert figures["constant map"]["nmae"] == retrieved["constant map"].plain["nmae"][row]
        assert set(figures) == {"model", "model, published", *retrieved, *CONTROLS}


def test_the_table_holds_every_row_and_fits_its_width(report):
    text = printed(report)
    rows = ["model, plain", "model, published (oracle)", *report["baselines"], *CONTROLS]
    for row in rows:
        (line,) = (line for line in text.splitlines() if line.strip().startswith(row))
        assert "…" not in line
        assert line.count("%") == 3
    assert max(map(len, text.splitlines())) <= TABLE_WIDTH
    assert "best of 24 candidates, chosen with the truth" in text


def test_the_table_shows_the_figures(report):
    figures = report["model"]["plain"]["ssim"]
    low, high = figures["interval"]
    text = printed(report)
    assert f"{figures['mean']:.3f} [{low:.3f}, {high:.3f}]" in text
    group = report["model"]["by_space_group"]["225"]
    (line,) = (line for line in text.splitlines() if "Fm-3m (225)" in line)
    assert line.split()[2] == str(group["materials"])
    assert line.split()[3] == f"{group['mean']:.3f}"


def test_the_table_has_rows_by_elements_and_kin(report):
    text = printed(report)
    assert set(report["model"]["by_kin"]) == {"sibling", "formula"}
    for name in ("2 elements", "a known crystal differs in one element alone"):
        line, *_ = (line for line in text.splitlines() if line.strip().startswith(name))
        assert line.count(".") == 4


def test_the_lead_of_the_model_is_stated_in_pairs_and_by_kin(report):
    def column(name, kind):
        rows = [row for row in report["materials"] if kind in ("all", row["kin"])]
        return np.array([row["scores"][name]["ssim"] for row in rows])

    text = printed(report)
    assert set(report["leads"]) == set(report["baselines"])
    for name, leads in report["leads"].items():
        assert list(leads) == ["all", *report["model"]["by_kin"]]
        for kind, lead in leads.items():
            change = column("model", kind) - column(name, kind)
            assert lead["materials"] == len(change)
            assert lead["mean"] == pytest.approx(change.mean(), abs=1e-6)
            assert lead["larger"] == np.mean(change > 0)
    best = max(report["baselines"], key=lambda name: column(name, "all").mean())
    assert f"model - {best}, paired" in text
    assert "…" not in text  # nothing is cut
    (line,) = (line for line in text.splitlines() if line.strip().startswith("all materials"))
    assert f"{report['leads'][best]['all']['mean']:+.3f} [" in line


def test_a_lead_that_may_be_none_is_called_so(scores):
    noise = np.random.default_rng(0).normal(0, 1e-2, len(scores[0].plain["ssim"]))
    noise -= noise.mean()
    other = dataclasses.replace(
        scores[0], plain=scores[0].plain | {"ssim": scores[0].plain["ssim"] + noise}
    )
    text = printed(results(scores[0], {"refined substitution": other}, {}, run={}))
    (line,) = (line for line in text.splitlines() if line.strip().startswith("all materials"))
    assert line.rstrip().endswith("not distinguishable")


def test_means_of_psnr_are_said_to_have_a_ceiling(report):
    assert "PSNR: 144.5 of a material whose answer is the truth itself" in printed(report)


def test_baselines_are_reported_without_a_model(scores):
    report = results(None, scores[1], {}, run={})
    assert report["model"] is None
    assert report["leads"] is None
    text = printed(report)
    assert "model" not in text
    assert "nearest in both" in text


def test_a_single_material_is_reported_without_interval(scores):
    one = dataclasses.replace(
        scores[0],
        **{
            name: getattr(scores[0], name)[:1]
            for name in ("material_id", "formula", "space_group", "atoms", "elements")
        },
        plain={name: values[:1] for name, values in scores[0].plain.items()},
        published=None,
        samples=0,
        candidates={},
    )
    text = printed(results(one, {}, {}, run={}))
    assert "[0." not in text
    assert "oracle" not in text


def test_the_table_says_that_it_is_computed_as_published(scores, report):
    published = results(dataclasses.replace(scores[0], as_published=True), {}, {}, run={})
    assert published["protocol"]["missing_plane"] == 29
    assert "11 materials, computed as published" in printed(published)
    assert report["protocol"]["missing_plane"] is None
    assert "as published" not in printed(report)


def test_the_table_counts_what_substitution_could_not_answer(scores):
    overlap = np.array([TrainingOverlap.NONE] * 4 + [TrainingOverlap.ONE_ELEMENT] * 7, np.int32)
    named = {"substitution": scores[1]["nearest in both"]}
    text = printed(results(None, named, {}, run={}, overlap=overlap))
    assert "no prototype for 4, where nearest in both answers" in text
    assert "no template" not in printed(
        results(None, named, {}, run={}, overlap=overlap[4:].repeat(2)[:11])
    )


def test_many_space_groups_are_cut_short_and_said_so(scores, test_split):
    groups = np.arange(11, dtype=np.int32) * 20 + 1
    model = dataclasses.replace(scores[0], space_group=groups)
    longer = dataclasses.replace(
        model,
        **{
            name: np.concatenate([getattr(model, name)] * 2)
            for name in ("material_id", "formula", "atoms", "elements")
        },
        space_group=np.concatenate([groups, groups + 5]),
        plain={name: np.concatenate([values] * 2) for name, values in model.plain.items()},
        published=None,
        candidates={},
    )
    assert "and 7 smaller space groups" in printed(results(longer, {}, {}, run={}))


def examined(scores, seed):
    """The same scores with invented self-consistency for every candidate."""
    cosine = np.random.default_rng(seed).random(scores.candidates["ssim"].shape)
    return dataclasses.replace(
        scores,
        plain=scores.plain | {"cosine": cosine[:, 0]},
        candidates=scores.candidates | {"cosine": cosine},
    )


def test_choosing_by_the_pattern_stands_beside_the_oracle(scores):
    retrieved = {
        name: examined(found, seed) for seed, (name, found) in enumerate(scores[1].items())
    }
    report = results(examined(scores[0], 9), retrieved, {}, run={})
    everyone = report["ranking"]["samples and baselines"]["candidates"]
    # What has the observed amplitudes agrees with every pattern: it is no candidate.
    assert everyone == 2 + len(retrieved.keys() - {"its phases", "its density modified"})
    text = printed(report)
    for name, key in (("chosen", "chosen"), ("best", "oracle")):
        figure = report["ranking"]["samples"][key]["mean"]
        (line,) = (line for line in text.splitlines() if line.strip().startswith(f"{name} of 2"))
        assert f"{figure:.3f}" in line
    cosine = report["model"]["plain"]["cosine"]["mean"]
    (line,) = (line for line in text.splitlines() if "model, plain" in line)
    assert line.split()[-1] == f"{cosine:.3f}"


def test_samples_tell_how_far_to_trust_them(scores, test_split):
    three = np.stack([test_split.densities(slice(None)) + x for x in (0.1, 0, 0.2)], axis=1)
    row_of = {pattern.tobytes(): row for row, pattern in enumerate(test_split.pattern)}

    def generate(query):
        return three[[row_of[np.asarray(pattern).tobytes()] for pattern in query.pattern]]

    model = evaluate(generate, test_split)
    report = results(model, {}, {}, run={})
    assert set(report["uncertainty"]["trust"]) == {"samples"}
    assert report["materials"][4]["spread"] == model.calibration["spread"][4]
    coverage = dict(
        zip(*(report["uncertainty"][name] for name in ("levels", "coverage")), strict=True)
    )
    assert f"hold {coverage[0.9]:.0%} of the voxels" in printed(report)


def test_scores_of_other_materials_are_refused(scores):
    model, retrieved, _ = scores
    other = dataclasses.replace(model, material_id=model.material_id[::-1])
    with pytest.raises(
        ValueError, match="'constant map' was scored on other materials than 'model'"
    ):
        results(other, retrieved, {}, run={})
    published = dataclasses.replace(model, as_published=True)
    with pytest.raises(ValueError, match="not both scored as published"):
        results(published, retrieved, {}, run={})
    with pytest.raises(ValueError, match="nothing to report"):
        results(None, {}, {}, run={})


def test_space_groups_have_symbol_and_number():
    assert space_group_name(225) == "Fm-3m (225)"
    assert space_group_name(166) == "R-3m (166)"
