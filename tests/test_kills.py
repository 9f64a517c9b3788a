"""A run and a dataset job that are killed at random moments end as if never interrupted.

`pytest --kills 20 tests/test_kills.py` kills more often than the suite has time for.
"""

import random
import shutil
import signal
import time

import jax
import numpy as np
import tensorflow_datasets as tfds

from cmed_jax.train import main
from tests.processes import PYTHON, lines_logged, start, wait_for, weights

# The processes add no programs to the cache, so that a kill leaves no incomplete one there.
SETTINGS = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9", "PYTHONFAULTHANDLER": "1"}


def kill(process):
    """Kill a process unless it has ended well; return whether it was killed."""
    process.send_signal(signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), err
    return process.returncode != 0


def being_saved(folder):
    return list((folder / "checkpoints").glob("*tmp*"))


def learned(folder):
    """The metrics without those of the machine's speed."""
    names = ("step", "loss", "gradient_norm", "validation/ssim")
    return [{name: line[name] for name in names if name in line} for line in lines_logged(folder)]


def names(*folders):
    return [sorted(path.name for path in folder.iterdir()) for folder in folders]


def test_a_run_ends_with_the_same_weights_however_often_it_was_killed(tiny, tmp_path, request):
    kills = request.config.getoption("kills")
    steps = 8 + 2 * kills
    options = ["demo", *tiny, "--steps", str(steps), "--loop.checkpoint-every", "1"]
    options += ["--loop.validate-every", str(steps)]
    calm, harried = tmp_path / "calm", tmp_path / "harried"
    assert main([*options, "--run", str(calm)]) == 0

    moments = random.Random(0)
    done = in_a_save = 0
    while done < kills:
        before = len(lines_logged(harried))
        process = start(*PYTHON, "cmed_jax.train", *options, "--run", harried, **SETTINGS)
        moment = done % 3
        if moment == 0:
            time.sleep(moments.uniform(0, 5))  # usually while it starts
        else:
            wait_for(
                lambda before=before: len(lines_logged(harried)) > before, process, may_end=True
            )
        if moment == 1:
            time.sleep(moments.uniform(0, 0.2))
        elif moment == 2:
            wait_for(lambda: being_saved(harried), process, may_end=True)
        if kill(process):
            done += 1
            in_a_save += moment != 0 and bool(being_saved(harried))
        else:  # the process ended first
            shutil.rmtree(harried)
    assert in_a_save > 0

    assert main([*options, "--run", str(harried)]) == 0
    jax.tree.map(
        np.testing.assert_array_equal,
        *(weights(f / "checkpoints" / str(steps)) for f in (harried, calm)),
    )
    assert learned(harried) == learned(calm)
    folders = ((run, run / "checkpoints") for run in (harried, calm))
    assert names(*next(folders)) == names(*next(folders))  # no incomplete file is left


def records(directory):
    builder = tfds.builder_from_directory(directory)
    return [record for split in builder.info.splits for record in builder.as_data_source(split)]


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
            time.sleep(moments.uniform(0, 10))
        else:
            wait_for(
                lambda: list(harried.parent.glob("incomplete.*/*array_record*")),
                process,
                may_end=True,
            )
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
