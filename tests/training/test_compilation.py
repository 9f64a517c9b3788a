"""Compiled programs: all processes of a run share them, and a damaged one is compiled again."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cmed_jax.training import compilation
from cmed_jax.training.compilation import programs_kept

pytestmark = pytest.mark.usefixtures("programs_of_its_own")


@pytest.fixture(autouse=True)
def small_programs(monkeypatch):
    monkeypatch.setattr(compilation, "WORTH_KEEPING", 0.0)


@pytest.fixture
def hits():
    """The number of programs found in the cache."""
    found = []

    def listen(event, **_):
        if event == "/jax/compilation_cache/cache_hits":
            found.append(event)

    jax.monitoring.register_event_listener(listen)
    yield found
    jax.monitoring.unregister_event_listener(listen)


def compute():
    """Compile as in a new process, which has no compiled function."""
    x = np.arange(3.0, dtype=np.float32)
    return jax.jit(lambda x: jnp.cos(x) + 2 * jnp.sin(x))(x)


def test_a_second_start_finds_the_programs_of_the_first(tmp_path, hits):
    with programs_kept(tmp_path):
        first = compute()
    kept = list((tmp_path / "compiled").iterdir())
    assert kept
    assert not hits
    with programs_kept(tmp_path):
        np.testing.assert_array_equal(compute(), first)
    assert hits
    assert list((tmp_path / "compiled").iterdir()) == kept


def test_nothing_is_kept_afterwards(tmp_path):
    with programs_kept(tmp_path):
        pass
    compute()
    assert not list(tmp_path.glob("compiled/*"))


def test_where_the_user_keeps_programs_is_left_to_the_user(tmp_path, hits):
    own = str(tmp_path / "own")
    with programs_kept(tmp_path / "own"), programs_kept(tmp_path / "run"):
        compute()
    assert list((tmp_path / "own").iterdir())
    assert not (tmp_path / "run").exists()
    assert jax.config.values["jax_compilation_cache_dir"] != own


def test_a_program_that_a_kill_cut_short_is_compiled_again(tmp_path):
    with programs_kept(tmp_path):
        first = compute()
    for program in (tmp_path / "compiled").iterdir():
        program.write_bytes(program.read_bytes()[:100])
    with programs_kept(tmp_path), warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        np.testing.assert_array_equal(compute(), first)
