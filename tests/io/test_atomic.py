"""Files are written whole or not at all."""

import pytest

from cmed_jax.io.atomic import atomic_write, write_text


def test_a_file_is_there_once_it_is_whole(tmp_path):
    with atomic_write(tmp_path / "a.txt") as partial:
        partial.write_text("new")
        assert not (tmp_path / "a.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "new"


def write_half(path):
    with atomic_write(path) as partial:
        partial.write_text("half")
        raise OSError("the disk is full")


def test_a_failure_leaves_what_was_there(tmp_path):
    write_text(tmp_path / "a.txt", "old å")
    with pytest.raises(OSError, match="full"):
        write_half(tmp_path / "a.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "old å"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cannot write 'a\.txt': there is no folder"):
        write_text(tmp_path / "none" / "a.txt", "")
