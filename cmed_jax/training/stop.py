"""Requests to end a run, by SIGTERM or Ctrl-C, sent to one process or to any of several."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import jax
from jax.experimental import multihost_utils


class StopRequest:
    """The request to end the process, with the signal that made it."""

    signal: int | None = None

    def requested(self) -> bool:
        """Return whether the run is to end now; the loop calls this once after its steps."""
        return self.signal is not None


class StopTogether(StopRequest):
    """A stop of all processes after the same step, after a signal to any of them.

    JAX handles SIGTERM once several processes are connected, and agrees on the step.
    """

    def __init__(self) -> None:
        self._times = 0

    def requested(self) -> bool:
        """Return whether all are to end now; every process has to call this equally often."""
        self._times += 1
        if multihost_utils.reached_preemption_sync_point(self._times):
            self.signal = signal.SIGTERM
        return super().requested()


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn SIGTERM and SIGINT into a request that the loop reads after its step.

    A second signal of the same kind has its default effect, because some steps wait for a
    compilation. (Among several processes this holds for SIGINT only, because JAX handles SIGTERM.)
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
