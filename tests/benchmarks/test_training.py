"""The parts of a step: their programs compute all that a step computes."""

import dataclasses

import jax

from benchmarks import training as study
from cmed_jax.cli import PRESETS
from cmed_jax.data.batches import QUERIES
from cmed_jax.training.inputs import reflection_inputs
from cmed_jax.training.parallel import DataParallel
from tests.networks import TINY
from tests.synthetic import synthetic_examples

BATCH = 2


def test_nothing_is_computed_ahead_of_the_measurement(monkeypatch):
    """What XLA knows as a constant it computes when it compiles, and no time is measured for it."""
    config = dataclasses.replace(PRESETS["demo"][1], network=TINY, batch=BATCH)
    examples = synthetic_examples(3, seed=0)
    inputs = reflection_inputs(examples, TINY.recalled, DataParallel(), BATCH, 0)
    constants, times = [], iter([1.0, 3.0, 8.0])

    def seconds(program, arguments, repetitions):
        traced = program.trace(*arguments).jaxpr
        constants.extend(value.shape for value in jax.tree.leaves(traced.consts))
        shapes = [value.aval.shape for value in traced.jaxpr.invars]
        assert (BATCH, QUERIES) in shapes  # the densities of the voxel queries
        assert (QUERIES, 3) in shapes  # their coordinates
        return next(times)

    monkeypatch.setattr(study, "seconds", seconds)
    found = study.parts(config, inputs, 10.0, 1)
    assert found == {"encoder": 1.0, "decoder": 2.0, "way back": 5.0, "rest": 2.0}
    assert not any(QUERIES in shape for shape in constants)
