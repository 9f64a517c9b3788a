"""`python agreeing.py CASE PROCESS PORT FOLDER` is one of two processes that have to agree.

What they agree on does not depend on a network, which would be compiled in both first.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cmed_jax.cli import run_command
from cmed_jax.config import HostsConfig
from cmed_jax.io.run import CHECKPOINTS, CONFIG
from cmed_jax.training.checkpoint import Checkpoints
from cmed_jax.training.folder import locked
from cmed_jax.training.hosts import allgather_text, is_primary, joined
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.step import TrainState


def begin(folder):
    """Write what a run begins with, as process 0 does where all may use the folder."""
    with locked(folder):
        (folder / CONFIG).touch()


def save(folder, between=lambda: None):
    """Save twice, as a training does; each process writes its part of the numbers."""
    numbers = jax.random.normal(jax.random.key(0), (100_000,))

    def state():
        return TrainState({"w": numbers}, {"mean": jnp.zeros(7)}, {"mu": numbers})

    with locked(folder), Checkpoints(folder, {}) as checkpoints:
        saved = DataParallel().create(state)
        checkpoints.save(1, saved, None)
        checkpoints.wait()
        between()
        checkpoints.save(2, saved, None)
        checkpoints.wait()


def lose(folder):
    """Save again where a file took the folder's place: not even the superuser can write there."""

    def put_away():
        if is_primary():
            (folder / CHECKPOINTS).rename(folder / "elsewhere")
            (folder / CHECKPOINTS).touch()
        allgather_text("")

    save(folder, put_away)


def compute(folder):
    """Sum over both devices without end, as the steps of a training do."""
    parallel = DataParallel()
    total = jax.jit(jnp.sum, out_shardings=parallel.whole)
    numbers = parallel.divide(np.ones((1, 1)))
    while True:
        jax.device_get(total(numbers))
        (folder / "computed").touch()


def command():
    case, number, port, folder = sys.argv[1:]
    with joined(HostsConfig(f"127.0.0.1:{port}", 2, int(number), timeout=5)):
        globals()[case](Path(folder))


if __name__ == "__main__":
    run_command(command)
