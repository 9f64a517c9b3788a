"""Powder lines calculated from a density in its cell, up to the s that its grid represents."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Integer

from cmed_jax.physics.cell import cell_volume, reciprocal_lattice
from cmed_jax.physics.density import structure_factors
from cmed_jax.physics.reflections import COINCIDENCE

S_COMPARED = 1.5
"""The largest s at which lines are compared, 1/angstrom."""

FLOOR = 0.01
"""The share of the strongest intensity below which all intensities have the same weight.

A counted pattern has a background, and weaker lines are lost in it.
"""

ROUNDING = 1e-6
"""The share of all electrons below which amplitudes are rounding errors.

With it a constant density has no lines.
"""


class DensityLines(NamedTuple):
    """The powder lines of a cell that the modes of a grid contain, ascending in s.

    Attributes:
        s: s = 1/d of each line, 1/angstrom.
        modes: indices into the flattened modes of the grid, line after line.
        first: index into `modes` at which each line begins.
    """

    s: Float[np.ndarray, " lines"]
    modes: Integer[np.ndarray, " m"]
    first: Integer[np.ndarray, " lines"]


def calculated_lines(
    densities: Float[Array | np.ndarray, "k a b c"], lattice: Float[np.ndarray, "3 3"]
) -> tuple[Float[np.ndarray, " lines"], Float[np.ndarray, "k lines"]]:
    """Return s, 1/angstrom, and |F|^2 with multiplicity of the lines calculated from densities.

    Args:
        densities: densities on one grid, e/angstrom^3.
        lattice: rows a, b, c in angstrom.
    """
    lines = carried_lines(lattice, densities.shape[1:])
    factors = structure_factors(densities, cell_volume(lattice))
    amplitudes = np.abs(factors).reshape(len(densities), -1)
    electrons = amplitudes[:, amplitudes.shape[1] // 2, None]  # h = 0, in the middle
    amplitudes = np.where(amplitudes > ROUNDING * electrons, amplitudes, 0)
    squared = amplitudes[:, lines.modes] ** 2
    return lines.s, np.add.reduceat(squared, lines.first, axis=1)


def carried_lines(lattice: Float[np.ndarray, "3 3"], shape: tuple[int, ...]) -> DensityLines:
    """Return the lines of a cell up to `S_COMPARED`, or to the largest sphere within the grid."""
    h, k, ell = np.ix_(*(np.arange(n) - n // 2 for n in _modes(shape)))
    squared = sum((h * a + k * b + ell * c) ** 2 for a, b, c in reciprocal_lattice(lattice).T)
    s = np.sqrt(squared).ravel()
    inside = np.flatnonzero((s > 0) & (s < largest_s(lattice, shape)))
    modes = inside[np.argsort(s[inside], kind="stable")]
    first = np.flatnonzero(np.diff(s[modes], prepend=-1.0) > COINCIDENCE)
    return DensityLines(s[modes[first]], modes, first)


def _modes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the number of modes that `structure_factors` returns along each axis."""
    return tuple(n - 1 + n % 2 for n in shape)


def largest_s(lattice: Float[np.ndarray, "3 3"], shape: tuple[int, ...]) -> float:
    """Return the s below which a grid represents every mode, at most `S_COMPARED`.

    The first mode that an axis lacks is h = (n + 1) // 2, on the plane h = a.s.
    """
    lacking = [
        (n + 1) // 2 / edge for n, edge in zip(shape, np.linalg.norm(lattice, axis=1), strict=True)
    ]
    return min(S_COMPARED, *lacking)
