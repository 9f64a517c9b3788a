"""The training domain of a run, against the records that it was trained on."""

import json

import numpy as np
import pytest

from cmed_jax.data.dataset import load_examples, load_structures
from cmed_jax.data.domain import FILE, TrainingDomain, keep_domain, load_domain


@pytest.fixture(scope="module")
def kept(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    keep_domain(folder, dataset)
    return folder


def test_it_is_what_the_training_split_holds(kept, dataset):
    found = load_domain(kept)
    examples, crystals = load_examples(dataset, "train"), load_structures(dataset, "train")
    assert set(found.elements) == {int(z) for crystal in crystals for z in crystal.numbers}
    assert set(found.space_groups) == set(examples.space_group.tolist())
    assert found.most_lines[-1] == (examples.pattern > 0.01).sum(axis=1).max()
    half = examples.pattern[:, :512]
    assert found.most_lines[8] == (half > 0.01).sum(axis=1).max()
    assert found.b_factor == 4.0


def test_what_older_runs_kept_beside_is_left_alone(kept, tmp_path):
    more = json.loads((kept / FILE).read_text()) | {"volumes": [1.0]}
    (tmp_path / FILE).write_text(json.dumps(more))
    assert load_domain(tmp_path) == load_domain(kept)


def test_it_is_read_once(kept, tmp_path):
    (tmp_path / FILE).write_text(json.dumps({"elements": [1]}))
    keep_domain(tmp_path, "nowhere")  # which is not read
    with pytest.raises(ValueError, match=r"familiar\.json is damaged"):
        load_domain(tmp_path)


def test_a_run_that_kept_nothing_says_so(tmp_path):
    assert load_domain(tmp_path) is None


def test_records_alone_suffice():
    record = {
        "species": np.array([3, 3], np.uint8),
        "space_group": 229,
        "pattern": np.eye(1, 1024, 100),
        "lattice": 3.0 * np.eye(3),
    }
    found = TrainingDomain.of([record], None)
    assert found.elements == (3,)
    assert found.most_lines == (0, *[1] * 17)
