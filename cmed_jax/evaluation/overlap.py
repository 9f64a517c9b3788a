"""How near known crystals come to a material: what looking it up could have found."""

import enum
from collections import defaultdict

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.composition import anonymous_formula, one_differs
from cmed_jax.data.examples import Examples


class Kinship(enum.IntEnum):
    """The nearest kin of a material among known crystals, those of the training split or others.

    SIBLING: a crystal of the same anonymous formula and space group, in which one element stands in
    the place of another and all else is equal. FORMULA: any of the same anonymous formula.
    """

    SIBLING = 0
    FORMULA = 1
    NONE = 2


def kinship(
    examples: Examples,
    composition: Float[np.ndarray, "m 119"],
    space_group: Integer[np.ndarray, " m"],
) -> Integer[np.ndarray, " n"]:
    """Return the nearest kin (`Kinship`) of each example.

    Args:
        examples: the materials.
        composition: atom fractions of the known crystals.
        space_group: their numbers.
    """
    kin = defaultdict(list)
    for row, formula in enumerate(map(anonymous_formula, composition)):
        kin[formula].append(row)
    found = np.full(len(examples), Kinship.NONE, np.int32)
    for row, formula in enumerate(map(anonymous_formula, examples.composition)):
        rows = np.array(kin[formula], int)
        group = space_group[rows] == examples.space_group[row]
        siblings = one_differs(composition[rows], examples.composition[row])
        if (siblings & group).any():
            found[row] = Kinship.SIBLING
        elif len(rows):
            found[row] = Kinship.FORMULA
    return found


def kin_name(kin: int) -> str:
    """Return the name of a `Kinship` in the results."""
    return Kinship(kin).name.lower()
