"""The scripts of launch/, run with stand-ins for what only a cluster has."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[1] / "launch"


@pytest.fixture
def stand_ins(tmp_path):
    """A folder at the head of PATH whose commands write down how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def add(name, body=""):
        command = folder / name
        command.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >> {tmp_path}/calls\n{body}\n')
        command.chmod(0o755)

    add.environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    add.calls = lambda: (tmp_path / "calls").read_text().splitlines()
    return add


def run(script, *arguments, environment, **variables):
    return subprocess.run(
        [LAUNCH / script, *arguments], env=environment | variables, check=False, timeout=60
    ).returncode


def test_parts_are_built_one_after_the_other(stand_ins):
    stand_ins("python")
    code = run("dataset_in_parts.sh", "3", "--config", "cubic", environment=stand_ins.environment)
    assert code == 0
    build = "python -m tfds_builders.cmed --config cubic --part"
    assert stand_ins.calls() == [f"{build} {k}/3" for k in (1, 2, 3)]


def test_a_part_that_fails_ends_the_build(stand_ins):
    stand_ins("python", "exit 2")
    code = run("dataset_in_parts.sh", "3", "--config", "cubic", environment=stand_ins.environment)
    assert code == 2
    assert len(stand_ins.calls()) == 1


def test_a_task_of_an_array_builds_its_part(stand_ins):
    stand_ins("python")
    code = run(
        "slurm_dataset.sbatch",
        "--config",
        "all",
        environment=stand_ins.environment,
        SLURM_ARRAY_TASK_ID="3",
        SLURM_ARRAY_TASK_COUNT="8",
        SLURM_CPUS_PER_TASK="4",
    )
    assert code == 0
    assert stand_ins.calls() == ["python -m tfds_builders.cmed --config all --part 3/8 --workers 4"]


@pytest.mark.parametrize("code", [0, 2])
def test_a_run_that_ends_by_itself_is_not_queued_again(stand_ins, code):
    stand_ins("python", f"exit {code}")
    stand_ins("scontrol")
    ended = run("slurm_train.sbatch", "base", environment=stand_ins.environment, SLURM_JOB_ID="7")
    assert ended == code
    assert stand_ins.calls() == ["python -m cmed_jax.train base"]


def test_a_run_that_saved_itself_before_the_time_limit_is_queued_again(stand_ins, tmp_path):
    stand_ins("python", "trap 'sleep 1; exit 143' TERM; while :; do sleep 0.1; done")
    stand_ins("scontrol")
    job = subprocess.Popen(
        [LAUNCH / "slurm_train.sbatch", "base"],
        env=stand_ins.environment | {"SLURM_JOB_ID": "7"},
    )
    while not (tmp_path / "calls").exists():
        time.sleep(0.05)
    time.sleep(0.5)  # both traps are set right after the call
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=30) == 0
    assert stand_ins.calls() == ["python -m cmed_jax.train base", "scontrol requeue 7"]
