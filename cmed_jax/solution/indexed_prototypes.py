"""Prototypes in the lattices that measured lines are indexed with.

A new compound may be far more stretched or sheared than its prototype. Scaling finds cells of
nearly the same shape alone (`cmed_jax.solution.prototype_fit`). An indexed lattice tells the shape
instead. It has many bases, and the prototype takes those whose metric tensor its space group allows
and that strain it least.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.bravais import reduced_cell
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import space_group
from cmed_jax.solution.prototype_fit import standard_lattice

UNUSUAL = 0.35
"""The largest |ln| of the volume of a lattice over the usual one of the atoms."""
STRAIN = 0.1
"""The largest strain, as `_strains` measures it. An axial ratio that changed by half has 0.08."""
ASYMMETRY = 1e-4
"""The largest strain between a lattice and one of the symmetry of the prototype, 1 % of an axis."""
WAYS = 2
"""The largest number of bases of a lattice for one prototype, such as exchanged axes."""

_UNIMODULAR = np.array(list(product((-1, 0, 1), repeat=9))).reshape(-1, 3, 3)
_UNIMODULAR = _UNIMODULAR[np.rint(np.linalg.det(_UNIMODULAR)) == 1]
"""The bases of a lattice in terms of a reduced one that are tried."""


class Bases(NamedTuple):
    """The bases of an indexed lattice.

    Attributes:
        metrics: their metric tensors, angstrom^2.
        volume: the volume of the primitive cell, angstrom^3.
    """

    metrics: Float[np.ndarray, "k 3 3"]
    volume: float

    @classmethod
    def of(cls, lattice: Float[np.ndarray, "3 3"]) -> "Bases":
        """Return the bases of a lattice, given the rows of a primitive cell, angstrom."""
        rows = _UNIMODULAR @ reduced_cell(lattice)
        return cls(rows @ rows.mT, float(abs(np.linalg.det(lattice))))


class Strained(NamedTuple):
    """A crystal in a lattice, and the strain that takes it there."""

    crystal: Material
    strain: float


def in_lattices(crystal: Material, lattices: Sequence[Bases]) -> Iterator[Strained]:
    """Yield a crystal in each lattice that its space group and its volume allow.

    Args:
        crystal: the crystal in its canonical cell, with a usual volume for its atoms.
        lattices: the lattices.
    """
    assert crystal.space_group is not None  # the cell is canonical
    group = space_group(crystal.space_group)
    from_reduced = np.rint(crystal.lattice @ np.linalg.inv(reduced_cell(crystal.lattice)))
    inverse = np.linalg.inv(crystal.lattice @ crystal.lattice.T)
    inverse_reduced = from_reduced.T @ inverse @ from_reduced
    for lattice in lattices:
        spare = lattice.volume / crystal.volume
        if abs(np.log(spare)) > UNUSUAL:
            continue
        strains = _strains(lattice.metrics, inverse_reduced / np.cbrt(spare) ** 2)
        order = np.argsort(strains, kind="stable")[: int((strains < STRAIN).sum())]
        metrics = from_reduced @ lattice.metrics[order] @ from_reduced.T
        allowed = _allowed(metrics, crystal.space_group)
        symmetric = _strains(metrics, np.linalg.inv(allowed)) < ASYMMETRY
        for metric, strain in _different(allowed[symmetric], strains[order][symmetric]):
            yield Strained(replace(crystal, lattice=standard_lattice(metric, group)), strain)


def _different(
    metrics: Float[np.ndarray, "k 3 3"], strains: Float[np.ndarray, " k"]
) -> Iterator[tuple[Float[np.ndarray, "3 3"], float]]:
    """Yield the first different metric tensors, `WAYS` at most, with their strains."""
    seen = list[Float[np.ndarray, "3 3"]]()
    for metric, strain in zip(metrics, strains.tolist(), strict=True):
        if len(seen) == WAYS:
            return
        if not any(np.allclose(metric, each, rtol=1e-3, atol=1e-3) for each in seen):
            seen.append(metric)
            yield metric, strain


def _strains(
    metrics: Float[np.ndarray, "k 3 3"], inverse: Float[np.ndarray, "... 3 3"]
) -> Float[np.ndarray, " k"]:
    """Return the strain between metric tensors and others of the same volume.

    It is the mean of the squared principal stretches, less 1: zero where the tensors are equal.

    Args:
        metrics: metric tensors.
        inverse: the inverse of one other metric tensor, or of one for each, in the same basis.
    """
    return (metrics * inverse).sum(axis=(1, 2)) / 3 - 1


def _allowed(metrics: Float[np.ndarray, "k 3 3"], number: int) -> Float[np.ndarray, "k 3 3"]:
    """Return the means of metric tensors over the point group of a space group."""
    return (metrics.reshape(-1, 9) @ _mean_over_group(number).T).reshape(-1, 3, 3)


@cache
def _mean_over_group(number: int) -> Float[np.ndarray, "9 9"]:
    """Return the matrix that takes the mean of a metric tensor over a point group."""
    rotations = space_group(number).rotations
    return np.mean([np.kron(each.T, each.T) for each in rotations], axis=0)
