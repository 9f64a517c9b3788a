"""The command in several processes and on several devices: the weights of one, and one end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from cmed_jax.prediction.restore import restore
from cmed_jax.training.folder import locked

ROOT = Path(__file__).parents[1]
STEPS = 20


ALONE = (sys.executable, "-m", "cmed_jax.train")
ON_A_FULL_DISK = ("bash", "-c", 'ulimit -f 10; exec "$@"', "-", *ALONE)
"""No file may grow as large as this process's part of a checkpoint."""


@pytest.fixture(scope="module")
def start(tiny, tmp_path_factory):
    """Start the command, or a script that starts it, on some devices for each process."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled"))}
    cache["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

    def start(folder, *options, by=ALONE, devices=1, **settings):
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
    """Start two processes of a run; the second elsewhere, or by another command, if it is given."""

    def pair(folder, *options, second=None, by=ALONE):
        meet = (f"--hosts.coordinator=127.0.0.1:{unused_port}", "--hosts.processes=2")
        options = (*options, *meet, "--hosts.timeout=5")
        return [
            start(folder, *options, "--hosts.process=0"),
            start(second or folder, *options, "--hosts.process=1", by=by),
        ]

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


def ended(processes, seconds=150):
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
    assert [code for _, code in ended([start(one)])] == [0]

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
    assert code in (os.EX_TEMPFAIL, -signal.SIGABRT)  # it is worth starting again
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


def test_two_processes_that_do_not_see_one_folder_are_refused(pair, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    (err, code), (other_err, other_code) = ended(pair(here, second=there))
    assert (code, other_code) == (2, 2)
    sentence = f"{there} is not the folder that process 0 sees: give one on a disk that all share"
    assert f"error: process 1 of 2 cannot go on: {sentence}" in err
    assert f"error: {sentence}" in other_err
    assert not (here / "config.json").exists()


def test_where_one_process_cannot_write_a_checkpoint_all_end_with_the_fault(pair, tmp_path):
    (err, code), (other_err, other_code) = ended(pair(tmp_path, by=ON_A_FULL_DISK))
    assert (code, other_code) == (2, 2)
    sentence = f"cannot write a checkpoint in {tmp_path / 'checkpoints'} (File too large): see to"
    assert f"error: process 1 of 2 cannot go on: {sentence}" in err
    assert f"error: {sentence}" in other_err
    assert steps_saved(tmp_path) == []


def test_where_checkpoints_can_no_longer_be_written_both_processes_end(pair, tmp_path):
    """A file takes the folder's place: not even the superuser can write there."""
    often = ("--loop.validate-every", "5000", "--loop.checkpoint-every", "20")
    processes = pair(tmp_path, "--steps", "5000", *often)
    folder = tmp_path / "checkpoints"
    wait_until(lambda: folder.exists() and steps_saved(tmp_path), processes[0])
    folder.rename(tmp_path / "elsewhere")
    folder.touch()
    (err, code), (_, other_code) = ended(processes)
    assert code == 2
    assert f"cannot write a checkpoint in {folder} (" in err
    assert other_code not in (0, None)


def test_two_processes_go_on_from_the_checkpoint_before_a_damaged_one(pair, finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    latest = tmp_path / "checkpoints" / "16"
    shutil.rmtree(latest / "optimizer")
    (err, code), (other_err, other_code) = ended(pair(tmp_path, "--steps", "16"))
    assert (code, other_code) == (0, 0)
    assert f"warning: {latest} cannot be read (" in err
    assert "; the run continues from step 15" in err
    assert "warning:" not in other_err
    assert max(steps_saved(tmp_path)) == 16


def test_where_the_loss_diverges_both_processes_say_so(pair, tmp_path):
    wild = ("--optimizer.learning-rate", "1e35", "--loop.checkpoint-every", "1")
    for err, code in ended(pair(tmp_path, *wild)):
        assert code == 2
        assert "train in a new folder with a lower learning rate; its batch was " in err
        assert f"; the last good checkpoint is {tmp_path / 'checkpoints'}" in err
