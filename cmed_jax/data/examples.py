"""Examples: a split of the dataset in host memory, as arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Float16, Int32, Integer, Shaped

from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.data.encoding import decode_density
from cmed_jax.data.records import S_MAX, Recipe, Record, make_records
from cmed_jax.physics.harmonics import within

CHUNK = 512
"""The number of crystals whose records are made at once, which bounds the memory."""
MOST_LINES = 16384
"""The largest number of lines of an example, the first in s; a batch of 48 takes 6 MB then.

In the largest cells they reach as far as the modes of a grid of 50 points.
"""

Kept = TypeVar("Kept", bound="CompactExamples")
"""A form of examples: with or without patterns and grids."""


@dataclass(frozen=True, eq=False)
class CompactExamples:
    """A split without patterns and grids; row i is the same material on every machine, by id.

    A crystal takes about 8 kB, and 250 kB with its grid: a network that reads reflections is
    trained on the Fourier series alone.

    Attributes:
        material_id: id of the material in its source.
        formula: reduced formula.
        space_group: number of the space group, 1-230.
        atoms: number of atoms in the cell.
        lattice: rows a, b, c of the cell, angstrom.
        amplitude: |F| at the harmonics of the cell, mean square 1 (`cmed_jax.physics.amplitudes`).
        observed: 1 for harmonics in reach of the pattern, else 0.
        composition: atom fractions by atomic number.
        series: Fourier series of the density's logarithm (`cmed_jax.physics.log_series`).
    """

    material_id: Shaped[np.ndarray, " n"]
    formula: Shaped[np.ndarray, " n"]
    space_group: Int32[np.ndarray, " n"]
    atoms: Int32[np.ndarray, " n"]
    lattice: Float[np.ndarray, "n 3 3"]
    amplitude: Float16[np.ndarray, "n h"]
    observed: Float16[np.ndarray, "n h"]
    composition: Float[np.ndarray, "n 119"]
    series: Float16[np.ndarray, "n t"]

    @classmethod
    def of(cls: type[Kept], examples: list[dict[str, Any]]) -> Kept:
        """Return single examples (`example_of`), one or more, as columns; these are emptied."""
        return cls(**{field.name: _column(examples, field.name) for field in fields(cls)})

    @classmethod
    def of_crystals(cls: type[Kept], crystals: Iterable[Material], recipe: Recipe) -> Kept:
        """Return the examples of crystals, in their order, without those that have no record.

        Raises:
            ValueError: none of them has a record.
        """
        names = [field.name for field in fields(cls)]
        kept: list[dict[str, Any]] = []
        every = iter(crystals)
        while part := list(islice(every, CHUNK)):  # the grids of all crystals would fill the memory
            for record in make_records(part, recipe):
                if not isinstance(record, Refusal):
                    example = example_of(record)
                    kept.append({name: example[name] for name in names})
        if not kept:
            raise ValueError("none of the known crystals can be used: give others")
        return cls.of(kept)

    def __len__(self) -> int:
        return len(self.material_id)

    def evenly_spaced(self: Kept, most: int) -> Kept:
        """Return at most `most` examples from evenly spaced rows."""
        return self.rows(evenly_spaced_rows(len(self), most))

    def rows(self: Kept, rows: Integer[np.ndarray, " k"]) -> Kept:
        """Return the examples of some rows."""
        return type(self)(**{each.name: getattr(self, each.name)[rows] for each in fields(self)})


@dataclass(frozen=True, eq=False)
class Examples(CompactExamples):
    """A split with patterns and grids.

    Attributes:
        pattern: Mo K-alpha pattern over two-theta 0-180 in 1,024 bins, strongest 1.
        density: electron density in units of density_scale.
        density_scale: unit of the density, e/angstrom^3.
        lines: s (1/angstrom), ascending, and |F|^2 of the lines of each pattern, float32: arrays of
            two columns that differ in length.
    """

    pattern: Float[np.ndarray, "n 1024"]
    density: Float[np.ndarray, "n 50 50 50"]
    density_scale: Float[np.ndarray, " n"]
    lines: Shaped[np.ndarray, " n"]

    def densities(
        self, rows: Integer[np.ndarray, " k"] | Sequence[int] | slice
    ) -> Float[np.ndarray, "k 50 50 50"]:
        """Return the densities of given rows, float32, e/angstrom^3."""
        return decode_density(self.density[rows], self.density_scale[rows])


def example_of(record: Record) -> dict[str, Any]:
    """Return the example of a record, which comes from the dataset or from `make_records`."""
    return {
        "material_id": _text(record["material_id"]),
        "formula": _text(record["formula"]),
        "space_group": np.int32(record["space_group"]),
        "atoms": np.int32(len(record["species"])),
        "density_scale": np.float32(record["density_scale"]),
        "pattern": record["pattern"][0],
        "observed": within(record["lattice"], S_MAX).astype(np.float16),
        "lines": record["reflections"][:MOST_LINES].astype(np.float32),
        **{
            name: record[name]
            for name in ("lattice", "amplitude", "composition", "density", "series")
        },
    }


def _text(stored: str | bytes) -> str:
    return stored.decode() if isinstance(stored, bytes) else stored


def _column(examples: list[dict[str, Any]], name: str) -> Shaped[np.ndarray, "n ..."]:
    """Remove one feature from all examples and return it, so a split is never in memory twice."""
    first = np.asarray(examples[0][name])
    if first.ndim == 0:
        return np.array([example[name] for example in examples])
    if name == "lines":
        return ragged([example.pop(name) for example in examples])
    column = np.empty((len(examples), *first.shape), first.dtype)
    for row, example in enumerate(examples):
        column[row] = example.pop(name)
    return column


def ragged(arrays: Sequence[Shaped[np.ndarray, "..."]]) -> Shaped[np.ndarray, " n"]:
    """Return arrays that differ in shape as one column."""
    column = np.empty(len(arrays), object)
    for row, array in enumerate(arrays):
        column[row] = array
    return column


def evenly_spaced_rows(number: int, most: int) -> Integer[np.ndarray, " k"]:
    """Return at most `most` evenly spaced rows of `number` rows."""
    return np.unique(np.linspace(0, number - 1, min(most, number)).astype(int))
