"""The trace holds some steps after compilation, and nothing else."""

import gzip
import json

import jax
import jax.numpy as jnp

from cmed_jax.training.profile import WARM, traced
from cmed_jax.training.step import TrainState


@jax.jit
def steps(state, table, batches, first):
    counted = state._replace(parameters=state.parameters + jnp.sum(batches))
    return counted, {"loss": jnp.zeros(len(batches))}


def run(folder, dispatches, asked):
    with traced(steps, asked, folder) as compiled:
        state = TrainState(jnp.zeros(()), {}, {})
        for number in range(dispatches):
            state, _ = compiled(state, None, jnp.ones((3, 2), int), 3 * number)
    return state.parameters


def events(folder):
    (path,) = folder.glob("profile/plugins/profile/*/perfetto_trace.json.gz")
    with gzip.open(path) as file:
        return [event.get("name", "") for event in json.load(file)["traceEvents"]]


def test_a_trace_is_written_for_both_viewers(tmp_path):
    """Two dispatches of three steps are traced for four requested steps."""
    assert run(tmp_path, WARM + 4, 4) == 6 * (WARM + 4)
    assert list(tmp_path.glob("profile/plugins/profile/*/*.xplane.pb"))
    assert "PjitFunction(steps)" in events(tmp_path)


def test_a_run_that_ends_before_is_traced_so_far(tmp_path):
    run(tmp_path, WARM + 1, 100)
    assert events(tmp_path)


def test_without_a_trace_nothing_is_written(tmp_path):
    run(tmp_path, WARM + 2, 0)
    run(tmp_path, WARM, 5)
    assert not list(tmp_path.iterdir())
