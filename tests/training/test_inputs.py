"""Resident and streaming inputs: they give the same batches, and neither makes the loop wait."""

from functools import partial

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from cmed_jax.config import StepConfig
from cmed_jax.data.batches import Rows
from cmed_jax.data.dataset import load_compact_examples, load_examples
from cmed_jax.physics.instrument import Lines
from cmed_jax.training import inputs as module
from cmed_jax.training.inputs import open_inputs, reflection_inputs
from cmed_jax.training.loss import task_of
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.step import initial_state, make_step
from tests.networks import PatternReader

BATCH, SEED, STEPS = 4, 3, 12


def opened(dataset, mode, lines=None, parallel=None):
    parallel = parallel or DataParallel(devices=jax.devices()[:1])
    return open_inputs(str(dataset), mode, lines, parallel, BATCH, SEED).placed()


def trained(dataset, mode, spans, how="jit"):
    """Parameters and losses of twelve steps."""
    parallel = DataParallel(how, devices=jax.devices()[:1])
    inputs = opened(dataset, mode, parallel=parallel)
    optimizer = optax.adam(1e-2)

    def begin():
        return initial_state(PatternReader(nnx.Rngs(0)), optimizer)

    graph, _ = nnx.eval_shape(begin)
    step = parallel.compile(make_step(graph, optimizer, StepConfig(), SEED, parallel.axis_name))
    state, losses = parallel.create(lambda: begin()[1]), []
    for span, batches in zip(spans, inputs.batches(spans), strict=True):
        before = state
        state, metrics = step(state, inputs.table, batches, span.start)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before))  # they were donated
        losses.extend(np.asarray(metrics["loss"]))
    return jax.tree.map(np.asarray, (state, losses))


def every(number):
    return [range(start, min(start + number, STEPS)) for start in range(0, STEPS, number)]


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(scope="module")
def alone(dataset):
    """Resident inputs, with one step in a dispatch."""
    return trained(dataset, "resident", every(1))


@pytest.mark.optimised
def test_streaming_trains_as_resident_does(dataset, alone):
    same(trained(dataset, "streaming", every(1)), alone)


@pytest.mark.optimised
def test_several_steps_in_a_dispatch_change_nothing(dataset, alone):
    same(trained(dataset, "resident", every(4)), alone)


def test_several_streamed_steps_in_a_dispatch_of_pmap_are_those_steps(dataset, alone):
    found = trained(dataset, "streaming", every(4), how="pmap")
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), found, alone)


def test_batches_are_those_of_the_steps_in_any_order(dataset):
    """A continued run begins in the middle."""
    examples, rows = load_examples(dataset, "train"), Rows(20, BATCH, SEED)
    rng, shapes = np.random.default_rng(0), ((20, 9), (20, 9), (20, 9, 28))
    lines = Lines(*(rng.random(shape, np.float32) for shape in shapes))
    resident, streaming = (opened(dataset, mode, lines) for mode in ("resident", "streaming"))
    assert streaming.material_id.tolist() == examples.material_id.tolist()
    spans = [range(7, 9), range(2, 3)]
    found = zip(spans, resident.batches(spans), streaming.batches(spans), strict=True)
    for span, places, table in found:
        expected = np.stack([rows[step] for step in span])
        np.testing.assert_array_equal(places, expected)
        np.testing.assert_array_equal(table.composition, examples.composition[expected])
        np.testing.assert_array_equal(table.pattern, examples.pattern[expected])
        np.testing.assert_array_equal(table.density, examples.density[expected])
        np.testing.assert_array_equal(table.scale, examples.density_scale[expected])
        same(table.lines, Lines(*(column[expected] for column in lines)))
    assert resident.table.density.shape == (20, 50, 50, 50)
    same(resident.table.lines, lines)
    assert streaming.table is None


def test_streamed_examples_are_asked_for_voxels_of_their_own_as_rows_are(dataset):
    """The trainings here ask all examples for the same voxels."""
    keys = jax.random.split(jax.random.key(0), (BATCH, 4))

    @jax.jit
    def asked(table, batches):
        batch = jax.tree.map(lambda column: column[0], batches)
        task = task_of(table, batch, keys, keys[0, 0], StepConfig(shared_voxels=False))
        return task.coordinates, task.density

    resident, streaming = (opened(dataset, mode) for mode in ("resident", "streaming"))
    (rows,), (examples,) = (inputs.batches([range(1)]) for inputs in (resident, streaming))
    coordinates, density = asked(None, examples)
    assert len(np.unique(coordinates, axis=0)) == BATCH
    assert (density > 0).any(axis=1).all()
    same((coordinates, density), asked(resident.table, rows))


def test_reflections_are_resident_and_batches_are_their_rows(dataset):
    examples = load_compact_examples(dataset, "train")
    parallel = DataParallel(devices=jax.devices()[:1])
    inputs = reflection_inputs(examples, 3, parallel, BATCH, SEED)
    (batches,) = inputs.batches([range(7, 9)])
    rows = Rows(20, BATCH, SEED)
    np.testing.assert_array_equal(batches, np.stack([rows[7], rows[8]]))
    assert inputs.material_id.tolist() == examples.material_id.tolist()
    np.testing.assert_array_equal(inputs.table.reflections.series, examples.series)
    assert inputs.table.reflections.neighbours.shape == (20, 2, 3)
    with pytest.raises(ValueError, match="a batch of 21 crystals cannot be drawn from 20"):
        reflection_inputs(examples, 3, parallel, 21, SEED)


@pytest.mark.parametrize(("memory", "resident"), [(40e6, True), (4e6, False)])
def test_what_fits_into_half_of_the_memory_is_resident(dataset, monkeypatch, memory, resident):
    """The split has twenty examples of 254,576 bytes."""
    monkeypatch.setattr(module, "device_memory", lambda: memory)
    assert (opened(dataset, "auto").table is not None) == resident


def test_a_record_that_is_not_finite_ends_a_stream_with_its_name(dataset, monkeypatch):
    inputs = opened(dataset, "streaming")
    read = module.Records.read

    def perturbed(self, rows):
        examples = read(self, rows)
        examples.pattern[2] = np.nan
        return examples

    monkeypatch.setattr(module.Records, "read", perturbed)
    name = inputs.material_id[inputs.rows[0][2]]
    with pytest.raises(ValueError, match=f"the records of {name} hold numbers that are not finite"):
        next(inputs.batches(every(1)))


@pytest.mark.parametrize("mode", ["resident", "streaming"])
def test_a_batch_larger_than_the_split_is_an_error(dataset, mode):
    with pytest.raises(ValueError, match="a batch of 21 crystals cannot be drawn from 20"):
        open_inputs(str(dataset), mode, None, DataParallel(), 21, SEED)
