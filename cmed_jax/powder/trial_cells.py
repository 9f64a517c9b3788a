"""Trial metrics of lattices of all seven systems, from the first lines of a pattern.

Lattices of up to four numbers are guessed as TREOR does (Werner, Eriksson & Westdahl, J. Appl.
Cryst. 18, 367, 1985): as many of the first lines as there are numbers get indices from a short
list, which gives a linear system. Triclinic lattices are guessed as ITO does (Visser, J. Appl.
Cryst. 2, 89, 1969): three lines are the edges of a reduced reciprocal cell, and further lines give
the angles of its three zones. All guesses are solved at once.
"""

from functools import cache
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from cmed_jax.crystal.atomic_volumes import usual_volumes
from cmed_jax.crystal.cell_contents import atoms_of_formula
from cmed_jax.powder.indexing import FREE, SHORTEST, Axes, edges_and_volumes, quadratic_forms

LONGEST: dict[Axes, float] = {
    "cubic": 40.0, "tetragonal": 80.0, "hexagonal": 80.0, "orthorhombic": 40.0, "monoclinic": 40.0,
    "triclinic": 40.0,
}  # fmt: skip
"""The longest edge that is tried, angstrom. Stacks of layers have long axes."""
LAYERS = 30
"""The largest l of the lines 0 0 l and 1 0 l that are guessed for stacks of layers."""
GUESSED: dict[Axes, int] = {
    "cubic": 8, "tetragonal": 9, "hexagonal": 9, "orthorhombic": 9, "monoclinic": 8,
    "triclinic": 11,
}  # fmt: skip
"""The number of lines, from the lowest angle, that indices are guessed for."""
ZONES = 20
"""The number of lines that may give the angles of a triclinic reciprocal cell."""
REDUCED = 1.02
"""The largest 2 a*.b* of a reduced reciprocal cell, in units of the smaller of a*^2 and b*^2."""
SMALLEST, SMALLEST_CELL = 0.6, 8.0
"""The least volume of a cell in formula units, and in angstrom^3 without a composition."""
MOST_LINES = 3.0
"""The largest number of lines of a lattice for each measured one."""
MULTIPLICITY: dict[Axes, int] = {
    "cubic": 192, "hexagonal": 72, "tetragonal": 32, "orthorhombic": 32, "monoclinic": 8,
    "triclinic": 2,
}  # fmt: skip
"""The number of reciprocal lattice points for each line, in the largest centring."""
CHUNK = 20_000
"""The number of index choices that are solved at once, which limits the memory."""

_AXIAL = 8
_MONOCLINIC = np.array(
    [
        (1, 0, 0), (2, 0, 0), (4, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 4), (0, 1, 0), (0, 2, 0),
        (1, 0, 1), (1, 0, -1), (2, 0, 1), (2, 0, -1), (1, 0, 2), (1, 0, -2), (1, 1, 0), (0, 1, 1),
        (1, 1, 1), (1, 1, -1), (2, 1, 0), (0, 1, 2), (2, 1, 1), (2, 1, -1), (1, 1, 2), (1, 1, -2),
        (1, 2, 0), (0, 2, 1), (3, 1, 0), (0, 1, 3), (3, 1, 1), (3, 1, -1), (1, 1, 3), (1, 1, -3),
    ]
)  # fmt: skip
"""The indices that are guessed for lines of a monoclinic lattice with a reduced a* and c*.

At least two of four lines are of the first ones, along the axes.
"""


class Limits(NamedTuple):
    """The limits of the volume of a conventional cell, angstrom^3."""

    smallest: float
    largest: float


def volume_limits(
    axes: Axes,
    squared: Float[np.ndarray, " k"],
    composition: Float[np.ndarray, "119"] | None,
) -> Limits:
    """Return the limits of the volume of conventional cells, from the lines and the composition."""
    sphere = 4 / 3 * np.pi * squared[-1] ** 1.5
    largest = MOST_LINES * (len(squared) + 3) * MULTIPLICITY[axes] / sphere
    least = SMALLEST_CELL
    if composition is not None:
        usual, atoms = usual_volumes(composition), atoms_of_formula(composition)
        least = SMALLEST * atoms * min(usual) if usual and atoms is not None else least
    return Limits(least, max(float(largest), 3 * least))


def trial_metrics(
    axes: Axes, squared: Float[np.ndarray, " k"], limits: Limits
) -> Float[np.ndarray, "t p"]:
    """Return the metrics that guessed indices of the first lines give.

    Args:
        axes: the axes of the lattice.
        squared: s^2 of the lines, 1/angstrom^2, ascending.
        limits: the limits of the volume of the cell.
    """
    if axes == "triclinic":
        return _zones(squared, limits)
    inverses = _inverses(axes)
    first = squared[: GUESSED[axes]]
    chosen = list(combinations(range(len(first)), FREE[axes]))
    if not chosen:
        return np.zeros((0, FREE[axes]))
    lines = first[np.array(chosen, int)].T
    found = []
    for start in range(0, len(inverses), CHUNK):
        metrics = inverses[start : start + CHUNK] @ lines
        metrics = np.moveaxis(metrics, 1, 2).reshape(-1, FREE[axes])
        found.append(metrics[_usual(axes, metrics, limits)])
    return np.concatenate(found)


