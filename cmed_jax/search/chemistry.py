"""Usual distances between atoms, and the least possible ones.

`benchmarks/known_structures.py` counts both from known crystals. Pairs of elements that are too
rare in them are assessed by covalent radii (Cordero et al., Dalton Trans. 2832, 2008, in gemmi).
"""

import csv
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

import gemmi
import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.composition import atomic_number

LENIENT = 0.93
"""The least distance allowed, as a share of the one that 99 % of the known crystals keep."""
OF_RADII = 0.72
"""The share of the sum of covalent radii that is the least distance of an unknown pair."""
USUAL_OF_RADII, SPREAD_OF_RADII = 1.08, 0.12
"""The usual distance of an unknown pair of neighbours, and its deviation, as shares of that sum."""
UNKNOWN_PAIR = 0.35
"""The least misfit of a pair of nearest neighbours that is in no known crystal."""
HALOGENS = (9, 17, 35, 53)
"""The elements that the table of distances knows as ions alone."""
FEW, SELDOM = 5, 0.15
"""The number of known sites below which a pair is rare, and the least misfit of a rare pair."""
FAR = 4.0
"""The number of deviations from the usual distance at which the misfit is complete."""
SPREAD = 0.04
"""The least deviation of a distance, as a share of it."""


class Usual(NamedTuple):
    """The usual distance to a nearest neighbour, its deviation, and the number of known sites."""

    length: float
    deviation: float
    sites: int


def least_distances(
    numbers: Integer[np.ndarray, " e"], counts: Sequence[int] = ()
) -> Float[np.ndarray, "e e"]:
    """Return the least allowed distance of each pair of elements, angstrom.

    Args:
        numbers: the atomic numbers.
        counts: the numbers of atoms, where they are known. More halogen atoms than the other
            elements can oxidise are bonded to each other, as in KI3.
    """
    least = np.array([[_least(int(a), int(b)) for b in numbers] for a in numbers])
    for place, _ in enumerate(counts):
        if int(numbers[place]) in HALOGENS and counts[place] > _oxidising(numbers, counts, place):
            least[place, place] = OF_RADII * 2 * _radius(int(numbers[place]))
    return least


def neighbour_misfit(element: int, neighbour: int, distance: float) -> float:
    """Return how unusual the nearest neighbour of an atom is: 0 to 1.

    Args:
        element: the atomic number of the atom.
        neighbour: the atomic number of its nearest neighbour.
        distance: the distance between them, angstrom.
    """
    usual, base = _neighbours().get((element, neighbour)), 0.0
    if usual is None:
        radii = _radius(element) + _radius(neighbour)
        usual, base = Usual(USUAL_OF_RADII * radii, SPREAD_OF_RADII * radii, 0), UNKNOWN_PAIR
    elif usual.sites < FEW:
        base = SELDOM
    deviation = max(usual.deviation, SPREAD * usual.length)
    away = min(abs(distance - usual.length) / deviation / FAR, 1.0)
    return min(1.0, base + away**2)


def _oxidising(numbers: Integer[np.ndarray, " e"], counts: Sequence[int], place: int) -> int:
    """Return the largest number of halide ions that the other elements can neutralise."""
    from pymatgen.core import Element

    states = [int(Element.from_Z(int(each)).max_oxidation_state) for each in numbers]
    charges = (count * max(0, state) for count, state in zip(counts, states, strict=True))
    return sum(charge for each, charge in enumerate(charges) if each != place)


def _least(a: int, b: int) -> float:
    """Return the least allowed distance of two elements, angstrom."""
    known = _shortest().get((min(a, b), max(a, b)))
    return OF_RADII * (_radius(a) + _radius(b)) if known is None else LENIENT * known


def _radius(number: int) -> float:
    return gemmi.Element(number).covalent_r


def _rows(name: str) -> csv.DictReader:
    """Return the rows of an embedded table."""
    text = (resources.files("cmed_jax.crystal") / "embedded" / name).read_text(encoding="ascii")
    return csv.DictReader(text.splitlines())


@cache
def _shortest() -> dict[tuple[int, int], float]:
    """Read the shortest distances of pairs of elements, the smaller atomic number first."""
    rows = _rows("shortest_distances.csv")
    pairs = ((atomic_number(row["first"]), atomic_number(row["second"]), row) for row in rows)
    return {(min(a, b), max(a, b)): float(row["least"]) for a, b, row in pairs}


@cache
def _neighbours() -> dict[tuple[int, int], Usual]:
    """Read the usual distances of elements to their nearest neighbours."""
    return {
        (atomic_number(row["element"]), atomic_number(row["neighbour"])): Usual(
            float(row["median"]), float(row["deviation"]), int(row["sites"])
        )
        for row in _rows("nearest_neighbours.csv")
    }
