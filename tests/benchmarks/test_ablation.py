"""The ablation: what its arms change, which materials are asked about, and what is run again."""

import dataclasses
import json
from itertools import islice

import numpy as np
import pytest

import benchmarks.ablation.__main__ as study
from benchmarks.ablation import substituted
from cmed_jax.crystal.atomic_volumes import relative_volume
from cmed_jax.crystal.composition import composition_vector
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.dataset import fingerprint, load_compact_examples, load_examples
from cmed_jax.evaluation.statistics import format_interval, paired
from cmed_jax.model.standards import Standards
from tests.networks import TINY


@pytest.fixture(scope="module")
def cubic():
    """A hundred embedded cubic crystals; every tenth is held out."""
    crystals = (m for m in open_source() if isinstance(m, Material))
    cubic = [m for m in crystals if m.crystal_system == "cubic"][:100]
    return [
        dataclasses.replace(m, split="test" if i % 10 == 0 else "train")
        for i, m in enumerate(cubic)
    ]


@pytest.fixture(scope="module")
def made(cubic):
    return list(islice(substituted.substituted(cubic, 0), 200))


def test_substituted_crystals_are_new_and_made_once(cubic, made):
    kinds = [(crystal.formula, crystal.space_group) for crystal in (*cubic, *made)]
    assert len(made) == 200
    assert not set(kinds[len(cubic) :]) & set(kinds[: len(cubic)])
    assert len(set(kinds[len(cubic) :])) == len(made)
    assert len({crystal.material_id for crystal in made}) == len(made)


def test_substituted_crystals_have_the_sites_of_a_training_crystal_and_volume(cubic, made):
    training = [m for m in cubic if m.split == "train"]

    def sites_and_volume(m):
        places = np.unique(m.numbers, return_inverse=True)[1]
        sites = {m.frac_coords[places == i].tobytes() for i in np.unique(places)}
        share = relative_volume(m.volume, composition_vector(m.numbers), len(m.numbers))
        return m.space_group, frozenset(sites), round(share, 6)

    assert {sites_and_volume(m) for m in made} <= {sites_and_volume(m) for m in training}
    assert {m.split for m in made} == {None}


def test_the_file_is_a_source_whose_new_crystals_name_no_split(tmp_path, answer):
    out = tmp_path / "crystals.jsonl"
    code, _, errors = answer(substituted.main, "--out", out, "--number", "5")
    assert (code, errors) == (0, "")
    crystals = list(open_source(str(out)))
    assert all(isinstance(crystal, Material) for crystal in crystals)
    assert [crystal.split for crystal in crystals[-5:]] == [None] * 5
    known = [m for m in open_source() if isinstance(m, Material) and m.crystal_system == "cubic"]
    assert [m.material_id for m in known] == [m.material_id for m in crystals[:-5]]
    assert [m.split for m in known] == [m.split for m in crystals[:-5]]


def test_plain_coefficients_are_in_units_of_one(training_split):
    standards, plain = (study.Arm(TINY, plain=x).standards(training_split) for x in (False, True))
    np.testing.assert_array_equal(plain.series, [np.zeros(27), np.ones(27)])
    for name in set(Standards._fields) - {"series"}:
        np.testing.assert_array_equal(getattr(plain, name), getattr(standards, name))


def test_ideal_reflections_have_no_errors():
    ideal, usual = (study.Arm(ideal=x).step.augmentation for x in (True, False))
    assert ideal.errors is None
    assert usual.errors is not None
    assert ideal.shares == usual.shares


@pytest.fixture
def small(monkeypatch):
    """Arms and batches that take seconds."""
    monkeypatch.setattr(study, "BASE", dataclasses.replace(study.BASE, batch=8))
    monkeypatch.setattr(study, "TIMED", 2)  # as many as the run then takes: one program
    arms = {"base": study.Arm(TINY), "plain coefficients": study.Arm(TINY, plain=True)}
    arms["substituted crystals"] = study.Arm(TINY, substituted=True)
    monkeypatch.setattr(study, "ARMS", arms)


