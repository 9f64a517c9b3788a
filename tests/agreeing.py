"""`python agreeing.py CASE PROCESS PORT FOLDER` is one of two processes that have to agree.

What they agree on does not depend on a network, which would be compiled in both first.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cmed_jax.cli import run_command
from cmed_jax.config import HostsConfig, LoopConfig
from cmed_jax.data.batches import Rows
from cmed_jax.io.run import CHECKPOINTS, CONFIG
from cmed_jax.training.checkpoint import Checkpoints
from cmed_jax.training.folder import locked, written_once
from cmed_jax.training.hosts import allgather_text, is_primary, joined
from cmed_jax.training.inputs import Inputs
from cmed_jax.training.log import Log
from cmed_jax.training.loop import batch_named, fit
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.speed import Throughput
from cmed_jax.training.step import TrainState
from cmed_jax.training.stop import StopRequest


def begin(folder):
    """Write what a run begins with, as process 0 does where all may use the folder."""
    with locked(folder):
        (folder / CONFIG).touch()


def initial():
    """A state of which each process has its part to write."""
    numbers = jax.random.normal(jax.random.key(0), (100_000,))
    return TrainState({"w": numbers}, {"mean": jnp.zeros(7)}, {"mu": numbers})


def save(folder, between=lambda: None):
    """Save twice, as a training does."""
    with locked(folder), Checkpoints(folder, {}) as checkpoints:
        saved = DataParallel().create(initial)
        checkpoints.save(1, saved, None)
        checkpoints.wait()
        between()
        checkpoints.save(2, saved, None)
        checkpoints.wait()


def fail(folder):
    """Begin where another run trains, and in a folder for each process; then save."""
    for place in (folder / "busy", folder / str(jax.process_index())):
        try:
            begin(place)
        except ValueError as error:
            print(f"fault: {error}", file=sys.stderr)
    save(folder / "full")


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


def diverge(folder):
    """Train with a step that changes nothing, and whose loss is infinite the second time."""
    parallel, names = DataParallel(), np.array(["a", "b"])
    inputs = Inputs(names, Rows(2, 2, 0), None, lambda rows: rows, parallel)
    speed = Throughput(0, queries=1, flops=None, peak=None)

    def step(state, table, batch, places, number):
        loss = jnp.where(number < 1, 1.0, jnp.inf)
        return state, {"loss": loss, "gradient_norm": jnp.float32(1)}

    with (
        locked(folder),
        Checkpoints(folder, {}) as checkpoints,
        written_once(folder) as place,
        Log(place, 0, 4, speed) as log,
        batch_named(inputs.rows, names),
    ):
        fit(
            parallel.compile(step),
            parallel.create(initial),
            inputs,
            first=0,
            steps=4,
            config=LoopConfig(checkpoint_every=1),
            log=log,
            checkpoints=checkpoints,
            validate=lambda state: {},
            stop=StopRequest(),
        )


def command():
    case, number, port, folder = sys.argv[1:]
    with joined(HostsConfig(f"127.0.0.1:{port}", 2, int(number), timeout=5)):
        globals()[case](Path(folder))


if __name__ == "__main__":
    run_command(command)
