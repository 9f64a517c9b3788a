"""The crystals of a mixture: known ones, and new ones where these do not explain the pattern."""

from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.query import Query
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.search import search_structures
from cmed_jax.solution.prototypes import Prototypes
from cmed_jax.solution.refinement import Refined, refine
from cmed_jax.solution.solve import EXPLAINED, distinct_crystals, solve

S_MIN, S_MAX = 0.02, 1.3
"""The range of s = 1/d in which lines are compared, 1/angstrom: that of copper K-alpha.

More lines take more time and hardly tell more.
"""


def refined_crystals(
    prototypes: Prototypes, question: Query, *, seconds: float | int = 0, seed: int = 0
) -> list[Refined]:
    """Return the crystals that explain the pattern of a query, the smallest residual first.

    Args:
        prototypes: the known crystals.
        question: one query, whose columns have no axis of queries.
        seconds: the longest time of the search for a new structure. There is a search where no
            known crystal explains the pattern, if the query has a cell, lines and a full
            composition.
        seed: the seed of the search.

    Raises:
        KeyboardInterrupt: Ctrl-C came during the search.
    """
    pattern, composition, knowledge, coverage = map(np.asarray, question[:4])
    found = solve(prototypes, pattern, composition, knowledge, coverage)
    if not seconds or (found and found[0].residual < EXPLAINED):
        return found
    new = _new_crystals(question, seconds, seed)
    return distinct_crystals([*found, *new])


def _new_crystals(question: Query, seconds: float | int, seed: int) -> Iterator[Refined]:
    """Yield the structure that a search finds in the cell of a query, refined.

    A structure without the hydrogen of the composition is left out: its density is another one.
    """
    s, intensity = np.asarray(question.lines, float).T
    known = (intensity > 0) & (s >= S_MIN) & (s <= S_MAX)
    full = int(question.knowledge) == Knowledge.FULL
    lattice = np.asarray(question.lattice, float)
    if not (full and known.any() and lattice.any()):
        return
    lines = ObservedLines(s[known], intensity[known], S_MIN, min(S_MAX, float(s.max())))
    with suppress(ValueError):  # no number of formula units fits the cell, or atoms coincide
        composition = np.asarray(question.composition, float)
        result = search_structures(lattice, composition, lines, seconds=seconds, seed=seed)
        if result.interrupted:
            raise KeyboardInterrupt  # the search took it for the end of its time
        if result.verdict != "not found" and not result.structures[0].lacks_hydrogen:
            pattern, coverage = map(np.asarray, (question.pattern, question.coverage))
            yield refine(result.structures[0].material, pattern, coverage)
