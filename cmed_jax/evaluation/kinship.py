"""How near the training split comes to a material: what looking it up could have found."""

import enum
from collections import defaultdict

import numpy as np
from jaxtyping import Bool, Float, Integer

from cmed_jax.crystal.composition import anonymous_formula
from cmed_jax.data.dataset import Examples

SAME = 1e-4
"""Atom fractions closer than this are equal; those of different cells differ by more."""


class Kinship(enum.IntEnum):
    """The nearest kin of a material in the training split.

    SIBLING: a crystal of the same anonymous formula and space group, in which one element stands in
    the place of another and all else is equal. FORMULA: any of the same anonymous formula.
    """

    SIBLING = 0
    FORMULA = 1
    NONE = 2


def kinship(examples: Examples, training: Examples) -> Integer[np.ndarray, " n"]:
    """Return the nearest kin (`Kinship`) of each example among the training crystals."""
    kin = defaultdict(list)
    for row, formula in enumerate(_formulas(training)):
        kin[formula].append(row)
    found = np.full(len(examples), Kinship.NONE, np.int32)
    for row, formula in enumerate(_formulas(examples)):
        rows = np.array(kin[formula], int)
        group = training.space_group[rows] == examples.space_group[row]
        siblings = one_differs(training.composition[rows], examples.composition[row])
        if (siblings & group).any():
            found[row] = Kinship.SIBLING
        elif len(rows):
            found[row] = Kinship.FORMULA
    return found


def _formulas(examples: Examples) -> list[str]:
    return [anonymous_formula(composition) for composition in examples.composition]


def one_differs(
    others: Float[np.ndarray, "m 119"], composition: Float[np.ndarray, "119"]
) -> Bool[np.ndarray, " m"]:
    """Return where exactly one element has been exchanged for another, in the same amount."""
    changed = np.abs(others - composition) > SAME
    exchanged = (others > 0) != (composition > 0)
    return (changed.sum(axis=1) == 2) & (exchanged.sum(axis=1) == 2)
