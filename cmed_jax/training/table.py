"""The table of training examples on the devices, and the batches that a step takes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Float16, Integer

from cmed_jax.data.examples import Examples
from cmed_jax.physics.instrument import Lines


class Table(NamedTuple):
    """The training examples in the form held by the device: a step gathers its rows and voxels.

    `lines` is set where patterns are measured afresh.
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
            ValueError: numbers are not finite; the error names their materials.
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
"""The input of a step: rows of a table that is on the devices, or the examples themselves."""

Batches = Integer[Array | np.ndarray, "k *b"] | Table
"""The batches of k steps; for examples (k *b ...). Under pmap b begins with an axis of devices."""
