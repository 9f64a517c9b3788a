"""The electrons in the cell of an answer, to which its density can be scaled."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal import cell_contents
from cmed_jax.crystal.material import Material
from cmed_jax.prediction.query import PredictionQuery
from cmed_jax.prediction.result import Answer
from cmed_jax.solution.isostructural import IsostructuralMatch


def electrons_in_cell(
    query: PredictionQuery, answer: Answer, known: Sequence[IsostructuralMatch]
) -> float | None:
    """Return the number of electrons of the whole formula units in the cell; None if unknown.

    The crystal whose density it is tells the number. For other densities the volume of the cell
    does, or a known crystal of that volume.

    Args:
        query: the query, whose composition may be that of a solid solution.
        answer: the answer with its cell.
        known: the known crystals that may explain the pattern, the best first.
    """
    if answer.lattice is None or query.formula is None:
        return None
    crystal, electrons = answer.mixture.crystal, None
    if crystal is not None:
        electrons = _electrons_of(crystal, query.formula)
    else:
        crystals = [each.crystal for each in known]
        electrons = cell_contents.electrons(answer.lattice, query.formula, crystals)
    if electrons is None or query.shared is None:
        return electrons
    return query.shared.electrons * electrons


def _electrons_of(crystal: Material, formula: Float[np.ndarray, "119"]) -> float:
    """Return the electrons of a crystal, with those of the hydrogen that it may lack."""
    charge = formula.astype(float) * np.arange(len(formula))
    held = charge[np.unique(crystal.numbers)].sum()
    return float(round(crystal.numbers.sum() * charge.sum() / held))
