"""The scripts of launch/, run with stand-ins for the commands of a cluster."""

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[1] / "launch"


@pytest.fixture
def stand_ins(tmp_path):
    """A folder at the head of PATH with commands that record their calls."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def add(name, body=""):
        command = folder / name
        command.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >> {add.file}\n{body}\n')
        command.chmod(0o755)

    add.environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
    add.file = tmp_path / "calls"
    add.file.touch()
    add.calls = lambda: add.file.read_text().splitlines()
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


def test_a_job_on_beam_gets_the_options_of_the_pipeline_in_one(stand_ins):
    stand_ins("python")
    pipeline = ["--runner=FlinkRunner", "--job_name=two words"]
    arguments = ("--config", "all", "--", *pipeline)
    assert run("dataset_beam.sh", *arguments, environment=stand_ins.environment) == 0
    (call,) = stand_ins.calls()
    job, _, options = call.partition(" --beam_options=")
    assert job == "python -m tfds_builders.cmed --config all"
    assert shlex.split(options) == pipeline


def test_a_job_on_beam_without_options_of_the_pipeline_is_refused(stand_ins):
    stand_ins("python")
    assert run("dataset_beam.sh", "--config", "all", environment=stand_ins.environment) == 2
    assert stand_ins.calls() == []


ON_A_CLUSTER = {"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "16"}
SRUN = "srun --kill-on-bad-exit=0 --cpus-per-task=16 python -m cmed_jax.train base"


@pytest.mark.parametrize(
    ("code", "restarts", "queued"),
    [
        *((code, 0, False) for code in (0, 1, 2)),
        *((code, 19, True) for code in (75, 134, 137)),
        *((code, 20, False) for code in (75, 134, 137)),
        (143, 30, True),
    ],
)
def test_a_job_goes_on_after_its_time_limit_and_after_a_crash(stand_ins, code, restarts, queued):
    stand_ins("srun", f"exit {code}")
    stand_ins("scontrol")
    environment = stand_ins.environment | ON_A_CLUSTER | {"SLURM_RESTART_COUNT": str(restarts)}
    ended = run("slurm_train.sbatch", "base", environment=environment)
    assert ended == (0 if queued else code)
    assert stand_ins.calls() == [SRUN, *(["scontrol requeue 7"] if queued else [])]


def test_a_process_of_a_job_has_all_accelerators_of_its_node(stand_ins):
    stand_ins("srun", f'echo "$JAX_LOCAL_DEVICE_IDS" >> {stand_ins.file}')
    environment = stand_ins.environment | ON_A_CLUSTER | {"SLURM_GPUS_ON_NODE": "4"}
    assert run("slurm_train.sbatch", "base", environment=environment) == 0
    assert stand_ins.calls() == [SRUN, "0,1,2,3"]


def test_slurm_asks_the_processes_to_stop_before_the_time_limit():
    script = (LAUNCH / "slurm_train.sbatch").read_text()
    assert "#SBATCH --signal=TERM@120" in script


def test_every_machine_of_a_pod_runs_the_command(stand_ins):
    stand_ins("gcloud", 'for word; do echo "$word"; done | tail -1 >> ' + str(stand_ins.file))
    arguments = ("pod", "base", "--run", "/shared/a run")
    assert run("tpu_train.sh", *arguments, environment=stand_ins.environment, ZONE="here") == 0
    call, command = stand_ins.calls()
    assert call.startswith("gcloud compute tpus tpu-vm ssh pod --worker=all --zone=here --command=")
    words = shlex.split(command.partition("=")[2])
    assert words == ["python", "-m", "cmed_jax.train", "base", "--run", "/shared/a run"]


def test_a_run_that_is_killed_is_started_again(stand_ins):
    stand_ins("python", f"(($(wc -l < {stand_ins.file}) < 3)) && kill -KILL $$; exit 0")
    assert run("train.sh", "base", environment=stand_ins.environment) == 0
    assert stand_ins.calls() == ["python -m cmed_jax.train base"] * 3


@pytest.mark.parametrize(("code", "starts"), [(0, 1), (1, 1), (2, 1), (75, 3), (137, 3)])
def test_a_run_is_not_started_again_for_ever_nor_for_a_mistake(stand_ins, code, starts):
    stand_ins("python", f"exit {code}")
    ended = run("train.sh", "base", environment=stand_ins.environment, RESTARTS="2")
    assert ended == code
    assert len(stand_ins.calls()) == starts


def asked_to_stop(script, *arguments, stand_ins, processes=1):
    """Start a script, send it SIGTERM once its processes listen, and return its exit code."""
    listen = f"trap 'sleep 1; exit 143' TERM; echo listening >> {stand_ins.file}"
    stand_ins("python", f"{listen}; while :; do sleep 0.1; done")
    job = subprocess.Popen([LAUNCH / script, *arguments], env=stand_ins.environment)
    deadline = time.monotonic() + 30
    while stand_ins.calls().count("listening") < processes:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    return job.wait(timeout=30)


def test_a_run_that_is_asked_to_stop_saves_itself_first(stand_ins):
    assert asked_to_stop("train.sh", "base", stand_ins=stand_ins) == 143
    assert stand_ins.calls() == ["python -m cmed_jax.train base", "listening"]


@pytest.mark.parametrize("moment", ["training=", "training=$!"])
def test_a_stop_between_two_starts_is_not_lost(stand_ins, tmp_path, moment):
    """The signal comes just before a command of the script, when the run starts again."""
    stand_ins("python", f"(($(wc -l < {stand_ins.file}) < 2)) && exit 75; exec sleep 30")
    hook = tmp_path / "hook"
    ask = '[[ $BASH_COMMAND == "$MOMENT" ]] && ((++times == 2)) && kill -TERM $$'
    hook.write_text(f"times=0; [[ $0 == *train.sh ]] && trap '{ask}' DEBUG\n")
    began = time.monotonic()
    variables = {"BASH_ENV": str(hook), "MOMENT": moment}
    assert run("train.sh", "base", environment=stand_ins.environment, **variables) == 143
    assert time.monotonic() - began < 20
    assert len(stand_ins.calls()) <= 2


def test_processes_that_are_asked_to_stop_save_themselves_first(stand_ins):
    assert asked_to_stop("train_processes.sh", "2", "base", stand_ins=stand_ins, processes=2) == 143


def test_processes_are_told_where_to_meet(stand_ins):
    settings = "$JAX_COORDINATOR_ADDRESS $JAX_PROCESS_ID/$JAX_NUM_PROCESSES $JAX_LOCAL_DEVICE_IDS"
    stand_ins("python", f'echo "{settings}" >> {stand_ins.file}')
    environment = stand_ins.environment | {"PORT": "12345"}
    assert run("train_processes.sh", "2", "base", environment=environment) == 0
    place = "127.0.0.1:12345"
    calls = ["python -m cmed_jax.train base"] * 2
    assert sorted(stand_ins.calls()) == [f"{place} 0/2 0", f"{place} 1/2 1", *calls]


@pytest.mark.parametrize("given", ["", "--xla_gpu_deterministic_ops=false"])
@pytest.mark.parametrize(
    "start", [["train.sh"], ["train_processes.sh", "1"], ["slurm_train.sbatch"]]
)
def test_on_a_gpu_a_run_repeats_itself_unless_told_otherwise(stand_ins, start, given):
    """XLA uses the last of two settings."""
    stand_ins("nvidia-smi")
    stand_ins("python", f'echo "$XLA_FLAGS" >> {stand_ins.file}')
    stand_ins("srun", 'shift 2; exec "$@"')
    cluster = ON_A_CLUSTER | {"SLURM_GPUS_ON_NODE": "1", "XLA_FLAGS": given}
    assert run(*start, "base", environment=stand_ins.environment | cluster) == 0
    assert stand_ins.calls()[-1].rstrip() == f"--xla_gpu_deterministic_ops=true {given}".rstrip()


def test_where_one_process_is_killed_the_others_are_ended(stand_ins, capfd):
    stand_ins("python", "((JAX_PROCESS_ID)) && kill -KILL $$; exec sleep 60")
    assert run("train_processes.sh", "3", "base", environment=stand_ins.environment) == 137
    said = capfd.readouterr().err
    assert re.search("process [12] of 3 ended with exit code 137, and with it the others", said)


def test_the_image_holds_what_there_is():
    lines = (LAUNCH / "Containerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]]
    assert {"pyproject.toml", "cmed_jax", "tfds_builders"} <= set(copied)
    assert all((LAUNCH.parent / name).exists() for name in copied)
