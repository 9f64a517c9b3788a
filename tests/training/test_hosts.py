"""Processes of a run: they connect, agree, and end with a sentence when one is lost.

`python test_hosts.py CASE PROCESS PORT PATIENCE` is one of two processes of a case.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from cmed_jax.config import HostsConfig
from cmed_jax.training.hosts import (
    allgather_text,
    broadcast_from_primary,
    check_alike,
    is_primary,
    joined,
    raise_together,
)
from cmed_jax.training.stop import stop_on_signals

ROOT = Path(__file__).parents[2]


def speak():
    print(is_primary())  # printed by process 0 only
    print(allgather_text(f"I am {jax.process_index()}"), file=sys.stderr)
    check_alike({"seed": 1})
    print(broadcast_from_primary({"score": jax.process_index() + 0.1}), file=sys.stderr)


def disagree():
    check_alike({"seed": jax.process_index()})


def fail():
    with raise_together():
        if jax.process_index():
            raise OSError("no such data")


def stop():
    with stop_on_signals() as stop:
        for step in range(1000):
            if step == 3 and jax.process_index():
                os.kill(os.getpid(), signal.SIGTERM)
            if stop.requested():
                print(f"signal {stop.signal} after step {step}", file=sys.stderr)
                return
            allgather_text("")  # as the steps of a training do
            time.sleep(0.01)


def agree():
    """Hear each other, and go on after each fault, until a signal stops both."""
    speak()
    for fault in (disagree, fail):
        try:
            fault()
        except (OSError, ValueError) as error:
            print(f"fault: {error}", file=sys.stderr)
    stop()


def first_dies():
    if is_primary():
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


@pytest.fixture
def run(unused_port):
    """Run a case in two processes (or in the second alone); return codes, outputs and errors."""

    def run(case, numbers=(0, 1), patience=8):
        processes = [
            subprocess.Popen(
                [
                    sys.executable,
                    __file__,
                    case.__name__,
                    *map(str, (number, unused_port, patience)),
                ],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for number in numbers
        ]
        said = [process.communicate(timeout=60) for process in processes]
        return [
            (process.returncode, *texts) for process, texts in zip(processes, said, strict=True)
        ]

    return run


def test_processes_hear_each_other_share_faults_and_stop_after_the_same_step(run):
    """What a fault ends is in test_train_processes.py."""
    (code, out, err), (other_code, other_out, other_err) = run(agree)
    assert (code, other_code) == (0, 0)
    assert "True" in out.splitlines()
    assert "False" not in other_out
    for output in (err, other_err):
        assert "['I am 0', 'I am 1']" in output
        assert "{'score': 0.1}" in output
        other = "fault: process 1 of 2 has other options, another dataset or, for --input auto, "
        assert other in output
    assert "fault: process 1 of 2 cannot go on: no such data" in err
    assert "fault: no such data" in other_err
    where = re.search(r"signal 15 after step (\d+)", err)
    assert where
    assert where[0] in other_err


def test_where_one_process_is_gone_the_other_ends_with_a_sentence(run):
    """Where the second is gone is in test_train_processes.py."""
    found = run(first_dies)
    assert sum(code == -signal.SIGKILL for code, _, _ in found) == 1
    for code, _, said in found:
        assert code not in (0, None)
        assert f"error: the process of the run on {socket.gethostname()} was ended before" in said
        assert "start all of them again, and the run continues from its last checkpoint" in said


def test_a_process_does_not_wait_for_ever_for_the_others(run):
    ((code, _, err),) = run(speak, numbers=[1], patience=1)
    assert code != 0
    assert "was ended before the run: it was killed, or another one is gone" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coordinator": "here:1"}, "a coordinator is given: give processes and process, too"),
        ({"coordinator": "here:1", "processes": 2, "process": 2}, "process is 2: of 2 processes"),
        ({"timeout": 0}, "timeout is 0: give at least 1 second"),
        ({"patience": 0}, "patience is 0: give at least 1 second"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        HostsConfig(**options)


def test_one_process_is_alone(monkeypatch):
    for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.setenv(name, "1")  # in a larger allocation, perhaps
    with joined(HostsConfig()), raise_together():
        assert is_primary()
        assert allgather_text("alone") == ["alone"]
        check_alike({"any": 1})
    with pytest.raises(OSError, match="full"), raise_together():
        raise OSError("full")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLURM_STEP_NUM_TASKS": "2"}, (None, None, None)),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, (None, None, None)),
        ({"TPU_ML_PLATFORM": "JAX"}, (None, None, None)),
        (
            {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "3", "JAX_PROCESS_ID": "0"},
            (None, 3, 0),
        ),
    ],
)
def test_the_environment_tells_of_other_processes(monkeypatch, environment, expected):
    """JAX finds options that are not given: all on SLURM, Open MPI and TPU, else the address."""
    asked = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **_: asked.append(args))
    monkeypatch.setattr(jax.distributed, "shutdown", lambda: asked.append("done"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with joined(HostsConfig()):
        pass
    assert asked == [expected, "done"]


if __name__ == "__main__":
    from cmed_jax.cli import run_command

    def command():
        case, number, port, patience = sys.argv[1:]
        place = f"127.0.0.1:{port}", 2, int(number)
        config = HostsConfig(*place, patience=int(patience), timeout=3)
        with joined(config):
            globals()[case]()

    run_command(command)
