"""The command that trains a gate: it continues after a stop, and reports its limits."""

import re
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cmed_jax.io.integrity import checksum
from cmed_jax.mixture import gate_data
from cmed_jax.mixture.experts import FEATURES, LEAST
from cmed_jax.mixture.fit import deviation_scale
from cmed_jax.mixture.gate import FILE, Gate, load_gate
from cmed_jax.mixture.gate_data import GateExamples
from cmed_jax.prediction.restore import restore
from cmed_jax.train_gate import main
from cmed_jax.training.checkpoint import find_checkpoint
from cmed_jax.training.folder import locked

OPTIONS = ("--questions", 4, "--validation", 4, "--steps", 3, "--batch", 2)


@pytest.fixture
def solving(monkeypatch):
    """A counter of the queries that are solved from now on."""
    solve, calls = gate_data.solve, []
    monkeypatch.setattr(
        gate_data, "solve", lambda *question: calls.append(question) or solve(*question)
    )
    return calls


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    """A copy of the tiny run, so that other tests find the run without a gate."""
    return shutil.copytree(finished, tmp_path_factory.mktemp("runs") / "taught")


@pytest.fixture(scope="module")
def taught(run):
    """The tiny run with a gate that was trained for it."""
    assert main([str(run), *map(str, OPTIONS)]) == 0
    return run


def gate_of(run):
    """The gate in a run's folder, for the run's network."""
    network = restore(run, alone=True).network
    return load_gate(run, checksum(nnx.state(network)))


def weights(gate):
    """The weights of a gate for a query to four experts."""
    features = np.random.default_rng(0).normal(size=(4, gate.inner.kernel.shape[0]))
    return np.asarray(gate(jnp.asarray(features), jnp.asarray(np.ones(4, bool))))


def test_a_run_has_a_gate_once_it_was_trained(taught, finished):
    assert (taught / FILE).is_file()
    gate = restore(taught).gate
    for same in (gate_of(taught), restore(find_checkpoint(taught)).gate):
        np.testing.assert_array_equal(weights(same), weights(gate))
    assert np.ptp(weights(gate)) > 0  # it was trained: a new one gives equal weights
    assert restore(finished).gate is None
    assert {path.name for path in taught.iterdir()} - {
        path.name for path in finished.iterdir()
    } == {
        FILE,
        *(path.name for path in taught.glob("solved-*.jsonl")),
    }


def test_other_checkpoints_of_the_run_refuse_it(taught):
    best = find_checkpoint(taught)
    others = set((taught / "checkpoints").iterdir()) - {best}
    assert others
    for checkpoint in others:
        with pytest.raises(
            ValueError, match=r"gate\.npz was trained for a network of other weights"
        ):
            restore(checkpoint)
        assert restore(checkpoint, alone=True).gate is None


def test_a_second_call_solves_nothing_again_and_ends_with_the_same_gate(taught, solving, answer):
    before = weights(gate_of(taught))
    code, said, errors = answer(main, taught, *OPTIONS)
    assert (code, errors, solving) == (0, "", [])
    np.testing.assert_array_equal(weights(gate_of(taught)), before)
    figures = re.search(
        r"SSIM of 4 validation materials: (\S+) of the mixture, (\S+) of the network, (\S+) of the "
        r"crystal .*, (\S+) of the best expert \(oracle\)",
        " ".join(said.split()),
    )
    mixture, network, crystal, oracle = map(float, figures.groups())
    assert max(network, crystal) <= oracle <= 1
    assert 0 < mixture <= 1


def test_a_call_that_was_stopped_goes_on(taught, solving, answer, tmp_path):
    copy = shutil.copytree(taught, tmp_path / "stopped")
    (copy / FILE).unlink()
    largest = max(copy.glob("solved-*.jsonl"), key=lambda path: path.read_bytes().count(b"\n"))
    first, second, *_ = largest.read_bytes().splitlines(keepends=True)
    largest.write_bytes(first + second[: len(second) // 2])
    assert answer(main, copy, *OPTIONS)[0] == 0
    assert len(solving) == 3
    np.testing.assert_array_equal(weights(gate_of(copy)), weights(gate_of(taught)))


def test_densities_of_valence_electrons_are_refused(run, valence, answer):
    code, _, errors = answer(main, run, "--data", valence, *OPTIONS)
    assert (code, errors.count("\n")) == (2, 1)
    assert re.match(rf"error: densities in {valence} are chgcar, .* the two are never mi", errors)


@pytest.mark.parametrize("name", ["questions", "validation", "steps", "batch"])
def test_a_number_below_one_is_answered(run, answer, name):
    code, _, errors = answer(main, run, f"--{name}", 0)
    assert code == 2
    assert f"{name} is 0: give at least 1" in errors
    assert "Traceback" not in errors


def test_a_dataset_that_is_not_there_is_named(run, answer):
    code, _, errors = answer(main, run, "--data", "nowhere")
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith("error: no dataset in nowhere: build it")


def test_a_run_that_is_not_there_is_named(answer, tmp_path):
    code, _, errors = answer(main, tmp_path / "nowhere")
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith(f"error: no checkpoint at {tmp_path / 'nowhere'}")


def test_a_run_that_is_being_trained_is_left_alone(run, answer):
    with locked(run):
        code, _, errors = answer(main, run, *OPTIONS)
    assert (code, errors.count("\n")) == (2, 1)
    assert errors.startswith(f"error: another process is training in {run}")


def test_a_damaged_gate_is_named(taught, answer, tmp_path):
    copy = shutil.copytree(taught, tmp_path / "damaged")
    (copy / FILE).write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"gate\.npz is damaged .*: train the gate again"):
        restore(copy)


def test_a_gate_of_old_is_refused_until_it_is_trained_again(taught, answer, tmp_path):
    copy = shutil.copytree(taught, tmp_path / "old")
    with np.load(copy / FILE) as opened:
        np.savez(copy / FILE, **{name: opened[name] for name in opened if name != "network"})
    with pytest.raises(ValueError, match=rf"run python -m cmed_jax\.train_gate {copy} again"):
        restore(copy)
    assert restore(copy, alone=True).gate is None
    assert answer(main, copy, *OPTIONS)[0] == 0
    np.testing.assert_array_equal(weights(restore(copy).gate), weights(gate_of(taught)))


def drawn_lessons(n, deviation):
    """Examples in which the truth scatters about one crystal's density as the residual predicts."""
    rng, shape = np.random.default_rng(0), (8, 8, 8)
    own = rng.uniform(1, 2, (n, *shape)).astype(np.float16)
    densities, features = np.stack([own, own], axis=1), np.zeros((n, 2, FEATURES), np.float32)
    features[:, 1, 1] = np.log10(0.02 + LEAST)
    expected = 0.5 * 0.02 * np.sqrt(own * own.mean(axis=(1, 2, 3), keepdims=True))
    truth = own + deviation * expected.astype(float) * rng.normal(size=own.shape)
    present = np.ones((n, 2), bool)
    return GateExamples(
        densities, features, present, truth.astype(np.float16), np.zeros(own.shape, np.float32)
    )


@pytest.mark.parametrize("deviation", [1, 6])
def test_the_spread_is_that_of_errors_that_are_drawn(deviation):
    """The two experts have equal densities, with half of the weight on the crystal."""
    gate = Gate(FEATURES, nnx.Rngs(0))
    assert deviation_scale(gate, drawn_lessons(20, deviation)) == pytest.approx(deviation, rel=0.05)
