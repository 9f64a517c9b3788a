"""Known crystals, refined until they explain a pattern on the network's grid."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.composition import Knowledge, anonymous_formula, composition_vector
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.data.records import Recipe
from cmed_jax.evaluation.refinement import Refined
from cmed_jax.evaluation.solution import solve
from cmed_jax.evaluation.substitution import Templates, canonical_crystals


def solve_from(
    known: Iterable[Material | Refusal],
    recipe: Recipe,
    pattern: Float[np.ndarray, "1024"],
    coverage: Float[np.ndarray, "1024"],
    composition: Float[np.ndarray, "119"],
    knowledge: Knowledge,
) -> list[Refined]:
    """Return refined crystals, the smallest residual first; none where no known one lends itself.

    Args:
        known: crystals in any cells.
        recipe: how densities are made from crystals.
        pattern: on the network's grid, of sticks.
        coverage: 1 in the bins that were measured, else 0.
        composition: what is known of it.
        knowledge: how much that is.
    """
    likely = list(canonical_crystals(_likely(known, composition, knowledge)))
    if not likely:
        return []
    templates = Templates.of_crystals(likely, recipe)
    return solve(templates, pattern, composition, knowledge, coverage)


def _likely(
    known: Iterable[Material | Refusal],
    composition: Float[np.ndarray, "119"],
    knowledge: Knowledge,
) -> Iterator[Material]:
    """Yield the materials that a composition may describe."""
    elements = np.count_nonzero(composition) + (knowledge == Knowledge.MISSING_ELEMENT)
    for material in known:
        if isinstance(material, Refusal):
            continue
        own = composition_vector(material.numbers)
        if knowledge == Knowledge.FULL:
            alike = anonymous_formula(own) == anonymous_formula(composition)
        else:
            alike = knowledge == Knowledge.NONE or np.count_nonzero(own) == elements
        if alike:
            yield material
