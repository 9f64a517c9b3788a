"""The order of the loop: log, validate, save and stop."""

import dataclasses
import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from cmed_jax.config import LoopConfig, StepConfig
from cmed_jax.data.batches import Rows
from cmed_jax.data.dataset import load_compact_examples
from cmed_jax.training import speed
from cmed_jax.training.checkpoint import Checkpoints
from cmed_jax.training.inputs import Inputs, open_inputs, reflection_inputs
from cmed_jax.training.log import Log
from cmed_jax.training.loop import Diverged, dispatches, fit
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.speed import Throughput
from cmed_jax.training.step import TrainState, initial_state, make_step
from cmed_jax.training.stop import StopRequest
from tests.networks import TINY, PatternReader

EVERY = LoopConfig(log_every=2, validate_every=4, checkpoint_every=3)

INPUTS = Inputs(np.array([]), Rows(9, 2, 0), None, lambda rows: rows, DataParallel())


class Recorder(Checkpoints):
    """Checkpoints that record the states passed to `save`."""

    def __init__(self):
        self.saved = []

    def save(self, step, state, metrics):
        self.saved.append((step, state.parameters, metrics))

    def wait(self):
        self.saved.append("waited")


@pytest.fixture
def run(tmp_path):
    """Run the loop over a state that counts its steps."""

    def run(*, first=0, steps=10, config=EVERY, stop=None, then=lambda number, metrics: metrics):
        speed = Throughput(first, queries=1, flops=1.0, peak=None)
        checkpoints, log = Recorder(), Log(tmp_path, first, steps, speed)

        def step(state, table, batches, number):
            assert state.parameters == number
            metrics = []
            for rows in batches:
                assert (rows == INPUTS.rows[number]).all()
                found = {"loss": jnp.float32(number + 0.5), "gradient_norm": jnp.float32(1)}
                metrics.append(then(number, found))
                number += 1
            return TrainState(number, {}, {}), jax.tree.map(lambda *x: jnp.stack(x), *metrics)

        with log:
            reached = fit(
                step,
                TrainState(first, {}, {}),
                INPUTS,
                first=first,
                steps=steps,
                config=config,
                log=log,
                checkpoints=checkpoints,
                validate=lambda state: {"ssim": state.parameters / 10},
                stop=stop or StopRequest(),
            )
        return reached, checkpoints.saved

    metrics = tmp_path / "metrics.jsonl"
    run.lines = lambda: [json.loads(line) for line in metrics.read_text().splitlines()]
    return run


def test_it_validates_and_saves_every_so_often_and_at_the_end(run):
    reached, saved = run()
    assert reached == 10
    scores = {4: {"ssim": 0.4}, 8: {"ssim": 0.8}, 10: {"ssim": 1.0}}
    assert saved == [(n, n, scores.get(n)) for n in (3, 4, 6, 8, 9, 10)] + ["waited"]


@pytest.mark.parametrize("number", [2, 3, 7, 100])
def test_several_steps_in_a_dispatch_change_nothing_of_it(run, number):
    once, alone = run(), [line["step"] for line in run.lines()]
    config = dataclasses.replace(EVERY, steps_per_dispatch=number)
    assert run(config=config) == once
    assert [line["step"] for line in run.lines()] == alone


def test_dispatches_end_where_something_is_due():
    config = LoopConfig(validate_every=10, checkpoint_every=4, steps_per_dispatch=3)
    ends = [span.stop for span in dispatches(5, 21, config)]
    assert ends == [8, 10, 12, 15, 16, 19, 20, 21]


def test_it_logs_every_so_often_with_the_number_of_steps_done(run):
    run()
    training = [(line["step"], line["loss"]) for line in run.lines() if "loss" in line]
    assert training == [(n, n - 0.5) for n in (2, 4, 6, 8, 10)]
    validation = [(n["step"], n["validation/ssim"]) for n in run.lines() if "loss" not in n]
    assert validation == [(4, 0.4), (8, 0.8), (10, 1.0)]


