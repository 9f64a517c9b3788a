"""The examples and voxels of a training step, as functions of the seed and the step alone."""

from collections.abc import Sequence
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, Integer, PRNGKeyArray

CELLS = 10
"""The number of boxes along each axis of the cell; a voxel is drawn from each (as published)."""
QUERIES = CELLS**3
"""The number of voxel queries of one crystal in one step."""


class Rows:
    """The rows of the training split for each step: epochs in an order shuffled by the seed."""

    def __init__(self, examples: int, batch: int, seed: int):
        """Raise ValueError where a batch is larger than the split."""
        if not 0 < batch <= examples:
            raise ValueError(
                f"a batch of {batch} crystals cannot be drawn from {examples}: "
                f"choose a batch size from 1 to {examples}"
            )
        self._examples, self._batch, self._seed = examples, batch, seed

    def __getitem__(self, step: int) -> Int32[np.ndarray, " b"]:
        """Return the rows of a step, counted from 0; a batch may reach into the next epoch."""
        epoch, start = divmod(step * self._batch, self._examples)
        rows = _shuffled(self._examples, self._seed, epoch)[start : start + self._batch]
        missing = self._batch - len(rows)
        if not missing:
            return rows
        following = _shuffled(self._examples, self._seed, epoch + 1)[:missing]
        return np.concatenate([rows, following])


@lru_cache(maxsize=4)
def _shuffled(examples: int, seed: int, epoch: int) -> Int32[np.ndarray, " n"]:
    """Return the order of one epoch, as a read-only array that all steps share."""
    order = np.random.default_rng((seed, epoch)).permutation(examples).astype(np.int32)
    order.flags.writeable = False
    return order


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
