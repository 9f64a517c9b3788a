"""What the tests of readers share."""

import pytest

from cmed_jax.io.pattern import load_pattern


@pytest.fixture
def read(tmp_path):
    """A function that writes a file and reads the pattern in it."""

    def read(data, name):
        path = tmp_path / name
        path.write_bytes(data)
        return load_pattern(path)

    return read
