"""The table of training examples on the devices, and the batches that a step takes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Float16, Integer

from cmed_jax.data.examples import CompactExamples, Examples
from cmed_jax.physics.instrument import Lines
from cmed_jax.training.neighbours import Neighbours, kept_neighbours


class Reflections(NamedTuple):
    """What a network that reads reflections is trained on; each crystal is also a known one.

    Attributes:
        lattice: rows a, b, c, angstrom.
        amplitude: |F| at the harmonics, mean square 1.
        observed: 1 for harmonics in reach, else 0.
        series: Fourier series of the logarithm of the density.
        neighbours: rows of the most similar other crystals.
    """

    lattice: Float[Array | np.ndarray, "n 3 3"]
    amplitude: Float16[Array | np.ndarray, "n h"]
    observed: Float16[Array | np.ndarray, "n h"]
    series: Float16[Array | np.ndarray, "n t"]
    neighbours: Neighbours

    @classmethod
    def of(
        cls, examples: CompactExamples, recalled: int, kept: Path | None = None
    ) -> "Reflections":
        """Return the reflections of a split, each with its `recalled` nearest other crystals.

        `kept` is the file in which a run keeps these neighbours.
        """
        neighbours = kept_neighbours(examples, recalled, kept)
        lattice = examples.lattice.astype(np.float32)
        return cls(lattice, examples.amplitude, examples.observed, examples.series, neighbours)


class Table(NamedTuple):
    """The training examples in the form held by the device: a step gathers its rows and voxels.

    `lines` is set where patterns are measured afresh. `pattern`, `density` and `scale` are None for
    a network that reads reflections, and `reflections` for others.
    """

    composition: Float[Array | np.ndarray, "n 119"]
    pattern: Float[Array | np.ndarray, "n 1024"] | None = None
    density: Float16[Array | np.ndarray, "n a b c"] | None = None
    scale: Float[Array | np.ndarray, " n"] | None = None
    lines: Lines | None = None
    reflections: Reflections | None = None

    @classmethod
    def of(cls, examples: Examples, lines: Lines | None = None) -> "Table":
        """Return the table of a split; densities stay float16, in units of `scale`.

        Raises:
            ValueError: numbers are not finite; the error names their materials.
        """
        stored = (examples.composition, examples.pattern, examples.density, examples.density_scale)
        _check_finite(examples, *stored)
        return cls(*stored, lines)

    @classmethod
    def of_reflections(
        cls, examples: CompactExamples, recalled: int, kept: Path | None = None
    ) -> "Table":
        """Return the table of a split for a network that reads reflections.

        The arguments are those of `Reflections.of`.

        Raises:
            ValueError: numbers are not finite; the error names their materials.
        """
        _check_finite(examples, examples.composition, examples.amplitude, examples.series)
        return cls(examples.composition, reflections=Reflections.of(examples, recalled, kept))


def _check_finite(examples: CompactExamples, *stored: np.ndarray) -> None:
    finite = np.logical_and.reduce([_finite_rows(column) for column in stored])
    if not finite.all():
        raise ValueError(
            f"the records of {', '.join(examples.material_id[~finite])} hold numbers "
            "that are not finite: build the dataset again without these materials"
        )


def _finite_rows(column: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Return which rows of a column hold finite numbers only.

    All bits of the exponent are set in infinities and NaNs, and in no other number. Reading them
    as integers takes a quarter of the time of `np.isfinite` for float16. A row at a time stays in
    the processor's cache.
    """
    bits = np.dtype(f"u{column.itemsize}")
    exponent = np.array(np.inf, column.dtype).view(bits)
    rows = column.reshape(len(column), -1).view(bits)
    return np.array([np.max(row & exponent, initial=0) < exponent for row in rows])


Batch = Integer[Array, " b"] | Table
"""The input of a step: rows of a table that is on the devices, or the examples themselves."""

Batches = Integer[Array | np.ndarray, "k *b"] | Table
"""The batches of k steps; for examples (k *b ...). Under pmap b begins with an axis of devices."""
