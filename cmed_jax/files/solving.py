"""Known crystals, refined until they explain a pattern: what a mixture hears beside the network.

With the formula they are the analogues of a measured pattern, whose cells follow its lines
already. Without it, or for a pattern on the network's grid, they are sought as in evaluation
(`cmed_jax.evaluation.solution`). Either way the pattern is the one of sticks.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.composition import Knowledge, anonymous_formula, composition_vector
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.data.records import Recipe
from cmed_jax.evaluation.refinement import Refined, refine
from cmed_jax.evaluation.solution import solve
from cmed_jax.evaluation.substitution import Templates, canonical_crystals
from cmed_jax.files.analogues import Analogue


def refine_analogues(
    analogues: Sequence[Analogue],
    pattern: Float[np.ndarray, "1024"],
    coverage: Float[np.ndarray, "1024"],
) -> list[Refined]:
    """Return the crystals of analogues moved to explain a pattern, the smallest residual first."""
    found = []
    for analogue in analogues:
        with suppress(ValueError):  # the pattern has no line in reach
            found.append(refine(analogue.crystal, pattern, coverage))
    return sorted(found, key=lambda each: each.residual)


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
) -> Iterable[Material]:
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
