"""Train a network on a dataset: `python -m cmed_jax.train demo --data DIR --run FOLDER`."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from cmed_jax.cli import parse, run_command
from cmed_jax.config import Config
from cmed_jax.data.batches import QUERIES, Rows
from cmed_jax.data.dataset import (
    fingerprint,
    load_compact_examples,
    load_examples,
    number_of_records,
)
from cmed_jax.data.domain import keep_domain
from cmed_jax.data.examples import Examples, evenly_spaced_rows
from cmed_jax.data.lines import load_lines
from cmed_jax.data.measured_query import measured_query
from cmed_jax.data.memory import Memory
from cmed_jax.data.query import Control, Query, full_query
from cmed_jax.evaluation.scoring import evaluate
from cmed_jax.io.integrity import checksum
from cmed_jax.model.generator import network_generator
from cmed_jax.model.network import Network
from cmed_jax.model.standards import Standards
from cmed_jax.physics.instrument import Lines
from cmed_jax.prediction.restore import restore
from cmed_jax.training.checkpoint import Checkpoints
from cmed_jax.training.compilation import programs_kept
from cmed_jax.training.cost import compiled_step, flops_per_step, peak_flops
from cmed_jax.training.folder import keep_identity, locked, written_once
from cmed_jax.training.hosts import (
    broadcast_from_primary,
    check_alike,
    is_primary,
    joined,
    raise_together,
)
from cmed_jax.training.inputs import Inputs, open_inputs, reflection_inputs
from cmed_jax.training.log import Log
from cmed_jax.training.loop import Validate, batch_named, fit, longest_dispatch
from cmed_jax.training.neighbours import FILE as NEIGHBOURS
from cmed_jax.training.optimizer import make_optimizer
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.profile import traced
from cmed_jax.training.speed import Throughput
from cmed_jax.training.step import TrainState, initial_state, make_step
from cmed_jax.training.stop import StopRequest, stop_on_signals


def train(config: Config) -> tuple[int, StopRequest]:
    """Train, or continue, the run of a configuration.

    Returns:
        The step that was reached, and the request to stop, which holds the signal if there was one.

    Raises:
        ValueError: an option does not fit the data or the devices, the folder holds another run or
            is in use, no checkpoint of it can be read, or the loss diverged.
        OSError: a file cannot be written.
        FileNotFoundError: there is no dataset at `config.data`.
    """
    with joined(config.hosts):
        return _train(config)


def _train(config: Config) -> tuple[int, StopRequest]:
    folder = Path(config.run)
    with raise_together():  # no process waits for one that cannot start
        parallel = DataParallel(config.parallel)
        parallel.check_batch(config.batch, config.step.accumulate)
        # Before there is a folder: the batch has to fit the split.
        Rows(number_of_records(config.data, "train"), config.batch, config.seed)
        identity = config.identity() | {"dataset": fingerprint(config.data)}
        given = _initial_weights(config)
        if given is not None:
            identity["initial"] = checksum(given)
    check_alike(identity | {part: config.to_json()[part] for part in ("step", "loop")})

    with locked(folder, identity), stop_on_signals() as stop, programs_kept(folder):
        with raise_together():
            inputs, prepare, memory, control = _open(config, parallel)
            held_out = load_examples(config.data, "validation")
            held_out = held_out.evenly_spaced(config.loop.validation_materials)
            if is_primary():  # last: a run has begun where its dataset could be read
                keep_identity(folder, config.to_json(), identity)
                keep_domain(folder, config.data)
        check_alike({"resident": inputs.table is not None})

        optimizer = make_optimizer(config.optimizer, config.steps)

        def begin(given: PyTree | None) -> tuple[nnx.GraphDef, TrainState]:
            network = config.network.build(nnx.Rngs(config.seed), parallel.axis_name)
            prepare(network)
            if given is not None:
                nnx.update(network, given)
            return initial_state(network, optimizer)

        graph, abstract = nnx.eval_shape(lambda: begin(None))
        step = make_step(graph, optimizer, config.step, config.seed, parallel.axis_name)
        program = parallel.compile(step)
        shapes = parallel.abstract(abstract), parallel.abstract_table(inputs.table)
        batches = inputs.abstract(longest_dispatch(config.steps, config.loop), config.batch)
        with raise_together():
            compiled = compiled_step(program, *shapes, batches)
        inputs = inputs.placed()
        flops = flops_per_step(compiled, len(parallel.devices), config.step.accumulate)
        peak = peak_flops(config.step.precision, parallel.devices)
        parameters = sum(array.size for array in jax.tree.leaves(abstract.parameters))
        print(
            f"{parameters:,} parameters, {len(inputs.material_id):,} materials to train on, "
            f"{len(held_out):,} to validate on\n"
            f"a step takes {_number(flops, ' of')} floating-point operations; in a second "
            f"the devices could do {_number(peak)}",
            flush=True,
        )

        with Checkpoints(folder, config.to_json()) as checkpoints:
            restored = checkpoints.restore(parallel.abstract(abstract))
            first, state = restored or (0, parallel.create(lambda given: begin(given)[1], given))
            speed = Throughput(first, config.batch * QUERIES, flops, peak)
            with (
                written_once(folder) as place,
                Log(place, first, config.steps, speed) as log,
                traced(program, config.profile, place) as steps,
                batch_named(inputs.rows, inputs.material_id),
            ):
                reached = fit(
                    steps,
                    state,
                    inputs,
                    first=first,
                    steps=config.steps,
                    config=config.loop,
                    log=log,
                    checkpoints=checkpoints,
                    validate=_validation(graph, held_out, control(held_out), memory, parallel),
                    stop=stop,
                )
    return reached, stop


def _initial_weights(config: Config) -> PyTree | None:
    """Return the weights, statistics and units that training begins with; None for random ones.

    Raises:
        FileNotFoundError: if there is no such network.
        ValueError: if it differs from the network of the configuration.
    """
    if config.initial is None:
        return None
    restored = restore(config.initial, alone=True)
    if restored.config.network != config.network:
        raise ValueError(
            f"initial is {config.initial}, whose network is {restored.config.network}: give the "
            f"same options to the network to train, which is {config.network}"
        )
    return jax.tree.map(np.asarray, nnx.state(restored.network))  # for any devices


def _number(value: float | None, of: str = "") -> str:
    return f"an unknown number{of}" if value is None else format(value, ".3g")


class Opened(NamedTuple):
    """What a network of a kind is trained and validated with.

    Attributes:
        inputs: the batches.
        prepare: a function that prepares the network before the first step.
        memory: the known crystals that the network recalls; None where it recalls none.
        control: the function that makes the queries of validation.
    """

    inputs: Inputs
    prepare: Callable[[Network], None]
    memory: Memory | None
    control: Control


def _open(config: Config, parallel: DataParallel) -> Opened:
    """Return the inputs of a network: reflections or bins, as it reads."""
    network = config.network
    if not network.reads_reflections:
        lines, control = _measurements(config)
        inputs = open_inputs(config.data, config.input, lines, parallel, config.batch, config.seed)
        return Opened(inputs, lambda network: None, None, control)
    training = load_compact_examples(config.data, "train")
    standards = Standards.of(training, network.harmonics)

    def prepare(built: Network) -> None:
        built.learn_standards(standards)

    kept = Path(config.run) / NEIGHBOURS
    inputs = reflection_inputs(
        training, network.recalled, parallel, config.batch, config.seed, kept
    )
    memory = Memory.of(training) if network.recalled else None
    return Opened(inputs, prepare, memory, full_query)


def _measurements(config: Config) -> tuple[Lines | None, Control]:
    """Return the lines to measure in training, and a control with patterns of the same kind."""
    artefacts = config.step.augmentation.artefacts
    if artefacts is None:
        return None, full_query
    lines, kept = load_lines(config.data, "train", artefacts.s_max)
    print(
        f"patterns are measured afresh from the {lines.s.shape[1]} strongest lines in reach, which "
        f"hold {kept.mean():.1%} of the intensity on average and {kept.min():.1%} at least",
        flush=True,
    )
    held_out, _ = load_lines(config.data, "validation", artefacts.s_max)
    rows = evenly_spaced_rows(len(held_out.s), config.loop.validation_materials)
    few = jax.tree.map(lambda column: column[rows], held_out)
    return lines, measured_query(few, artefacts, seed=config.seed)


def _validation(
    graph: nnx.GraphDef,
    held_out: Examples,
    query: Query,
    memory: Memory | None,
    parallel: DataParallel,
) -> Validate:
    """Return the mean plain scores of the held-out materials as a function of the state.

    The query is made once for all validations, because a control would measure its patterns again
    each time.
    """

    def validate(state: TrainState) -> dict[str, float]:
        parts = parallel.own((state.parameters, state.statistics))
        network = nnx.merge(graph, *parts, copy=True)
        generator = network_generator(network, held_out.density.shape[1:], memory=memory)
        scores = evaluate(generator, held_out, control=lambda _: query)
        means = {name: float(np.mean(values)) for name, values in scores.plain.items()}
        return broadcast_from_primary(means)

    return validate


def main(args: list[str] | None = None) -> int:
    """Run the command; the exit code is 128 + the signal's number where a signal ended it."""
    config = parse(args)
    reached, stop = train(config)
    if is_primary():
        print(
            f"stopped after step {reached}: start the same command again to continue"
            if stop.signal
            else f"done: {config.run} holds the network after {reached} steps"
        )
    return 128 + stop.signal if stop.signal else 0


if __name__ == "__main__":
    run_command(main)