def _usual(axes: Axes, metrics: Float[np.ndarray, "t p"], limits: Limits) -> Bool[np.ndarray, " t"]:
    """Return which metrics have usual edges and volumes, and reduced mixed terms."""
    usual = np.logical_and.reduce(metrics[:, :3] > LONGEST[axes] ** -2, axis=1)
    if axes == "monoclinic":
        usual &= np.abs(metrics[:, 3]) <= REDUCED * np.minimum(metrics[:, 0], metrics[:, 2])
    edges, volumes = edges_and_volumes(axes, metrics[usual])
    fits = ((edges > SHORTEST) & (edges < LONGEST[axes])).all(axis=1)
    usual[usual] = fits & (volumes > limits.smallest) & (volumes < limits.largest)
    return usual


@cache
def _inverses(axes: Axes) -> Float[np.ndarray, "n p p"]:
    """Return the inverse matrices of all choices of forms, without equivalent ones."""
    forms, size = _guessed_forms(axes), FREE[axes]
    rows = np.indices((len(forms),) * size).reshape(size, -1).T
    if size > 1:
        ordered = np.sort(rows, axis=1)
        different = (np.diff(ordered, axis=1) > 0).all(axis=1)
        if axes == "monoclinic":
            different &= (rows < _AXIAL).sum(axis=1) >= 2
        rows = rows[different]
    matrices = forms[rows]
    if axes == "orthorhombic":
        matrices = matrices[_descend(matrices[:, :, 0], matrices[:, :, 1])]
        matrices = matrices[_descend(matrices[:, :, 1], matrices[:, :, 2])]
    if axes == "monoclinic":
        matrices = matrices[_descend(matrices[:, :, 0], matrices[:, :, 2])]
        mixed = matrices[:, :, 3]
        matrices = matrices[_descend(mixed, -mixed)]
    # The determinants are integers.
    matrices = matrices[np.abs(np.linalg.det(matrices)) > 0.5]
    return np.linalg.inv(matrices)


def _descend(
    first: Float[np.ndarray, "n p"], second: Float[np.ndarray, "n p"]
) -> Bool[np.ndarray, " n"]:
    """Return which rows of the first array do not come before those of the second one."""
    base = 100.0 ** -np.arange(first.shape[1])
    return first @ base >= second @ base


def _guessed_forms(axes: Axes) -> Float[np.ndarray, "m p"]:
    """Return the forms that are guessed for the first lines."""
    if axes == "monoclinic":
        return quadratic_forms(axes, _MONOCLINIC)
    reach = {"cubic": (4, 4), "tetragonal": (3, 8), "hexagonal": (3, 12), "orthorhombic": (3, 3)}
    base, ell = reach[axes]
    hkl = np.array(list(product(range(base + 1), range(base + 1), range(ell + 1))))[1:]
    if axes == "orthorhombic":
        hkl = hkl[(hkl.sum(axis=1) <= 4) & ((hkl == 3).sum(axis=1) + (hkl > 0).sum(axis=1) <= 3)]
    if axes in ("tetragonal", "hexagonal"):
        layers = np.array(list(product((0, 1), (0,), range(ell + 1, LAYERS + 1))))
        hkl = np.concatenate([hkl, layers])
    return np.unique(quadratic_forms(axes, hkl), axis=0)


def _zones(squared: Float[np.ndarray, " k"], limits: Limits) -> Float[np.ndarray, "t 6"]:
    """Return triclinic metrics whose edges and zones are lines."""
    first = squared[: GUESSED["triclinic"]]
    lengths = np.sort(np.concatenate([first, first[:3] / 4]))
    zones = squared[:ZONES]
    found = []
    for a, b, c in _edges(lengths):
        sizes = [_mixed(zones, *pair) for pair in ((b, c), (a, c), (a, b))]
        if not all(len(each) for each in sizes):
            continue
        mixed = np.stack(np.meshgrid(*sizes, indexing="ij"), axis=-1).reshape(-1, 3)
        mixed = np.concatenate([mixed, mixed * [1, 1, -1]])
        metrics = np.concatenate([np.tile([a, b, c], (len(mixed), 1)), mixed], axis=1)
        found.append(metrics[_usual("triclinic", metrics, limits)])
    return np.concatenate(found) if found else np.zeros((0, 6))


def _edges(lengths: Float[np.ndarray, " n"]) -> Float[np.ndarray, "m 3"]:
    """Return ascending choices of three squared edges of a reciprocal cell, which may be equal."""
    rows = np.array(
        [
            (i, j, k)
            for i in range(len(lengths))
            for j in range(i, len(lengths))
            for k in range(j, len(lengths))
        ],
        int,
    ).reshape(-1, 3)
    return lengths[rows]


def _mixed(zones: Float[np.ndarray, " k"], a: float, b: float) -> Float[np.ndarray, " n"]:
    """Return the sizes of 2 a*.b* for which the line (1 1) or (1 -1) of a zone is a line."""
    sizes = np.abs(zones - a - b)
    return sizes[sizes <= REDUCED * min(a, b)]
