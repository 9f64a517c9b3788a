"""A trace of some steps, for TensorBoard's profiler and for Perfetto."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
from jaxtyping import Array

from cmed_jax.training.parallel import Compiled
from cmed_jax.training.step import TrainState
from cmed_jax.training.table import Batches, Table

FOLDER = "profile"
WARM = 2
"""The number of dispatches before the trace, which compile."""


@contextmanager
def traced(compiled: Compiled, steps: int, run: Path) -> Iterator[Compiled]:
    """Yield the program as one that writes a trace of some of its steps into the run's folder.

    Args:
        compiled: the program that takes steps.
        steps: the least number of steps to trace after compilation; 0 for none.
        run: the run's folder.
    """
    if not steps:
        yield compiled
        return
    calls, left = 0, steps

    def run_traced(
        state: TrainState, table: Table | None, batches: Batches, first: int
    ) -> tuple[TrainState, dict[str, Array]]:
        nonlocal calls, left
        if calls == WARM:
            jax.block_until_ready(state)
            jax.profiler.start_trace(run / FOLDER, create_perfetto_trace=True)
        state, metrics = compiled(state, table, batches, first)
        calls += 1
        if calls > WARM and left > 0:
            left -= len(metrics["loss"])
            if left <= 0:
                jax.block_until_ready(state)
                jax.profiler.stop_trace()
        return state, metrics

    try:
        yield run_traced
    finally:
        if calls > WARM and left > 0:  # the run ended during the trace
            jax.profiler.stop_trace()
