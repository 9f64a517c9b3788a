"""The starts of descents: orbits are placed one by one where they fit and explain most.

Uniformly random atoms never keep their distances with more than a few orbits. Orbits are therefore
placed one by one: first those without free coordinates, then the strongest scatterers. Each
position has a pool of places that fill it evenly. The sums over the orbit's atoms are computed once
for each place, and a structure factor with one more orbit needs only one addition. The best partial
structures are kept, as in a beam search.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Complex64, Float32, Int

from cmed_jax.search.descent import USUAL_B, Fits, residuals
from cmed_jax.search.reflection_model import ReflectionModel
from cmed_jax.search.separations import Separations, atoms_of

POOL = ((1, 0), (48, 1), (320, 2), (800, 3))
"""The number of places in a pool, for positions with 0, 1, 2 and 3 free coordinates."""
APART = 0.82
"""The share of the least distances that starts keep; the descent may increase the distances."""
TRIED = 9600
"""The largest number of partial structures compared at once."""
CHECKED = 6
"""The number of structures with checked distances, the best first, over the number kept."""
DAMPING = 16.0
"""The B that damps intensities while orbits are still missing, angstrom^2."""


class Pool(NamedTuple):
    """Places of an orbit on one position.

    Attributes:
        free: the free coordinates of each place.
        shortest: the shortest distance between the orbit's own atoms at each place, angstrom.
    """

    free: Float32[np.ndarray, "k f"]
    shortest: Float32[np.ndarray, " k"]


class Pools:
    """The pools of all positions of a space group, each made at its first use."""

    def __init__(self, model: ReflectionModel, separations: Separations, counts: Sequence[int]):
        self._frame, self._separations, self._counts = model, separations, counts
        self._pools: dict[int, Pool] = {}
        self._sums: dict[int, np.ndarray] = {}
        self._nearest: dict[int, np.ndarray] = {}
        self._apart: dict[tuple[int, int], np.ndarray] = {}

    def __getitem__(self, place: int) -> Pool:
        if place not in self._pools:
            self._pools[place] = self._fill(place)
        return self._pools[place]

    def sums(self, place: int) -> np.ndarray:
        """Return G of an orbit at each place of a position."""
        if place not in self._sums:
            self._sums[place] = self._frame.sums(place, self[place].free)
        return self._sums[place]

    def apart(self, element: int, place: int) -> Bool[np.ndarray, " k"]:
        """Return at which places of a position the atoms of an element keep their distances."""
        if (element, place) not in self._apart:
            least = APART * self._separations.least[element, element]
            self._apart[element, place] = self[place].shortest >= least
        return self._apart[element, place]

    def possible(self, element: int) -> set[int]:
        """Return the positions that the atoms of an element fit on."""
        positions = self._frame.group.positions
        fitting = (k for k, p in enumerate(positions) if p.multiplicity <= self._counts[element])
        return {place for place in fitting if self.apart(element, place).any()}

    def clash(self, element: int, place: int, other: int, beside: int) -> bool:
        """Return whether two orbits, of which one is fixed, cannot keep their distances."""
        if self._frame.group.positions[place].free == 0:
            element, place, other, beside = other, beside, element, place
        if self._frame.group.positions[beside].free or place == beside:
            return place == beside
        return not (self.apart(element, place) & self.far(element, place, other, beside)).any()

    def far(self, element: int, place: int, other: int, beside: int) -> Bool[np.ndarray, " k"]:
        """Return at which places an orbit keeps its distance from one on a fixed position."""
        least = APART * self._separations.least[element, other]
        return self._to_fixed(place)[:, beside] >= least

    def _to_fixed(self, place: int) -> Float32[np.ndarray, "k w"]:
        """Return the distances of an orbit at each place to the orbits on all fixed positions."""
        if place not in self._nearest:
            positions, free = self._frame.group.positions, self[place].free
            fixed = [k for k, position in enumerate(positions) if not position.free]
            atoms = atoms_of(self._frame.group, [(0, k) for k in (place, *fixed)])
            lengths = self._separations.distances(atoms, free, np.array([0]))[:, 0]
            nearest = np.full((len(free), len(positions)), np.inf, np.float32)
            nearest[:, fixed] = np.minimum.reduceat(lengths, atoms.first, axis=1)[:, 1:]
            self._nearest[place] = nearest
        return self._nearest[place]

    def _fill(self, place: int) -> Pool:
        """Return the places of a position at which its own atoms are not too near."""
        free = evenly(*POOL[self._frame.group.positions[place].free])
        distances = self._separations.distances(atoms_of(self._frame.group, [(0, place)]), free)
        shortest = distances.min(axis=(1, 2))
        used = shortest >= APART * self._separations.least.diagonal().min()
        return Pool(free[used], shortest[used])


def evenly(count: int, dimensions: int) -> Float32[np.ndarray, "k f"]:
    """Return points that fill the unit cube evenly.

    The points are multiples of the powers of 1/g, where g^(f+1) = g + 1 (M. Roberts, The
    unreasonable effectiveness of quasirandom sequences, 2018).
    """
    if not dimensions:
        return np.zeros((count, 0), np.float32)
    roots = np.roots([1, *[0] * (dimensions - 1), -1, -1])
    largest = roots[np.argmax(roots.real)].real
    steps = largest ** -np.arange(1.0, dimensions + 1)
    return ((0.37 + np.arange(1, count + 1)[:, None] * steps) % 1).astype(np.float32)


def starts(
    model: ReflectionModel,
    separations: Separations,
    pools: Pools,
    orbits: list[tuple[int, int]],
    width: int,
    rng: np.random.Generator,
) -> Fits | None:
    """Return structures of an assignment to descend from; None where the atoms do not fit.

    Args:
        model: the reflections and the measured lines.
        separations: the distances that the elements keep.
        pools: the pools of the positions.
        orbits: the element and the position of each orbit.
        width: the number of partial structures that are kept.
        rng: the source of the draws where there are too many places to try all.
    """
    order = _order(model, orbits)
    beam = _Beam(model, separations, pools, [orbits[at] for at in order], width, rng)
    partial = beam.begin()
    for number in range(len(beam.fixed), len(orbits)):
        following = beam.add(partial, number)
        if following is None:
            return None
        partial = following
    # The orbits were placed in the order of strength; their coordinates return to the given order.
    free = np.concatenate([partial.free[order.index(at)] for at in range(len(orbits))], axis=1)
    return Fits(free, np.full(len(free), USUAL_B, np.float32), partial.residual)


class _Partial(NamedTuple):
    """Structures with some of their orbits placed.

    Attributes:
        factors: the structure factors.
        free: the free coordinates of each placed orbit.
        residual: the residual of each structure.
    """

    factors: Complex64[np.ndarray, "b m"]
    free: list[Float32[np.ndarray, "b _"]]
    residual: Float32[np.ndarray, " b"]

    def at(self, rows: Int[np.ndarray, " t"]) -> "_Partial":
        """Return the structures in some rows, which may repeat."""
        free = [each[rows] for each in self.free]
        return _Partial(self.factors[rows], free, self.residual[rows])


@dataclass(frozen=True, eq=False)
class _Beam:
    """A beam search that places the orbits of an assignment; the fixed orbits come first."""

    model: ReflectionModel
    separations: Separations
    pools: Pools
    orbits: list[tuple[int, int]]
    width: int
    rng: np.random.Generator

    @property
    def fixed(self) -> list[tuple[int, int]]:
        """The orbits without free coordinates."""
        return [orbit for orbit in self.orbits if not self.model.group.positions[orbit[1]].free]

    def begin(self) -> _Partial:
        """Return the structure of the fixed orbits alone."""
        factors = np.zeros((1, len(self.model.s)), np.complex64)
        for element, place in self.fixed:
            factors = factors + self.model.factors[element] * self.model.fixed_sums[place]
        free = [np.zeros((1, 0), np.float32) for _ in self.fixed]
        return _Partial(factors, free, np.ones(1, np.float32))

    def add(self, partial: _Partial, number: int) -> _Partial | None:
        """Return the best structures with one more orbit; None where it does not fit."""
        element, place = self.orbits[number]
        allowed = self.pools.apart(element, place)
        for other, beside in self.fixed:
            allowed = allowed & self.pools.far(element, place, other, beside)
        if not allowed.any():
            return None
        sums = self.model.factors[element] * self.pools.sums(place)
        parents, places = _pairs(len(partial.factors), allowed, self.rng)
        damping = DAMPING if number < len(self.orbits) - 1 else DAMPING / 2
        residual = _compare(self.model, partial.factors, sums, (parents, places), damping)
        chosen = self._that_fit(partial, number, (parents, places), residual)
        if not len(chosen):
            return None
        parents, places = parents[chosen], places[chosen]
        before = partial.at(parents)
        free = [*before.free, self.pools[place].free[places]]
        return _Partial(before.factors + sums[places], free, residual[chosen])

    def _that_fit(
        self,
        partial: _Partial,
        number: int,
        pairs: tuple[Int[np.ndarray, " t"], Int[np.ndarray, " t"]],
        residual: Float32[np.ndarray, " t"],
    ) -> Int[np.ndarray, " r"]:
        """Return the best structures in which the newest orbit keeps its distances."""
        parents, places = pairs
        atoms = atoms_of(self.model.group, self.orbits[: number + 1])
        pool = self.pools[self.orbits[number][1]].free
        kept: list[int] = []
        ranked = np.argsort(residual)[: CHECKED * self.width]
        for rows in np.array_split(ranked, max(1, len(ranked) // (2 * self.width))):
            free = [*partial.at(parents[rows]).free, pool[places[rows]]]
            worst = self.separations.worst(atoms, np.concatenate(free, axis=1), np.array([number]))
            kept += rows[worst >= APART].tolist()
            if len(kept) >= self.width:
                break
        return np.array(kept[: self.width], int)


def _order(model: ReflectionModel, orbits: list[tuple[int, int]]) -> list[int]:
    """Return the orbits in the order in which they are placed."""

    def rank(at: int) -> tuple[bool, float, int]:
        element, place = orbits[at]
        position = model.group.positions[place]
        strength = model.numbers[element] * np.sqrt(position.multiplicity)
        return position.free > 0, -strength, position.free

    return sorted(range(len(orbits)), key=rank)


def _pairs(
    parents: int, allowed: Bool[np.ndarray, " k"], rng: np.random.Generator
) -> tuple[Int[np.ndarray, " t"], Int[np.ndarray, " t"]]:
    """Return the pairs of partial structures and places that are tried.

    These are all pairs, or places drawn at random where there are more than `TRIED`.
    """
    places = np.flatnonzero(allowed)
    each = min(len(places), max(1, TRIED // parents))
    if each == len(places):
        return np.repeat(np.arange(parents), each), np.tile(places, parents)
    drawn = rng.permuted(np.broadcast_to(places, (parents, len(places))), axis=1)[:, :each]
    return np.repeat(np.arange(parents), each), drawn.ravel()


def _compare(
    model: ReflectionModel,
    factors: np.ndarray,
    sums: np.ndarray,
    pairs: tuple[Int[np.ndarray, " t"], Int[np.ndarray, " t"]],
    damping: float,
) -> Float32[np.ndarray, " t"]:
    """Return the residuals of partial structures with one more orbit."""
    parents, places = pairs
    size = max(1, 200_000 // len(model.s))
    parts = []
    for at in range(0, len(parents), size):
        some = slice(at, at + size)
        total = factors[parents[some]] + sums[places[some]]
        usual = np.full(len(total), USUAL_B, np.float32)
        parts.append(residuals(model, total, usual, damping))
    return np.concatenate(parts)
