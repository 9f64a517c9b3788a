"""Overlap of a material with known crystals, which shows what a database lookup could find."""

import enum
from collections import defaultdict

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.composition import anonymous_formula, one_differs
from cmed_jax.data.examples import Examples


class TrainingOverlap(enum.IntEnum):
    """The closest overlap of a material with known crystals, of the training split or others.

    ONE_ELEMENT: a crystal of the same anonymous formula and space group differs in one element
    only: one element replaces another, and all amounts are equal. SAME_FORMULA: there is any
    crystal of the same anonymous formula. NONE: neither is known.
    """

    ONE_ELEMENT = 0
    SAME_FORMULA = 1
    NONE = 2


KEYS = {
    TrainingOverlap.ONE_ELEMENT: "sibling",
    TrainingOverlap.SAME_FORMULA: "formula",
    TrainingOverlap.NONE: "none",
}
"""The keys in results.json, which are the same as in earlier results."""


def training_overlap(
    examples: Examples,
    composition: Float[np.ndarray, "m 119"],
    space_group: Integer[np.ndarray, " m"],
) -> Integer[np.ndarray, " n"]:
    """Return the closest overlap (`TrainingOverlap`) of each example.

    Args:
        examples: the materials.
        composition: the atom fractions of the known crystals.
        space_group: the space-group numbers of the known crystals.
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
