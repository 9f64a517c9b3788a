"""Control queries, which show what information a model uses by changing its inputs.

A wrong pattern or composition is that of another material of the split, of the same crystal system.
A model that scores as well with the wrong input does not use that input. Omitting an input shows
how much the remaining ones are worth. The kinds of partial composition are those that a network can
be trained with (`Knowledge`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Integer

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.crystal.material import crystal_system
from cmed_jax.data.augmentation import hide
from cmed_jax.data.examples import Examples
from cmed_jax.data.query import Control, Query, full_query, no_lines

OF_PATTERN = ("pattern", "lattice", "amplitude", "observed", "lines")
"""The parts of a query that are measured."""


def wrong_pattern(examples: Examples) -> Query:
    """Return queries in which each material has the pattern and the cell of its partner.

    A cell is found from a pattern.

    Raises:
        ValueError: if there is no other material.
    """
    query, partner = full_query(examples), _partners(examples)
    theirs = {name: getattr(query, name)[partner] for name in OF_PATTERN}
    return query._replace(**theirs)


def shuffled_bins(examples: Examples) -> Query:
    """Return queries with the bins, and the harmonics, of all patterns in one common random order.

    The intensities are kept, and the angles are lost, and with them all lines. The cells are kept.
    """
    query, random = full_query(examples), np.random.default_rng(0)
    bins = random.permutation(examples.pattern.shape[1])
    harmonics = random.permutation(examples.amplitude.shape[1])
    amplitude = np.asarray(query.amplitude)[:, harmonics] * query.observed
    lines = no_lines(len(examples))
    return query._replace(pattern=examples.pattern[:, bins], amplitude=amplitude, lines=lines)


def without_pattern(examples: Examples) -> Query:
    """Return queries without patterns and cells: intensities, coverage and lattices are zero."""
    query = full_query(examples)
    names = (*OF_PATTERN, "coverage", "observed")
    return query._replace(**{name: np.zeros_like(getattr(query, name)) for name in names})


def wrong_composition(examples: Examples) -> Query:
    """Return queries in which each material has the composition of its partner.

    Raises:
        ValueError: if there is no other material.
    """
    return full_query(examples)._replace(composition=examples.composition[_partners(examples)])


def partial_composition(knowledge: Knowledge) -> Control:
    """Return the control that leaves out a part of each composition, drawn once per material."""

    def query(examples: Examples) -> Query:
        query = full_query(examples)
        keys = jax.random.split(jax.random.key(0), len(examples))
        kind = jnp.full(len(examples), knowledge, jnp.int32)
        left = _hide_each(keys, jnp.asarray(query.composition), kind)
        return query._replace(composition=np.asarray(left), knowledge=np.asarray(kind))

    return query


_hide_each = jax.jit(jax.vmap(hide))
"""`hide` for each material, as one program."""

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
    """Return another material for each material: a fixed random cycle within each crystal system.

    A material that is alone in its system is paired with one of another system.
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
