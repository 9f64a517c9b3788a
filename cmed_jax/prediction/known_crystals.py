"""The known crystals of a source, read and prepared once for many patterns."""

from contextlib import suppress
from functools import cache, lru_cache

from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.sources import open_source
from cmed_jax.crystal.structure_types import structure_types
from cmed_jax.data.embedded_memory import recall_embedded
from cmed_jax.data.examples import CompactExamples
from cmed_jax.data.memory import Memory, Recall
from cmed_jax.data.records import Recipe
from cmed_jax.solution.prototypes import Prototypes, prototypes_of


@lru_cache(maxsize=4)
def known_prototypes(
    structures: str | None, formula: str | None, recipe: Recipe
) -> Prototypes | None:
    """Return the crystals of a source as prototypes; None where there is none.

    Args:
        structures: the source (`cmed_jax.crystal.sources.open_source`).
        formula: the anonymous formula of the crystals to take; None takes all.
        recipe: the recipe for the density of a crystal.
    """
    return prototypes_of(known_crystals(structures), formula, recipe)


@lru_cache(maxsize=4)
def known_memory(structures: str | None, formula: str | None) -> Recall | None:
    """Return how a network recalls the crystals of a source; None where there is none.

    Args:
        structures: the source (`cmed_jax.crystal.sources.open_source`).
        formula: the anonymous formula of the crystals to take of a source of one's own.
    """
    if structures is None:
        return recall_embedded
    crystals = [
        each
        for each in known_crystals(structures)
        if isinstance(each, Material) and formula in (None, each.anonymous_formula)
    ]
    with suppress(ValueError):  # none of them has a record
        return Memory.of(CompactExamples.of_crystals(crystals, Recipe()))
    return None


@cache
def known_crystals(structures: str | None) -> list[Material | Refusal]:
    """Return the crystals of a source (`cmed_jax.crystal.sources.open_source`).

    The structure types of the AFLOW library go with the embedded crystals.
    """
    own = list(open_source(structures))
    return own if structures is not None else [*own, *structure_types()]
