"""Cached scores: they equal the computed ones, and the cache never causes a failure."""

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cmed_jax.evaluation.cache import DECIDING, cached
from cmed_jax.evaluation.scoring import evaluate

KEY = {"dataset": "a", "split": "test"}

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scores(test_split):
    def generate(query):
        rng = np.random.default_rng(0)
        return rng.random((len(query.pattern), 3, 50, 50, 50), np.float32)

    return evaluate(generate, test_split.evenly_spaced(2))


def unreachable():
    raise AssertionError("it was computed again")


def test_scores_are_read_as_they_were_computed(tmp_path, scores):
    assert cached(tmp_path / "kept", "a baseline", KEY, lambda: scores) is scores
    found = cached(tmp_path / "kept", "a baseline", KEY, unreachable)
    for field in dataclasses.fields(scores):
        expected, value = getattr(scores, field.name), getattr(found, field.name)
        np.testing.assert_equal(value, expected)
        assert type(value) is type(expected)
    assert len(list((tmp_path / "kept").iterdir())) == 1  # no incomplete file is left


def test_scores_without_samples_are_kept_too(tmp_path, scores):
    plain = dataclasses.replace(scores, published=None, calibration=None, samples=0)
    cached(tmp_path, "plain", KEY, lambda: plain)
    found = cached(tmp_path, "plain", KEY, unreachable)
    assert found.published is None
    assert found.calibration is None


@pytest.mark.parametrize("change", [{"dataset": "b"}, {"split": "train"}, {"as_published": True}])
def test_another_key_is_computed_for(tmp_path, scores, change):
    cached(tmp_path, "name", KEY, lambda: scores)
    with pytest.raises(AssertionError, match="computed again"):
        cached(tmp_path, "name", KEY | change, unreachable)
    with pytest.raises(AssertionError, match="computed again"):
        cached(tmp_path, "other name", KEY, unreachable)


def test_a_broken_file_is_computed_anew(tmp_path, scores):
    cached(tmp_path, "name", KEY, lambda: scores)
    (file,) = tmp_path.iterdir()
    for content in (b"", b"no archive", file.read_bytes()[:1000]):
        file.write_bytes(content)
        assert cached(tmp_path, "name", KEY, lambda: scores) is scores
        cached(tmp_path, "name", KEY, unreachable)


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path, scores):
    (tmp_path / "file").write_text("in the way")
    assert cached(tmp_path / "file", "name", KEY, lambda: scores) is scores


def imported(name, seen):
    """Gather the modules of the package that a module imports, directly or not."""
    path = ROOT / f"{name.replace('.', '/')}.py"
    if name in seen or not path.exists():
        return
    seen.add(name)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cmed_jax"):
            for each in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                imported(each, seen)


def test_the_code_of_every_folder_that_makes_a_baseline_decides():
    """A folder that is left out would let cached scores outlive the code that made them."""
    seen = set()
    imported("cmed_jax.evaluation.baselines", seen)
    folders = {name.split(".")[1] for name in seen}
    assert {"solution", "data"} < folders
    assert folders <= {*DECIDING, "io"}
