"""The loss of a step."""

from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float16, Integer, Key, PRNGKeyArray

from cmed_jax.config import StepConfig
from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.augmentation import augment, augment_reflections, forgotten
from cmed_jax.data.batches import draw_voxels, to_coordinates
from cmed_jax.data.memory import Recalled
from cmed_jax.data.query import Query
from cmed_jax.model.network import Network
from cmed_jax.physics.amplitudes import Amplitudes
from cmed_jax.physics.density import GRID
from cmed_jax.physics.log_series import basis, density_of_logarithm
from cmed_jax.training.table import Batch, Reflections, Table

Rows = Integer[Array, " b"] | slice


class Task(NamedTuple):
    """What a step asks of a network, and the truth.

    Attributes:
        query: the queries.
        recalled: the known crystals of each; None for a network that reads the published pattern.
        coordinates: fractional coordinates of the voxel queries, shared by all crystals (p 3) or
            different for each (b p 3).
        density: the densities there, e/angstrom^3.
    """

    query: Query
    recalled: Recalled | None
    coordinates: Float[Array, "*b p 3"]
    density: Float[Array, "b p"]


def loss_terms(
    network: Network,
    table: Table | None,
    batch: Batch,
    places: Integer[Array, " b"],
    key: PRNGKeyArray,
    config: StepConfig,
) -> dict[str, Array]:
    """Return the mean of each term of the loss over the batch."""
    keys = jax.vmap(lambda place: jax.random.split(jax.random.fold_in(key, place), 4))(places)
    task = task_of(table, batch, keys, key, config)
    latent = network.encode(task.query, task.recalled)
    noise = jax.vmap(lambda k: jax.random.normal(k, latent.mean.shape[1:]))(keys[:, 2])
    conditioning = network.condition(latent.mean + noise * latent.deviation)
    reconstruction = network.reconstruction_loss(conditioning, task.coordinates, task.density)
    return {
        "reconstruction": jnp.mean(reconstruction),
        "latent": jnp.mean(network.latent_loss(latent)),
    }


def task_of(
    table: Table | None,
    batch: Batch,
    keys: Key[Array, "b 4"],
    key: PRNGKeyArray,
    config: StepConfig,
) -> Task:
    """Return the task of a step.

    Args:
        table: the training examples; None where the batch holds them.
        batch: rows of the table, or examples.
        keys: random keys of each example: for its measurement, its voxels, its latent, and what
            it recalls.
        key: random key of the step, for the voxels that all examples share.
        config: the random choices of a step.
    """
    stored: Table
    rows: Rows
    stored, rows = (batch, slice(None)) if isinstance(batch, Table) else (cast(Table, table), batch)
    shape = GRID if stored.density is None else stored.density.shape[1:]
    if config.shared_voxels:
        # No example has this place: the voxels' key is the same on every device.
        voxels = draw_voxels(jax.random.fold_in(key, 2**31 - 1), shape)
    else:
        voxels = jax.vmap(lambda k: draw_voxels(k, shape))(keys[:, 1])
    coordinates = to_coordinates(voxels, shape)
    recalled = None
    if stored.reflections is not None:
        query, recalled = _reflections(stored, stored.reflections, rows, keys, config)
        density = _of_series(stored.reflections.series[rows], coordinates)
    else:
        query = _patterns(stored, rows, keys[:, 0], config)
        scale = jnp.asarray(stored.scale)[rows]
        density = (
            _look_up(cast(Array, stored.density), rows, voxels).astype(scale.dtype) * scale[:, None]
        )
    return Task(query, recalled, coordinates, density)


def _patterns(stored: Table, rows: Rows, keys: Array, config: StepConfig) -> Query:
    """Return the queries of a network that reads the published pattern."""
    lines = jax.tree.map(lambda column: column[rows], stored.lines)
    disturbed = jax.vmap(partial(augment, config=config.augmentation))
    pattern, coverage, composition, knowledge = disturbed(
        keys, jnp.asarray(stored.pattern)[rows], lines, jnp.asarray(stored.composition[rows])
    )
    nothing = jnp.zeros((len(pattern), 0))
    return Query(pattern, composition, knowledge, coverage, nothing, nothing, nothing, nothing)


def _reflections(
    stored: Table,
    reflections: Reflections,
    rows: Rows,
    keys: Key[Array, "b 4"],
    config: StepConfig,
) -> tuple[Query, Recalled]:
    """Return the queries of a network that reads reflections, and the crystals they recall.

    Crystals are recalled by the composition only where the query tells it in full.
    """

    def column(name: str, rows: Integer[Array, "*b"] | slice) -> Float[Array, "..."]:
        return jnp.asarray(getattr(reflections, name))[rows].astype(jnp.float32)

    ideal = Amplitudes(column("amplitude", rows), column("observed", rows))
    disturbed = jax.vmap(partial(augment_reflections, config=config.augmentation))
    lattice, amplitudes, composition, knowledge = disturbed(
        keys[:, 0], column("lattice", rows), ideal, jnp.asarray(stored.composition)[rows]
    )
    nothing = jnp.zeros((len(composition), 0))
    query = Query(nothing, composition, knowledge, nothing, lattice, *amplitudes, nothing)
    with_ratios = (knowledge == Knowledge.FULL)[:, None]
    both = jnp.asarray(reflections.neighbours)[rows]
    near = jnp.where(with_ratios, both[:, 0], both[:, 1])
    present = jax.vmap(forgotten)(keys[:, 3], (near >= 0).astype(jnp.float32))
    recalled = Recalled(
        column("lattice", near),
        column("amplitude", near),
        jnp.asarray(stored.composition)[near],
        column("series", near),
        present,
    )
    return query, recalled


def _of_series(
    series: Float16[Array | np.ndarray, "b t"], coordinates: Float[Array, "*b p 3"]
) -> Float[Array, "b p"]:
    """Return the densities of series at coordinates, e/angstrom^3."""
    terms = jax.vmap(basis) if coordinates.ndim == 2 else jax.vmap(jax.vmap(basis))
    values = jnp.einsum(
        "bt,pt->bp" if coordinates.ndim == 2 else "bt,bpt->bp",
        jnp.asarray(series).astype(jnp.float32),
        terms(coordinates),
        precision="highest",  # the truth is not rounded where the network is
    )
    return density_of_logarithm(values)


def _look_up(
    density: Float16[Array | np.ndarray, "n x y z"],
    rows: Rows,
    voxels: Integer[Array, "*b p 3"],
) -> Float16[Array, "b p"]:
    """Return the densities of some rows, or of all in their order, at voxels."""
    if isinstance(rows, slice):  # mapped over crystals, so that each device reads its own
        own = 0 if voxels.ndim == 3 else None
        return jax.vmap(lambda grid, where: grid[tuple(where.T)], (0, own))(density, voxels)
    return jnp.asarray(density)[rows[:, None], *jnp.moveaxis(voxels, -1, 0)]
