"""Controls: the same materials, asked about differently. What a model loses, it had been using.

Wrong patterns and compositions are those of another material of the split, of the same crystal
system; a model that scores as well with the wrong one has not read the right one. What is left out
shows what the rest is worth, and the kinds of partial composition are those that a network can be
trained with (`Knowledge`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Integer

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.crystal.material import crystal_system
from cmed_jax.data.augmentation import hide
from cmed_jax.data.examples import Examples
from cmed_jax.data.query import Control, Query, full_query


def wrong_pattern(examples: Examples) -> Query:
    """Hand each material the pattern of its partner.

    Raises:
        ValueError: if there is no other material.
    """
    return full_query(examples)._replace(pattern=examples.pattern[_partners(examples)])


def shuffled_bins(examples: Examples) -> Query:
    """Put the bins of all patterns into one random order: the intensities stay, the angles go."""
    order = np.random.default_rng(0).permutation(examples.pattern.shape[1])
    return full_query(examples)._replace(pattern=examples.pattern[:, order])


def without_pattern(examples: Examples) -> Query:
    """Replace every pattern and its coverage by zeros: nothing was measured."""
    query = full_query(examples)
    nothing = np.zeros_like(query.pattern)
    return query._replace(pattern=nothing, coverage=nothing)


def wrong_composition(examples: Examples) -> Query:
    """Hand each material the composition of its partner.

    Raises:
        ValueError: if there is no other material.
    """
    return full_query(examples)._replace(composition=examples.composition[_partners(examples)])


def partial_composition(knowledge: Knowledge) -> Control:
    """Return the control that leaves a part of each composition; what is drawn is drawn once."""

    def query(examples: Examples) -> Query:
        query = full_query(examples)
        keys = jax.random.split(jax.random.key(0), len(examples))
        kind = jnp.full(len(examples), knowledge, jnp.int32)
        left = jax.vmap(hide)(keys, jnp.asarray(query.composition), kind)
        return query._replace(composition=np.asarray(left), knowledge=np.asarray(kind))

    return query


without_composition = partial_composition(Knowledge.NONE)

CONTROLS: dict[str, Control] = {
    "wrong pattern": wrong_pattern,
    "shuffled bins": shuffled_bins,
    "without pattern": without_pattern,
    "wrong composition": wrong_composition,
    "without ratios": partial_composition(Knowledge.NO_RATIOS),
    "without one element": partial_composition(Knowledge.MISSING_ELEMENT),
    "without composition": without_composition,
}


def _partners(examples: Examples) -> Integer[np.ndarray, " n"]:
    """Return another material for each, drawn once for all: each system goes once around.

    A material that is alone in its system is given one of another system.
    """
    n = len(examples)
    if n < 2:
        raise ValueError(f"{n} material(s) have nothing to trade; evaluate at least two")
    systems = np.array([crystal_system(group) for group in examples.space_group.tolist()])
    order = np.random.default_rng(0).permutation(n)
    partner = np.empty(n, int)
    partner[order] = np.roll(order, 1)
    for system in np.unique(systems):
        members = order[systems[order] == system]
        if len(members) > 1:
            partner[members] = np.roll(members, 1)
    return partner
