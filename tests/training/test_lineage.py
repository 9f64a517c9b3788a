"""What a network has learned from: its dataset, and the network that its training began with."""

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cmed_jax import evaluate, release, train_gate
from cmed_jax.data.dataset import load_examples
from cmed_jax.evaluation.suite import EvaluationSuite
from cmed_jax.io import released
from cmed_jax.prediction.restore import restore
from cmed_jax.training.lineage import dataset_of, initial_of, seen_elsewhere

WEIGHTS = 7


def begun(folder, **options):
    """Change options of a run as if it had been started with them, and return its folder."""
    for path in folder.glob("checkpoints/*/_CHECKPOINT_METADATA"):
        metadata = json.loads(path.read_text())
        metadata["custom_metadata"]["config"] |= options
        path.write_text(json.dumps(metadata))
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["identity"]["initial"] = WEIGHTS
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the tiny run, whose training began with the tiny run."""
    return begun(shutil.copytree(finished, tmp_path / "run"), initial=str(finished))


@pytest.fixture
def config(finished):
    return restore(finished, alone=True).config


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with one released network, which lists two training crystals."""
    folder = tmp_path / "package" / "small"
    folder.mkdir(parents=True)
    (folder / "materials.txt.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    released.seal(folder, {"names": ["small"], "package": "1", "weights": WEIGHTS})
    monkeypatch.setattr(released, "PACKAGE", folder.parent)
    return folder


@pytest.fixture(scope="module")
def elsewhere(dataset, tmp_path_factory):
    """Another dataset, whose training materials are those of the first one."""
    folder = tmp_path_factory.mktemp("elsewhere") / dataset.name
    shutil.copytree(dataset, folder, ignore=shutil.ignore_patterns("baselines"))
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance["identity"]["max_atoms"] += 1
    (folder / "provenance.json").write_text(json.dumps(provenance))
    return folder


def test_the_dataset_is_the_given_one_or_that_of_the_training(finished, config, dataset):
    assert dataset_of(finished, config) == dataset
    assert dataset_of(finished, config, Path("elsewhere")) == Path("elsewhere")


@pytest.mark.parametrize(
    ("main", "options"),
    [(evaluate.main, []), (train_gate.main, []), (release.main, ["--out", "out", "--origin", "o"])],
)
def test_a_relative_dataset_that_is_not_here_is_asked_for(
    finished, tmp_path, answer, monkeypatch, main, options
):
    run = begun(shutil.copytree(finished, tmp_path / "run"), data="data/mine")
    monkeypatch.chdir(tmp_path)
    code, _, err = answer(main, "run", *options)
    assert code == 2
    assert err == (
        f"error: {run} was trained on data/mine, relative to where it was started: "
        "give --data DIR\n"
    )


def test_a_released_network_was_not_started_anywhere(package, config):
    there = replace(config, data="cmed/small/1.0.0")
    assert dataset_of("small", there) == Path("cmed/small/1.0.0")


def test_random_weights_come_from_nowhere(finished, config, dataset):
    assert initial_of(finished, config) is None
    assert seen_elsewhere(finished, config, dataset) == set()


def test_on_another_dataset_the_training_crystals_of_the_run_have_been_seen(
    finished, config, dataset, elsewhere, tmp_path
):
    ids = set(load_examples(dataset, "train").material_id.tolist())
    assert len(ids) == 20
    assert seen_elsewhere(finished, config, elsewhere) == ids
    gone = replace(config, data=str(tmp_path / "gone"))
    assert seen_elsewhere(finished, gone, elsewhere) is None
    assert seen_elsewhere(finished, gone, dataset) == set()
    changed = replace(config, data=str(elsewhere))  # another one has its place
    assert seen_elsewhere(finished, changed, elsewhere) is None


def test_the_training_crystals_of_a_run_are_followed_to_its_beginning(
    run, package, finished, dataset, elsewhere
):
    ids = set(load_examples(dataset, "train").material_id.tolist())
    assert initial_of(run, restore(run, alone=True).config) == (finished.name, WEIGHTS, ids)
    begun(run, initial="small")
    config = restore(run, alone=True).config
    assert initial_of(run, config) == ("small", WEIGHTS, {"one", "two"})
    assert seen_elsewhere(run, config, dataset) == {"one", "two"}
    assert seen_elsewhere(run, config, elsewhere) == ids | {"one", "two"}
    for scored in (dataset, elsewhere):
        assert seen_elsewhere("small", config, scored) == {"one", "two"}
    later = replace(config, initial=str(run))
    assert seen_elsewhere(finished, later, dataset) == ids | {"one", "two"}


def test_of_another_network_in_its_place_nothing_is_known(run, package, config, dataset):
    for initial in ("gone", str(run.parent)):
        assert initial_of(run, replace(config, initial=initial)).materials is None
    content = json.loads((run / "config.json").read_text())
    content["identity"]["initial"] = WEIGHTS + 1
    (run / "config.json").write_text(json.dumps(content))
    assert seen_elsewhere(run, replace(config, initial="small"), dataset) is None


@pytest.mark.parametrize("initial", ["small", "gone"])
def test_an_evaluation_names_what_the_initial_network_has_seen(
    run, finished, known, answer, monkeypatch, package, elsewhere, initial
):
    """It is said before anything is scored, and here nothing is."""

    def score(self, name, entrant):
        raise ValueError("enough")

    monkeypatch.setattr(EvaluationSuite, "score", score)
    chosen = ("--split", "train", "--known", known)
    code, _, err = answer(evaluate.main, run, *chosen)
    ids = load_examples(restore(run, alone=True).config.data, "train").material_id.tolist()
    assert code == 2
    assert err.splitlines() == [
        f"warning: 20 of 20 scored materials are among those that {run}, or the network that it "
        f"began with, was trained on: {', '.join(ids[:10])} and 10 more",
        "error: enough",
    ]
    _, _, err = answer(evaluate.main, begun(run, initial=initial), *chosen)
    unknown = f"warning: {run}, or the network that it began with, may have been trained on scored"
    assert err.startswith(unknown if initial == "gone" else "error: enough")
    assert answer(evaluate.main, finished, *chosen)[2] == "error: enough\n"
    _, _, err = answer(evaluate.main, finished, "--data", elsewhere, *chosen)
    assert err.startswith(f"warning: 20 of 20 scored materials are among those that {finished}, or")
