"""The release command: its files, its model card, and its errors."""

import gzip
import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmed_jax import release as module
from cmed_jax.app.__main__ import predictor
from cmed_jax.data.dataset import load_examples
from cmed_jax.evaluate import main as evaluate
from cmed_jax.io import released
from cmed_jax.mixture.experts import FEATURES
from cmed_jax.model.generator import network_generator
from cmed_jax.predict import main as predict
from cmed_jax.prediction.restore import restore
from cmed_jax.release import main
from cmed_jax.report.model_card import card

ORIGIN = "Crystals of the tests, which are free."


@pytest.fixture
def release(finished, tmp_path, answer):
    """A function that runs the command, by default for the tiny run, with changed options."""

    def release(run=finished, **options):
        options = {"out": tmp_path / "out", "origin": ORIGIN} | options
        return answer(main, run, *(w for name, x in options.items() for w in (f"--{name}", x)))

    return release


@pytest.fixture
def said(made):
    return (made / "MODEL_CARD.md").read_text()


def test_the_command_says_what_rounding_changes_and_how_large_it_is(unscored):
    out, printed = unscored
    assert printed.count("\n") == 2  # and no warning
    assert "rounding to float16 changes the densities of 4 validation crystals by at most 0." in (
        printed
    )
    assert "parameters of step 6, " in printed or "parameters of step 16, " in printed
    manifest = released.read_manifest(out)
    assert manifest["rounding"]["lowest_ssim"] > 0.99
    assert sorted([*manifest["files"], "MODEL_CARD.md", "manifest.json"]) == sorted(
        path.name for path in out.iterdir()
    )


def test_the_training_materials_are_named(made, dataset):
    with gzip.open(made / "materials.txt.gz", "rt") as file:
        assert file.read().split() == load_examples(dataset, "train").material_id.tolist()


def test_the_network_that_training_began_with_is_named(made, said, finished):
    began = released.read_manifest(made)["initial"]
    assert began == {"name": finished.name, "weights": None, "materials": 20}
    row = f"| trained further from | {finished.name}, whose 20 training crystals are in `materi"
    assert row in said
    assert restore(made).config.initial is None  # it would be a path of this machine


def test_the_card_says_that_the_beginning_is_not_known(made):
    config, _, domain, _ = restore(made)
    began = {"initial": {"name": "old", "weights": 7, "materials": None}}
    text = card(released.read_manifest(made) | began, config, domain, [])
    row = "| trained further from | old (weights 7), whose training crystals are not known: "
    assert f"{row}`materials.txt.gz` lacks them |" in text


def test_materials_of_the_initial_network_are_listed_once(tmp_path):
    module._write_materials(tmp_path / "list.gz", {"b", "a"} | {"a", "c"})
    assert gzip.decompress((tmp_path / "list.gz").read_bytes()) == b"a\nb\nc\n"


def test_rounding_is_measured_as_the_network_answers(finished, dataset, monkeypatch):
    """It recalls known crystals."""
    recalled = []

    def generator(*given, memory):
        recalled.append(len(memory))
        return network_generator(*given, memory=memory)

    monkeypatch.setattr(module, "network_generator", generator)
    restored = restore(finished)
    assert module._rounding(restored, restored, dataset)["largest_change"] == 0
    assert recalled == [20, 20]


def test_the_manifest_says_where_it_comes_from(made, finished, dataset):
    manifest = released.read_manifest(made)
    identity = json.loads((finished / "config.json").read_text())["identity"]
    assert manifest["names"] == ["tiny", "small"]
    assert manifest["dataset"]["fingerprint"] == identity["dataset"]
    assert manifest["dataset"]["records"] == {"train": 20, "validation": 4, "test": 6}
    assert manifest["training"]["seconds"] > 0
    assert (finished / "checkpoints" / str(manifest["step"])).is_dir()


def test_the_card_holds_the_figures_of_its_results(said, results):
    found = json.loads(results.read_text())
    plain = {name: each["plain"]["ssim"] for name, each in found["baselines"].items()}
    plain |= {name: each["plain"]["ssim"] for name, each in found["controls"].items()}
    plain["model, plain"] = found["model"]["plain"]["ssim"]
    assert {"substitution", "wrong pattern", "model, plain"} < plain.keys()
    for name, ssim in plain.items():
        low, high = ssim["interval"]
        row = rf"{name} +{ssim['mean']:.3f} \[{low:.3f}, {high:.3f}\] +{ssim['median']:.3f} "
        assert re.search(row, said), name
    who = "the network, which recalls known crystals (training)"
    assert f"### cubic, test: 6 crystals, {who}\n\nOf the parameters as they are" in said
    for number in found["model"]["by_space_group"]:
        assert f"({number}) " in said
    assert "a known crystal differs in one element alone" in said
    assert "other elements in known crystals (training)." in said


def test_the_card_tells_the_lead_by_kin_and_when_it_shows_nothing(said, results):
    leads = json.loads(results.read_text())["leads"]
    (best,) = re.findall(r"plain SSIM, model - ([a-z ]+), paired", said)
    assert {"all"} < leads[best].keys()
    for lead in leads[best].values():
        low, high = lead["interval"] or (-1, 1)
        where = "above" if low > 0 else "below" if high < 0 else "not distinguishable"
        figures = "" if lead["interval"] is None else f" [{low:+.3f}, {high:+.3f}]"
        figures = re.escape(f"{lead['mean']:+.3f}{figures}")
        assert re.search(rf" {lead['materials']} +{figures} .* {where}\n", said)


