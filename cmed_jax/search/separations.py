"""How near atoms come to each other, as shares of the least distance that their elements keep."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import moyopy
import numpy as np
from jaxtyping import Float, Float32, Integer

from cmed_jax.search.wyckoff import Wyckoff

FARTHER = 1.6
"""Distances up to so many times the longest of the least ones are exact; beyond, an image that is
not the nearest may be measured."""
CHUNK = 2_000_000
"""Distances that are computed at once, which bounds the memory."""


class Atoms(NamedTuple):
    """The atoms of some orbits in the primitive cell, each at linear p + offset.

    Attributes:
        element: of each atom, by its place in the list of elements.
        linear: of each, by the free coordinates of all orbits together.
        offset: of each, fractional.
        first: the representative atom of each orbit.
    """

    element: Integer[np.ndarray, " n"]
    linear: Float[np.ndarray, "n 3 p"]
    offset: Float[np.ndarray, "n 3"]
    first: Integer[np.ndarray, " o"]

    def coords(self, free: Float[np.ndarray, "b p"]) -> Float[np.ndarray, "b n 3"]:
        """Return fractional coordinates for rows of free coordinates."""
        return self.offset + np.einsum("nip,bp->bni", self.linear, free)


def atoms_of(group: Wyckoff, orbits: list[tuple[int, int]]) -> Atoms:
    """Return the atoms of orbits, each given by its element and its position."""
    positions = [group.positions[place] for _, place in orbits]
    sizes = [position.multiplicity for position in positions]
    ends = np.cumsum([position.free for position in positions])
    linear = np.zeros((sum(sizes), 3, int(ends[-1])))
    first = np.cumsum([0, *sizes])
    for position, end, start in zip(positions, ends, first, strict=False):
        linear[start : start + position.multiplicity, :, end - position.free : end] = (
            position.linear
        )
    element = np.repeat([element for element, _ in orbits], sizes)
    return Atoms(element, linear, np.concatenate([each.offset for each in positions]), first[:-1])


@dataclass(frozen=True, eq=False)
class Separations:
    """A lattice, and the distances that the elements keep on it.

    Attributes:
        to_reduced: x_reduced = to_reduced x, for columns of fractional coordinates.
        reduced: rows of the reduced lattice, angstrom.
        shifts: lattice vectors by which the nearest image may be away, Cartesian, angstrom.
        least: distances of pairs of elements, angstrom.
    """

    to_reduced: Float[np.ndarray, "3 3"]
    reduced: Float32[np.ndarray, "3 3"]
    shifts: Float32[np.ndarray, "t 3"]
    least: Float32[np.ndarray, "e e"]

    @classmethod
    def of(
        cls, lattice: Float[np.ndarray, "3 3"], least: Float[np.ndarray, "e e"]
    ) -> "Separations":
        """Return them for a lattice of rows a, b, c and least distances in angstrom."""
        reduced = np.array(moyopy.minkowski_reduce(lattice.tolist())[0])
        to_reduced = np.linalg.inv(reduced.T) @ lattice.T
        spacing = 1 / np.linalg.norm(np.linalg.inv(reduced), axis=0)
        cells = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
        # After rounding an atom is at most half a cell away in each direction.
        near = ((np.abs(cells) - 0.5) * spacing < FARTHER * least.max()).all(axis=1)
        shifts = (cells[near] @ reduced).astype(np.float32)
        return cls(to_reduced, reduced.astype(np.float32), shifts, least.astype(np.float32))

    def worst(
        self,
        atoms: Atoms,
        free: Float[np.ndarray, "b p"],
        orbits: Integer[np.ndarray, " k"] | None = None,
    ) -> Float32[np.ndarray, " b"]:
        """Return the shortest distance, as a share of the least allowed one, of each row.

        Args:
            atoms: of all orbits.
            free: their free coordinates.
            orbits: whose distances to all others are asked; None asks every orbit.
        """
        first = atoms.first if orbits is None else atoms.first[orbits]
        coords = (atoms.coords(free) @ self.to_reduced.T).astype(np.float32)
        least = self.least[atoms.element[first]][:, atoms.element] ** 2
        size = self._chunk(len(atoms.element), len(first))
        parts = [
            self._worst(coords[at : at + size], first, least) for at in range(0, len(coords), size)
        ]
        return np.sqrt(np.concatenate(parts))

    def _worst(
        self,
        coords: Float32[np.ndarray, "b n 3"],
        first: Integer[np.ndarray, " k"],
        least: Float32[np.ndarray, "k n"],
    ) -> Float32[np.ndarray, " b"]:
        squared = self._squared(coords, first)
        return (squared / least).min(axis=(1, 2))

    def _squared(
        self, coords: Float32[np.ndarray, "b n 3"], first: Integer[np.ndarray, " k"]
    ) -> Float32[np.ndarray, "b k n"]:
        """Return the square of the distance of each atom's nearest image, but of an atom itself."""
        gaps = coords[:, first, None] - coords[:, None]
        gaps -= np.rint(gaps)
        # One array for each axis: sums over a last axis of three are slow.
        x, y, z = np.moveaxis(gaps @ self.reduced, -1, 0).copy()
        squared = np.full(gaps.shape[:-1], np.inf, np.float32)
        itself = first[:, None] == np.arange(coords.shape[1])
        for a, b, c in self.shifts:
            image = (x + a) ** 2 + (y + b) ** 2 + (z + c) ** 2
            if a == b == c == 0:
                image[:, itself] = np.inf
            np.minimum(squared, image, out=squared)
        return squared

    def distances(
        self,
        atoms: Atoms,
        free: Float[np.ndarray, "b p"],
        orbits: Integer[np.ndarray, " k"] | None = None,
    ) -> Float32[np.ndarray, "b k n"]:
        """Return the distances (angstrom) of representative atoms to the nearest images of all."""
        first = atoms.first if orbits is None else atoms.first[orbits]
        return self.lengths(atoms.coords(free), first)

    def lengths(
        self, coords: Float[np.ndarray, "b n 3"], first: Integer[np.ndarray, " k"]
    ) -> Float32[np.ndarray, "b k n"]:
        """Return the distances (angstrom) of some atoms to the nearest images of all."""
        reduced = (coords @ self.to_reduced.T).astype(np.float32)
        size = self._chunk(coords.shape[1], len(first))
        parts = [
            self._squared(reduced[at : at + size], first) for at in range(0, len(coords), size)
        ]
        return np.sqrt(np.concatenate(parts))

    def _chunk(self, atoms: int, asked: int) -> int:
        return max(1, CHUNK // (asked * atoms * len(self.shifts)))
