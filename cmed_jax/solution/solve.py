"""Solution: known crystals with other elements, refined until they explain the pattern.

Substitution (`cmed_jax.solution.substitution`) leaves the atoms at their places in the prototype.
This module refines the substituted crystals with the closest patterns (`refine`). The crystal with
the smallest residual comes first. The residual shows, without the true structure, how far the
crystal can be trusted. It is mostly below 0.003 where elements, cell and coordinates are right.

The unknown part of a composition stays as it is in the prototype. Without ratios, every prototype
with the same number of elements is tried. With one element missing, one element of the prototype
remains. Without a composition, the prototypes are scaled and refined with their own elements.
"""

from collections.abc import Hashable, Iterable
from contextlib import suppress

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import Knowledge
from cmed_jax.solution.prototypes import NONE, Prototypes, crystal_identity
from cmed_jax.solution.refinement import Refined, refine
from cmed_jax.solution.substitution import substituted_candidates

REFINED = 8
"""The largest number of crystals that are refined for one query."""

EXPLAINED = 0.003
"""The residual below which no further crystals are refined."""


def solve(
    prototypes: Prototypes,
    pattern: Float[np.ndarray, "1024"],
    composition: Float[np.ndarray, "119"],
    knowledge: Knowledge | Integer[np.ndarray, ""] = Knowledge.FULL,
    coverage: Float[np.ndarray, "1024"] | None = None,
    without: Integer[np.ndarray, " w"] = NONE,
) -> list[Refined]:
    """Return refined crystals, each once, the smallest residual first; the list may be empty.

    Args:
        prototypes: the crystals to begin from.
        pattern: the pattern in the form of a record.
        composition: the known part of the composition.
        knowledge: how much of the composition is known.
        coverage: 1 in the bins that were measured, else 0; None if all bins were measured.
        without: the rows of prototypes that are passed over.
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
    return distinct_crystals(found)


def distinct_crystals(found: Iterable[Refined]) -> list[Refined]:
    """Return each of some crystals once, the smallest residual first.

    Different prototypes may lead to the same crystal.
    """
    kept = dict[Hashable, Refined]()
    for each in sorted(found, key=lambda each: each.residual):
        with suppress(ValueError):  # its atoms coincide
            kept.setdefault(crystal_identity(canonical_cell(each.crystal)), each)
    return list(kept.values())