def test_arms_that_have_ended_are_not_run_again(small, dataset, tmp_path, answer, monkeypatch):
    command = "--data", dataset, "--out", tmp_path, "--minutes", "1e-4"
    code, _, errors = answer(study.main, *command, "--arms", "base")
    assert (code, errors) == (0, "")
    (row,) = study.read_results(tmp_path / "results.jsonl")
    assert (row["budget"], row["steps"], len(row["kinship"])) == (1e-4, 2, 4)
    assert row["materials"] == load_examples(dataset, "validation").material_id.tolist()

    asked = []
    monkeypatch.setattr(study, "run_arm", lambda arm, *_: asked.append(arm) or dict(row))
    code, printed, errors = answer(study.main, *command)
    assert (code, errors) == (0, "")
    assert asked == [study.ARMS["plain coefficients"]]
    names = [row["arm"] for row in study.read_results(tmp_path / "results.jsonl")]
    assert names == ["base", "plain coefficients"]
    assert "4 validation materials" in printed
    assert printed.count(f" {np.mean(row['ssim']):.3f} ") >= 2


def test_substituted_crystals_are_trained_on(small, dataset, tmp_path, answer, monkeypatch):
    elsewhere, asked = tmp_path / "substituted", []
    row = {"budget": 1.0, "parameters": 1, "steps": 1, "minutes": 1.0}
    row |= dict.fromkeys(study.SCORES, [0.5] * 2)
    monkeypatch.setattr(study, "run_arm", lambda arm, data, *_: asked.append(data) or dict(row))
    held_out = load_examples(dataset, "validation").evenly_spaced(2)
    monkeypatch.setattr(study, "asked", lambda options: (held_out, np.zeros(2, int)))
    command = "--data", dataset, "--out", tmp_path, "--minutes", "1"
    code, _, errors = answer(study.main, *command, "--substituted", elsewhere)
    assert (code, errors) == (0, "")
    assert asked == [str(dataset), str(dataset), str(elsewhere)]


def test_materials_that_the_training_split_knows_are_not_asked(dataset):
    training = load_compact_examples(dataset, "train")
    known, validation = (load_examples(dataset, split) for split in ("train", "validation"))
    assert len(study.unseen(known, training)) == 0
    left = study.unseen(validation, training)
    assert set(study.kinds(left)) == set(study.kinds(validation)) - set(study.kinds(training))
    rows = np.isin(validation.material_id, left.material_id)
    np.testing.assert_array_equal(left.density, validation.density[rows])


def finished_arm(name, dataset, materials, ssim):
    """A row of an arm that took the budget of the command."""
    row = {"arm": name, "budget": 10.0, "parameters": 1, "steps": 1, "minutes": 1.0}
    row |= {"dataset": fingerprint(dataset), "materials": materials}
    return row | {"kinship": [0] * len(ssim)} | dict.fromkeys(study.SCORES, ssim)


def test_arms_are_paired_by_material(dataset):
    """The same scores in another order differ by nothing, for every material."""
    names, ssim = ["a", "b", "c"], [0.1, 0.5, 0.9]
    rows = [
        finished_arm("base", dataset, names, ssim),
        finished_arm("narrow", dataset, names[::-1], ssim[::-1]),
    ]
    (column,) = (c for c in study.table_of(rows).columns if c.header == "SSIM - base")
    assert {*column.cells} == {"", format_interval(paired(np.array(ssim), np.array(ssim)), "+.3f")}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dataset": "of others"}, "holds arms of another dataset: give that one"),
        ({"materials": ["other"]}, "holds arms that were asked about other materials: give"),
    ],
)
def test_arms_about_other_materials_are_refused(
    small, dataset, tmp_path, answer, monkeypatch, change, sentence
):
    names = load_examples(dataset, "validation").material_id.tolist()
    row = finished_arm("base", dataset, names, [0.5] * len(names)) | change
    (tmp_path / "results.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.setattr(study, "run_arm", lambda *_: pytest.fail("an arm was run"))
    code, _, errors = answer(study.main, "--data", dataset, "--out", tmp_path)
    assert (code, errors.count("\n")) == (2, 1)
    assert sentence in errors


def test_mistakes_are_one_sentence(small, dataset, tmp_path, answer):
    (tmp_path / "results.jsonl").write_text(json.dumps({"arm": "base", "budget": 4.0}) + "\n")
    command = "--data", dataset, "--out", tmp_path, "--arms", "base"
    for options, sentence in {
        ("--arms", "bass"): "there is no arm 'bass'",
        ("--minutes", "0"): "minutes is 0.0: give a positive number",
        ("--materials", "0"): "materials is 0: give at least 1",
        ("--minutes", "3"): "holds arms of 4 minutes",
        ("--arms", "substituted crystals"): "substituted crystals are not in the dataset",
    }.items():
        code, _, errors = answer(study.main, *command, *options)
        assert code == 2
        assert sentence in errors
