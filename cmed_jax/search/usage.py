"""Frequencies of space groups and Wyckoff positions, counted from known crystals.

`benchmarks/known_structures.py` writes the table. A position that no known crystal has is not
impossible. The counts are therefore smoothed towards those expected of positions with as many free
coordinates.
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
"""The number of crystals added to the count of each space group."""
_PRIOR = 6.0
"""The number of orbits added to the counts of a space group, spread over all its positions."""
_BY_FREEDOM = np.array([1.0, 1.0, 0.7, 0.5])
"""The relative frequency of positions by their free coordinates, before crystals are counted."""


class Usage(NamedTuple):
    """The counts of a space group.

    Attributes:
        crystals: the number of crystals.
        orbits: the number of orbits on each position; positions that the normalizer exchanges share
            theirs.
    """

    crystals: int
    orbits: Integer[np.ndarray, " w"]


def group_cost(number: int, others: Iterable[int]) -> float:
    """Return minus the logarithm of the share of a space group in the crystals of some groups.

    Args:
        number: the number of the space group.
        others: the numbers of all possible groups, including this one; a repeated number (of two
            settings) counts once.
    """
    total = sum(_usage()[other].crystals + _UNSEEN for other in set(others))
    return float(-np.log((_usage()[number].crystals + _UNSEEN) / total))


def position_costs(group: Wyckoff) -> Float[np.ndarray, " w"]:
    """Return minus the logarithm of the frequency of an orbit on each position of a space group."""
    prior = _BY_FREEDOM[[position.free for position in group.positions]]
    counts = _usage()[group.number].orbits + _PRIOR * prior / prior.sum()
    # Each of the positions that the normalizer exchanges has the counts of all; one is tried.
    alike = [len(set(group.equivalent[:, place])) for place in range(len(counts))]
    return -np.log(counts / (counts / alike).sum())


@cache
def _usage() -> dict[int, Usage]:
    """Read the counts of all space groups."""
    text = (resources.files("cmed_jax.crystal") / "embedded" / _TABLE).read_text(encoding="ascii")
    return {
        int(row["space_group"]): Usage(
            int(row["crystals"]), np.array(row["orbits"].split(), dtype=int)
        )
        for row in csv.DictReader(text.splitlines())
    }
