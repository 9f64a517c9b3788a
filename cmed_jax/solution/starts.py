"""Where descents start from: orbit after orbit placed where it explains most and has room.

Uniformly random atoms never keep their distances once there are more than a few orbits. So orbits
are placed one by one, those without free coordinates first, then the strongest scatterers. Each
position has a pool of places that fill it evenly, with the sums over the orbit's atoms computed
once, so that a structure factor with one more orbit is one addition. Of all partial structures the
best are kept, as in a beam search.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int

from cmed_jax.solution.descent import USUAL_B, Fits, residuals
from cmed_jax.solution.frame import Frame
from cmed_jax.solution.separations import Separations, atoms_of

POOL = (1, 48, 400, 1200)
"""Places on a position with so many free coordinates."""
APART = 0.82
"""Share of the least distances that starts keep; the descent may part them further."""
TRIED = 9600
"""Most partial structures that are compared at once."""
CHECKED = 6
"""Distances are asked of so many times the structures that are kept, the best first."""
DAMPING = 8.0
"""B by which intensities are damped while orbits are still missing, angstrom^2."""


class Pool(NamedTuple):
    """Places of an orbit on one position.

    Attributes:
        free: coordinates of each place.
        sums: G of the orbit there.
        room: whether the atoms of each element keep their distances from each other there.
    """

    free: Float32[np.ndarray, "k f"]
    sums: np.ndarray
    room: Bool[np.ndarray, "e k"]


class Pools:
    """The pools of all positions of a space group, each made when it is first asked for."""

    def __init__(self, frame: Frame, separations: Separations, counts: Sequence[int]):
        self._frame, self._separations, self._counts = frame, separations, counts
        self._pools: dict[int, Pool] = {}

    def __getitem__(self, place: int) -> Pool:
        if place not in self._pools:
            self._pools[place] = self._fill(place)
        return self._pools[place]

    def possible(self, element: int) -> set[int]:
        """Return the positions that atoms of an element fit on."""
        positions = self._frame.group.positions
        fitting = (k for k, p in enumerate(positions) if p.multiplicity <= self._counts[element])
        return {place for place in fitting if self[place].room[element].any()}

    def _fill(self, place: int) -> Pool:
        count = self._frame.group.positions[place].free
        free = evenly(POOL[count], count)
        room = np.stack(
            [
                self._separations.worst(atoms_of(self._frame.group, [(element, place)]), free)
                >= APART
                for element in range(len(self._counts))
            ]
        )
        used = room.any(axis=0)
        return Pool(free[used], self._frame.sums(place, free[used]), room[:, used])


def evenly(count: int, dimensions: int) -> Float32[np.ndarray, "k f"]:
    """Return points that fill the unit cube evenly.

    Multiples of the powers of 1/g, where g^(f+1) = g + 1 (M. Roberts, The unreasonable
    effectiveness of quasirandom sequences, 2018).
    """
    if not dimensions:
        return np.zeros((count, 0), np.float32)
    roots = np.roots([1, *[0] * (dimensions - 1), -1, -1])
    largest = roots[np.argmax(roots.real)].real
    steps = largest ** -np.arange(1.0, dimensions + 1)
    return ((0.37 + np.arange(1, count + 1)[:, None] * steps) % 1).astype(np.float32)


def starts(
    frame: Frame,
    separations: Separations,
    pools: Pools,
    orbits: list[tuple[int, int]],
    width: int,
    rng: np.random.Generator,
) -> Fits | None:
    """Return structures of an assignment to descend from, or None where no atoms have room.

    Args:
        frame: reflections and measured lines.
        separations: of the elements.
        pools: of the positions.
        orbits: element and position of each.
        width: partial structures that are kept.
        rng: draws where there are too many places to try all.
    """
    order = _order(frame, orbits)
    factors = np.zeros((1, len(frame.s)), np.complex64)
    free = [np.zeros((1, 0), np.float32) for _ in orbits]
    residual = np.ones(1, np.float32)
    for number, at in enumerate(order):
        element, place = orbits[at]
        if not frame.group.positions[place].free:
            factors = factors + frame.factors[element] * frame.fixed_sums[place]
            continue
        pool = pools[place]
        parents, places = _pairs(len(factors), pool.room[element], rng)
        damping = DAMPING if number < len(order) - 1 else DAMPING / 2
        found = _compare(frame, factors, pool, element, (parents, places), damping)
        kept = []
        atoms = atoms_of(frame.group, [orbits[other] for other in order[: number + 1]])
        ranked = np.argsort(found)[: CHECKED * width]
        for rows in np.array_split(ranked, max(1, len(ranked) // (2 * width))):
            trial = [free[other][parents[rows]] for other in order[:number]]
            trial.append(pool.free[places[rows]])
            worst = separations.worst(atoms, np.concatenate(trial, axis=1), np.array([number]))
            kept += rows[worst >= APART].tolist()
            if len(kept) >= width:
                break
        if not kept:
            return None
        chosen = np.array(kept[:width])
        free = [each[parents[chosen]] if len(each) > 0 else each for each in free]
        free[at] = pool.free[places[chosen]]
        factors = factors[parents[chosen]] + frame.factors[element] * pool.sums[places[chosen]]
        residual = found[chosen]
    joined = np.concatenate([np.broadcast_to(x, (len(factors), x.shape[1])) for x in free], axis=1)
    return Fits(joined, np.full(len(joined), USUAL_B, np.float32), residual)


def _order(frame: Frame, orbits: list[tuple[int, int]]) -> list[int]:
    """Return the orbits in the order in which they are placed."""

    def rank(at: int) -> tuple[bool, float, int]:
        element, place = orbits[at]
        position = frame.group.positions[place]
        strength = frame.numbers[element] * np.sqrt(position.multiplicity)
        return position.free > 0, -strength, position.free

    return sorted(range(len(orbits)), key=rank)


def _pairs(
    parents: int, room: Bool[np.ndarray, " k"], rng: np.random.Generator
) -> tuple[Int[np.ndarray, " t"], Int[np.ndarray, " t"]]:
    """Return which place is tried with which partial structure: all, or as many as are allowed."""
    places = np.flatnonzero(room)
    each = min(len(places), max(1, TRIED // parents))
    if each == len(places):
        return np.repeat(np.arange(parents), each), np.tile(places, parents)
    drawn = rng.permuted(np.broadcast_to(places, (parents, len(places))), axis=1)[:, :each]
    return np.repeat(np.arange(parents), each), drawn.ravel()


def _compare(
    frame: Frame,
    factors: np.ndarray,
    pool: Pool,
    element: int,
    pairs: tuple[Int[np.ndarray, " t"], Int[np.ndarray, " t"]],
    damping: float,
) -> Float32[np.ndarray, " t"]:
    """Return the residuals of partial structures with one more orbit."""
    parents, places = pairs
    added = frame.factors[element] * pool.sums
    size = max(1, 200_000 // len(frame.s))
    parts = []
    for at in range(0, len(parents), size):
        some = slice(at, at + size)
        total = factors[parents[some]] + added[places[some]]
        usual = np.full(len(total), USUAL_B, np.float32)
        parts.append(residuals(frame, total, usual, damping))
    return np.concatenate(parts)
