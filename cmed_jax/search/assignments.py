"""Wyckoff assignments: the positions of the atoms of each element, the most usual first.

There are far too many ways to fill a cell with given numbers of atoms to list them all. They are
generated one by one in the order of their cost, the sum of the costs of their positions. This is a
best-first search with a lower bound of the remaining cost (A*, Hart, Nilsson and Raphael, 1968). A
position without free coordinates holds one orbit at most. Of assignments that the Euclidean
normalizer transforms into each other only the first is returned.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence, Set
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.search.wyckoff import Wyckoff

Places = tuple[int, ...]
"""The positions of the orbits of one element: indices of `Wyckoff.positions`, ascending."""


Clash = Callable[[int, int, int, int], bool]
"""A function of (element, position, element, position).

It returns whether the two orbits cannot be in one cell.
"""

PAUSE = 300
"""The number of steps without an assignment after which the search yields its bound."""
PATIENCE = 60_000
"""The number of steps without an assignment after which a space group is given up."""


class Assignment(NamedTuple):
    """Positions for all atoms of a cell.

    Attributes:
        places: the positions of the orbits of each element, in the order of the elements.
        free: the number of free coordinates of all orbits.
        cost: minus the logarithm of the probability, up to a constant.
    """

    places: tuple[Places, ...]
    free: int
    cost: float


def assignments(
    group: Wyckoff,
    counts: Sequence[int],
    costs: Float[np.ndarray, " w"],
    possible: Sequence[Set[int]],
    clash: Clash,
    most_free: int,
) -> Iterator[Assignment | float]:
    """Yield the assignments of a space group, the cheapest first.

    Where the next assignment takes a while to find, a lower bound of its cost is yielded instead.
    The caller can then turn to another space group. The bound is infinite where the next one takes
    so long that the space group is given up; nothing comes after it.

    Args:
        group: the space group with its positions.
        counts: the number of atoms of each element in the primitive cell.
        costs: the cost of an orbit on each position, above 0.
        possible: the positions that the atoms of each element fit on.
        clash: whether an orbit of one element on a position excludes one of another element.
        most_free: the largest number of free coordinates of an assignment.
    """
    seen: set[tuple[Places, ...]] = set()
    options = [
        _Option(element, place, position.multiplicity, position.free, float(costs[place]))
        for element in range(len(counts))
        for place, position in enumerate(group.positions)
        if place in possible[element]
    ]
    for filling in _fillings(options, counts, _clashes(options, clash), most_free):
        if isinstance(filling, float):
            yield filling
            continue
        cost, free, taken = filling
        places = _by_element(taken, len(counts))
        name = _first_equivalent(group, places)
        if name not in seen:
            seen.add(name)
            yield Assignment(places, free, cost)


def _first_equivalent(group: Wyckoff, places: tuple[Places, ...]) -> tuple[Places, ...]:
    """Return the first of the assignments that the normalizer transforms into each other."""
    return min(
        tuple(tuple(sorted(row[list(each)].tolist())) for each in places)
        for row in group.equivalent
    )


class _Option(NamedTuple):
    """A position that the atoms of an element may occupy."""

    element: int
    place: int
    size: int
    free: int
    cost: float


Taken = tuple[tuple[int, int], ...]
"""The element and the position of each orbit."""


def _clashes(options: Sequence[_Option], clash: Clash) -> list[int]:
    """Return, as bits, the options that each one excludes: the same position, or one too near."""
    bits = [0] * len(options)
    for (i, one), (j, other) in itertools.combinations_with_replacement(enumerate(options), 2):
        if one.free and other.free:
            continue
        if one.place == other.place or clash(one.element, one.place, other.element, other.place):
            bits[i] |= 1 << j
            bits[j] |= 1 << i
    return bits


_State = tuple[float, float, int, int, int, int, Taken]


def _fillings(
    options: Sequence[_Option], counts: Sequence[int], clashes: Sequence[int], most_free: int
) -> Iterator[tuple[float, int, Taken] | float]:
    """Yield cost, free coordinates and orbits of all ways to fill a cell, or a bound of the cost.

    A state is a partly filled cell. It consists of the lower bound of its final cost, its cost so
    far, its number of free coordinates, the option that is decided next, the number of unplaced
    atoms of that option's element, the excluded options (as bits), and the orbits.
    """
    least = _least(options, counts, [option.cost for option in options])
    freest = _least(options, counts, [float(option.free) for option in options])
    lowest = float(least[0][counts[0]])
    if lowest == np.inf:  # the positions hold no such numbers of atoms
        return
    heap: list[_State] = [(lowest, 0.0, 0, 0, counts[0], 0, ())]
    yield lowest
    steps = 0
    while heap and steps < PATIENCE:
        bound, paid, free, at, left, barred, taken = heapq.heappop(heap)
        steps += 1
        if at == len(options):
            yield paid, free, taken
            steps = 0
            continue
        if steps % PAUSE == 0:
            yield bound
        element, place, size, freedom, cost = options[at]
        last = at + 1 == len(options) or options[at + 1].element != element
        most = 0 if barred >> at & 1 else left // size if freedom else min(left // size, 1)
        for number in range(most + 1):
            rest = left - number * size
            if last:
                if rest:
                    continue
                rest = counts[element + 1] if element + 1 < len(counts) else 0
            ahead = paid + number * cost + least[at + 1][rest]
            if ahead < np.inf and free + number * freedom + freest[at + 1][rest] <= most_free:
                orbits = taken + ((element, place),) * number
                bits = barred | (clashes[at] if number else 0)
                more = free + number * freedom
                heapq.heappush(
                    heap, (ahead, paid + number * cost, more, at + 1, rest, bits, orbits)
                )
    if heap:
        yield np.inf


def _least(
    options: Sequence[_Option], counts: Sequence[int], costs: Sequence[float]
) -> list[list[float]]:
    """Return the least cost of the rest of a cell, for each option and number of atoms left."""
    size = max(counts) + 1
    least = [[0.0] + [np.inf] * (size - 1)]
    for at in range(len(options) - 1, -1, -1):
        option, after = options[at], least[0]
        if at + 1 < len(options) and options[at + 1].element != option.element:
            beyond = after[counts[options[at + 1].element]]
            after = [beyond] + [np.inf] * (size - 1)
        here = list(after)
        for left in range(option.size, size):
            before = (here if option.free else after)[left - option.size]
            here[left] = min(here[left], costs[at] + before)
        least.insert(0, here)
    return least


def _by_element(taken: Taken, elements: int) -> tuple[Places, ...]:
    """Return the positions of the orbits, separated by element."""
    return tuple(
        tuple(place for element, place in taken if element == each) for each in range(elements)
    )
