"""Ways in which elements take the places of others in a crystal."""

from collections.abc import Iterator
from itertools import permutations

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.canonical import electropositivity
from cmed_jax.crystal.composition import Knowledge

LIKELY = 2
"""In so many ways at most the elements of a template are replaced where ratios are not known."""


def site_assignments(
    numbers: Integer[np.ndarray, " n"], composition: Float[np.ndarray, "119"]
) -> Iterator[Integer[np.ndarray, " n"]]:
    """Yield the atomic numbers with other elements in their place, in every way.

    An element takes the place of one that has its share of the atoms.

    Args:
        numbers: atomic numbers of a crystal.
        composition: atom fractions of another, of the same anonymous formula.
    """
    _, place, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    amounts = np.rint(composition * len(numbers)).astype(int)
    for elements in permutations(np.flatnonzero(composition).tolist()):
        if np.array_equal(amounts[list(elements)], counts):
            yield np.array(elements)[place]


def partial_site_assignments(
    numbers: Integer[np.ndarray, " n"], composition: Float[np.ndarray, "119"], knowledge: Knowledge
) -> Iterator[Integer[np.ndarray, " n"]]:
    """Yield the atomic numbers with the elements of a composition in their place.

    In every way where the composition is known in full (`site_assignments`). Else what is not known
    stays: of the elements that are known each takes the place of one of the crystal's, in the few
    ways (`LIKELY`) in which they are most alike in electronegativity.

    Args:
        numbers: atomic numbers of a crystal.
        composition: what is known of that of another.
        knowledge: how much that is.
    """
    if knowledge == Knowledge.FULL:
        yield from site_assignments(numbers, composition)
        return
    old, place = np.unique(numbers, return_inverse=True)
    elements = np.flatnonzero(composition)
    ways = np.array(list(permutations(range(len(old)), len(elements))), int)
    unlike = np.abs(electropositivity(old[ways]) - electropositivity(elements)).sum(axis=1)
    for way in ways[np.argsort(unlike, kind="stable")[:LIKELY]]:
        new = old.copy()
        new[way] = elements
        yield new[place]
