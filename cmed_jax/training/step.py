"""One step of training, a pure function of the state, the data, and the step's number.

Several steps make one program (`several`), so that a fast device need not wait for the host.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Float16, Integer, PRNGKeyArray, PyTree

from cmed_jax.data.augmentation import AugmentationConfig, augment
from cmed_jax.data.batches import draw_voxels, to_coordinates
from cmed_jax.data.dataset import Examples
from cmed_jax.model.network import Block, Network
from cmed_jax.physics.instrument import Lines


class TrainState(NamedTuple):
    """All that a step changes. The step's number is the host's."""

    parameters: PyTree
    statistics: PyTree
    optimizer: PyTree


class Table(NamedTuple):
    """The training examples as the device holds them: a step gathers its rows and voxels.

    `lines` are there where patterns are measured afresh.
    """

    pattern: Float[Array | np.ndarray, "n 1024"]
    composition: Float[Array | np.ndarray, "n 119"]
    density: Float16[Array | np.ndarray, "n a b c"]
    scale: Float[Array | np.ndarray, " n"]
    lines: Lines | None = None

    @classmethod
    def of(cls, examples: Examples, lines: Lines | None = None) -> "Table":
        """Return the table of a split; densities stay float16, in units of `scale`.

        Raises:
            ValueError: numbers are not finite; their materials are named.
        """
        stored = (examples.pattern, examples.composition, examples.density, examples.density_scale)
        finite = [all(np.isfinite(x).all() for x in row) for row in zip(*stored, strict=True)]
        if not all(finite):
            raise ValueError(
                f"the records of {', '.join(examples.material_id[~np.array(finite)])} hold numbers "
                "that are not finite: build the dataset again without these materials"
            )
        return cls(*stored, lines)


Batch = Integer[Array, " b"] | Table
"""What a step trains on: rows of a table that lies on the devices, or the examples themselves."""
Batches = Integer[Array | np.ndarray, "k *b"] | Table
"""The batches of k steps; of examples (k *b ...). Under pmap b begins with an axis of devices."""

Precision = Literal["float32", "tf32", "bfloat16"]
MATMUL = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "default"}
"""What JAX calls the precision of products of float32 matrices."""


@dataclass(frozen=True)
class StepConfig:
    """What a step draws, and how it computes.

    Attributes:
        augmentation: artefacts and hidden knowledge.
        shared_voxels: all crystals of a batch are asked at the same voxels, so that what depends
            on the coordinate alone is computed once; else each draws its own (published).
        precision: of the arithmetic; parameters are float32 in every case. tf32 rounds the factors
            of matrix products where the device can, bfloat16 all that the layers compute.
        remat: compute the insides of blocks again on the way back, in less memory and more time.
        accumulate: parts of a batch that are taken one after the other, in the memory of one part.
            The step is that of the whole batch, to rounding; but batch statistics (published) are
            those of a part.
    """

    augmentation: AugmentationConfig = AugmentationConfig()
    shared_voxels: bool = True
    precision: Precision = "float32"
    remat: bool = False
    accumulate: int = 1

    def __post_init__(self):
        if self.accumulate < 1:
            raise ValueError(f"accumulate is {self.accumulate}: give at least 1")


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
    """Return the network's structure, and the state of a run that has not begun."""
    graph, *states = nnx.split(network, nnx.Param, ...)
    parameters, statistics = states
    return graph, TrainState(parameters, statistics, optimizer.init(parameters))


def make_step(
    graph: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    config: StepConfig,
    seed: int,
    axis_name: str | None = None,
) -> Step:
    """Return step(state, table, batch, places, number) -> (state, metrics).

    `batch` are rows of the table, or examples where there is none, and `places` their places in the
    global batch. Random numbers depend on (seed, number, place) alone, so they are the same however
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
                terms = _losses(network, table, batch, places, key, config)
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
    """Return gradient, statistics and metrics of a batch whose parts are taken one by one."""
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
    metrics have an axis of steps in front; `first` is the number of the first step.
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


def _losses(
    network: Network,
    table: Table | None,
    batch: Batch,
    places: Integer[Array, " b"],
    key: PRNGKeyArray,
    config: StepConfig,
) -> dict[str, Array]:
    """Return the mean of each term of the loss over the batch."""
    keys = jax.vmap(lambda place: jax.random.split(jax.random.fold_in(key, place), 3))(places)
    stored: Table
    rows: Integer[Array, " b"] | slice
    stored, rows = (batch, slice(None)) if isinstance(batch, Table) else (cast(Table, table), batch)
    _, *shape = stored.density.shape
    if config.shared_voxels:
        # A place that no example has: the voxels' key is the same on every device.
        voxels = draw_voxels(jax.random.fold_in(key, 2**31 - 1), shape)
    else:
        voxels = jax.vmap(lambda k: draw_voxels(k, shape))(keys[:, 1])
    scale = jnp.asarray(stored.scale[rows])
    density = _look_up(stored.density, rows, voxels).astype(scale.dtype) * scale[:, None]

    lines = jax.tree.map(lambda column: column[rows], stored.lines)
    disturbed = jax.vmap(partial(augment, config=config.augmentation))
    pattern, coverage, composition, knowledge = disturbed(
        keys[:, 0], jnp.asarray(stored.pattern[rows]), lines, jnp.asarray(stored.composition[rows])
    )
    latent = network.encode(pattern, composition, knowledge, coverage)
    noise = jax.vmap(lambda k: jax.random.normal(k, latent.mean.shape[1:]))(keys[:, 2])
    conditioning = network.condition(latent.mean + noise * latent.deviation)
    values = network.values(conditioning, to_coordinates(voxels, shape))
    reconstruction = network.reconstruction_loss(conditioning, values, density, scale)
    return {
        "reconstruction": jnp.mean(reconstruction),
        "latent": jnp.mean(network.latent_loss(latent)),
    }


def _look_up(
    density: Float16[Array | np.ndarray, "n x y z"],
    rows: Integer[Array, " b"] | slice,
    voxels: Integer[Array, "*b p 3"],
) -> Float16[Array, "b p"]:
    """Return the densities of some rows, or of all in their order, at voxels."""
    if isinstance(rows, slice):  # mapped over the crystals, so that each device looks up its own
        own = 0 if voxels.ndim == 3 else None
        return jax.vmap(lambda grid, where: grid[tuple(where.T)], (0, own))(density, voxels)
    return jnp.asarray(density)[rows[:, None], *jnp.moveaxis(voxels, -1, 0)]


def compute_as(config: StepConfig, network: Network) -> None:
    """Let a network compute in the precision and with the memory that are asked for.

    In bfloat16 sums over features and batches, parameters and their gradients stay float32.
    """
    for _, module in nnx.iter_modules(network):
        if config.precision == "bfloat16" and hasattr(module, "dtype"):
            module.dtype = jnp.bfloat16
        if isinstance(module, Block):
            module.remat = config.remat
