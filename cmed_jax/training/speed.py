"""The training speed of a run, and the share of the time spent waiting for input."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Input = TypeVar("Input")


class Throughput:
    """A clock of laps, which pauses while a run does something other than training."""

    def __init__(self, first: int, queries: int, flops: float | None, peak: float | None):
        """Begin the first lap.

        Args:
            first: the number of steps done already.
            queries: the number of voxel queries in a step.
            flops: the floating-point operations of a step; None where they are not known.
            peak: the peak operations per second of the devices, likewise.
        """
        self.rate = 0.0
        """The voxel queries per second in the last lap."""
        self._queries, self._flops, self._peak = queries, flops, peak
        self._done, self._began = first, time.monotonic()
        self._paused = self._waited = 0.0

    def lap(self, done: int) -> dict[str, float]:
        """Return the speed since the last lap, after step `done`, and begin the next.

        The result holds the voxel queries per second, the share of the peak where it is known,
        and the share of the time spent waiting for input.
        """
        now = time.monotonic()
        seconds = max(now - self._began - self._paused, 1e-9)
        steps_per_second = (done - self._done) / seconds
        self.rate = steps_per_second * self._queries
        lap = {"voxel_queries_per_second": self.rate, "share_waiting": self._waited / seconds}
        if self._peak and self._flops:
            lap["share_of_peak"] = steps_per_second * self._flops / self._peak
        self._done, self._began, self._paused, self._waited = done, now, 0.0, 0.0
        return lap

    def waiting(self, inputs: Iterable[Input]) -> Iterator[Input]:
        """Yield the inputs, and count the time spent waiting for each."""
        began = time.monotonic()
        for one in inputs:
            self._waited += time.monotonic() - began
            yield one
            began = time.monotonic()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time spent in the context from the lap."""
        began = time.monotonic()
        yield
        self._paused += time.monotonic() - began
