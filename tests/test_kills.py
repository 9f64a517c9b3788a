"""A run and a dataset job that are killed at random moments end as if never interrupted.

`pytest --kills 20 tests/test_kills.py` kills more often than the suite has time for.
"""

import contextlib
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds

from cmed_jax.data.dataset import load_examples
from cmed_jax.train import main
from tests.processes import PYTHON, lines_logged, start, wait_for, weights

STEPS = 16
"""Those of the finished run, which nothing interrupted."""

# The processes add no programs to the cache, so that a kill leaves no incomplete one there.
SETTINGS = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9", "PYTHONFAULTHANDLER": "1"}


def wait(process, seconds):
    """Wait for some seconds, or until the process has ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def kill(process):
    """Kill a process unless it has ended well; return whether it was killed."""
    process.send_signal(signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode != 0


def being_saved(folder):
    return list((folder / "checkpoints").glob("*tmp*"))


def learned(folder):
    """What each step of training logged, without the speed of the machine."""
    names = ("step", "loss", "gradient_norm")
    return [{name: line[name] for name in names} for line in lines_logged(folder) if "loss" in line]


def names(*folders):
    return [sorted(path.name for path in folder.iterdir()) for folder in folders]


def test_a_run_ends_with_the_same_weights_however_often_it_was_killed(
    tiny, finished, tmp_path, request
):
    kills = request.config.getoption("kills")
    options = ["demo", *tiny, "--loop.checkpoint-every", "1", "--loop.validate-every", str(STEPS)]
    harried = tmp_path / "harried"

    moments = random.Random(0)
    done = in_a_save = 0
    while done < kills:
        before = len(lines_logged(harried))
        process = start(*PYTHON, "cmed_jax.train", *options, "--run", harried, **SETTINGS)
        moment = done % 3
        if moment == 0:
            wait(process, moments.uniform(0, 3))  # usually while it starts
        else:
            wait_for(
                lambda before=before: len(lines_logged(harried)) > before, process, may_end=True
            )
        if moment == 1:
            wait(process, moments.uniform(0, 0.2))
        elif moment == 2:
            wait_for(lambda: being_saved(harried), process, may_end=True)
        if kill(process):
            done += 1
            in_a_save += moment != 0 and bool(being_saved(harried))
        else:  # the process ended first
            shutil.rmtree(harried)
    assert in_a_save > 0

    assert main([*options, "--run", str(harried)]) == 0
    ends = (weights(run / "checkpoints" / str(STEPS)) for run in (harried, finished))
    jax.tree.map(np.testing.assert_array_equal, *ends)
    assert learned(harried) == learned(finished)
    one, other = (lines_logged(run)[-1]["validation/ssim"] for run in (harried, finished))
    assert one == other
    # No incomplete file is left, and of the checkpoints the latest two, the best among them.
    (here,), (there,) = names(harried), names(finished)
    assert set(here) <= set(there)
    assert names(harried / "checkpoints") == [[str(STEPS - 1), str(STEPS)]]


def records(directory):
    builder = tfds.builder_from_directory(directory)
    return [record for split in builder.info.splits for record in builder.as_data_source(split)]


def children(process):
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(child) for child in children.read_text().split()]


def alive(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # that ends while it is read
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def kill_with_workers(process, seconds=90):
    """Kill a job at its work, and wait until its workers have ended of themselves."""
    workers = children(process)
    assert workers
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_dataset_job_ends_with_the_same_records_however_often_it_was_killed(
    dataset, tmp_path, request
):
    materials = dataset.parents[2] / "materials.jsonl"
    harried = tmp_path / "cmed" / "cubic" / dataset.name

    def job():
        options = ("--config", "cubic", "--materials", materials, "--workers", 1)
        command = (*PYTHON, "tfds_builders.cmed", *options, "--data_dir", tmp_path)
        return start(*command, **SETTINGS)

    moments = random.Random(0)
    for number in range(request.config.getoption("kills")):
        process = job()
        if number % 2:
            wait(process, moments.uniform(0, 5))
        else:
            wait_for(
                lambda: list(harried.parent.glob("incomplete.*/*array_record*")),
                process,
                may_end=number > 0,
            )
        if number == 0:  # its worker has opened the first of three files, and computes
            kill_with_workers(process)
            with pytest.raises(FileNotFoundError, match="no dataset"):
                load_examples(harried, "train")
        kill(process)
        if harried.exists():  # the process had finished: what can be read is whole
            assert len(records(harried)) == len(records(dataset))
            shutil.rmtree(harried)
    last = job()
    _, err = last.communicate()
    assert last.returncode == 0, err

    for one, other in zip(records(harried), records(dataset), strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    here, there = names(harried, harried.parent), names(dataset, dataset.parent)
    assert here == [[name for name in each if name != "baselines"] for each in there]
