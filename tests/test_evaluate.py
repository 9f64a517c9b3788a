"""The command that evaluates a run: its output, its files, and its errors."""

import contextlib
import io
import json
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from PIL import Image

from cmed_jax.data.dataset import fingerprint, load_examples
from cmed_jax.evaluate import DECODED, FORGETFUL, Options, entrants_of, main
from cmed_jax.evaluation.baselines import NAMES, OF_TRAINING
from cmed_jax.evaluation.controls import CONTROLS
from cmed_jax.evaluation.robustness import CONDITIONS


@pytest.fixture(scope="module")
def evaluated(finished):
    """The folder of an evaluation on six materials with two samples and three pictures.

    It lies in the run, and printed.txt holds what the command printed.
    """
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main([str(finished), "--samples", "2", "--pictures", "3"]) == 0
    folder = finished / "evaluation" / "test"
    (folder / "printed.txt").write_text(printed.getvalue())
    return folder


@pytest.fixture(scope="module")
def found(evaluated):
    return json.loads((evaluated / "results.json").read_text())


@pytest.fixture(scope="module")
def of_gated(gated, tmp_path_factory):
    """Evaluate the run with a gate, with two of the controls, and return the results."""
    few = {name: CONTROLS[name] for name in ("wrong pattern", "without pattern")}

    def of_gated(*options):
        out = tmp_path_factory.mktemp("gated")
        arguments = ("--samples", "0", "--pictures", "0", "--out", str(out), *options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cmed_jax.evaluate.CONTROLS", few)
            assert main([str(gated), *arguments]) == 0
        return json.loads((out / "results.json").read_text())

    return of_gated


@pytest.fixture(scope="module")
def of_mixture(of_gated):
    return of_gated()


def test_results_hold_model_baselines_and_controls(found):
    assert found["model"]["materials"] == 6
    assert found["model"]["samples"] == 2
    assert set(found["controls"]) == {*CONTROLS, FORGETFUL, DECODED}
    assert set(found["baselines"]) == set(NAMES)
    for scores in (found["model"], *found["baselines"].values(), *found["controls"].values()):
        for metric in ("ssim", "psnr", "nmae", "periodic_ssim", "pearson", "r_factor"):
            low, high = scores["plain"][metric]["interval"]
            assert low <= scores["plain"][metric]["mean"] <= high


def test_the_best_of_samples_and_rotations_stands_beside_the_plain_figure(found):
    assert found["model"]["published"]["ssim"]["mean"] <= 1
    assert all(scores["published"] is None for scores in found["controls"].values())


def test_results_say_what_was_evaluated(found, finished, dataset):
    run = found["run"]
    assert (run["checkpoint"], run["split"]) == (str(finished), "test")
    assert run["dataset"] == fingerprint(dataset)
    assert run["provenance"]["identity"]["density"] == "iam"
    assert run["config"]["network"]["width"] == 16


def test_every_material_has_its_row(found, dataset):
    rows = {row["material_id"]: row["scores"] for row in found["materials"]}
    assert sorted(rows) == load_examples(dataset, "test").material_id.tolist()
    mean = np.mean([scores["model"]["ssim"] for scores in rows.values()])
    assert found["model"]["plain"]["ssim"]["mean"] == pytest.approx(mean, rel=1e-6)


def test_pictures_go_from_the_best_to_the_worst(evaluated, found):
    pictures = sorted((evaluated / "pictures").iterdir())
    ranked = sorted(found["materials"], key=lambda row: -row["scores"]["model"]["ssim"])
    names = [
        f"{i + 1:04d}_{ranked[i]['material_id']}_{ranked[i]['formula']}.png" for i in (0, 2, 5)
    ]
    assert [picture.name for picture in pictures] == names
    for picture in pictures:
        with Image.open(picture) as image:
            assert min(image.size) > 500


def test_it_prints_the_table(evaluated):
    printed = (evaluated / "printed.txt").read_text()
    for text in ("model", "constant map", "wrong pattern", "without composition", "results.json"):
        assert text in printed


def test_the_split_of_the_option_is_scored(finished, dataset):
    suite, *_ = entrants_of(Options(finished, split="validation", samples=0))
    expected = load_examples(dataset, "validation").material_id
    np.testing.assert_array_equal(suite.held_out.material_id, expected)


def test_the_report_is_one_page_with_all_results(finished, dataset, tmp_path, monkeypatch):
    kept = {name: CONDITIONS[name] for name in ("Crystallite size", "Texture")}
    monkeypatch.setattr("cmed_jax.evaluation.robustness.CONDITIONS", kept)
    of_the_page = {name: CONTROLS[name] for name in ("wrong pattern", "wrong composition")}
    monkeypatch.setattr("cmed_jax.evaluate.CONTROLS", of_the_page)
    assert main([str(finished), "--samples", "2", "--report", str(tmp_path / "report")]) == 0
    written = {path.name: path for path in (tmp_path / "report").iterdir()}
    assert set(written) == {"results.json", "index.html"}
    results = json.loads(written["results.json"].read_text())
    assert set(results["degradation"]["curves"]) == set(kept)
    page = written["index.html"].read_text()
    assert len(page) < 15e6
    assert page.count('data-entry="') == 6  # two from the best, the median and the worst of six
    for material in load_examples(dataset, "test").material_id:
        assert material in page
    for section in ("Figures", "Self-consistency", "Uncertainty", "Degradation", "Gallery"):
        assert f"<h2>{section}</h2>" in page


def test_baselines_are_kept_beside_the_data_and_controls_can_be_left_out(
    evaluated, found, finished, dataset, monkeypatch, tmp_path
):
    assert len(list((dataset / "baselines").glob("*.npz"))) >= 6

    def compute(*args, **options):
        raise AssertionError("a baseline was made again")

    monkeypatch.setattr("cmed_jax.evaluation.suite.baselines", compute)
    options = ("--samples", "0", "--pictures", "0", "--no-controls", "--out", str(tmp_path))
    assert main([str(finished), *options]) == 0
    without = json.loads((tmp_path / "results.json").read_text())
    assert without["controls"] == {}
    assert means(without["model"]) == pytest.approx(means(found["model"]), rel=1e-4)


def test_without_a_run_the_baselines_are_shown_alone(dataset, found, tmp_path, answer):
    code, out, _ = answer(main, "--data", dataset, "--out", tmp_path)
    assert code == 0
    assert "substitution" in out
    assert "model" not in out
    alone = json.loads((tmp_path / "results.json").read_text())
    assert alone["model"] is None
    assert alone["run"]["split"] == "test"
    assert alone["baselines"] == found["baselines"]


def test_the_articles_own_way_is_named_where_it_is_asked_for(dataset, tmp_path, answer, found):
    options = ("--as-published", "--no-substitution", "--out", tmp_path)
    code, out, _ = answer(main, "--data", dataset, *options)
    assert code == 0
    assert "6 materials, computed as published" in out
    published = json.loads((tmp_path / "results.json").read_text())
    assert published["protocol"]["missing_plane"] == 29
    assert found["protocol"]["missing_plane"] is None
    assert set(published["baselines"]) == set(OF_TRAINING)
    for name, scores in published["baselines"].items():
        assert scores["plain"]["nmae"] != found["baselines"][name]["plain"]["nmae"]


def test_processes_score_as_one_does(finished, found, tmp_path):
    few = ("--samples", "2", "--pictures", "0", "--no-controls", "--no-substitution")
    own_key = ("--system", "cubic")  # all are; baselines are not read from those kept
    assert main([str(finished), *few, *own_key, "--workers", "2", "--out", str(tmp_path)]) == 0
    spread = json.loads((tmp_path / "results.json").read_text())
    assert set(spread["baselines"]) == set(OF_TRAINING)
    scored = [(spread["model"], found["model"])]
    scored += [(scores, found["baselines"][name]) for name, scores in spread["baselines"].items()]
    for scores, expected in scored:
        for metric, figures in expected["plain"].items():
            mean = scores["plain"][metric]["mean"]
            assert mean == pytest.approx(figures["mean"], rel=1e-5), metric


def test_an_error_in_a_process_is_answered(dataset, answer, tmp_path, monkeypatch):
    def scores(self, name, batches):
        raise BrokenProcessPool("a child process terminated abruptly")

    monkeypatch.setattr("cmed_jax.evaluation.spread.Spread.score", scores)
    chosen = ("--data", dataset, "--no-substitution", "--system", "cubic", "--as-published")
    code, _, err = answer(main, *chosen, "--workers", "2", "--out", tmp_path)
    assert (code, err) == (2, "error: a worker died, of memory perhaps: start again with fewer\n")


def test_an_interruption_is_answered(answer, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("cmed_jax.evaluate.evaluate_run", interrupted)
    code, _, err = answer(main, "nowhere")
    assert code == 130
    assert err.startswith("interrupted: ")
    assert err.count("\n") == 1


def means(scores):
    return {metric: values["mean"] for metric, values in scores["plain"].items()}


def test_a_run_with_a_gate_is_scored_with_the_training_crystals(of_mixture, found):
    assert of_mixture["run"]["known"] == found["run"]["known"] == "training"
    mixed, wrong = of_mixture["model"], of_mixture["controls"]["wrong pattern"]
    for worse in (found["model"], wrong):  # a network trained for sixteen steps is useless
        assert means(mixed)["ssim"] > means(worse)["ssim"]


def test_without_a_pattern_the_network_is_all_that_there_is(of_mixture, found):
    mixed, alone = (each["controls"]["without pattern"] for each in (of_mixture, found))
    assert means(mixed) == pytest.approx(means(alone), rel=1e-3)


def test_the_network_alone_is_scored_as_if_it_had_no_gate(of_gated, found):
    alone = of_gated("--alone")
    assert alone["run"]["known"] == "training"  # the network recalls them
    assert alone["model"]["published"] is None  # without samples
    assert alone["run"]["weights"] == found["run"]["weights"]
    assert means(alone["model"]) == pytest.approx(means(found["model"]), rel=1e-4)
    for name, scores in alone["controls"].items():
        assert means(scores) == pytest.approx(means(found["controls"][name]), rel=1e-4)


def test_crystals_that_are_not_there_are_answered(gated, answer):
    code, _, err = answer(main, gated, "--known", "nowhere")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: no materials at nowhere: give")


def test_a_gate_does_not_go_with_valence_densities(gated, valence, answer, tmp_path):
    code, _, err = answer(main, gated, "--data", valence, "--out", tmp_path)
    assert (code, err.count("\n")) == (2, 1)
    assert err.endswith("are of independent atoms: score the network --alone\n")


def test_neither_run_nor_data_is_answered(answer):
    code, _, err = answer(main)
    assert code == 2
    assert err.startswith("error: give the folder of a run, or --data DIR")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--samples", "-1"], "samples is -1 and pictures 6"),
        (["--data", "nowhere"], "no dataset in nowhere"),
        (["--workers", "0"], "workers is 0: give at least 1"),
        (["--search", "-1"], "search is -1 seconds: give 0 or more"),
        (["--search", "nan"], "search is nan seconds: give 0 or more"),
        (["--search", "5"], "there is no gate that weighs structures"),
        (["--split", "tests"], "tests"),
        (["--split", "train"], "known is training, which are the scored crystals of the split tr"),
        (["--splt", "test"], "--split"),
    ],
)
def test_mistakes_are_answered(finished, answer, options, message):
    code, _, err = answer(main, finished, *options)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_a_run_without_checkpoint_is_answered(tmp_path, answer):
    code, _, err = answer(main, tmp_path)
    assert code == 2
    assert err.startswith(f"error: no checkpoint at {tmp_path}")
