"""The Fourier series of a density's logarithm: what networks predict, and what records hold of it.

The series is that of log(1 + density / 10), with the density in e/angstrom^3. The heaviest atoms
dominate the density itself, but similarity is measured relative to the range, where empty space
must be right to about 1 %. The logarithm is also smoother and needs fewer harmonics.

A series is one vector: the mean, the coefficients of cos(2 pi h.x) for all harmonics h in the order
of `cmed_jax.physics.harmonics`, and those of sin(2 pi h.x).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cmed_jax.physics.harmonics import LIMIT, harmonics, waves
from cmed_jax.physics.scattering import cos_sin

UNIT = 10.0
"""The typical density of a light atom, e/angstrom^3; below it the logarithm is about linear."""

TERMS = 1 + 2 * len(harmonics())
"""The number of coefficients of a series of all harmonics."""


def logarithm(density: Float[Array, "*p"]) -> Float[Array, "*p"]:
    """Return log(1 + density / 10) of densities in e/angstrom^3; negative densities count as 0."""
    return jnp.log1p(jax.nn.relu(density) / UNIT)


def density_of_logarithm(values: Float[Array, "*p"]) -> Float[Array, "*p"]:
    """Return 10 (exp(value) - 1), e/angstrom^3; negative values stand for 0."""
    return UNIT * jnp.expm1(jax.nn.relu(values))


def basis(coordinate: Float[Array, "3"], limit: int = LIMIT) -> Float[Array, " t"]:
    """Return the terms of a series at a fractional coordinate: 1, all cosines, all sines."""
    # Phases of many turns need full precision, also where products are rounded.
    turns = jnp.matmul(jnp.float32(harmonics(limit)), coordinate, precision="highest")
    return jnp.concatenate([jnp.ones(1), *cos_sin(turns)])


def series_of(density: Float[np.ndarray, "a b c"], limit: int = LIMIT) -> Float[np.ndarray, " t"]:
    """Return the series of the logarithm of a density on a grid of fractional coordinates i/n.

    Args:
        density: e/angstrom^3; each axis has more than twice as many points as its largest harmonic.
        limit: the largest |h|^2 of the harmonics.
    """
    values = np.log1p(np.maximum(density, 0) / np.float32(UNIT)).astype(np.float32)
    hkl, reach = harmonics(limit), int(limit**0.5)
    a, b, c = (np.conj(waves(points, reach)) for points in values.shape)
    a = a[:, reach:].T  # harmonics have h >= 0
    # Real by real is a quarter of the work of complex by complex.
    planes = values.reshape(len(values), -1)
    modes = (a.real @ planes + 1j * (a.imag @ planes)).reshape(-1, *values.shape[1:])
    modes = b.T @ (modes @ c) / np.float32(density.size)
    h, k, ell = hkl.T
    found = modes[h, k + reach, ell + reach]
    return np.concatenate([[modes[0, reach, reach].real], 2 * found.real, -2 * found.imag])


def part_of(series: Float[Array | np.ndarray, "*b t"], limit: int) -> Float[Array, "*b u"]:
    """Return the coefficients of a series of all harmonics up to a smaller limit."""
    series = jnp.asarray(series)
    number, every = len(harmonics(limit)), (series.shape[-1] - 1) // 2
    return jnp.concatenate(
        [series[..., : 1 + number], series[..., 1 + every : 1 + every + number]], axis=-1
    )
