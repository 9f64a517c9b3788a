"""Known crystals of a source, from which others are made that explain a pattern."""

from collections.abc import Iterable

from cmed_jax.crystal.composition import anonymous_formula, composition_vector
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.data.records import Recipe
from cmed_jax.evaluation.substitution import Templates, canonical_crystals


def templates_of(
    known: Iterable[Material | Refusal], formula: str | None, recipe: Recipe
) -> Templates | None:
    """Return the crystals as templates; None where there is none.

    Args:
        known: crystals in any cells.
        formula: anonymous formula of those that are taken, such as "AB2"; None takes all.
        recipe: how densities are made from crystals.
    """
    usable = (material for material in known if isinstance(material, Material))
    alike = (
        material
        for material in usable
        if formula in (None, anonymous_formula(composition_vector(material.numbers)))
    )
    crystals = list(canonical_crystals(alike))
    return Templates.of_crystals(crystals, recipe) if crystals else None
