"""A tiny network that is released, evaluated, and released again with its figures."""

import contextlib
import io
import json
import shutil

import pytest

from cmed_jax.evaluate import main as evaluate
from cmed_jax.evaluation.controls import CONTROLS
from cmed_jax.io import released
from cmed_jax.release import main as release

ORIGIN = "Crystals of the tests, which are free."


@pytest.fixture(scope="session")
def unscored(finished, built_once):
    """The folder of the tiny network, released without figures; and what the command printed."""

    def build(folder):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            assert release([str(finished), "--out", str(folder / "tiny"), "--origin", ORIGIN]) == 0
        (folder / "printed.txt").write_text(printed.getvalue())

    folder = built_once("unscored", build)
    return folder / "tiny", (folder / "printed.txt").read_text()


@pytest.fixture(scope="session")
def results(unscored, dataset, built_once):
    """The results of the released tiny network, with two of the controls."""
    few = {name: CONTROLS[name] for name in ("wrong pattern", "wrong composition")}

    def build(folder):
        options = ["--data", dataset, "--out", folder, "--samples", 1, "--pictures", 0]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cmed_jax.evaluate.CONTROLS", few)
            assert evaluate([str(unscored[0]), *map(str, options)]) == 0

    return built_once("results", build) / "results.json"


@pytest.fixture(scope="session")
def made(finished, results, built_once):
    """The folder of the tiny network, released as `tiny` and `small`."""

    def build(folder):
        run = shutil.copytree(finished, folder / finished.name)
        for path in run.glob("checkpoints/*/_CHECKPOINT_METADATA"):
            metadata = json.loads(path.read_text())  # as if it had begun with these weights
            metadata["custom_metadata"]["config"]["initial"] = str(finished)
            path.write_text(json.dumps(metadata))
        options = ["--out", folder / "tiny", "--origin", ORIGIN, "--aliases", "small"]
        assert release([str(run), *map(str, options), "--results", str(results)]) == 0
        shutil.rmtree(run)

    return built_once("package", build) / "tiny"


@pytest.fixture(scope="session")
def made_with_gate(gated, built_once):
    """The folder of the tiny network that is released with a gate."""

    def build(folder):
        assert release([str(gated), "--out", str(folder / "taught"), "--origin", ORIGIN]) == 0

    return built_once("with_gate", build) / "taught"


@pytest.fixture
def package(made, monkeypatch, tmp_path):
    """A package that contains the tiny network, and an empty folder to work in."""
    monkeypatch.setattr(released, "PACKAGE", made.parent)
    monkeypatch.chdir(tmp_path)
    return made.parent
