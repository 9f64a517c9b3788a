"""The powder lines of a crystal: s = 1/d and intensity, before any wavelength is chosen.

Conventions: F(h) = sum_j f_j exp(2 pi i h.x_j) with h a row of integers and x fractional; the
intensity of a line is the sum of |F|^2 over all reflections (both of each Friedel pair) that
coincide in s, so the multiplicity is in it and the Lorentz-polarization factor is not. Atoms are at
rest (B = 0) and scatter without anomalous dispersion.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from cmed_jax.physics.cell import check_atoms, reciprocal_lattice
from cmed_jax.physics.form_factors import Table, form_factors
from cmed_jax.physics.padding import pad_atoms

COINCIDENCE = 1e-7
"""Lines closer than this in s (1/angstrom) are one line, at their centroid.

No diffractometer parts them, and cells given to eight decimals are merged as their symmetry asks.
"""
ABSENT = 1e-10
"""Lines below this share of the strongest are rounding errors of systematic absences."""
CHUNK = 4096
"""Reflections a call of the jitted sum: one compilation serves crystals of every size."""


def reflections(
    lattice: Float[np.ndarray, "3 3"],
    numbers: Integer[np.ndarray, " n"],
    frac_coords: Float[np.ndarray, "n 3"],
    *,
    s_max: float,
    table: Table = "pymatgen",
) -> Float[np.ndarray, "m 2"]:
    """Return the powder lines of a crystal up to s_max, ascending in s.

    Args:
        lattice: rows a, b, c in angstrom.
        numbers: atomic numbers.
        frac_coords: fractional coordinates.
        s_max: largest s = 1/d in 1/angstrom; 2 / wavelength reaches two-theta = 180 degrees.
        table: the form factors.

    Returns:
        Columns s (1/angstrom) and intensity (electrons^2, multiplicity included), float64.

    Raises:
        ValueError: the lattice is flat, there is no atom, a coordinate is not finite, an element
            has no form factor, or s_max is not positive.
    """
    check_atoms(numbers, frac_coords)
    hkl = half_sphere(lattice, s_max)
    reciprocal = reciprocal_lattice(lattice)
    atoms = pad_atoms(numbers, frac_coords)
    s, intensity = np.zeros((2, -(-len(hkl) // CHUNK) * CHUNK))
    padded = np.zeros((len(s), 3))
    padded[: len(hkl)] = hkl
    with jax.enable_x64(True):
        for start in range(0, len(s), CHUNK):
            rows = slice(start, start + CHUNK)
            s[rows], intensity[rows] = _squared(padded[rows], reciprocal, *atoms, table=table)
    s, intensity = s[: len(hkl)], intensity[: len(hkl)]
    return _merge(s, 2.0 * intensity)  # the other half of the sphere is equal (Friedel's law)


def half_sphere(lattice: Float[np.ndarray, "3 3"], s_max: float) -> Integer[np.ndarray, "m 3"]:
    """Return one reflection of each Friedel pair with 0 < s <= s_max (1/angstrom).

    Raises:
        ValueError: the lattice is flat, or s_max is not a positive number.
    """
    if not 0 < s_max < np.inf:
        raise ValueError(f"s_max is {s_max}: give a positive number in 1/angstrom")
    reciprocal = reciprocal_lattice(lattice)
    radius = s_max * (1 + 1e-9)  # rounding must not part a line that lies at s_max exactly
    # h = a.s, so that |h| <= |a| s_max: the box that holds the sphere.
    h_max, k_max, l_max = np.floor(radius * np.linalg.norm(lattice, axis=1)).astype(int)
    h, k, ell = np.ogrid[-h_max : h_max + 1, -k_max : k_max + 1, 0 : l_max + 1]
    squared = sum((h * a + k * b + ell * c) ** 2 for a, b, c in reciprocal.T)
    half = (ell > 0) | (h > 0) | ((h == 0) & (k > 0))
    return np.argwhere((squared <= radius**2) & half) - np.array([h_max, k_max, 0])


def structure_factors(
    hkl: Float[Array, "m 3"],
    q: Float[Array, " m"],
    species: Integer[Array, " k"],
    member: Float[Array, "k n"],
    frac_coords: Float[Array, "n 3"],
    table: Table,
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """Return the real and imaginary parts of F(h), in electrons.

    Args:
        hkl: reflections.
        q: s^2 / 4 of each, 1/angstrom^2.
        species: the distinct atomic numbers; 0 pads.
        member: 1 where an atom (column) is of a species (row); a column of zeros pads.
        frac_coords: fractional coordinates of the atoms.
        table: the form factors.
    """
    phase = 2 * jnp.pi * (hkl @ frac_coords.T)
    factors = form_factors(species, q, table)
    real, imaginary = (
        jnp.sum(factors * (member @ trigonometric(phase).T), axis=0)
        for trigonometric in (jnp.cos, jnp.sin)
    )
    return real, imaginary


@partial(jax.jit, static_argnames="table")
def _squared(
    hkl: Float[Array, "m 3"],
    reciprocal: Float[Array, "3 3"],
    species: Integer[Array, " k"],
    member: Float[Array, "k n"],
    frac_coords: Float[Array, "n 3"],
    *,
    table: Table,
) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    s_squared = jnp.sum((hkl @ reciprocal) ** 2, axis=1)
    parts = structure_factors(hkl, s_squared / 4, species, member, frac_coords, table)
    return jnp.sqrt(s_squared), parts[0] ** 2 + parts[1] ** 2


def _merge(
    s: Float[np.ndarray, " m"], intensity: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "lines 2"]:
    if not len(s):
        return np.zeros((0, 2))
    order = np.argsort(s, kind="stable")
    s, intensity = s[order], intensity[order]
    first = np.flatnonzero(np.diff(s, prepend=-1.0) > COINCIDENCE)
    total = np.add.reduceat(intensity, first)
    moment = np.add.reduceat(s * intensity, first)
    present = total > ABSENT * total.max()
    return np.stack([moment[present] / total[present], total[present]], axis=1)
