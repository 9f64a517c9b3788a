"""The command that serves the page: a network that is restored once, on a local port."""

import importlib.util
import os
import signal
import socket
import tempfile
import threading

import httpx
import numpy as np
import pytest

from cmed_jax.app import __main__ as command
from cmed_jax.prediction.batch import JOB_STEPS, Job
from cmed_jax.prediction.options import PredictionOptions

CELL = (5.64, 5.64, 5.64, 90.0, 90.0, 90.0)


@pytest.fixture(scope="module")
def predict(finished):
    answer = command.predictor(str(finished))
    return lambda job, folder, progress=len: answer(job, folder, progress)


def options(*arguments, **named):
    """The options of a user, with a small grid."""
    few = {"samples": 2, "grid": (6, 5, 4), "analogues": 0}
    return PredictionOptions(*arguments, **few | named)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "salt.xy"
    np.savetxt(path, [[27.4, 10], [31.7, 100], [45.4, 60], [56.5, 20]])
    return path


def test_a_known_cell_is_answered_with_every_format(predict, file, tmp_path):
    found = predict(Job(file, options("CuKa", "NaCl", cell=CELL, centring="F")), tmp_path)
    names = ["salt.html", *(f"salt.{form}" for form in command.FORMATS)]
    assert found["files"] == names
    assert {path.name for path in tmp_path.iterdir()} == {"salt.xy", *names}
    assert found["cell"]["volume"] == pytest.approx(5.64**3 / 4, rel=1e-5)


def test_every_step_is_stated_in_its_order(predict, file, tmp_path):
    reported = []
    predict(Job(file, options("CuKa", "NaCl")), tmp_path, reported.append)
    assert tuple(reported) == JOB_STEPS


def test_without_a_cell_the_arrays_are_written(predict, file, tmp_path):
    assert predict(Job(file, options("CuKa")), tmp_path)["files"] == [
        "salt.html",
        "salt.npz",
    ]


def test_the_command_that_repeats_it_names_the_file_as_its_owner_does(predict, file, tmp_path):
    words = predict(Job(file, options("CuKa", "NaCl")), tmp_path)["command"].split()
    assert words[:4] == ["python", "-m", "cmed_jax.predict", "salt.xy"]
    assert str(tmp_path) not in words


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_this_machine_until_it_is_told_to_end(
    finished, answer, monkeypatch, tmp_path, number
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen = []

    def visit(address):
        seen.append((httpx.get(address), list(tmp_path.iterdir())))
        os.kill(os.getpid(), number)

    def serve(queue, listening, serve=command.serve):
        host, port = listening.getsockname()
        threading.Thread(target=visit, args=[f"http://{host}:{port}/"]).start()
        serve(queue, listening)

    monkeypatch.setattr(command, "serve", serve)
    code, printed, _ = answer(command.main, finished, "--port", 0)
    ((front, folders),) = seen
    assert (code, front.status_code) == (0, 200)
    assert front.url.host == "127.0.0.1"
    assert str(front.url).rstrip("/") in printed
    assert len(folders) == 1
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_taken_is_said_in_a_line(finished, answer):
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, _, errors = answer(command.main, finished, "--port", other.getsockname()[1])
    assert (code, errors.count("\n")) == (2, 1)
    assert "in use" in errors


def test_a_missing_checkpoint_or_library_is_said_in_a_line(finished, answer, monkeypatch):
    code, _, errors = answer(command.main, "nowhere")
    assert (code, "no checkpoint at" in errors) == (2, True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, errors = answer(command.main, finished)
    assert (code, errors.count("\n")) == (2, 1)
    assert "pip install 'cmed-jax[app]'" in errors
