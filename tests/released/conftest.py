"""A tiny network that is released, evaluated, and released again with its figures."""

import pytest

from cmed_jax.evaluate import main as evaluate
from cmed_jax.io import released
from cmed_jax.release import main as release

ORIGIN = "Crystals of the tests, which are free."


@pytest.fixture(scope="session")
def results(finished, dataset, tmp_path_factory):
    """The results of the released tiny network, and the folder of its release."""
    place = tmp_path_factory.mktemp("unscored")
    assert release([str(finished), "--out", str(place / "tiny"), "--origin", ORIGIN]) == 0
    options = ["--data", dataset, "--out", place / "results", "--samples", 1, "--pictures", 0]
    assert evaluate([str(place / "tiny"), *map(str, options)]) == 0
    return place / "results" / "results.json"


@pytest.fixture(scope="session")
def made(finished, results, tmp_path_factory):
    """The folder of the tiny network, released as `tiny` and `small`."""
    out = tmp_path_factory.mktemp("package") / "tiny"
    options = ["--out", out, "--origin", ORIGIN, "--aliases", "small", "--results", results]
    assert release([str(finished), *map(str, options)]) == 0
    return out


@pytest.fixture(scope="session")
def made_with_gate(gated, tmp_path_factory):
    """The folder of the tiny network that is released with a gate."""
    out = tmp_path_factory.mktemp("gated") / "taught"
    assert release([str(gated), "--out", str(out), "--origin", ORIGIN]) == 0
    return out


@pytest.fixture
def package(made, monkeypatch, tmp_path):
    """A package that contains the tiny network, and an empty folder to work in."""
    monkeypatch.setattr(released, "PACKAGE", made.parent)
    monkeypatch.chdir(tmp_path)
    return made.parent
