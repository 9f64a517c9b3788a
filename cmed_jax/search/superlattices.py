"""Superlattices: larger lattices of a structure whose strong lines a smaller lattice explains.

Where elements that scatter alike are ordered, or light atoms are, the lines of the true lattice are
too weak to be seen. Indexing then finds a lattice that has no room for a formula unit.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.bravais import bravais, same_lattice
from cmed_jax.crystal.cell_contents import relative_cell_volume
from cmed_jax.search.formula_units import FARTHEST, USUAL

LARGEST_INDEX = 6
"""The largest index of a superlattice that is tried."""
MOST = 3
"""The largest number of superlattices in place of a lattice; those of low symmetry have many."""
LEAST_ROOM = float(np.exp(-FARTHEST * USUAL))
"""The least volume, over the usual one of a formula unit, of a lattice that has room for it."""
SYMMETRY = (
    "cubic",
    "hexagonal",
    "tetragonal",
    "trigonal",
    "orthorhombic",
    "monoclinic",
    "triclinic",
)
"""The systems of lattices, by falling number of their symmetry operations."""


def with_room(
    lattices: Sequence[Float[np.ndarray, "3 3"]], composition: Float[np.ndarray, "119"]
) -> list[Float[np.ndarray, "3 3"]]:
    """Return lattices with room for a formula unit where there are any, in the given order.

    Lattices without room are replaced by superlattices of the index that comes nearest to the usual
    volume. Where it is above `LARGEST_INDEX` they stay, and the search says why it refuses them.

    Args:
        lattices: primitive cells, rows a, b, c in angstrom.
        composition: atom fractions by atomic number.
    """
    found: list[Float[np.ndarray, "3 3"]] = []
    for lattice in lattices:
        room = relative_cell_volume(lattice, composition)
        index = 1 if room > LEAST_ROOM else round(1 / room)
        if 1 < index <= LARGEST_INDEX:
            found += superlattices(lattice, index)[:MOST]
        else:
            found.append(lattice)
    return found


def superlattices(lattice: Float[np.ndarray, "3 3"], index: int) -> list[Float[np.ndarray, "3 3"]]:
    """Return the different superlattices of an index that have the highest symmetry among them.

    Others have so many free coordinates that wrong structures in them explain the lines.

    Args:
        lattice: the rows a, b, c of a primitive cell, angstrom.
        index: the volume of their cells over that of the lattice.
    """
    every = [matrix @ lattice for matrix in hermite_forms(index)]
    ranks = [SYMMETRY.index(bravais(each).system) for each in every]
    found: list[Float[np.ndarray, "3 3"]] = []
    for larger, rank in zip(every, ranks, strict=True):
        if rank == min(ranks) and not any(same_lattice(larger, other) for other in found):
            found.append(larger)
    return found


def hermite_forms(index: int) -> Iterator[Integer[np.ndarray, "3 3"]]:
    """Yield the Hermite normal forms of a determinant: one matrix for each superlattice."""
    for a, b in product(range(1, index + 1), repeat=2):
        if index % (a * b):
            continue
        c = index // (a * b)
        for x, y, z in product(range(b), range(c), range(c)):
            yield np.array([[a, x, y], [0, b, z], [0, 0, c]])
