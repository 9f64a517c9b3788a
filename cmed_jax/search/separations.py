"""Distances between atoms, as shares of the least distances that their elements keep."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import moyopy
import numpy as np
from jaxtyping import Float, Float32, Integer

from cmed_jax.search.wyckoff import Wyckoff

FARTHER = 1.6
"""The limit of exact distances, over the longest of the least distances.

Beyond it an image may be used that is not the nearest.
"""
CHUNK = 2_000_000
"""The number of distances computed at once, which bounds the memory."""


class Atoms(NamedTuple):
    """The atoms of some orbits in the primitive cell, each at linear p + offset.

    Attributes:
        element: the element of each atom, as an index of the list of elements.
        linear: the matrix of each atom, for the free coordinates p of all orbits together.
        offset: the offset of each atom, fractional.
        first: the index of the representative atom of each orbit.
    """

    element: Integer[np.ndarray, " n"]
    linear: Float[np.ndarray, "n 3 p"]
    offset: Float[np.ndarray, "n 3"]
    first: Integer[np.ndarray, " o"]

    def coords(self, free: Float[np.ndarray, "b p"]) -> Float[np.ndarray, "b n 3"]:
        """Return the fractional coordinates of the atoms for rows of free coordinates."""
        return self.offset + np.einsum("nip,bp->bni", self.linear, free)


def atoms_of(group: Wyckoff, orbits: list[tuple[int, int]]) -> Atoms:
    """Return the atoms of orbits, which are pairs of an element and a position."""
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
    """A lattice, and the least distances that the elements keep on it.

    Attributes:
        to_reduced: the matrix of x_reduced = to_reduced x, for columns of fractional coordinates.
        reduced: the rows of the reduced lattice, angstrom.
        shifts: the lattice vectors to the possible nearest images, Cartesian, angstrom.
        least: the least distances of pairs of elements, angstrom.
    """

    to_reduced: Float[np.ndarray, "3 3"]
    reduced: Float32[np.ndarray, "3 3"]
    shifts: Float32[np.ndarray, "t 3"]
    least: Float32[np.ndarray, "e e"]

    @classmethod
    def of(
        cls, lattice: Float[np.ndarray, "3 3"], least: Float[np.ndarray, "e e"]
    ) -> "Separations":
        """Return the separations on a lattice.

        Args:
            lattice: the rows a, b, c, angstrom.
            least: the least distances of pairs of elements, angstrom.
        """
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
        """Return the shortest distance of each row, as a share of the least allowed one.

        Args:
            atoms: the atoms of all orbits.
            free: the rows of their free coordinates.
            orbits: the orbits for which the distances to all orbits are considered; None for every
                orbit.
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
        """Return the least ratio of a squared distance and the squared least one, of each row."""
        squared = self._squared(coords, first)
        return (squared / least).min(axis=(1, 2))

    def _squared(
        self, coords: Float32[np.ndarray, "b n 3"], first: Integer[np.ndarray, " k"]
    ) -> Float32[np.ndarray, "b k n"]:
        """Return the squared distances to the nearest image of each atom, but not to itself."""
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
        """Return the distances of representative atoms to the nearest image of each, angstrom."""
        first = atoms.first if orbits is None else atoms.first[orbits]
        return self.lengths(atoms.coords(free), first)

    def lengths(
        self, coords: Float[np.ndarray, "b n 3"], first: Integer[np.ndarray, " k"]
    ) -> Float32[np.ndarray, "b k n"]:
        """Return the distances of some atoms to the nearest image of each atom, angstrom."""
        reduced = (coords @ self.to_reduced.T).astype(np.float32)
        size = self._chunk(coords.shape[1], len(first))
        parts = [
            self._squared(reduced[at : at + size], first) for at in range(0, len(coords), size)
        ]
        return np.sqrt(np.concatenate(parts))

    def _chunk(self, atoms: int, asked: int) -> int:
        """Return the number of rows that are computed at once."""
        return max(1, CHUNK // (asked * atoms * len(self.shifts)))
