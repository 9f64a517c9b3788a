"""The settings of space groups on a lattice: the choices of axes that differ.

A powder pattern gives the lattice, or only the conventional cell without its centring. The axes of
an orthorhombic cell can then be named in six ways, and those of a monoclinic cell in three. The
space group that International Tables call Pnma may be Pmnb in the axes of the cell. Here the axes
are exchanged, so that every group stays in its standard setting.
"""

import itertools
from functools import cache
from typing import NamedTuple

import moyopy
import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.bravais import Bravais, bravais
from cmed_jax.crystal.lattice import PRIMITIVE
from cmed_jax.crystal.material import crystal_system
from cmed_jax.crystal.symmetry import centring_of

_FAMILIES = {
    "triclinic": range(1, 3),
    "monoclinic": range(3, 16),
    "orthorhombic": range(16, 75),
    "tetragonal": range(75, 143),
    "trigonal": range(143, 195),
    "hexagonal": range(143, 195),
    "cubic": range(195, 231),
}
"""The space groups of each crystal system, without lattices that have its metric by accident."""

_PERMUTATIONS = tuple(np.eye(3, dtype=int)[list(p)] for p in itertools.permutations(range(3)))
_CELL_CHOICES = tuple(
    np.array(rows)
    for rows in (
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 1], [0, 1, 0], [-1, 0, -1]],
        [[-1, 0, -1], [0, 1, 0], [1, 0, 0]],
    )
)
_AXES = {"orthorhombic": _PERMUTATIONS, "monoclinic": _CELL_CHOICES}
"""The choices of new axes for each system, in rows by the old ones."""


CLOSER = (2e-3, 2e-4, 2e-5)
"""Tolerances of the metric, angstrom, where the usual one gives a system without the group."""


class Setting(NamedTuple):
    """A space group on a lattice.

    Attributes:
        number: the number of the space group.
        axes: the standard conventional axes in rows, by those of `Bravais.conventional`.
        lattice: the rows a, b, c of the standard primitive cell, angstrom.
    """

    number: int
    axes: Integer[np.ndarray, "3 3"]
    lattice: Float[np.ndarray, "3 3"]


def lattice_for(lattice: Float[np.ndarray, "3 3"], space_group: int | None = None) -> Bravais:
    """Return the conventional cell of a lattice, with a metric that a space group can have.

    A metric near that of a higher system gets its symmetry. Where a space group of a lower system
    is given, the metric stays as it is.

    Args:
        lattice: the rows a, b, c of any cell, angstrom.
        space_group: the number of the space group, where it is known.

    Raises:
        ValueError: the rows span no lattice.
    """
    found = bravais(lattice)
    for tolerance in CLOSER:
        if space_group is None or space_group in _FAMILIES[found.system]:
            break
        found = bravais(lattice, tolerance)
    return found


def settings(cell: Bravais) -> tuple[Setting, ...]:
    """Return every space group that a lattice can carry, in each choice of axes that differs.

    For a primitive lattice the result includes the centred groups, since systematic absences show
    the centring, not the cell.
    """
    primitive = PRIMITIVE[cell.centring].T @ cell.conventional
    found = []
    for number in _FAMILIES[cell.system]:
        for axes in _different_axes(number):
            lattice = PRIMITIVE[centring_of(number)].T @ axes @ cell.conventional
            if cell.centring == "P" or _same_lattice(lattice, primitive):
                found.append(Setting(number, axes, lattice))
    return tuple(found)


def _same_lattice(a: Float[np.ndarray, "3 3"], b: Float[np.ndarray, "3 3"]) -> bool:
    """Return whether two bases span the same lattice."""
    change = a @ np.linalg.inv(b)
    integral = np.abs(change - np.rint(change)).max() < 1e-6
    return bool(integral and abs(abs(np.linalg.det(change)) - 1) < 1e-6)


@cache
def _different_axes(number: int) -> tuple[Integer[np.ndarray, "3 3"], ...]:
    """Return the choices of axes in which a group has different operations.

    Operations are compared by their screw and glide vectors, which do not depend on the origin: the
    mean of W^k w over the powers of W.
    """
    operations = moyopy.operations_from_number(number, setting=moyopy.Setting.spglib())
    rotations, shifts = np.array(operations.rotations), np.array(operations.translations)
    powers = [np.broadcast_to(np.eye(3, dtype=int), rotations.shape)]
    for _ in range(11):  # a multiple of every order
        powers.append(powers[-1] @ rotations)
    intrinsic = np.mean([np.einsum("mij,mj->mi", power, shifts) for power in powers], axis=0)
    seen: dict[frozenset, np.ndarray] = {}
    for axes in _AXES.get(crystal_system(number), _PERMUTATIONS[:1]):
        # Columns of coordinates change by the inverse transpose of the rows of axes.
        back = np.rint(axes.T).astype(int)
        forth = np.rint(np.linalg.inv(back)).astype(int)
        turned = back @ rotations @ forth
        glides = np.rint(24 * (intrinsic @ back.T)).astype(int) % 24
        key = frozenset(
            (w.tobytes(), tuple(t)) for w, t in zip(turned, glides.tolist(), strict=True)
        )
        seen.setdefault(key, axes)
    return tuple(seen.values())
