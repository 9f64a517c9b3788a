"""Overlap of a material with known crystals: what looking it up could have found."""

import enum
from collections import defaultdict

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.composition import anonymous_formula, one_differs
from cmed_jax.data.examples import Examples


class TrainingOverlap(enum.IntEnum):
    """The closest overlap of a material with known crystals, of the training split or others.

    ONE_ELEMENT: a crystal of the same anonymous formula and space group, in which one element
    stands in the place of another and all else is equal. SAME_FORMULA: any crystal of the same
    anonymous formula. NONE: neither is known.
    """

    ONE_ELEMENT = 0
    SAME_FORMULA = 1
    NONE = 2


KEYS = {
    TrainingOverlap.ONE_ELEMENT: "sibling",
    TrainingOverlap.SAME_FORMULA: "formula",
    TrainingOverlap.NONE: "none",
}
"""The keys of results.json, which earlier results share."""


def training_overlap(
    examples: Examples,
    composition: Float[np.ndarray, "m 119"],
    space_group: Integer[np.ndarray, " m"],
) -> Integer[np.ndarray, " n"]:
    """Return the closest overlap (`TrainingOverlap`) of each example.

    Args:
        examples: the materials.
        composition: atom fractions of the known crystals.
        space_group: their numbers.
    """
    of_formula = defaultdict(list)
    for row, formula in enumerate(map(anonymous_formula, composition)):
        of_formula[formula].append(row)
    found = np.full(len(examples), TrainingOverlap.NONE, np.int32)
    for row, formula in enumerate(map(anonymous_formula, examples.composition)):
        rows = np.array(of_formula[formula], int)
        group = space_group[rows] == examples.space_group[row]
        substituted = one_differs(composition[rows], examples.composition[row])
        if (substituted & group).any():
            found[row] = TrainingOverlap.ONE_ELEMENT
        elif len(rows):
            found[row] = TrainingOverlap.SAME_FORMULA
    return found


def overlap_key(overlap: int) -> str:
    """Return the key of a `TrainingOverlap` in results.json: "sibling", "formula" or "none"."""
    return KEYS[TrainingOverlap(overlap)]
