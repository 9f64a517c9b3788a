"""The programs that are compiled: the training step, the prediction, and the physics.

Every program is a function of shapes alone; no array is made.
"""

import dataclasses
import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import numpy as np
from flax import nnx
from jax.sharding import SingleDeviceSharding
from jaxtyping import Array, PyTree

from cmed_jax.cli import PRESETS
from cmed_jax.config import Precision
from cmed_jax.data.memory import Recalled
from cmed_jax.data.query import Query
from cmed_jax.model.network import CHUNK, QUERIES, predict
from cmed_jax.model.presets import NetworkConfig
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import B_FACTOR, GRID, synthesis
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.physics.log_series import TERMS
from cmed_jax.physics.reflections import BLOCK, ROW, _squared
from cmed_jax.training.optimizer import make_optimizer
from cmed_jax.training.parallel import DataParallel
from cmed_jax.training.step import initial_state, make_step
from cmed_jax.training.table import Reflections, Table

Input = Literal["resident", "streaming"]

SITES, SPECIES = 64, 4
"""The padded numbers of sites and species of the crystals in the physics."""


@dataclass(frozen=True)
class Call:
    """A function that JAX compiles, and the shapes of its arguments.

    Attributes:
        function: the function.
        arguments: the shapes.
        loops: number of iterations of the loop in which it spends its time.
    """

    function: Any
    arguments: tuple[PyTree, ...]
    loops: int = 1


single = partial(jax.ShapeDtypeStruct, dtype=np.float32)
half = partial(jax.ShapeDtypeStruct, dtype=np.float16)
whole = partial(jax.ShapeDtypeStruct, dtype=np.int32)


def table_of(network: NetworkConfig, n: int) -> Table:
    """Return the shapes of a table of n materials."""
    if not network.reads_reflections:
        return Table(single((n, 119)), single((n, 1024)), half((n, *GRID)), single((n,)))
    read = len(harmonics())
    reflections = Reflections(
        single((n, 3, 3)),
        half((n, read)),
        half((n, read)),
        half((n, TERMS)),
        whole((n, 2, network.recalled)),
    )
    return Table(single((n, 119)), reflections=reflections)


def training_step(
    preset: str,
    devices: list[jax.Device],
    *,
    batch: int,
    materials: int,
    precision: Precision = "float32",
    held: Input = "resident",
) -> Call:
    """Return the training step of a preset over all devices, as `cmed_jax.train` takes it.

    Args:
        preset: name of the preset.
        devices: the devices.
        batch: crystals in a step, over all devices.
        materials: crystals of the training split.
        precision: precision of the arithmetic.
        held: place of the training split.
    """
    _, config = PRESETS[preset]
    step = dataclasses.replace(config.step, precision=precision)
    parallel = DataParallel(devices=devices)
    optimizer = make_optimizer(config.optimizer, config.steps)
    graph, state = nnx.eval_shape(
        lambda: initial_state(config.network.build(nnx.Rngs(0)), optimizer)
    )
    table, batches = table_of(config.network, materials), whole((1, batch))
    if held == "streaming":
        batches = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), table_of(config.network, batch)
        )
    program = parallel.compile(make_step(graph, optimizer, step, config.seed))
    arguments = program.arguments(
        parallel.abstract(state),
        parallel.abstract_table(None if held == "streaming" else table),
        parallel.abstract_batches(batches),
    )
    return Call(program.steps, arguments)


def prediction(preset: str, device: jax.Device, *, batch: int) -> Call:
    """Return the prediction of full grids on one device, in float32 as every prediction."""
    _, config = PRESETS[preset]
    graph, state = nnx.split(nnx.eval_shape(lambda: config.network.build(nnx.Rngs(0))))
    read = len(harmonics())
    query = Query(
        single((batch, 0 if config.network.reads_reflections else 1024)),
        single((batch, 119)),
        whole((batch,)),
        single((batch, 0 if config.network.reads_reflections else 1024)),
        single((batch, 3, 3)),
        single((batch, read)),
        single((batch, read)),
        single((batch, 0)),
    )
    recalled = None
    if config.network.reads_reflections:
        known = config.network.recalled
        recalled = Recalled(
            single((batch, known, 3, 3)),
            single((batch, known, read)),
            single((batch, known, 119)),
            single((batch, known, TERMS)),
            single((batch, known)),
        )
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), batch))

    def densities(state: PyTree, query: Query, recalled: Recalled | None, keys: Array) -> Array:
        network = nnx.merge(graph, state)
        network.eval()
        return predict(network, query, recalled, shape=GRID, keys=keys)

    parts = -(-math.prod(GRID) // min(CHUNK, QUERIES // batch))
    return Call(jax.jit(densities), on(device, (state, query, recalled, keys)), parts)


def physics_reflections(device: jax.Device, *, rows: int) -> Call:
    """Return |F|^2 of rows of reflections, in float32 as the dataset stores them."""
    function = partial(_squared, "pymatgen")
    arguments = (
        whole(()),
        single(()),
        jax.ShapeDtypeStruct((rows, ROW, 3), np.int16),
        whole((rows, SPECIES)),
        single((rows, 3, 3)),
        single((rows, SPECIES, SITES)),
        single((rows, SITES, 3)),
    )
    return Call(jax.jit(function), on(device, arguments), SITES // BLOCK)


def physics_densities(device: jax.Device, *, batch: int) -> Call:
    """Return the densities of a batch of crystals on full grids."""
    crystals = Crystal(
        single((batch, 3, 3)),
        whole((batch, SPECIES)),
        single((batch, SPECIES, SITES)),
        single((batch, SITES, 3)),
    )

    def densities(crystals: Crystal) -> Array:
        return jax.vmap(lambda one: synthesis(one, B_FACTOR, shape=GRID))(crystals)

    return Call(jax.jit(densities), on(device, (crystals,)))


def on(device: jax.Device, tree: PyTree) -> PyTree:
    """Return shapes on one device."""
    there = SingleDeviceSharding(device)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=there), tree)
