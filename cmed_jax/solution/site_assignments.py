"""The ways to put other elements on the sites of a crystal."""

from collections.abc import Iterator
from itertools import permutations

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.canonical import electropositivity
from cmed_jax.crystal.composition import Knowledge

LIKELY = 2
"""The largest number of assignments per prototype where the ratios are not known."""


def site_assignments(
    numbers: Integer[np.ndarray, " n"], composition: Float[np.ndarray, "119"]
) -> Iterator[Integer[np.ndarray, " n"]]:
    """Yield every assignment of the elements of a composition to the sites of a crystal.

    An element replaces one with the same share of the atoms.

    Args:
        numbers: the atomic numbers of the crystal.
        composition: the atom fractions of another crystal with the same anonymous formula.
    """
    _, place, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    amounts = np.rint(composition * len(numbers)).astype(int)
    for elements in permutations(np.flatnonzero(composition).tolist()):
        if np.array_equal(amounts[list(elements)], counts):
            yield np.array(elements)[place]


def partial_site_assignments(
    numbers: Integer[np.ndarray, " n"], composition: Float[np.ndarray, "119"], knowledge: Knowledge
) -> Iterator[Integer[np.ndarray, " n"]]:
    """Yield assignments of the known elements of a composition to the sites of a crystal.

    A composition that is known in full gives every assignment (`site_assignments`). Otherwise each
    known element replaces one element of the crystal, and the rest stays. The few assignments
    (`LIKELY`) with the smallest differences in electronegativity are yielded.

    Args:
        numbers: the atomic numbers of the crystal.
        composition: the known part of another crystal's composition.
        knowledge: how much of that composition is known.
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
