"""The evaluation suite: none of the known crystals is a scored one."""

import gc
import gzip
import json
import weakref
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Composition

from cmed_jax.crystal import sources
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.dataset import load_structures
from cmed_jax.data.query import full_query
from cmed_jax.evaluation.baselines import OF_CRYSTALS, OF_PATTERN, OF_TRAINING
from cmed_jax.evaluation.controls import without_pattern
from cmed_jax.evaluation.scoring import Scores
from cmed_jax.evaluation.suite import EvaluationSuite

EMBEDDED = Path(sources.__file__).parent / "embedded" / "oc20_bulks.jsonl.gz"


@pytest.fixture(scope="module")
def suite(dataset):
    return EvaluationSuite(dataset, "test")


def reduced(row):
    return Composition("".join(row["species"])).reduced_formula, row["space_group"]


@pytest.fixture(scope="module")
def embedded():
    """Some embedded rows of two or three atoms, including those of the dataset."""
    with gzip.open(EMBEDDED, "rt") as file:
        rows = [json.loads(line) for line in file]
    return [row for row in rows if 2 <= len(row["species"]) <= 3][:120]


@pytest.fixture
def source(embedded, tmp_path):
    """A file of the embedded rows, of the scored ones under other ids, and of an unusable one."""
    again = [row | {"material_id": f"again-{row['material_id']}"} for row in embedded]
    broken = embedded[0] | {"material_id": "broken", "species": ["Xx"]}
    path = tmp_path / "known.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*embedded, *again, broken]))
    return path


def test_training_crystals_are_known_unless_others_are_named(suite, dataset):
    names = [crystal.material_id for crystal in load_structures(dataset, "train")]
    assert [crystal.material_id for crystal in suite.prototypes.crystals] == names
    np.testing.assert_array_equal(suite.memory.amplitude, suite.training.amplitude)


def test_of_the_training_split_no_baseline_finds_the_crystal_itself(dataset, known, monkeypatch):
    scores = object.__new__(Scores)
    monkeypatch.setattr("cmed_jax.evaluation.suite.cached", lambda *key: scores)
    assert set(EvaluationSuite(dataset, "train", known=known).baselines) == {"constant map"}
    with pytest.raises(ValueError, match="known is training, which are the scored crystals"):
        EvaluationSuite(dataset, "train")


@pytest.fixture
def informed(dataset, source):
    """A suite with other known crystals."""
    return EvaluationSuite(dataset, "test", known=str(source))


def test_of_another_source_no_scored_crystal_is_known(informed, embedded):
    known = {crystal.material_id for crystal in informed.prototypes.crystals}
    scored = set(informed.held_out.material_id)
    kinds = {reduced(row) for row in embedded if row["material_id"] in scored}
    assert len(kinds) == 6
    names = {row["material_id"]: reduced(row) for row in embedded}
    for name in known:
        assert name not in scored
        assert names[name.removeprefix("again-")] not in kinds
    others = {name for name, kind in names.items() if kind not in kinds}
    assert known == others | {f"again-{name}" for name in others}
    assert len(informed.memory) == len(known)


def test_embedded_means_the_embedded_crystals(dataset, informed, source, monkeypatch):
    names = []

    def few(name):
        names.append(name)
        return open_source(str(source))

    monkeypatch.setattr("cmed_jax.evaluation.suite.open_source", few)
    found = [
        crystal.material_id for crystal in EvaluationSuite(dataset, "test", known="embedded").known
    ]
    assert names == [None]  # the embedded source
    assert found == [crystal.material_id for crystal in informed.known]


def test_substitution_and_kinship_go_by_the_known_crystals(suite, informed):
    for name in OF_CRYSTALS:
        assert not np.array_equal(
            informed.baselines[name].plain["ssim"], suite.baselines[name].plain["ssim"]
        )
    overlap = {
        each.source: [row["kin"] for row in each.results(None, {}, {})["materials"]]
        for each in (suite, informed)
    }
    assert overlap["training"] != overlap[informed.source]


def test_there_is_no_such_source(dataset):
    with pytest.raises(ValueError, match="no materials at nowhere: give"):
        EvaluationSuite(dataset, "test", known="nowhere")


def test_the_queries_of_one_control_are_kept_and_no_others(suite):
    """The padded lines of large cells would fill the memory."""
    kept = weakref.ref(suite._queries(full_query).lines)
    assert suite._queries(full_query).lines is kept()
    suite._queries(without_pattern)
    gc.collect()
    assert kept() is None


def test_crystals_do_not_answer_for_valence_densities(valence, monkeypatch):
    suite = EvaluationSuite(valence, "test")
    with pytest.raises(ValueError, match=r"densities in .* are chgcar, .*: score the network --al"):
        _ = suite.prototypes
    allowed = set(OF_TRAINING) - OF_PATTERN  # their lines are those of independent atoms
    assert set(suite.generators) == allowed
    monkeypatch.setattr("cmed_jax.evaluation.suite.cached", lambda *key: object.__new__(Scores))
    assert set(suite.baselines) == allowed
