"""One step of training, a pure function of the state, the data, and the step's number.

Several steps form one program (`several`), so that a fast device need not wait for the host.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Integer, PyTree

from cmed_jax.config import StepConfig
from cmed_jax.model.network import Block, Network
from cmed_jax.training.loss import loss_terms
from cmed_jax.training.table import Batch, Batches, Table


class TrainState(NamedTuple):
    """Everything that a step changes; the host counts the steps."""

    parameters: PyTree
    statistics: PyTree
    optimizer: PyTree


MATMUL = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "default"}
"""JAX's names for the precision of products of float32 matrices."""

Step = Callable[
    [TrainState, Table | None, Batch, Integer[Array, " b"], Integer[Array, ""]],
    tuple[TrainState, dict[str, Array]],
]
Descend = Callable[[PyTree, Batch, Integer[Array, " p"]], tuple[PyTree, PyTree, dict[str, Array]]]
Steps = Callable[
    [TrainState, Table | None, Batches, Integer[Array, ""]], tuple[TrainState, dict[str, Array]]
]


def initial_state(
    network: Network, optimizer: optax.GradientTransformation
) -> tuple[nnx.GraphDef, TrainState]:
    """Return the network's structure, and the state at the start of a run."""
    graph, *states = nnx.split(network, nnx.Param, ...)
    parameters, statistics = states
    return graph, TrainState(parameters, statistics, optimizer.init(parameters))


def make_step(
    graph: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    config: StepConfig,
    seed: int | Integer[Array, ""],
    axis_name: str | None = None,
) -> Step:
    """Return step(state, table, batch, places, number) -> (state, metrics).

    `batch` are rows of the table, or examples where there is none. `places` are their places in the
    global batch. Random numbers depend on (seed, number, place) alone, so they do not depend on how
    the batch is divided over devices. Under `axis_name` (pmap) gradients and metrics are averaged
    over it.
    """

    def average(tree: PyTree) -> PyTree:
        return jax.lax.pmean(tree, axis_name) if axis_name else tree

    def step(
        state: TrainState,
        table: Table | None,
        batch: Batch,
        places: Integer[Array, " b"],
        number: Integer[Array, ""],
    ) -> tuple[TrainState, dict[str, Array]]:
        key = jax.random.fold_in(jax.random.key(seed), number)

        def descend(
            statistics: PyTree, batch: Batch, places: Integer[Array, " p"]
        ) -> tuple[PyTree, PyTree, dict[str, Array]]:
            def loss(parameters: PyTree) -> tuple[Array, tuple[PyTree, dict[str, Array]]]:
                network = nnx.merge(graph, parameters, statistics, copy=True)
                network.train()
                compute_as(config, network)
                terms = loss_terms(network, table, batch, places, key, config)
                total = jnp.sum(jnp.stack(list(terms.values())))
                return total, (nnx.state(network, nnx.Not(nnx.Param)), {"loss": total, **terms})

            with jax.default_matmul_precision(MATMUL[config.precision]):
                gradient, (after, metrics) = jax.grad(loss, has_aux=True)(state.parameters)
            return gradient, after, metrics

        gradient, statistics, metrics = _in_parts(descend, state, batch, places, config.accumulate)
        gradient, metrics = average(gradient), average(metrics)
        updates, moments = optimizer.update(gradient, state.optimizer, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        metrics["gradient_norm"] = optax.tree.norm(gradient)
        return TrainState(parameters, statistics, moments), metrics

    return step


def _in_parts(
    descend: Descend,
    state: TrainState,
    batch: Batch,
    places: Integer[Array, " b"],
    count: int,
) -> tuple[PyTree, PyTree, dict[str, Array]]:
    """Return gradient, statistics and metrics of a batch that is processed in parts."""
    if count == 1:
        return descend(state.statistics, batch, places)

    def one(
        before: tuple[PyTree, PyTree], part: tuple[Batch, Array]
    ) -> tuple[tuple[PyTree, PyTree], dict[str, Array]]:
        total, statistics = before
        gradient, statistics, metrics = descend(statistics, *part)
        return (jax.tree.map(jnp.add, total, gradient), statistics), metrics

    # Neighbours go to different parts, so that every device has its share of each.
    parts = jax.tree.map(
        lambda x: jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, 0), (batch, places)
    )
    nothing = jax.tree.map(jnp.zeros_like, state.parameters)
    (total, statistics), metrics = jax.lax.scan(one, (nothing, state.statistics), parts)
    gradient = jax.tree.map(lambda x: x / count, total)
    return gradient, statistics, {name: jnp.mean(x) for name, x in metrics.items()}


def several(step: Step, axis_name: str | None = None) -> Steps:
    """Return steps(state, table, batches, first) -> (state, metrics), one program for all of them.

    `batches` are rows of the table, or examples where there is none. Their arrays and those of the
    metrics have a leading axis of steps; `first` is the number of the first step.
    """

    def steps(
        state: TrainState, table: Table | None, batches: Batches, first: Integer[Array, ""]
    ) -> tuple[TrainState, dict[str, Array]]:
        count, size = jax.tree.leaves(batches)[0].shape[:2]
        places = jnp.arange(size)
        if axis_name:
            places += size * jax.lax.axis_index(axis_name)

        def one(
            state: TrainState, now: tuple[PyTree, Integer[Array, ""]]
        ) -> tuple[TrainState, dict[str, Array]]:
            batch, number = now
            return step(state, table, batch, places, number)

        return jax.lax.scan(one, state, (batches, first + jnp.arange(count)))

    return steps


def compute_as(config: StepConfig, network: Network) -> None:
    """Set the precision and the rematerialisation of a network.

    In bfloat16, sums over features and batches, parameters and their gradients stay float32.
    """
    for _, module in nnx.iter_modules(network):
        if config.precision == "bfloat16" and hasattr(module, "dtype"):
            module.dtype = jnp.bfloat16
        if isinstance(module, Block):
            module.remat = config.remat