def test_the_time_in_which_a_checkpoint_is_handed_over_is_no_time_of_steps(run, monkeypatch):
    """Each step takes a second and each checkpoint a hundred, of a clock that is set here."""
    now = [0.0]
    monkeypatch.setattr(speed.time, "monotonic", lambda: now[0])

    def take(seconds):
        now[0] += seconds

    monkeypatch.setattr(Recorder, "save", lambda self, *given: take(100))
    run(then=lambda number, metrics: take(1) or metrics)
    rates = [n["voxel_queries_per_second"] for n in run.lines() if "loss" in n]
    assert len(rates) == 5
    assert min(rates) > 0.5


def test_it_goes_on_after_the_first_step(run):
    reached, saved = run(first=7)
    assert reached == 10
    assert [step for step, *_ in saved[:-1]] == [8, 9, 10]


def test_a_run_that_is_done_does_nothing(run):
    assert run(first=10) == (10, ["waited"])
    assert run.lines() == []


def test_asked_to_stop_it_saves_the_step_that_it_is_in(run):
    stop = StopRequest()

    def ask(number, metrics):
        stop.signal = signal.SIGTERM if number == 4 else None
        return metrics

    reached, saved = run(stop=stop, then=ask)
    assert reached == 5
    assert saved == [(3, 3, None), (4, 4, {"ssim": 0.4}), (5, 5, None), "waited"]


@pytest.mark.parametrize("name", ["loss", "gradient_norm"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_run_that_diverges_ends_and_saves_no_more(run, name, value):
    def diverge(number, metrics):
        return metrics | {name: jnp.float32(value)} if number == 5 else metrics

    with pytest.raises(Diverged, match=f"{name} of step 6 is {value}: .* lower learning rate"):
        run(then=diverge)
    assert [line["step"] for line in run.lines() if "loss" in line] == [2, 4]


def test_a_state_that_has_diverged_is_not_saved(run, monkeypatch):
    saved = []
    monkeypatch.setattr(Recorder, "save", lambda self, step, *rest: saved.append(step))
    every = LoopConfig(checkpoint_every=1)
    with pytest.raises(Diverged):
        run(
            config=every,
            then=lambda n, m: m | {"gradient_norm": jnp.float32(1 if n < 3 else jnp.nan)},
        )
    assert saved == [1, 2, 3]


@pytest.fixture
def only_explicit_transfers():
    """Allow only explicit transfers between host and device, in every thread."""
    with jax.transfer_guard("disallow"):
        jax.config.update("jax_transfer_guard", "disallow")
        yield
        jax.config.update("jax_transfer_guard", "allow")


@pytest.mark.parametrize("mode", ["reflections", "streaming"])
def test_a_steady_loop_moves_nothing_but_batches_and_metrics(dataset, tmp_path, request, mode):
    parallel = DataParallel(devices=jax.devices()[:1])
    if mode == "reflections":
        examples = load_compact_examples(dataset, "train")
        inputs = reflection_inputs(examples, TINY.recalled, parallel, 4, 0)
        network = TINY.build(nnx.Rngs(0))
    else:
        inputs = open_inputs(str(dataset), mode, None, parallel, 4, 0)
        network = PatternReader(nnx.Rngs(0))
    inputs = inputs.placed()
    optimizer = optax.sgd(1e-3)
    graph, state = initial_state(network, optimizer)
    step = parallel.compile(make_step(graph, optimizer, StepConfig(), 0))

    def run(first, state):
        """Six steps in three dispatches; the last one is validated, and donates the state."""
        reached = []
        with Log(tmp_path, first, first + 6, Throughput(first, 1, 1.0, None)) as log:
            fit(
                step,
                state,
                inputs,
                first=first,
                steps=first + 6,
                config=LoopConfig(log_every=1, steps_per_dispatch=2),
                log=log,
                checkpoints=Recorder(),
                validate=lambda state: reached.append(state) or {"ssim": 1.0},
                stop=StopRequest(),
            )
        return reached[0]

    state = run(0, parallel.place(state))  # compiles
    request.getfixturevalue("only_explicit_transfers")
    with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
        jax.jit(jnp.cos)(np.zeros(3))
    run(6, state)


@pytest.mark.parametrize(
    "name",
    [
        "log_every",
        "validate_every",
        "validation_materials",
        "checkpoint_every",
        "steps_per_dispatch",
    ],
)
def test_intervals_are_at_least_one(name):
    with pytest.raises(ValueError, match=f"{name} is 0: give at least 1"):
        LoopConfig(**{name: 0})
