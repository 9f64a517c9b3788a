"""The command in several processes and on several devices: equal weights, and a common end."""

import os
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest

from cmed_jax.training.folder import locked
from tests.processes import (
    PYTHON,
    ROOT,
    start,
    step_logged,
    steps_saved,
    wait_for,
    weights,
)

STEPS = 16

ALONE = (*PYTHON, "cmed_jax.train")
AGREEING = (sys.executable, Path(__file__).parent / "agreeing.py")
ON_A_FULL_DISK = ("bash", "-c", 'ulimit -f 10; exec "$@"', "-")
"""No file may grow as large as this process's part of a checkpoint."""


@pytest.fixture
def train(tiny):
    """A function that starts the command, or a script for it, on some devices for each process."""

    def train(folder, *options, by=ALONE, devices=1, **settings):
        command = (*by, "demo", *tiny, "--run", folder, *options)
        return start(*command, JAX_NUM_CPU_DEVICES=str(devices), **settings)

    return train


@pytest.fixture
def agreeing(unused_port):
    """Start two processes of a case; the second by way of a command, if given."""

    def agreeing(case, folder, by=()):
        settings = {"PYTHONPATH": str(ROOT)}
        return [
            start(*AGREEING, case, 0, unused_port, folder, **settings),
            start(*by, *AGREEING, case, 1, unused_port, folder, **settings),
        ]

    return agreeing


def ended(processes, seconds=150):
    """The exit code and the errors of each process; none waits for its full pipe to be read."""

    def read(process):
        try:
            return process.communicate(timeout=seconds)[1]
        finally:
            process.kill()

    with ThreadPoolExecutor(len(processes)) as pool:
        errors = list(pool.map(read, processes))
    return [(err, process.returncode) for err, process in zip(errors, processes, strict=True)]


def test_a_run_of_four_devices_goes_on_in_two_processes_and_ends_as_on_one(
    train, finished, tmp_path, unused_port
):
    """The two go on from the checkpoint before the latest, which is damaged."""
    rarely = ("--loop.validate-every", STEPS)
    four = train(tmp_path, *rarely, devices=4)
    wait_for(lambda: step_logged(tmp_path) > 5, four)
    four.send_signal(signal.SIGTERM)
    four.communicate(timeout=60)
    assert four.returncode == 128 + signal.SIGTERM
    before, last = sorted(steps_saved(tmp_path))[-2:]
    assert last < STEPS
    latest = tmp_path / "checkpoints" / str(last)
    shutil.rmtree(latest / "optimizer")

    by = (ROOT / "launch" / "train_processes.sh", "2")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    launcher = train(tmp_path, *rarely, by=by, PORT=str(unused_port), PATH=path)
    out, err = launcher.communicate(timeout=150)
    assert launcher.returncode == 0, err
    assert out.count(f"done: {tmp_path} holds the network after {STEPS} steps") == 1
    assert err.count("warning:") == 1  # by one of the two
    assert f"warning: {latest} cannot be read (" in err
    assert f"; the run continues from step {before}" in err
    ends = (weights(folder / "checkpoints" / str(STEPS)) for folder in (tmp_path, finished))
    for here, there in zip(*map(jax.tree.leaves, ends), strict=True):
        # Adam magnifies the rounding of tiny gradients (see tests/training/test_parallel.py).
        np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-5)


def test_where_one_process_is_killed_the_other_ends_with_a_sentence(agreeing, tmp_path):
    processes = agreeing("compute", tmp_path)
    wait_for((tmp_path / "computed").exists, processes[0])
    processes[1].kill()
    (err, code), _ = ended(processes)
    assert code in (os.EX_TEMPFAIL, -signal.SIGABRT), err  # the run may be started again
    assert "another" in err
    assert "start all of them again, and the run continues from its last checkpoint" in err


def test_what_one_process_cannot_do_both_say_and_end(agreeing, tmp_path):
    """The folder is in use, or not the same for both; in the end the second has no room."""
    with locked(tmp_path / "busy"):
        processes = agreeing("fail", tmp_path, by=ON_A_FULL_DISK)
        (err, code), (other_err, other_code) = ended(processes)
    assert (code, other_code) == (2, 2)
    assert f"fault: another process is training in {tmp_path / 'busy'}" in err
    assert "fault: process 0 of 2 cannot go on: another process is training in" in other_err
    assert not (tmp_path / "busy" / "config.json").exists()

    sentence = f"{tmp_path / '1'} is not the folder that process 0 sees: give one on a disk that "
    assert f"fault: process 1 of 2 cannot go on: {sentence}all share" in err
    assert f"fault: {sentence}all share" in other_err
    assert not (tmp_path / "0" / "config.json").exists()

    folder = tmp_path / "full"
    sentence = f"cannot write a checkpoint in {folder / 'checkpoints'} (File too large): see to"
    assert f"error: process 1 of 2 cannot go on: {sentence}" in err
    assert f"error: {sentence}" in other_err
    assert steps_saved(folder) == []


def test_where_checkpoints_can_no_longer_be_written_both_processes_end(agreeing, tmp_path):
    (err, code), (_, other_code) = ended(agreeing("lose", tmp_path))
    assert steps_saved(tmp_path, "elsewhere") == [1]
    assert code == 2
    assert f"cannot write a checkpoint in {tmp_path / 'checkpoints'} (" in err
    assert other_code not in (0, None)


def test_where_the_loss_diverges_both_processes_say_so(agreeing, tmp_path):
    for err, code in ended(agreeing("diverge", tmp_path)):
        assert code == 2
        assert (
            "the loss of step 2 is inf: train in a new folder with a lower learning rate; " in err
        )
        assert "; its batch was " in err
        assert f"; the last good checkpoint is {tmp_path / 'checkpoints' / '1'}" in err
