"""Examples: a split of the dataset in host memory, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int32, Integer, Shaped

from cmed_jax.data.encoding import decode_density


@dataclass(frozen=True, eq=False)
class Examples:
    """A split in host memory; row i is the same material on every machine, ordered by id.

    Attributes:
        material_id: id of the material in its source.
        formula: reduced formula.
        space_group: number of the space group, 1-230.
        atoms: number of atoms in the cell.
        pattern: Mo K-alpha pattern over two-theta 0-180 in 1,024 bins, strongest 1.
        composition: atom fractions by atomic number.
        density: electron density in units of density_scale.
        density_scale: unit of the density, e/angstrom^3.
    """

    material_id: Shaped[np.ndarray, " n"]
    formula: Shaped[np.ndarray, " n"]
    space_group: Int32[np.ndarray, " n"]
    atoms: Int32[np.ndarray, " n"]
    pattern: Float[np.ndarray, "n 1024"]
    composition: Float[np.ndarray, "n 119"]
    density: Float[np.ndarray, "n 50 50 50"]
    density_scale: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.material_id)

    def densities(
        self, rows: Integer[np.ndarray, " k"] | Sequence[int] | slice
    ) -> Float[np.ndarray, "k 50 50 50"]:
        """Return the densities of given rows, float32, e/angstrom^3."""
        return decode_density(self.density[rows], self.density_scale[rows])

    def evenly_spaced(self, most: int) -> "Examples":
        """Return at most `most` examples from evenly spaced rows."""
        rows = evenly_spaced_rows(len(self), most)
        return Examples(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def evenly_spaced_rows(number: int, most: int) -> Integer[np.ndarray, " k"]:
    """Return at most `most` evenly spaced rows of `number` rows."""
    return np.unique(np.linspace(0, number - 1, min(most, number)).astype(int))
