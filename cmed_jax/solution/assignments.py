"""Wyckoff assignments: which positions the atoms of each element take, the most usual first.

All ways to fill a cell with given numbers of atoms are far too many to list. They are drawn one by
one, in the order of their cost: the sum of the costs of their positions. The ways of one element
come from a search that knows the least that what is left can cost (A*, Hart, Nilsson and Raphael,
1968); those of all elements together from a heap of sums. A position without free coordinates
holds one orbit at most, and of assignments that the Euclidean normalizer turns into each other the
first is given.
"""

import heapq
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.solution.wyckoff import Wyckoff

Places = tuple[int, ...]
"""Positions of the orbits of one element, each by its place in `Wyckoff.positions`, ascending."""


class Assignment(NamedTuple):
    """Positions for all atoms of a cell.

    Attributes:
        places: of the orbits of each element, in the order of the elements.
        free: coordinates that are free together.
        cost: minus the logarithm of how usual it is, up to a constant.
    """

    places: tuple[Places, ...]
    free: int
    cost: float


def assignments(
    group: Wyckoff,
    counts: Sequence[int],
    costs: Float[np.ndarray, " w"],
    possible: Sequence[Set[int]],
    most_free: int,
) -> Iterator[Assignment]:
    """Yield the assignments of a space group, the cheapest first.

    Args:
        group: with its positions.
        counts: atoms of each element in the primitive cell.
        costs: of an orbit on each position, above 0.
        possible: positions that the atoms of each element fit on.
        most_free: assignments with more free coordinates are left out.
    """
    lists = [
        _Drawn(_fillings(group, count, costs, places))
        for count, places in zip(counts, possible, strict=True)
    ]
    free = [position.free for position in group.positions]
    seen: set[tuple[Places, ...]] = set()
    for cost, places in _sums(lists):
        flat = [place for each in places for place in each]
        fixed = [place for place in flat if not free[place]]
        total = sum(free[place] for place in flat)
        if len(set(fixed)) < len(fixed) or total > most_free:
            continue
        name = _first_equivalent(group, places)
        if name not in seen:
            seen.add(name)
            yield Assignment(places, total, cost)


def _first_equivalent(group: Wyckoff, places: tuple[Places, ...]) -> tuple[Places, ...]:
    return min(
        tuple(tuple(sorted(row[list(each)].tolist())) for each in places)
        for row in group.equivalent
    )


def _fillings(
    group: Wyckoff, count: int, costs: Float[np.ndarray, " w"], possible: Set[int]
) -> Iterator[tuple[float, Places]]:
    """Yield the sets of positions that hold so many atoms, with their costs, ascending."""
    places = sorted(possible)
    sizes = [group.positions[place].multiplicity for place in places]
    fixed = [not group.positions[place].free for place in places]
    least = _least_costs(sizes, fixed, [float(costs[place]) for place in places], count)
    heap = [(least[0][count], 0.0, 0, count, ())]
    while heap:
        bound, cost, at, left, chosen = heapq.heappop(heap)
        if not np.isfinite(bound):
            return
        if not left:
            yield cost, chosen
            continue
        most = left // sizes[at]
        for number in range(min(most, 1 if fixed[at] else most) + 1):
            rest = left - number * sizes[at]
            paid = cost + number * float(costs[places[at]])
            ahead = paid + least[at + 1][rest]
            if np.isfinite(ahead):
                entry = (ahead, paid, at + 1, rest, chosen + (places[at],) * number)
                heapq.heappush(heap, entry)


def _least_costs(
    sizes: Sequence[int], fixed: Sequence[bool], costs: Sequence[float], count: int
) -> Float[np.ndarray, "w m"]:
    """Return the least cost to place so many atoms (columns) on positions from one on (rows)."""
    least = np.full((len(sizes) + 1, count + 1), np.inf)
    least[-1, 0] = 0.0
    for at in range(len(sizes) - 1, -1, -1):
        least[at] = least[at + 1]
        for left in range(sizes[at], count + 1):
            before = least[at + 1 if fixed[at] else at, left - sizes[at]]
            least[at, left] = min(least[at, left], costs[at] + before)
    return least


class _Drawn:
    """The items of an iterator by their number, drawn as they are asked for."""

    def __init__(self, items: Iterator[tuple[float, Places]]):
        self._items, self._drawn = items, list[tuple[float, Places]]()

    def __getitem__(self, number: int) -> tuple[float, Places] | None:
        while len(self._drawn) <= number:
            item = next(self._items, None)
            if item is None:
                return None
            self._drawn.append(item)
        return self._drawn[number]


def _sums(lists: Sequence[_Drawn]) -> Iterator[tuple[float, tuple[Places, ...]]]:
    """Yield one item of each list, in the order of the sums of their costs."""
    start = (0,) * len(lists)
    heap: list[tuple[float, tuple[int, ...]]] = []

    def push(numbers: tuple[int, ...]) -> None:
        items = [each[number] for each, number in zip(lists, numbers, strict=True)]
        if all(item is not None for item in items):
            heapq.heappush(heap, (sum(item[0] for item in items if item), numbers))

    push(start)
    while heap:
        cost, numbers = heapq.heappop(heap)
        items = [each[number] for each, number in zip(lists, numbers, strict=True)]
        yield cost, tuple(item[1] for item in items if item)
        # Only numbers after the last that was raised: so each is reached in one way.
        last = max((at for at, number in enumerate(numbers) if number), default=0)
        for at in range(last, len(numbers)):
            push((*numbers[:at], numbers[at] + 1, *numbers[at + 1 :]))
