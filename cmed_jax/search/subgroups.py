"""The subgroups of a space group that have its lattice: translationengleiche ones.

They are the symmetries that a structure keeps when its atoms are displaced a little (International
Tables A1, chapter 1.2).
"""

from functools import cache

import numpy as np
from jaxtyping import Integer

from cmed_jax.search.wyckoff import wyckoff


@cache
def maximal_subgroups(number: int) -> tuple[Integer[np.ndarray, " k"], ...]:
    """Return the maximal subgroups of a space group that have its lattice, one of each class.

    Each is given by the rows of `wyckoff(number).rotations` that it keeps. Classes are those of
    subgroups that an operation of the group turns into each other.
    """
    rotations = wyckoff(number).rotations
    row = {each.tobytes(): index for index, each in enumerate(rotations)}
    table = np.array([[row[(a @ b).tobytes()] for b in rotations] for a in rotations])
    inverse = (table == row[np.eye(3, dtype=int).tobytes()]).argmax(axis=1)
    whole = frozenset(range(len(rotations)))
    found = {_closed({each}, table) for each in whole}
    grown = set(found)
    while grown:
        grown = {
            _closed(group | {each}, table) for group in grown for each in whole - group
        } - found
        found |= grown
    proper = sorted(found - {whole}, key=lambda group: (-len(group), sorted(group)))
    chosen, seen = [], set[frozenset[int]]()
    for group in proper:
        if group in seen or any(group < other for other in proper):
            continue
        chosen.append(np.array(sorted(group)))
        seen |= {frozenset(table[table[g, sorted(group)], inverse[g]].tolist()) for g in whole}
    return tuple(chosen)


def free_metric(rotations: Integer[np.ndarray, "m 3 3"]) -> int:
    """Return the number of free parameters of a cell with the rotations of a point group.

    It is the number of independent metric tensors that they keep: 1 for cubic cells, 6 for
    triclinic ones.
    """
    traces = np.trace(rotations, axis1=1, axis2=2) ** 2
    squares = np.trace(rotations @ rotations, axis1=1, axis2=2)
    return round(float(np.mean(traces + squares) / 2))


def _closed(
    members: set[int] | frozenset[int], table: Integer[np.ndarray, "m m"]
) -> frozenset[int]:
    """Return the subgroup that some operations generate."""
    group = np.array(sorted(members))
    while True:
        larger = np.union1d(group, table[np.ix_(group, group)])
        if len(larger) == len(group):
            return frozenset(group.tolist())
        group = larger
