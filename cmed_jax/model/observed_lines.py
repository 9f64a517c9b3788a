"""The observed lines of queries, imposed on the densities that a network gives.

The amplitudes of a pattern are measured, those of a network are guessed. Where the phases are
right, the measured ones repair the density and change it little. It is replaced only there.

Scale and F(0) need the contents of the cell: the composition in full, and the number of formula
units. That number is the one nearest to the volume of the cell in usual volumes of its atoms, and
to the electrons of the network's density.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cmed_jax.crystal.atomic_volumes import volume_of_atom
from cmed_jax.crystal.cell_contents import formula_unit
from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.query import Densities, Query
from cmed_jax.physics.cell import cell_volume
from cmed_jax.physics.density_modification import impose_lines, on_scale_of_electrons

REPAIRED = 0.93
"""The correlation with the network's density above which a modified one is better.

It was chosen on validation materials of all crystal systems, so that six of seven gain by it.
"""
OF_NETWORK = 0.5
"""The weight of the network's electrons against that of the usual volume, chosen likewise."""


def with_observed_lines(query: Query, densities: Densities, b_factor: float) -> Densities:
    """Return densities with the observed lines where these repair them, others as they are.

    Args:
        query: the queries; those without lines, a cell, or the composition in full change nothing.
        densities: the candidates of each query, e/angstrom^3.
        b_factor: isotropic B of the densities that the network was trained on, angstrom^2.
    """
    observed, lattice = np.asarray(query.lines, np.float32), np.array(query.lattice, np.float32)
    useful = (np.asarray(query.knowledge) == Knowledge.FULL) & observed.any(axis=(1, 2))
    useful &= lattice.any(axis=(1, 2))
    if not useful.any():
        return densities
    means = np.asarray(jnp.mean(densities[:, 0], axis=(1, 2, 3)), float)
    lines, electrons = np.zeros_like(observed), np.zeros(len(useful), np.float32)
    for row in np.flatnonzero(useful):
        volume, composition = cell_volume(lattice[row]), np.asarray(query.composition[row], float)
        atoms = _contents(composition, volume, means[row] * volume)
        lines[row] = on_scale_of_electrons(observed[row], atoms, volume)
        electrons[row] = atoms @ np.arange(len(atoms))
    lattice[~useful] = np.eye(3)
    return _where_they_repair(densities, lattice, lines, electrons, np.float32(b_factor))


def _contents(
    composition: Float[np.ndarray, "119"], volume: float, electrons: float
) -> Float[np.ndarray, "119"]:
    """Return the atoms of each element in a cell; zeros where they are unknown.

    Args:
        composition: atom fractions by atomic number.
        volume: volume of the cell, angstrom^3.
        electrons: the electrons of the network's density.
    """
    usual, atoms = volume_of_atom(composition), formula_unit(composition)
    if usual is None or atoms is None or electrons <= 0:
        return np.zeros_like(composition)
    unit = atoms.astype(composition.dtype)
    of_volume, of_network = volume / (usual * unit.sum()), electrons / (unit @ np.arange(len(unit)))
    units = np.arange(1, int(2 * max(of_volume, of_network)) + 2)
    off = np.abs(np.log(units / of_volume)) + OF_NETWORK * np.abs(np.log(units / of_network))
    return units[np.argmin(off)] * unit


@jax.jit
def _where_they_repair(
    densities: Float[Array, "b k na nb nc"],
    lattice: Float[Array, "b 3 3"],
    lines: Float[Array, "b l 2"],
    electrons: Float[Array, " b"],
    b_factor: Float[Array, ""],
) -> Float[Array, "b k na nb nc"]:
    """Return the modified density of each candidate that the lines repair, else its own."""

    def modified(
        candidates: Float[Array, "k na nb nc"],
        lattice: Float[Array, "3 3"],
        lines: Float[Array, "l 2"],
        electrons: Float[Array, ""],
    ) -> Float[Array, "k na nb nc"]:
        impose = partial(
            impose_lines, lattice=lattice, lines=lines, electrons=electrons, b_factor=b_factor
        )
        found = jax.vmap(impose)(candidates)
        repaired = (found.correlation > REPAIRED)[:, None, None, None]
        return jnp.where(repaired, found.density, candidates)

    # One query after the other: together they are no faster, and need more memory.
    return jax.lax.map(lambda one: modified(*one), (densities, lattice, lines, electrons))
