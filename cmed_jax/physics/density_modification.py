"""Density modification: the observed lines of a pattern imposed on a density in their cell.

A density gives every reflection an amplitude and a phase. A pattern gives the sum of |F|^2 over the
reflections of each line. Each cycle removes what is negative, scales the amplitudes of each line to
what was observed, and keeps the phases. Reflections of one line keep their ratios. A density with
nearly the right phases is repaired within some cycles, and changes little. One with wrong phases
becomes another density.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from cmed_jax.physics.amplitudes import EXACT
from cmed_jax.physics.cell import reciprocal_axes
from cmed_jax.physics.form_factors import Table, form_factors

CYCLES = 25
"""The number of cycles; later ones change a density little."""
SMOOTH_B = 2.0
"""The B by which intensities are damped before they are put on the scale of electrons, angstrom^2.

The sum of the damped |F|^2 is then the origin of a Patterson function whose other peaks are too
narrow to reach it.
"""
STEPS = 400
"""The number of steps of the integral over s."""


class Modified(NamedTuple):
    """A modified density.

    Attributes:
        density: e/angstrom^3.
        correlation: the correlation of the voxels with the density that it began from; -1 where no
            line is observed.
    """

    density: Float[Array, "a b c"]
    correlation: Float[Array, ""]


@partial(jax.jit, static_argnames="cycles")
def impose_lines(
    density: Float[Array, "a b c"],
    lattice: Float[Array, "3 3"],
    lines: Float[Array, "l 2"],
    electrons: Float[Array, ""] | float,
    b_factor: Float[Array, ""] | float,
    *,
    cycles: int = CYCLES,
) -> Modified:
    """Return a density with the observed amplitudes; a pure function, for `jax.vmap` too.

    The range of s reaches from 0 to the last line, or to the first mode beyond the grid if that
    comes earlier. A reflection in it that belongs to no line becomes 0, one outside it keeps the
    coefficient that the density has.

    Args:
        density: e/angstrom^3 on a grid of fractional coordinates i/n.
        lattice: rows a, b, c, angstrom.
        lines: s = 1/d (1/angstrom), ascending, and |F|^2 of atoms at rest summed over all
            reflections of the line (electrons^2), as `on_scale_of_electrons` returns them. Rows of
            zeros at the end pad them.
        electrons: the electrons of the cell.
        b_factor: the isotropic B of the density's atoms, angstrom^2, which damps the lines.
        cycles: the number of cycles.
    """
    s, intensity = lines.T
    total = intensity * jnp.exp(-b_factor * s**2 / 2)
    member, weight = _members(density.shape, lattice, s, intensity > 0)
    # The last two sums are those of reflections without a line, and of those out of range.
    sums = partial(jax.ops.segment_sum, segment_ids=member, num_segments=len(s) + 2)
    total = jnp.where(sums(weight)[:-2] > 0, total, 0.0)
    volume = jnp.abs(jnp.linalg.det(lattice))
    voxel = volume / density.size

    def cycle(values: Float[Array, "a b c"], _: None) -> tuple[Array, None]:
        factors = jnp.fft.rfftn(jnp.maximum(values, 0.0)) * voxel
        flat = factors.ravel()
        own = sums(weight * (flat.real**2 + flat.imag**2))[:-2]
        scale = jnp.sqrt(total / jnp.where(own > 0, own, 1.0))
        scaled = flat * jnp.concatenate([scale, jnp.array([0.0, 1.0])])[member]
        scaled = scaled.at[0].set(jnp.asarray(electrons, scaled.dtype))
        return jnp.fft.irfftn(scaled.reshape(factors.shape), density.shape) / voxel, None

    start = density * (electrons / volume / density.mean())
    values, _ = jax.lax.scan(cycle, start, length=cycles)
    correlation = jnp.corrcoef(values.ravel(), density.ravel())[0, 1]
    return Modified(values, jnp.where(total.any(), correlation, -1.0))


def _members(
    shape: tuple[int, ...],
    lattice: Float[Array, "3 3"],
    s: Float[Array, " l"],
    present: Bool[Array, " l"],
) -> tuple[Integer[Array, " m"], Float[Array, " m"]]:
    """Return the line of each mode of `jnp.fft.rfftn`, and how often the mode counts.

    The number of lines stands for no line, one more for a mode out of range.
    """
    modes = [jnp.fft.fftfreq(n, 1 / n) for n in shape]
    modes[2] = jnp.arange(shape[2] // 2 + 1, dtype=jnp.float32)
    h, k, ell = jnp.ix_(*modes)
    x, y, z = ((h * a + k * b + ell * c) for a, b, c in reciprocal_axes(lattice).T)
    lengths = jnp.sqrt(x**2 + y**2 + z**2).ravel()
    # h = a.s: no mode that the grid lacks is shorter.
    missing = jnp.array([(n + 1) // 2 for n in shape]) / jnp.linalg.norm(lattice, axis=1)
    last = jnp.max(jnp.where(present, s, 0.0)) + EXACT
    inside = (lengths > 0) & (lengths <= last) & (lengths < missing.min())
    places = jnp.where(present, s, jnp.inf)
    nearest = jnp.searchsorted((places[1:] + places[:-1]) / 2, lengths)
    near = jnp.abs(lengths - places[nearest]) <= EXACT
    member = jnp.where(inside, jnp.where(near, nearest, len(s)), len(s) + 1)
    # A mode with l > 0 stands for its conjugate too.
    weight = jnp.broadcast_to(jnp.where(ell > 0, 2.0, 1.0), x.shape).ravel()
    return member, weight


def on_scale_of_electrons(
    lines: Float[np.ndarray, "l 2"],
    atoms: Float[np.ndarray, "119"],
    volume: float,
    table: Table = "pymatgen",
) -> Float[np.ndarray, "l 2"]:
    """Return lines with |F|^2 in electrons^2, put on this scale as by Wilson's statistics.

    The damped |F|^2, with that of F(0), add up to V times the integral of the damped sum of f^2.

    Args:
        lines: s and |F|^2 on any scale, in the form of `impose_lines`.
        atoms: the number of atoms of each element in the cell, by atomic number.
        volume: the volume of the cell, angstrom^3.
        table: the form factors of the lines: "pymatgen" for lines of records, which are computed
            with it, "it92" for measured ones.

    Returns:
        The lines; zeros where the lines do not reach far enough for a scale.
    """
    s, intensity = lines.T.astype(float)
    s_max, electrons = s.max(initial=0.0), float(atoms @ np.arange(len(atoms)))
    present = np.flatnonzero(atoms)
    middle = (np.arange(STEPS) + 0.5) * (s_max / STEPS)
    squared = atoms[present] @ form_factors(present, middle**2 / 4, table) ** 2
    shell = 4 * np.pi * middle**2 * np.exp(-SMOOTH_B * middle**2 / 2) * (s_max / STEPS)
    expected = volume * float(squared @ shell) - electrons**2
    found = float(intensity @ np.exp(-SMOOTH_B * s**2 / 2))
    if not (expected > 0 and found > 0):
        return np.zeros_like(lines)
    return np.stack([s, intensity * (expected / found)], axis=1).astype(lines.dtype)
