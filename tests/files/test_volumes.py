"""Densities in files: whole or not at all."""

import numpy as np
import pytest

from cmed_jax.files.volumes import check_suffix, save_volume


@pytest.fixture
def density():
    return np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)


def test_npy_holds_the_density(tmp_path, density):
    save_volume(str(tmp_path / "a.npy"), density, density)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), density)


def test_npz_holds_the_density_and_its_deviation(tmp_path, density):
    save_volume(tmp_path / "a.npz", density, 2 * density)
    save_volume(tmp_path / "b.npz", density)
    with np.load(tmp_path / "a.npz") as both, np.load(tmp_path / "b.npz") as alone:
        assert sorted(both) == ["density", "std"]
        np.testing.assert_array_equal(both["std"], 2 * density)
        assert list(alone) == ["density"]


@pytest.mark.parametrize("name", ["a.cube", "a", "a.NPZ", "npz"])
def test_an_unknown_suffix_is_answered_with_the_known_ones(tmp_path, density, name):
    for answer in (lambda: check_suffix(name), lambda: save_volume(tmp_path / name, density)):
        with pytest.raises(ValueError, match=rf"cannot write '{name}': .* one of \.npy, \.npz"):
            answer()
    assert not list(tmp_path.iterdir())


def test_a_save_that_fails_leaves_what_was_there(tmp_path, density, monkeypatch):
    path = tmp_path / "a.npy"
    save_volume(path, density)

    def fail(file, array):
        file.write(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(OSError, match="full"):
        save_volume(path, 2 * density)
    np.testing.assert_array_equal(np.load(path), density)
    assert list(tmp_path.iterdir()) == [path]
