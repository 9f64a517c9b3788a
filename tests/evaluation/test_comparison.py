"""Comparison of runs: paired differences, and runs that cannot be compared."""

import copy
import json

import numpy as np
import pytest

from cmed_jax.compare import main
from cmed_jax.evaluation.comparison import compare

N = 200


def made(ssim, **run):
    """Results with the fields that a comparison needs."""
    return {
        "run": {"dataset": "a" * 64, "split": "test", **run},
        "protocol": {"as_published": False},
        "model": {"plain": {"ssim": {}, "nmae": {}}},
        "materials": [
            {"material_id": f"mp-{i}", "scores": {"model": {"ssim": x, "nmae": 1 - x}}}
            for i, x in enumerate(np.asarray(ssim).tolist())
        ],
    }


@pytest.fixture(scope="module")
def runs():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.2, 0.9, N)
    return {"first": made(first), "better": made(first + 0.01 * rng.uniform(0.5, 1.5, N))}


def test_pairs_tell_what_separate_intervals_cannot(runs):
    found = compare(runs)["runs"]
    low, high = found["first"]["ssim"]["interval"]
    assert low < found["better"]["ssim"]["mean"] < high
    difference = found["better"]["ssim"]["difference"]
    assert difference["mean"] == pytest.approx(0.01, abs=1e-3)
    assert 0.009 < difference["interval"][0] < difference["interval"][1] < 0.011
    assert difference["larger"] == 1
    assert found["better"]["nmae"]["difference"]["larger"] == 0
    assert "difference" not in found["first"]["ssim"]


def test_a_metric_that_one_run_lacks_is_left_out(runs):
    other = copy.deepcopy(runs["better"])
    other["model"]["plain"].pop("nmae")
    assert set(compare({"first": runs["first"], "other": other})["runs"]["other"]) == {"ssim"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": {"dataset": "b" * 64, "split": "test"}}, "different datasets"),
        ({"run": {"dataset": "a" * 64, "split": "validation"}}, "different splits"),
        ({"protocol": {"as_published": True}}, "one was scored as published"),
        ({"materials": []}, "hold different materials"),
    ],
)
def test_runs_that_were_scored_otherwise_are_refused(runs, change, message):
    with pytest.raises(ValueError, match=message):
        compare({"first": runs["first"], "other": runs["better"] | change})


def test_one_run_has_nothing_to_be_compared_with(runs):
    with pytest.raises(ValueError, match=r"1 run\(s\) cannot be compared"):
        compare({"first": runs["first"]})


@pytest.fixture
def folders(runs, tmp_path):
    places = (tmp_path / "one" / "evaluation" / "test", tmp_path / "two")
    for place, results in zip(places, runs.values(), strict=True):
        place.mkdir(parents=True)
        (place / "results.json").write_text(json.dumps(results))
    return tmp_path / "one", tmp_path / "two"


def test_the_command_reads_runs_and_reports(folders, answer, tmp_path):
    code, out, _ = answer(main, *folders, "--out", tmp_path / "comparison" / "found.json")
    assert code == 0
    assert "200 materials" in out
    assert "+0.010 [" in out
    assert "100 %" in out
    found = json.loads((tmp_path / "comparison" / "found.json").read_text())
    assert list(found["runs"]) == [str(folder) for folder in folders]


def test_the_command_says_what_is_missing(folders, answer, tmp_path):
    for arguments, message in (
        ([folders[0], tmp_path / "nowhere"], "no results at"),
        ([folders[0]], "1 run(s) cannot be compared"),
        ([folders[0], folders[0]], "a run is given twice"),
        ([*folders, "--split", "validation"], "no results at"),
    ):
        code, _, err = answer(main, *arguments)
        assert code == 2
        assert err.startswith("error: ")
        assert message in err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"known": "embedded"}, ["the known crystals", "training in ", "embedded in "]),
        ({"crystals": "embedded"}, ["the crystals of substitution", "embedded in "]),
        ({"search": 20.0}, ["the search", "0 s in ", "20 s in "]),
        ({"gate": 7}, ["the gate", "none in ", "one in "]),
    ],
)
def test_what_differs_besides_the_network_is_said(folders, answer, changes, said):
    """The gates of two networks have different weights, which is no difference."""
    alike = {"known": "training", "crystals": "training", "search": 0.0, "gate": None}
    for folder, run in zip(folders, (alike, alike | changes), strict=True):
        (path,) = folder.rglob("results.json")
        results = json.loads(path.read_text())
        results["run"] |= run
        path.write_text(json.dumps(results))
    code, out, _ = answer(main, *folders)
    assert code == 0
    found = " ".join(out.split())
    assert found.count("The runs differ in ") == len(changes)
    for words in said:
        assert words in found


@pytest.mark.parametrize(
    ("part", "name"),
    [("run", None), ("run", "split"), ("protocol", None), ("protocol", "as_published"),
     ("materials", None), ("model", "plain")],
)  # fmt: skip
def test_results_that_lack_a_part_are_refused(runs, folders, answer, part, name):
    results = copy.deepcopy(runs["better"])
    results["model"]["kept"] = True
    del (results[part] if name else results)[name or part]
    (folders[1] / "results.json").write_text(json.dumps(results))
    code, _, err = answer(main, *folders)
    assert (code, err.count("\n")) == (2, 1)
    lacking = ".".join(filter(None, (part, name)))
    assert err.endswith(f"results.json lacks {lacking}: evaluate the run again\n")


@pytest.mark.parametrize("text", ["not json", "[]", '{"model": null}'])
def test_other_files_are_refused(folders, answer, text):
    (folders[1] / "results.json").write_text(text)
    code, _, err = answer(main, *folders)
    assert code == 2
    assert "results.json" in err
