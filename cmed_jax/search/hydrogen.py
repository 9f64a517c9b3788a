"""Placement of hydrogen atoms by distances, since X-rays hardly see them beside heavier elements.

The other atoms are found first. Then Wyckoff assignments of the hydrogen atoms are filled orbit by
orbit, the usual assignments first. Each orbit is placed where its distance to the nearest atom of
another element is most usual, where other atoms are far away, and where no distance is too short.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.search.assignments import Assignment, assignments
from cmed_jax.search.chemistry import least_distances, neighbour_misfit
from cmed_jax.search.reflection_model import HYDROGEN
from cmed_jax.search.separations import Separations
from cmed_jax.search.starts import POOL, evenly
from cmed_jax.search.usage import position_costs
from cmed_jax.search.wyckoff import Position, Wyckoff

TRIED = 48
"""The number of assignments of the hydrogen atoms that are tried."""
PER_ORBIT, PER_FREE = 0.03, 0.03
"""The misfit added for each orbit and each free coordinate: simple arrangements are usual."""
LEAST_SHARE = 0.9
"""The share of the least distances that atoms must keep."""
CROWDED = 0.05
"""The weight of the sum of Z / d^6 over all surrounding atoms but the nearest, angstrom^6."""
SEARCHED = (0.04, 0.015, 0.005)
"""The range around a good place that each round searches for better ones, fractional."""
AROUND = 120
"""The number of places that each of these rounds tries."""


class Placed(NamedTuple):
    """The atoms of a primitive cell.

    Attributes:
        numbers: the atomic numbers.
        coords: the fractional coordinates.
    """

    numbers: Integer[np.ndarray, " n"]
    coords: Float[np.ndarray, "n 3"]


def with_hydrogen(
    group: Wyckoff, lattice: Float[np.ndarray, "3 3"], heavy: Placed, count: int
) -> Placed | None:
    """Return a structure with its hydrogen atoms; None where they do not fit.

    Args:
        group: the space group.
        lattice: the rows of its primitive cell, angstrom.
        heavy: all other atoms.
        count: the number of hydrogen atoms in the primitive cell.
    """
    rng = np.random.default_rng(0)
    costs = position_costs(group) + PER_ORBIT
    # Beside the other atoms, positions that the normalizer exchanges are different places.
    group = group._replace(equivalent=np.arange(len(group.positions))[None])
    possible = {
        place
        for place, position in enumerate(group.positions)
        if np.isfinite(_misfits(position, lattice, heavy, _pool(position))).any()
    }
    # All atoms may be on the general position, with three free coordinates each at most.
    offered = assignments(group, [count], costs, [possible], _same_place, 3 * count)
    found: list[tuple[float, Placed]] = []
    for assignment in islice(_assignments(offered), TRIED):
        filled = heavy
        total = PER_ORBIT * len(assignment.places[0]) + PER_FREE * assignment.free
        for place in sorted(
            assignment.places[0], key=lambda each: group.positions[each].multiplicity
        ):
            best = _best_place(group.positions[place], lattice, filled, rng)
            if best is None:
                break
            filled, total = best[1], total + best[0] / len(assignment.places[0])
        else:
            found.append((total, filled))
    return min(found, key=lambda each: each[0])[1] if found else None


def _assignments(offered: Iterator[Assignment | float]) -> Iterator[Assignment]:
    return (each for each in offered if isinstance(each, Assignment))


def _same_place(element: int, place: int, other: int, beside: int) -> bool:
    return place == beside


def _best_place(
    position: Position,
    lattice: Float[np.ndarray, "3 3"],
    filled: Placed,
    rng: np.random.Generator,
) -> tuple[float, Placed] | None:
    """Return the least misfit of an orbit of hydrogen, and all atoms including the orbit."""
    free = _pool(position)
    misfits = _misfits(position, lattice, filled, free)
    for width in SEARCHED if position.free else ():
        if not np.isfinite(misfits.min()):
            break
        best = free[misfits.argmin()]
        near = best + width * rng.uniform(-1, 1, (AROUND, position.free))
        free = np.concatenate([best[None], near])
        misfits = _misfits(position, lattice, filled, free)
    if not np.isfinite(misfits.min()):
        return None
    coords = position.linear @ free[misfits.argmin()] + position.offset
    numbers = np.append(filled.numbers, np.full(len(coords), HYDROGEN))
    return float(misfits.min()), Placed(numbers, np.concatenate([filled.coords, coords]))


def _pool(position: Position) -> Float[np.ndarray, "k f"]:
    """Return places on a position, spread evenly."""
    return evenly(*POOL[position.free]).astype(float)


def _misfits(
    position: Position,
    lattice: Float[np.ndarray, "3 3"],
    filled: Placed,
    free: Float[np.ndarray, "k f"],
) -> Float[np.ndarray, " k"]:
    """Return the misfit of each place; infinite where an atom is too near."""
    coords = np.einsum("nif,kf->kni", position.linear, free) + position.offset
    others = np.broadcast_to(filled.coords, (len(free), *filled.coords.shape))
    atoms = np.concatenate([coords, others], axis=1)
    numbers = np.append(np.full(position.multiplicity, HYDROGEN), filled.numbers)
    elements, element = np.unique(numbers, return_inverse=True)
    least = least_distances(elements)
    lengths = Separations.of(lattice, least).lengths(atoms, np.array([0]))[:, 0]
    kept = least[element[0], element]
    # Hydrogen is bonded to another element, even where hydrogen is nearer.
    bonded = np.where((numbers == HYDROGEN) & (len(elements) > 1), np.inf, lengths)
    near = bonded.argmin(axis=1)
    misfits = [
        neighbour_misfit(HYDROGEN, int(numbers[at]), float(row[at]))
        for at, row in zip(near, lengths, strict=True)
    ]
    # Among places equally near to their neighbour, one far from all other atoms is preferred.
    others = numbers / np.clip(lengths, 0.1, 1e3) ** 6
    others[np.arange(len(near)), near] = 0
    crowded = CROWDED * others.sum(axis=1)
    return np.where((lengths >= LEAST_SHARE * kept).all(axis=1), misfits + crowded, np.inf)
