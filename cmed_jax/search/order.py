"""The order of the search: assignments of all space groups, the most promising ones first.

The cost of an assignment is minus the logarithm of its probability, plus the logarithm of the time
that it takes. The order of this cost finds the right assignment soonest. A space group is opened
(its positions derived, its reflections listed) only when its turn comes.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.bravais import Bravais
from cmed_jax.crystal.symmetry import either_hand, space_group
from cmed_jax.search.assignments import Assignment, assignments
from cmed_jax.search.chemistry import least_distances
from cmed_jax.search.extinction import allowed_settings
from cmed_jax.search.formula_units import Contents, contents
from cmed_jax.search.observed import ObservedLines, group_lines
from cmed_jax.search.reflection_model import HYDROGEN, ReflectionModel, reflection_model
from cmed_jax.search.separations import Separations
from cmed_jax.search.settings import Setting, settings
from cmed_jax.search.starts import Pools
from cmed_jax.search.usage import group_cost, position_costs

Pause = Literal["wait", "given up"]
"""What the search yields between two assignments."""

MOST_FREE = 24
"""The largest number of free coordinates of an assignment."""
LINES_PER_FREE = 3.0
"""The least number of groups of lines for each free coordinate.

With fewer, the residual that is raised for the coordinates tells nothing (`score.CONSTRAINED`).
"""
COST_OF_DESCENT = 2.5
"""The logarithm of the time of a descent over that of an assignment without free coordinates."""
COST_PER_FREE = 1.0
"""The cost of each free coordinate: descents take longer, and succeed more rarely."""
COST_PER_ORBIT = 1.0
"""The cost of each orbit: the atoms of an element seldom take more positions than they must."""
LEAST_SHARE = 0.9
"""The share of the least distances that a structure must keep."""


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """All assignments of one space group with one number of formula units.

    Attributes:
        model: the reflections and the measured lines.
        separations: the distances that the elements keep.
        pools: the pools of places on the positions of the space group.
        contents: the atoms in the primitive cell.
    """

    model: ReflectionModel
    separations: Separations
    pools: Pools
    contents: Contents

    def assignments(self) -> Iterator[Assignment | float]:
        """Yield the assignments, the most promising first, and bounds of their cost between.

        An infinite bound at the end tells that not all assignments were found.
        """
        counts, group = self.contents.counts, self.model.group
        possible = [self.pools.possible(element) for element in range(len(counts))]
        most = min(MOST_FREE, int(len(self.model.target) / LINES_PER_FREE))
        costs = position_costs(group)
        costs += COST_PER_FREE * np.array([each.free for each in group.positions])
        costs += COST_PER_ORBIT
        costs = np.maximum(costs, 1e-3)
        for each in assignments(group, counts, costs, possible, self.pools.clash, most):
            if isinstance(each, Assignment) and each.free:
                yield each._replace(cost=each.cost + COST_OF_DESCENT)
            else:
                yield each


@dataclass(frozen=True, eq=False)
class UnopenedSpace:
    """A search space before its space group is opened.

    Attributes:
        base: the cost of the space group and the volume.
        contents: the atoms in the primitive cell.
        model: a function that makes the reflections of the space group, once for all numbers of
            formula units.
    """

    base: float
    contents: Contents
    model: Callable[[], ReflectionModel]

    def open(self) -> SearchSpace:
        """Return the search space."""
        model = self.model()
        least = least_distances(np.array(self.contents.numbers), self.contents.counts)
        separations = Separations.of(model.setting.lattice, least)
        pools = Pools(model, separations, self.contents.counts)
        return SearchSpace(model, separations, pools, self.contents)

    def bound(self, number: int) -> float:
        """Return a lower bound of the cost of its assignments in a space group.

        No orbit holds more atoms than the group has operations.
        """
        most = len(space_group(number).rotations)
        orbits = sum(-(-count // most) for count in self.contents.counts)
        return self.base + COST_PER_ORBIT * orbits


def in_order(
    cell: Bravais,
    composition: Float[np.ndarray, "119"],
    lines: ObservedLines,
    number: int | None = None,
    atoms: int | None = None,
) -> Iterator[tuple[SearchSpace, Assignment] | Pause]:
    """Yield assignments of all space groups that the absences allow, in the order of their cost.

    Where the next one takes a while to find, "wait" is yielded, so that the caller can check the
    time. Where it takes so long that the space group is given up, "given up" is yielded.

    Args:
        cell: the lattice.
        composition: the atom fractions by atomic number.
        lines: the measured lines.
        number: the number of the space group, where it is known.
        atoms: the number of atoms in the conventional cell, where it is known.

    Raises:
        ValueError: no line is where the lattice allows one, the space group does not go with the
            lattice, or no number of formula units fits its volume.
    """
    candidates = _candidates(settings(cell), number, f"{cell.system} {cell.centring}")
    groups = group_lines(lines, cell.conventional)
    visible = np.where(np.arange(119) == HYDROGEN, 0, composition).astype(float)
    heap: list[tuple[float, int, UnopenedSpace | _Stream]] = []
    numbers = tuple(np.flatnonzero(visible).tolist())
    for setting, cost in allowed_settings(candidates, cell, groups):
        base = cost + group_cost(setting.number, [one.number for one in candidates])
        model = cache(partial(reflection_model, setting, numbers, lines, groups))
        for one in contents(setting, composition, visible, atoms):
            unopened = UnopenedSpace(base + one.cost, one, model)
            heap.append((unopened.bound(setting.number), len(heap), unopened))
    if not heap:
        raise ValueError(
            "no number of formula units fits the volume of the cell: check cell and formula"
        )
    heapq.heapify(heap)
    yield from _merged(heap)


@dataclass(frozen=True, eq=False)
class _Stream:
    """An opened search space: its next assignment, or a bound of its cost, and the rest."""

    space: SearchSpace
    base: float
    next: Assignment | float
    others: Iterator[Assignment | float]


def _merged(
    heap: list[tuple[float, int, UnopenedSpace | _Stream]],
) -> Iterator[tuple[SearchSpace, Assignment] | Pause]:
    """Yield the assignments of all fields in the order of their cost; a pause for a bound."""
    while heap:
        cost, number, top = heapq.heappop(heap)
        if isinstance(top, UnopenedSpace):
            space = top.open()
            top = _Stream(space, top.base, cost, space.assignments())
        if isinstance(top.next, Assignment):
            yield top.space, top.next
        else:
            yield "given up" if top.next == np.inf else "wait"
        following = next(top.others, None)
        if following is not None:
            ahead = following.cost if isinstance(following, Assignment) else following
            stream = _Stream(top.space, top.base, following, top.others)
            heapq.heappush(heap, (top.base + ahead, number, stream))


def _candidates(
    every: tuple[Setting, ...], space_group: int | None, lattice: str
) -> tuple[Setting, ...]:
    """Return the settings of the given space group, or all where none is given.

    Of two groups that are mirror images, they are those of the one with the smaller number.
    """
    if space_group is None:
        return tuple(each for each in every if each.number == either_hand(each.number))
    chosen = tuple(each for each in every if each.number == either_hand(space_group))
    if not chosen:
        raise ValueError(
            f"space group {space_group} does not go with a {lattice} lattice: check it, or give "
            "the conventional cell"
        )
    return chosen
