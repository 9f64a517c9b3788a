"""The evaluation page works offline, matches the results, and has no empty sections."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest

from cmed_jax.evaluation.results import results
from cmed_jax.evaluation.scoring import Scores
from cmed_jax.report.charts import Axis, Chart
from cmed_jax.report.evaluation_page import SECTIONS, page, verdict
from tests.outline import Outline

N = 12


def scores(level, seed, samples=3):
    rng = np.random.default_rng(seed)
    each = np.clip(level + 0.1 * rng.normal(size=(N, 1 + samples)), 0, 1).astype(np.float32)
    plain = {"ssim": each[:, 0], "psnr": 30 * each[:, 0], "nmae": 1 - each[:, 0]}
    plain |= dict.fromkeys(("cosine", "rwp", "nmae_at_atoms", "nmae_between"), each[:, 0])
    return Scores(
        material_id=np.array([f"mp-{i}" for i in range(N)]),
        formula=np.array(["AB<2>"] * N),
        space_group=np.resize([225, 221, 166], N).astype(np.int32),
        atoms=np.full(N, 3, np.int32),
        elements=np.resize([1, 2], N).astype(np.int32),
        plain=plain,
        published={name: plain[name] for name in ("ssim", "psnr", "nmae")},
        samples=samples,
        candidates={"ssim": each, "cosine": each},
        calibration={
            "spread": rng.random(N),
            "coverage": np.sort(rng.random((N, 5))),
            "expected": np.sort(rng.random((N, 10))) / 10,
            "error": np.sort(rng.random((N, 10))),
        },
    )


CURVE = {
    "label": "nm", "values": [100, 10, 1], "log": True, "ssim": [0.8, 0.7, 0.6],
    "interval": [[0.7, 0.9], [0.6, 0.8], [0.5, 0.7]],
}  # fmt: skip
DEGRADATION = {"materials": 5, "ideal": 0.85, "curves": {"Crystallite size": CURVE}}


@pytest.fixture(scope="module")
def report():
    baselines = {"nearest in both": scores(0.9, 1, 0), "substitution": scores(0.6, 2, 0)}
    controls = {"wrong pattern": scores(0.5, 3, 0), "wrong composition": scores(0.8, 4, 0)}
    overlap = np.resize([0, 1], N).astype(np.int32)
    run = {"checkpoint": "runs/<demo>", "split": "test", "config": {"steps": 3}}
    return results(scores(0.8, 0), baselines, controls, run, overlap, DEGRADATION)


def test_it_asks_for_nothing_from_outside(report):
    text = page(report, {})
    outline = Outline(text)
    assert not outline.open
    assert all(re.match(r"#|data:", address) for address in outline.addresses)
    assert "http" not in text.replace("http://www.w3.org", "")
    assert "$" not in re.sub(r"<script>.*</script>", "", text, flags=re.DOTALL)


def test_it_has_every_section_and_links_to_it(report):
    outline = Outline(page(report, {}))
    assert outline.sections == list(SECTIONS)
    assert {f"#{key}" for key in SECTIONS} <= set(outline.addresses)


def test_sections_without_figures_are_left_out(report):
    bare = report | {"ranking": {}, "uncertainty": None, "degradation": None}
    outline = Outline(page(bare, {}))
    gone = {"ranking", "uncertainty", "degradation"}
    assert outline.sections == [key for key in SECTIONS if key not in gone]
    assert not {f"#{key}" for key in gone} & set(outline.addresses)


def test_of_too_few_samples_it_says_why_there_is_no_chart(report):
    unknown = report | {"uncertainty": report["uncertainty"] | {"expected": None}}
    text = page(unknown, {})
    assert "It takes at least four samples." in text
    assert "It takes at least four samples." not in page(report, {})


def test_the_table_shows_the_figures_and_names_are_escaped(report):
    text = page(report, {})
    assert f"<td>{report['model']['plain']['ssim']['mean']:.3f}</td>" in text
    for name in ("nearest in both", "wrong pattern", "best of 4 samples"):
        assert f"<th>{name}</th>" in text
    assert "runs/&lt;demo&gt;" in text
    assert "AB&lt;2&gt;" in text
    assert "AB<2>" not in text


def test_the_verdict_flatters_nobody(report):
    said = {sentence: good for good, sentence in verdict(report)}
    (retrieval,) = (s for s in said if "nearest in both" in s)
    (substitution,) = (s for s in said if "substitution" in s)
    (pattern,) = (s for s in said if "wrong pattern" in s)
    assert ("below" in retrieval, said[retrieval]) == (True, False)
    assert ("above" in substitution, said[substitution]) == (True, True)
    assert said[pattern]


def test_the_verdict_names_the_copy_with_the_lines_imposed():
    """No fair baseline is stronger, and the model is not above it."""
    model, other = scores(0.8, 0), scores(0.9, 0)
    said = verdict(results(model, {"its density modified": other}, {}, run={}))
    ((good, sentence),) = (each for each in said if "modified" in each[1])
    assert sentence.startswith(
        "Beside the baseline “nearest in reflections, its density modified” it is below"
    )
    assert not good


def test_a_lead_that_may_be_chance_is_no_good_news():
    rng = np.random.default_rng(5)
    model = scores(0.8, 0)
    change = rng.normal(0, 0.01, N)
    other = model.plain["ssim"] - (change - change.mean() + 1e-3)
    beside = dataclasses.replace(model, plain=model.plain | {"ssim": other})
    said = verdict(results(model, {"substitution": beside}, {}, run={}))
    (good,) = (good for good, sentence in said if "not distinguishable: +0.001 [-0." in sentence)
    assert not good


def test_of_a_model_that_reads_no_pattern_this_is_said():
    blind = scores(0.8, 0)
    found = results(blind, {"nearest in both": blind}, {"wrong pattern": blind}, run={})
    assert (False, "It loses 0.000 with the wrong pattern: it hardly reads it.") in verdict(found)


def test_a_single_material_without_intervals_is_shown():
    several = scores(0.8, 0)
    one = jax.tree.map(
        lambda value: value[:1] if isinstance(value, np.ndarray) else value,
        {field.name: getattr(several, field.name) for field in dataclasses.fields(several)},
    )
    found = results(Scores(**one), {"constant map": Scores(**one)}, {}, run={})
    assert not Outline(page(found, {})).open


def test_the_entries_of_the_gallery_can_be_read_back(report):
    entry = {
        "material_id": "mp-1", "formula": "Na2O", "space_group": "Fm-3m (225)", "level": 0.5,
        "atoms": [{"element": "Na", "at": [0, 0, 0]}], "note": "</script>",
        "slices": [{"equation": "z = 0", "across": [4, 0], "up": [-1, 3], "truth": "data:,",
                    "prediction": "data:,", "difference": "data:,"}],
        "sticks": {"stop": 64.0, "given": [[10.1, 1.0]], "implied": [[10.1, 0.5]]},
    }  # fmt: skip
    text = page(report, {"best": [entry], "worst": [entry]})
    data = re.search(r'id="gallery-data">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(data) == [entry, entry]
    assert text.count('data-entry="') == 2
    assert "Na<sub>2</sub>O" in text


def test_charts_put_marks_where_their_axes_say():
    chart = Chart(Axis("x", 1, 100, [1, 10, 100], log=True), Axis("y", 0, 1, [0, 1]))
    svg = chart.dots([1, 10, 100], [0, 0.5, 1], "model").svg("a <title>")
    places = np.array(re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg), float)
    np.testing.assert_allclose(places[1], places.mean(axis=0), atol=0.1)
    assert places[0, 1] > places[2, 1]  # up is up
    ticks = re.findall(r'class="tick" x="([\d.]+)"', svg)
    np.testing.assert_allclose(np.array(ticks, float), places[:, 0])
    assert "a &lt;title&gt;" in svg
