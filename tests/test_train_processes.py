"""The command in several processes and on several devices: the weights of one, and one end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from cmed_jax.prediction import restore
from cmed_jax.training.folder import locked

ROOT = Path(__file__).parents[1]
STEPS = 20


@pytest.fixture(scope="module")
def start(tiny, tmp_path_factory):
    """Start the command, or a script that starts it, on some devices for each process."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled"))}
    cache["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

    def start(folder, *options, by=(sys.executable, "-m", "cmed_jax.train"), devices=1, **settings):
        return subprocess.Popen(
            [*by, "demo", *tiny, "--steps", str(STEPS), "--run", folder, *options],
            cwd=ROOT,
            env=os.environ | cache | {"JAX_NUM_CPU_DEVICES": str(devices)} | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def pair(start, unused_port):
    """Start two processes of a run."""

    def pair(folder, *options):
        meet = (f"--hosts.coordinator=127.0.0.1:{unused_port}", "--hosts.processes=2")
        options = (*options, *meet, "--hosts.timeout=5")
        return [start(folder, *options, f"--hosts.process={number}") for number in (0, 1)]

    return pair


def logged(folder):
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0)


def wait_until(condition, process, seconds=150):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(processes, seconds=60):
    """The exit code and the errors of each process."""
    return [(process.communicate(timeout=seconds)[1], process.returncode) for process in processes]


def steps_saved(folder):
    return [int(path.name) for path in (folder / "checkpoints").iterdir() if path.name.isdigit()]


def weights(folder):
    network = restore(folder / "checkpoints" / str(STEPS)).network
    return jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(network)))


def test_a_run_of_four_devices_goes_on_in_two_processes_and_ends_as_on_one(
    start, tmp_path_factory, tmp_path, unused_port
):
    one = tmp_path_factory.mktemp("one")
    assert [code for _, code in ended([start(one)], seconds=150)] == [0]

    four = start(tmp_path, devices=4)
    wait_until(lambda: logged(tmp_path) > 3, four)
    four.send_signal(signal.SIGTERM)
    four.communicate(timeout=60)
    assert four.returncode == 128 + signal.SIGTERM
    assert max(steps_saved(tmp_path)) < STEPS

    by = (ROOT / "launch" / "train_processes.sh", "2")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    options = ("--input", "streaming")  # each process reads its share
    launcher = start(tmp_path, *options, by=by, PORT=str(unused_port), PATH=path)
    out, err = launcher.communicate(timeout=150)
    assert launcher.returncode == 0, err
    assert out.count(f"done: {tmp_path} holds the network after {STEPS} steps") == 1
    for here, there in zip(*map(jax.tree.leaves, map(weights, (tmp_path, one))), strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-6, atol=1e-6)


def test_where_one_process_is_killed_the_other_ends_with_a_sentence(pair, tmp_path):
    processes = pair(tmp_path, "--steps", "5000", "--loop.validate-every", "5000")
    wait_until(lambda: logged(tmp_path) > 2, processes[0])
    processes[1].kill()
    (err, code), _ = ended(processes)
    assert code not in (0, None)
    assert "another" in err
    assert "start all of them again, and the run continues from its last checkpoint" in err


def test_two_processes_do_not_train_where_another_run_does(pair, tmp_path):
    with locked(tmp_path):
        processes = pair(tmp_path)
        (err, code), (other_err, other_code) = ended(processes)
    assert (code, other_code) == (2, 2)
    assert f"error: another process is training in {tmp_path}" in err
    assert "error: process 0 of 2 cannot go on: another process is training in" in other_err
    assert not (tmp_path / "config.json").exists()
