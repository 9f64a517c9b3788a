"""Processes that tests start and wait for, and the files of the runs that they train."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from cmed_jax.prediction.restore import restore

ROOT = Path(__file__).parents[1]
PYTHON = (sys.executable, "-m")
COMPILED_FAST = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
"""The environment of processes that compile large programs and compute little.

Compilation takes half as long. Results differ in their rounding.
"""


def start(*command, **settings):
    """Start a command in the repository, with additional environment variables."""
    return subprocess.Popen(
        [*map(str, command)],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process, may_end=False, seconds=300):
    """Wait until a condition holds, or until the process has ended if it may."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            assert may_end, process.communicate()
            return
        if time.monotonic() > deadline:
            process.send_signal(signal.SIGABRT)  # faulthandler prints the stack
            raise AssertionError(process.communicate()[1])
        time.sleep(0.004)


def lines_logged(folder):
    """The complete lines of a run's log, as far as they are written."""
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def step_logged(folder):
    """The last step in a run's log, 0 before the first."""
    return max((line["step"] for line in lines_logged(folder)), default=0)


def steps_saved(folder, name="checkpoints"):
    """The steps of a run's checkpoints."""
    return [int(path.name) for path in (folder / name).iterdir() if path.name.isdigit()]


def weights(checkpoint):
    """Parameters and statistics of a checkpoint, or of the best one of a run."""
    network = restore(checkpoint).network
    return jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(network)))
