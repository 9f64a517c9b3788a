"""How usual space groups and Wyckoff positions are, counted from known crystals.

`benchmarks/known_structures.py` writes the table. What it never saw is not impossible: counts are
smoothed towards what is expected of positions with as many free coordinates.
"""

import csv
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.search.wyckoff import Wyckoff

_TABLE = "wyckoff_usage.csv"
_UNSEEN = 0.5
"""Crystals that a space group has beside those that were counted."""
_PRIOR = 6.0
"""Orbits of a space group, spread over all its positions, beside those that were counted."""
_BY_FREEDOM = np.array([1.0, 1.0, 0.7, 0.5])
"""How usual a position with so many free coordinates is before any crystal is counted."""


class Usage(NamedTuple):
    """What was counted in a space group.

    Attributes:
        crystals: how many there are.
        orbits: on each of its positions; those that the normalizer exchanges share theirs.
    """

    crystals: int
    orbits: Integer[np.ndarray, " w"]


def group_cost(number: int, others: Iterable[int]) -> float:
    """Return minus the logarithm of a space group's share of the crystals of some groups.

    Args:
        number: of the space group.
        others: numbers of all groups that are possible, itself among them; one that is named twice
            (in two settings) counts once.
    """
    total = sum(_usage()[other].crystals + _UNSEEN for other in set(others))
    return float(-np.log((_usage()[number].crystals + _UNSEEN) / total))


def position_costs(group: Wyckoff) -> Float[np.ndarray, " w"]:
    """Return minus the logarithm of how usual an orbit on each position of a space group is."""
    prior = _BY_FREEDOM[[position.free for position in group.positions]]
    counts = _usage()[group.number].orbits + _PRIOR * prior / prior.sum()
    # Of positions that the normalizer exchanges each has the counts of all, and one is tried.
    alike = [len(set(group.equivalent[:, place])) for place in range(len(counts))]
    return -np.log(counts / (counts / alike).sum())


@cache
def _usage() -> dict[int, Usage]:
    text = (resources.files("cmed_jax.crystal") / "embedded" / _TABLE).read_text(encoding="ascii")
    return {
        int(row["space_group"]): Usage(
            int(row["crystals"]), np.array(row["orbits"].split(), dtype=int)
        )
        for row in csv.DictReader(text.splitlines())
    }
