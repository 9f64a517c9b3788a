"""The loop, in the order in which it goes: step, log, validate, save, stop."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Shaped

from cmed_jax.data.batches import Rows
from cmed_jax.training.checkpoint import Checkpoints
from cmed_jax.training.log import Log
from cmed_jax.training.parallel import Compiled
from cmed_jax.training.step import Table, TrainState
from cmed_jax.training.stop import Stop

Validate = Callable[[TrainState], dict[str, float]]


@dataclass(frozen=True)
class LoopConfig:
    """How often the loop does what; none of it changes the weights.

    Attributes:
        log_every: steps between two lines of metrics.
        validate_every: steps between two validations on full grids.
        validation_materials: how many materials of the validation split these take.
        checkpoint_every: steps between two checkpoints; a validation is always saved.
    """

    log_every: int = 50
    validate_every: int = 1000
    validation_materials: int = 64
    checkpoint_every: int = 500

    def __post_init__(self):
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{name} is {value}: give at least 1")


class Diverged(ValueError):
    """The loss or its gradient is no longer a number.

    Attributes:
        step: the number of the step, counted from 1, whose batch it was.
    """

    def __init__(self, name: str, value: float, step: int):
        advice = "train in a new folder with a lower learning rate"
        super().__init__(f"the {name} of step {step} is {value}: {advice}")
        self.step = step


@contextmanager
def batch_named(rows: Rows, materials: Shaped[np.ndarray, " n"]) -> Iterator[None]:
    """Let the error of a run that diverges name the materials of its batch."""
    try:
        yield
    except Diverged as fault:
        fault.add_note(f"its batch was {', '.join(materials[rows[fault.step - 1]])}")
        raise


def fit(
    step: Compiled,
    state: TrainState,
    table: Table,
    rows: Rows,
    *,
    first: int,
    steps: int,
    config: LoopConfig,
    log: Log,
    checkpoints: Checkpoints,
    validate: Validate,
    stop: Stop,
) -> int:
    """Train from step `first` to step `steps` and return the step that was reached.

    It is less than `steps` only where `stop` was asked for; the state is saved in every case.

    Raises:
        Diverged: the loss or its gradient is not finite; the checkpoints are left as they are.
    """
    done = first
    pending: tuple[int, dict[str, Array]] | None = None
    for number in range(first, steps):
        state, metrics = step(state, table, rows[number], number)
        done = number + 1

        # The numbers of the step before are fetched while the device works on this one.
        if pending:
            _report(*pending, config, log)
        pending = (done, metrics)

        to_validate = done % config.validate_every == 0 or done == steps
        stopping = stop.asked()  # once: the signal may come at any moment
        if to_validate or done % config.checkpoint_every == 0 or stopping:
            _report(*pending, config, log)  # first: a state that has diverged is not saved
            pending = None
            scores = _validated(validate, state, done, log) if to_validate else None
            checkpoints.save(done, state, scores)
        if stopping:
            break
    checkpoints.wait()
    return done


def _report(done: int, metrics: dict[str, Array], config: LoopConfig, log: Log) -> None:
    numbers = {name: float(value) for name, value in metrics.items()}
    for name in ("loss", "gradient_norm"):  # the loss is of the state before, the norm of the step
        if not math.isfinite(numbers[name]):
            raise Diverged(name, numbers[name], done)
    log.advance(done, numbers["loss"])
    if done % config.log_every == 0:
        log.write(done, numbers | {"voxel_queries_per_second": log.rate(done)})


def _validated(validate: Validate, state: TrainState, done: int, log: Log) -> dict[str, float]:
    began = time.monotonic()
    scores = validate(state)
    log.pause(time.monotonic() - began)
    named = {f"validation/{name}": value for name, value in scores.items()}
    log.write(done, named, show=True)
    return scores
