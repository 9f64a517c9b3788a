"""The loss of a step."""

from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float16, Integer, PRNGKeyArray

from cmed_jax.config import StepConfig
from cmed_jax.data.augmentation import augment
from cmed_jax.data.batches import draw_voxels, to_coordinates
from cmed_jax.model.network import Network
from cmed_jax.training.table import Batch, Table


def loss_terms(
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
        # No example has this place: the voxels' key is the same on every device.
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
    if isinstance(rows, slice):  # mapped over crystals, so that each device reads its own
        own = 0 if voxels.ndim == 3 else None
        return jax.vmap(lambda grid, where: grid[tuple(where.T)], (0, own))(density, voxels)
    return jnp.asarray(density)[rows[:, None], *jnp.moveaxis(voxels, -1, 0)]