def numbers(values):
    """All numbers in a tree, in their printed form."""
    if isinstance(values, dict | list):
        children = values.values() if isinstance(values, dict) else values
        return {text for child in children for text in numbers(child)}
    return {f"{abs(values):.3f}"} if isinstance(values, float) else set()


def test_the_card_holds_no_other_figures(said, results):
    (table,) = re.findall(r"```\n( .*?)```", said, re.DOTALL)
    figures = set(re.findall(r"\b\d\.\d{3}\b", table))
    assert len(figures) > 40
    assert figures <= numbers(json.loads(results.read_text()))


def test_the_card_says_data_licence_and_use(said):
    for words in (ORIGIN, "Apache-2.0", "must not be used", "independent atoms", '"tiny"'):
        assert words in said
    assert "$" not in said


def test_the_card_says_how_measurements_spoil_it_and_of_what_figures_are(made, results):
    curve = {"label": "nm", "values": [100, 1], "log": True, "ssim": [0.91, 0.42], "interval": []}
    perturbed = {"materials": 6, "ideal": 0.93, "curves": {"Size": curve}}
    config, _, domain, _ = restore(made)
    found = json.loads(results.read_text()) | {"degradation": perturbed}
    found["run"]["weights"] ^= 1
    text = card(released.read_manifest(made), config, domain, [found, found])
    assert text.count("### cubic, test: 6 crystals") == 2
    assert "| Size, nm | 100: 0.910, 1: 0.420 |" in text
    assert "0.930 on ideal patterns" in text
    assert "Of the parameters before they were rounded" in text


def test_a_gate_is_released_with_its_network(gated, made_with_gate, made, said):
    out = made_with_gate
    assert "gate.npz" in released.read_manifest(out)["files"]
    for words in ("gate.npz", "It does not answer alone."):
        assert words in (out / "MODEL_CARD.md").read_text()
        assert words not in said
    features = jax.random.normal(jax.random.key(0), (3, FEATURES))
    ours, trained = (restore(each).gate(features, jnp.ones(3, bool)) for each in (out, gated))
    np.testing.assert_array_equal(ours, trained)
    assert restore(made).gate is None
    alone, both = (json.loads((each / "predictions.json").read_text()) for each in (made, out))
    assert len(both) == len(alone) + 1  # the last is of the mixture
    for one, other in zip(alone, both, strict=False):
        assert other["material_id"] == one["material_id"]
        assert other["density"] == pytest.approx(one["density"], rel=1e-5)


def test_the_card_says_who_answered(made, results):
    config, _, domain, _ = restore(made)
    found = json.loads(results.read_text())
    found["run"] |= {"known": "training", "gate": 1}
    text = card(released.read_manifest(made), config, domain, [found])
    assert "the network with crystals refined from known ones (training)\n" in text


def test_a_network_without_figures_says_so(unscored):
    assert "It has not been evaluated." in (unscored[0] / "MODEL_CARD.md").read_text()


def other_weights(results, path):
    found = json.loads(results.read_text())
    found["run"]["weights"] ^= 1
    path.write_text(json.dumps(found))
    return path


def test_results_of_other_weights_are_refused_and_nothing_is_left(release, results, tmp_path):
    code, _, errors = release(results=other_weights(results, tmp_path / "other.json"))
    assert code == 2
    assert re.match(r"error: .*other\.json is not of .*: run python -m cmed_jax\.evaluate", errors)
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_another_dataset_is_refused(release, finished, dataset, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["identity"]["dataset"] = "of another"
    (run / "config.json").write_text(json.dumps(config))
    code, _, errors = release(run)
    assert code == 2
    assert errors.startswith(f"error: {dataset} is not the dataset that {run} was trained on")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "."}, "error: . is there already: remove it, or give another --out\n"),
        ({"run": "nowhere"}, "error: no checkpoint at"),
        ({"results": "nowhere.json"}, "error: no results at nowhere.json"),
        ({"data": "nowhere"}, "error: no dataset in nowhere"),
    ],
)
def test_a_mistake_is_answered_in_a_line(release, monkeypatch, tmp_path, options, message):
    monkeypatch.chdir(tmp_path)
    code, _, errors = release(**options)
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith(message)
    assert not list(tmp_path.iterdir())


def test_the_command_that_predicts_takes_its_name(package, answer, tmp_path):
    (tmp_path / "salt.xy").write_text("27.37 9\n31.70 100\n45.44 65\n")
    options = [
        "--wavelength",
        "CuKa",
        "--composition",
        "NaCl",
        "--model",
        "small",
        "--analogues",
        0,
    ]
    code, _, errors = answer(predict, "salt.xy", *options, "--grid", 6, 6, 6, "--out", "out")
    assert code == 0, errors
    assert (tmp_path / "out" / "salt.npz").exists()
    (found,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert "--model small" in found["command"]


def test_the_page_takes_its_name(package):
    assert callable(predictor("tiny"))


def test_it_is_evaluated_by_its_name_where_data_and_out_are_given(package, answer, dataset):
    code, _, errors = answer(evaluate, "tiny", "--data", dataset)
    assert code == 2
    assert errors == (
        "error: tiny is a released network, which keeps no results: give --out FOLDER\n"
    )
    code, _, errors = answer(evaluate, "tiny", "--out", "out")
    assert code == 2
    assert errors.startswith(f"error: no dataset in cmed/cubic/{dataset.name}")
