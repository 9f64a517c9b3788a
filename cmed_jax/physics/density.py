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
from jaxtyping import Array, Float, Integer

from cmed_jax.physics.form_factors import check_elements, form_factors
from cmed_jax.physics.padding import pad_atoms

GRID = (50, 50, 50)
"""The grid of every record."""
B_FACTOR = 4.0
"""Isotropic Debye-Waller factor, angstrom^2: wide enough for 50 points over a 10 angstrom axis."""


def electron_density(
    lattice: Float[np.ndarray, "3 3"],
    numbers: Integer[np.ndarray, " n"],
    frac_coords: Float[np.ndarray, "n 3"],
    *,
    shape: tuple[int, int, int] = GRID,
    b_factor: float = B_FACTOR,
) -> Float[np.ndarray, "a b c"]:
    """Return the density of independent neutral atoms, e/angstrom^3, at x_i = k / shape_i.

    Args:
        lattice: rows a, b, c in angstrom.
        numbers: atomic numbers.
        frac_coords: fractional coordinates.
        shape: points along a, b, c.
        b_factor: isotropic B of every atom, angstrom^2.

    Raises:
        ValueError: an element has no form factor.
    """
    check_elements(numbers)
    atoms = pad_atoms(numbers, frac_coords)
    return np.asarray(_synthesis(lattice, *atoms, b_factor, shape=shape))


@partial(jax.jit, static_argnames="shape")
def _synthesis(
    lattice: Float[Array, "3 3"],
    species: Integer[Array, " k"],
    member: Float[Array, "k n"],
    frac_coords: Float[Array, "n 3"],
    b_factor: Float[Array, ""],
    *,
    shape: tuple[int, int, int],
) -> Float[Array, "a b c"]:
    # A real density needs the modes with l >= 0 only. In each of the three directions the phase of
    # an atom is a short vector; their products are the phases of all modes.
    h, k, l = modes = [
        _carried(shape[0]),
        _carried(shape[1]),
        _carried(shape[2])[: -(-shape[2] // 2)],
    ]
    along = [
        jnp.exp(2j * jnp.pi * m[:, None] * x) for m, x in zip(modes, frac_coords.T, strict=True)
    ]
    plane = (along[0][:, None, :] * along[1]).reshape(-1, along[0].shape[1])
    phases = jnp.einsum("mn,kn,ln->kml", plane, member, along[2])
    metric = jnp.linalg.inv(lattice @ lattice.T)
    hkl = jnp.stack(jnp.meshgrid(h, k, l, indexing="ij"), axis=-1).reshape(-1, 3)
    q = jnp.sum((hkl @ metric) * hkl, axis=1) / 4
    factors = form_factors(species, q, "it92") * jnp.exp(-b_factor * q)
    f = jnp.sum(factors * phases.reshape(len(species), -1), axis=0)
    volume = jnp.abs(jnp.linalg.det(lattice))
    # exp(-2 pi i h.x): the conjugate of the usual inverse transform, whose sum is real.
    spectrum = jnp.zeros((*shape[:2], shape[2] // 2 + 1), f.dtype)
    at = jnp.ix_(*(m.astype(int) for m in modes))
    spectrum = spectrum.at[at].set(jnp.conj(f).reshape([len(m) for m in modes]))
    return jnp.fft.irfftn(spectrum, shape) * (np.prod(shape) / volume)


def _carried(n: int) -> Float[np.ndarray, " m"]:
    """Return the modes 0 ... (n-1)//2, -(n-1)//2 ... -1; the ambiguous n/2 is left out."""
    half = (n - 1) // 2
    return np.concatenate([np.arange(half + 1), np.arange(-half, 0)]).astype(np.float32)
