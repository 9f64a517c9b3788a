"""A run's folder: it has one writer, and keeps the configuration of the start."""

import json

import pytest

from cmed_jax.training.folder import check_identity, keep_identity, locked

CONFIG = {"seed": 1, "run": "here", "network": {"width": 16, "blocks": 2}}
IDENTITY = {"seed": 1, "network": {"width": 16, "blocks": 2}, "dataset": "abc", "shares": (1, 2)}


def test_a_folder_is_made_and_held_by_one(tmp_path):
    folder = tmp_path / "runs" / "first"
    with locked(folder):
        assert folder.is_dir()
        another = pytest.raises(ValueError, match=r"another process is training in .*first")
        with another, locked(folder):
            pass
        with locked(tmp_path / "other"):
            pass
    with locked(folder):
        pass


def test_the_lock_goes_with_an_error(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path):
        raise RuntimeError
    with locked(tmp_path):
        pass


def test_a_run_that_is_begun_alike_goes_on(tmp_path):
    keep_identity(tmp_path, CONFIG, IDENTITY)
    written = (tmp_path / "config.json").read_text()
    assert json.loads(written)["config"] == CONFIG
    keep_identity(tmp_path, CONFIG | {"run": "there"}, IDENTITY)
    check_identity(tmp_path, IDENTITY)
    assert (tmp_path / "config.json").read_text() == written
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"seed": 2}, r"seed is 2 and not 1\."),
        ({"network": {"width": 32, "blocks": 2}}, r"network\.width is 32 and not 16\."),
        ({"network": {"width": 16}}, r"network\.blocks is None and not 2\."),
        ({"dataset": "abd"}, r"dataset is 'abd' and not 'abc'\."),
    ],
)
def test_a_run_that_is_begun_differently_is_refused(tmp_path, change, difference):
    keep_identity(tmp_path, CONFIG, IDENTITY)
    with locked(tmp_path, IDENTITY):
        pass
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    refused = pytest.raises(ValueError, match=f"was begun differently: {difference}")
    with refused, locked(tmp_path, IDENTITY | change):
        raise AssertionError
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
