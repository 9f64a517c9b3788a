"""Which examples and which voxels a step sees: functions of the seed and the step alone."""

from collections.abc import Sequence

import grain
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PRNGKeyArray

CELLS = 10
"""The unit cell is cut into 10 x 10 x 10 boxes, and one voxel is drawn from each (as published)."""
QUERIES = CELLS**3
"""Voxel queries of one crystal in one step."""


class Rows:
    """The rows of the training split that each step trains on: epochs, shuffled by the seed."""

    def __init__(self, examples: int, batch: int, seed: int):
        """Raises ValueError where a batch is larger than the split."""
        if not 0 < batch <= examples:
            raise ValueError(
                f"a batch of {batch} crystals cannot be drawn from {examples}: "
                f"choose a batch size from 1 to {examples}"
            )
        shuffled = grain.MapDataset.range(examples).seed(seed).shuffle().repeat()
        self._batches = shuffled.batch(batch, drop_remainder=True)

    def __getitem__(self, step: int) -> Integer[np.ndarray, " b"]:
        """Return the rows of a step, counted from 0."""
        return self._batches[step].astype(np.int32)


def draw_voxels(key: PRNGKeyArray, shape: Sequence[int]) -> Integer[Array, "p 3"]:
    """Return the grid index of one voxel in each of 10 x 10 x 10 equal boxes of the cell."""
    per_box = jnp.asarray(shape) // CELLS
    boxes = jnp.stack(jnp.meshgrid(*[jnp.arange(CELLS)] * 3, indexing="ij"), axis=-1)
    boxes = boxes.reshape(-1, 3)
    return boxes * per_box + jax.random.randint(key, boxes.shape, 0, per_box)


def to_coordinates(
    voxels: Integer[Array, "*b p 3"], shape: Sequence[int]
) -> Float[Array, "*b p 3"]:
    """Return the fractional coordinates i/n of grid indices."""
    return voxels / jnp.asarray(shape, jnp.float32)
