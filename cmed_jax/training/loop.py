"""The training loop: step, log, validate, save and stop, in this order."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
import numpy as np
from jaxtyping import Array, Shaped

from cmed_jax.config import LoopConfig
from cmed_jax.data.batches import Rows
from cmed_jax.training.checkpoint import Checkpoints
from cmed_jax.training.inputs import Inputs
from cmed_jax.training.log import Log
from cmed_jax.training.parallel import Compiled
from cmed_jax.training.step import TrainState
from cmed_jax.training.stop import StopRequest

Validate = Callable[[TrainState], dict[str, float]]


class Diverged(ValueError):
    """The loss or its gradient is not finite.

    Attributes:
        step: the number of the step of the batch, counted from 1.
    """

    def __init__(self, name: str, value: float, step: int):
        advice = "train in a new folder with a lower learning rate"
        super().__init__(f"the {name} of step {step} is {value}: {advice}")
        self.step = step


@contextmanager
def batch_named(rows: Rows, materials: Shaped[np.ndarray, " n"]) -> Iterator[None]:
    """Add the materials of the batch to the error of a run that diverges."""
    try:
        yield
    except Diverged as fault:
        fault.add_note(f"its batch was {', '.join(materials[rows[fault.step - 1]])}")
        raise


def fit(
    step: Compiled,
    state: TrainState,
    inputs: Inputs,
    *,
    first: int,
    steps: int,
    config: LoopConfig,
    log: Log,
    checkpoints: Checkpoints,
    validate: Validate,
    stop: StopRequest,
) -> int:
    """Train from step `first` to step `steps` and return the last step.

    It is less than `steps` only if `stop` was requested. The state is saved in both cases.

    Raises:
        Diverged: the loss or its gradient is not finite; the checkpoints are left as they are.
    """
    done = first
    pending: tuple[range, dict[str, Array]] | None = None
    spans = dispatches(first, steps, config)
    for span, batches in zip(spans, log.speed.waiting(inputs.batches(spans)), strict=True):
        state, metrics = step(state, inputs.table, batches, span.start)
        done = span.stop

        # The metrics of the dispatch before are fetched while the device works on this one.
        if pending:
            _report(*pending, config, log)
        pending = (span, metrics)

        to_validate = done % config.validate_every == 0 or done == steps
        stopping = stop.requested()  # read once, since the signal may come at any moment
        if to_validate or done % config.checkpoint_every == 0 or stopping:
            _report(*pending, config, log)  # before saving: a diverged state is not saved
            pending = None
            scores = _validated(validate, state, done, log) if to_validate else None
            with log.speed.paused():
                checkpoints.save(done, state, scores)
        if stopping:
            break
    checkpoints.wait()
    return done


def dispatches(first: int, steps: int, config: LoopConfig) -> list[range]:
    """Divide the steps from `first` to `steps` into dispatches.

    Each has `config.steps_per_dispatch` steps, or fewer where a validation, a checkpoint or the end
    is due.
    """
    spans = []
    while first < steps:
        due = [every - first % every for every in (config.validate_every, config.checkpoint_every)]
        stop = min(steps, first + min(config.steps_per_dispatch, *due))
        spans.append(range(first, stop))
        first = stop
    return spans


def longest_dispatch(steps: int, config: LoopConfig) -> int:
    """Return the number of steps of the longest dispatches of a run, which most of them have."""
    every = (config.steps_per_dispatch, config.validate_every, config.checkpoint_every)
    return min(steps, *every)


def _report(span: range, metrics: dict[str, Array], config: LoopConfig, log: Log) -> None:
    columns = jax.device_get(metrics)
    logged = span.stop // config.log_every > span.start // config.log_every
    speed = log.speed.lap(span.stop) if logged else {}
    for place, number in enumerate(span):
        numbers = {name: float(column[place]) for name, column in columns.items()}
        for name in ("loss", "gradient_norm"):  # a finite loss may have an infinite gradient
            if not math.isfinite(numbers[name]):
                raise Diverged(name, numbers[name], number + 1)
        log.advance(number + 1, numbers["loss"])
        if (number + 1) % config.log_every == 0:
            log.write(number + 1, numbers | speed)


def _validated(validate: Validate, state: TrainState, done: int, log: Log) -> dict[str, float]:
    with log.speed.paused():
        scores = validate(state)
    named = {f"validation/{name}": value for name, value in scores.items()}
    log.write(done, named, show=True)
    return scores
