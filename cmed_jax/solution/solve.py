"""Solution: known crystals with other elements, refined until they explain the pattern.

Substitution (`cmed_jax.solution.substitution`) leaves the atoms where they are in the template.
Here those of its answers that come nearest to the pattern are refined (`refine`), and the one with
the smallest residual is the answer. The residual says how far to trust it, without the truth: where
elements, cell and coordinates are right it is mostly below 0.003, and where the best one is above
`UNEXPLAINED` somebody else is asked.

What is not known of the composition stays as it is in the template: without ratios any template of
as many elements is tried, with an element missing one of its elements remains, and without a
composition it is scaled and refined as it is.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import Knowledge
from cmed_jax.solution.prototypes import NONE, Prototypes, crystal_identity
from cmed_jax.solution.refinement import Refined, refine
from cmed_jax.solution.substitution import substituted_candidates

REFINED = 8
"""Most crystals that are refined for one query."""

EXPLAINED = 0.003
"""A residual below this is not sought to be lowered by further crystals."""


def solve(
    prototypes: Prototypes,
    pattern: Float[np.ndarray, "1024"],
    composition: Float[np.ndarray, "119"],
    knowledge: Knowledge | Integer[np.ndarray, ""] = Knowledge.FULL,
    coverage: Float[np.ndarray, "1024"] | None = None,
    without: Integer[np.ndarray, " w"] = NONE,
) -> list[Refined]:
    """Return refined crystals, each once and the smallest residual first, as far as there are any.

    Args:
        prototypes: the crystals to begin from.
        pattern: as the record holds it.
        composition: what is known of it.
        knowledge: how much that is.
        coverage: 1 in the bins that were measured, else 0; None where all of them were.
        without: rows of templates that are passed over.
    """
    found: list[Refined] = []
    if not pattern.any():
        return found
    known = Knowledge(int(knowledge))
    for crystal in substituted_candidates(prototypes, pattern, composition, known, without)[
        :REFINED
    ]:
        with suppress(ValueError):  # the pattern has no line in reach
            found.append(refine(crystal, pattern, coverage))
            if found[-1].residual < EXPLAINED:
                break
    return list(_once(sorted(found, key=lambda each: each.residual)))


def _once(found: Iterable[Refined]) -> Iterator[Refined]:
    """Yield each crystal once: from different templates one and the same may come out."""
    seen = set()
    for each in found:
        with suppress(ValueError):  # its atoms coincide
            if (identity := crystal_identity(canonical_cell(each.crystal))) not in seen:
                seen.add(identity)
                yield each
