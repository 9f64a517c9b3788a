"""Solution: known crystals with other elements, refined until they explain the pattern.

Substitution (`cmed_jax.evaluation.substitution`) leaves the atoms where they are in the template.
Here those of its answers that come nearest to the pattern are refined (`refine`), and the one with
the smallest residual is the answer. The residual says how far to trust it, without the truth: where
elements, cell and coordinates are right it is mostly below 0.003, and where the best one is above
`UNEXPLAINED` somebody else is asked.

What is not known of the composition stays as it is in the template: without ratios any template of
as many elements is tried, with an element missing one of its elements remains, and without a
composition it is scaled and refined as it is.
"""

from contextlib import suppress

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.records import make_record
from cmed_jax.data.schema import decode_density
from cmed_jax.evaluation.protocol import Generator, Query
from cmed_jax.evaluation.refinement import Refined, refine
from cmed_jax.evaluation.substitution import Templates, ranked

REFINED = 8
"""Most crystals that are refined for one query."""

EXPLAINED = 0.003
"""A residual below this is not sought to be lowered by further crystals."""

UNEXPLAINED = 0.4
"""Above this residual the crystals say less about the density than whoever is asked instead."""


def solution(templates: Templates, otherwise: Generator) -> Generator:
    """Answer with the density of the crystal that explains the pattern best, where one does.

    Args:
        templates: the training crystals.
        otherwise: answers where no crystal explains the pattern, or there is no pattern.
    """

    def generate(query: Query) -> Float[np.ndarray, "b 1 na nb nc"]:
        answers = np.array(otherwise(query))[:, :1]
        patterns, compositions = np.asarray(query.pattern), np.asarray(query.composition)
        for row in np.flatnonzero(patterns.any(axis=1)):
            knowledge = Knowledge(int(query.knowledge[row]))
            best = solve(templates, patterns[row], compositions[row], knowledge)
            if best is None or best.residual > UNEXPLAINED:
                continue
            with suppress(ValueError):  # the record refuses atoms that came too close
                record = make_record(best.crystal, templates.recipe)
                answers[row, 0] = decode_density(record["density"], record["density_scale"])
        return answers

    return generate


def solve(
    templates: Templates,
    pattern: Float[np.ndarray, "1024"],
    composition: Float[np.ndarray, "119"],
    knowledge: Knowledge = Knowledge.FULL,
) -> Refined | None:
    """Return the refined crystal with the smallest residual; None where there is no template."""
    best = None
    for crystal in ranked(templates, pattern, composition, knowledge)[:REFINED]:
        with suppress(ValueError):  # its atoms coincide, or the pattern has no line in reach
            found = refine(canonical_cell(crystal), pattern)
            if best is None or found.residual < best.residual:
                best = found
        if best is not None and best.residual < EXPLAINED:
            break
    return best
