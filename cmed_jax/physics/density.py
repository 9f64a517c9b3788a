"""The electron density of independent atoms on a grid, by Fourier synthesis.

rho(x) = 1/V sum_h F(h) exp(-B s^2 / 4) exp(-2 pi i h.x) over the modes that a grid of n points
carries without ambiguity, |h_i| <= (n_i - 1) // 2; F as in `cmed_jax.physics.reflections`, with the
form factors of International Tables. Its Fourier coefficients are the structure factors exactly,
and its mean times the volume is the number of electrons.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Integer

from cmed_jax.physics.cell import cell_volume, check_atoms, reciprocal_lattice
from cmed_jax.physics.form_factors import form_factors
from cmed_jax.physics.padding import pad_atoms

GRID = (50, 50, 50)
"""The grid of every record."""
B_FACTOR = 4.0
"""Isotropic B, angstrom^2: at the last mode of 50 points over 10 angstrom the factor is 0.003."""


def electron_density(
    lattice: Float[np.ndarray, "3 3"],
    numbers: Integer[np.ndarray, " n"],
    frac_coords: Float[np.ndarray, "n 3"],
    *,
    shape: tuple[int, int, int] = GRID,
    b_factor: float = B_FACTOR,
) -> Float[np.ndarray, "a b c"]:
    """Return the density of independent neutral atoms, e/angstrom^3, at x_i = k / shape_i, float32.

    Where the modes of the grid do not reach as far as F(h), on axes much longer than 10 angstrom,
    it ripples about zero between the atoms; nothing is clipped.

    Args:
        lattice: rows a, b, c in angstrom.
        numbers: atomic numbers.
        frac_coords: fractional coordinates.
        shape: points along a, b, c.
        b_factor: isotropic B of every atom, angstrom^2.

    Raises:
        ValueError: the lattice is flat, there is no atom, a coordinate is not finite, an element
            has no form factor, b_factor is negative, or the grid has no points.
    """
    reciprocal = reciprocal_lattice(lattice)
    check_atoms(numbers, frac_coords)
    if not 0 <= b_factor < np.inf:
        raise ValueError(f"b_factor is {b_factor}: give a finite B >= 0 in angstrom^2")
    if min(shape) < 1:
        raise ValueError(f"the grid is {shape}: give at least one point on each axis")
    atoms = pad_atoms(numbers, frac_coords)
    electrons = _synthesis(reciprocal, *atoms, b_factor, shape=shape)
    return np.asarray(electrons / cell_volume(lattice), np.float32)


def structure_factors(
    density: Float[Array | np.ndarray, "*batch a b c"], volume: float = 1.0
) -> Complex[Array, "*batch h k l"]:
    """Return F(h) = V/N sum_k rho(x_k) exp(2 pi i h.x_k), in electrons, of a density on a grid.

    The inverse of `electron_density`: of its densities these are the structure factors themselves,
    times exp(-B s^2 / 4).

    Args:
        density: e/angstrom^3 at x_i = k / shape_i.
        volume: of the cell, angstrom^3; at 1 they are the Fourier coefficients of the density.

    Returns:
        F for |h_i| <= (n_i - 1) // 2 along each axis, ascending, F(0) in the middle.
    """
    grid = range(-3, 0)
    modes = jnp.fft.fftshift(jnp.fft.ifftn(density, axes=grid), axes=grid)
    # The mode n / 2 of an even axis, the first after the shift, is ambiguous.
    return volume * modes[(..., *(slice(1 - n % 2, None) for n in density.shape[-3:]))]


@partial(jax.jit, static_argnames="shape")
def _synthesis(
    reciprocal: Float[Array, "3 3"],
    species: Integer[Array, " k"],
    member: Float[Array, "k n"],
    frac_coords: Float[Array, "n 3"],
    b_factor: Float[Array, ""],
    *,
    shape: tuple[int, int, int],
) -> Float[Array, "a b c"]:
    """Return the density times the volume of the cell."""
    modes = [jnp.fft.fftfreq(n, 1 / n) for n in shape]
    modes[2] = modes[2][: shape[2] // 2 + 1]  # the rest are conjugates: the density is real
    # In each of the three directions the phase of an atom is a short vector, zero at the ambiguous
    # mode n / 2; their products are the phases of all modes.
    along_a, along_b, along_c = (
        jnp.exp(-2j * jnp.pi * jnp.outer(h, x)) * (jnp.abs(h) < n / 2)[:, None]
        for h, x, n in zip(modes, frac_coords.T, shape, strict=True)
    )
    plane, axis = along_a[:, None] * along_b, member[:, None] * along_c
    phases = jnp.einsum("abn,kcn->kabc", plane, axis, precision="highest")
    h, k, ell = jnp.ix_(*modes)
    q = sum((h * a + k * b + ell * c) ** 2 for a, b, c in reciprocal.T).ravel() / 4
    factors = form_factors(species, q, "it92") * jnp.exp(-b_factor * q)
    # sum_j f_j exp(-2 pi i h.x_j) is F(-h), which the usual inverse transform takes to rho.
    spectrum = jnp.sum(factors.reshape(phases.shape) * phases, axis=0)
    return jnp.fft.irfftn(spectrum, shape, norm="forward")
