"""Structure factors of a crystal, as a pure function for any device.

F(h) = sum_j o_j (f_j + f'_j + i f''_j) exp(2 pi i h.x_j - B s^2 / 4), with h a row of integers, x
fractional coordinates, o the occupancy and s = 1/d.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

from cmed_jax.physics.cell import reciprocal_axes
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.form_factors import Table, form_factors

TERMS = 10
"""The number of terms in the series of sine and cosine; the next is 3e-15 at half a turn."""


@partial(jax.jit, static_argnames="table")
def squared_structure_factors(
    crystal: Crystal,
    hkl: Num[Array | np.ndarray, "m 3"],
    b_factor: Float[Array | np.ndarray, ""] | float = 0.0,
    dispersion: Float[Array | np.ndarray, "2 k"] | None = None,
    *,
    table: Table = "it92",
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """Return s (1/angstrom) and |F|^2 (electrons^2) of reflections, averaged over h and -h.

    The function supports `jax.vmap` over crystals, and `jax.grad` with respect to lattice,
    coordinates, occupancies, B and dispersion. The precision is that of the crystal.

    Args:
        crystal: a single crystal, padded or not.
        hkl: reflections. (0, 0, 0) is padding, with s = 0 and F the number of electrons.
        b_factor: isotropic B of every atom, angstrom^2.
        dispersion: f' and f'' of each species, electrons (`form_factors.dispersion`), or None.
        table: table of form factors.
    """
    h = jnp.asarray(hkl, crystal.lattice.dtype).T
    sums = site_sums(crystal.occupancy, crystal.frac_coords, h)
    return combined(crystal, h, sums, b_factor, dispersion, table)


def site_sums(
    occupancy: Float[Array | np.ndarray, "k n"],
    frac_coords: Float[Array | np.ndarray, "n 3"],
    h: Float[Array, "3 m"],
) -> Float[Array, "2 k m"]:
    """Return sum_j o_j cos(2 pi h.x_j) and sum_j o_j sin(2 pi h.x_j) of each species."""
    return jnp.stack([jnp.asarray(occupancy) @ part for part in cos_sin(frac_coords @ h)])


def combined(
    crystal: Crystal,
    h: Float[Array, "3 m"],
    sums: Float[Array, "2 k m"],
    b_factor: Float[Array | np.ndarray, ""] | float,
    dispersion: Float[Array | np.ndarray, "2 k"] | None,
    table: Table,
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """Return s and |F|^2 from the sums over the sites of each species."""
    x, y, z = reciprocal_axes(crystal.lattice).T
    squared = (x @ h) ** 2 + (y @ h) ** 2 + (z @ h) ** 2
    factors = form_factors(crystal.species, squared / 4, table)
    parts = []
    if dispersion is not None:
        real, imaginary = dispersion
        factors += real[:, None]
        # With F = sum (f + f' + i f'') (C + i S), the cross terms of f'' C and f'' S with the rest
        # have opposite signs in |F(h)|^2 and |F(-h)|^2 and cancel in the mean.
        parts = [imaginary @ part for part in sums]
    parts += [jnp.einsum("km,km->m", factors, part) for part in sums]
    return _root(squared), jnp.exp(-b_factor * squared / 2) * sum(part**2 for part in parts)


def cos_sin(
    turns: Float[Array | np.ndarray, "*m"],
) -> tuple[Float[Array, "*m"], Float[Array, "*m"]]:
    """Return cos and sin of 2 pi turns, to 2e-14 or to rounding.

    Whole turns are subtracted exactly. A power series in half of the remaining angle follows, which
    compilers turn into vector instructions. It has a tenth of the cost of `jnp.cos` and `jnp.sin`,
    which would take most of the time.
    """
    turns = jnp.asarray(turns)
    half = jnp.pi * (turns - jnp.round(turns))
    sine = half * _series(half * half, 1)
    return 1 - 2 * sine * sine, 2 * sine * _series(half * half, 0)


def _series(square: Float[Array, "*m"], first: int) -> Float[Array, "*m"]:
    """Return cos(x) (first = 0) or sin(x) / x (first = 1) from x^2, by Horner's rule."""
    value = jnp.zeros_like(square)
    for k in reversed(range(TERMS)):
        value = value * square + (-1) ** k / math.factorial(2 * k + first)
    return value


def _root(squared: Float[Array, " m"]) -> Float[Array, " m"]:
    """Return the square root, with a derivative of zero at zero."""
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1)), 0)
