"""How a run is asked to end: by SIGTERM or by Ctrl-C, to one process or to any of several."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import jax
from jax.experimental import multihost_utils


class StopRequest:
    """Whether the process was asked to end, and by which signal."""

    signal: int | None = None

    def requested(self) -> bool:
        """Return whether the run is to end here; the loop asks once after its steps."""
        return self.signal is not None


class StopTogether(StopRequest):
    """A stop of all processes after the same step, for a signal to any of them.

    JAX listens for SIGTERM as soon as it knows of several processes, and agrees on the step.
    """

    def __init__(self) -> None:
        self._times = 0

    def requested(self) -> bool:
        """Return whether all are to end here; each has to ask as often as the others."""
        self._times += 1
        if multihost_utils.reached_preemption_sync_point(self._times):
            self.signal = signal.SIGTERM
        return super().requested()


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn SIGTERM and SIGINT into a request that the loop answers after its step.

    A second one of the same kind does what it does without us: some steps wait for a compilation.
    (Of several processes only SIGINT does, for SIGTERM is in the hands of JAX.)
    """
    several = jax.process_count() > 1
    stop = StopTogether() if several else StopRequest()

    def ask(number: int, frame: object) -> None:
        signal.signal(number, before[signal.Signals(number)])
        if several:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            stop.signal = number

    numbers = (signal.SIGINT,) if several else (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
