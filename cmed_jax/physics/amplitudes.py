"""Amplitudes on integer h, read from the lines of a pattern and a cell.

A powder line is the sum of all reflections at its s = 1/d. Its intensity is divided evenly among
them, which is exact for reflections related by symmetry, and the best guess for others. What lies
outside the measured range is marked as unobserved. The scale is free.

Records, simulated measurements and measured files are all read by `amplitudes_of_lines`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from cmed_jax.physics.harmonics import harmonics, lengths
from cmed_jax.physics.patterns import MO_K_ALPHA, lorentz_polarization_of_sine
from cmed_jax.physics.reflections import half_sphere

EXACT = 2e-5
"""The distance in s, 1/angstrom, within which reflections belong to a calculated line."""


class Amplitudes(NamedTuple):
    """The amplitudes of a crystal's harmonics (`cmed_jax.physics.harmonics`).

    Attributes:
        amplitude: |F(h)| in units of its root mean square over observed harmonics; 0 where there is
            no line, or where the harmonic is unobserved.
        observed: 1 where the harmonic lies in the measured range, else 0.
    """

    amplitude: Float[Array | np.ndarray, "*b h"]
    observed: Float[Array | np.ndarray, "*b h"]


def unobserved() -> Amplitudes:
    """Return the amplitudes of a crystal without a pattern, or without a cell."""
    nothing = np.zeros(len(harmonics()), np.float32)
    return Amplitudes(nothing, nothing)


def amplitudes_of_lines(
    lattice: Float[np.ndarray, "3 3"],
    s: Float[np.ndarray, " m"],
    intensity: Float[np.ndarray, " m"],
    *,
    span: tuple[float, float],
    tolerance: float | Float[np.ndarray, " m"] = EXACT,
) -> Amplitudes:
    """Return the amplitudes of the harmonics of a cell.

    Args:
        lattice: rows a, b, c of the primitive cell, angstrom.
        s: 1/d of the lines, ascending, 1/angstrom.
        intensity: |F|^2 summed over all reflections of each line, on any scale.
        span: the smallest and largest s that were measured, 1/angstrom.
        tolerance: the largest distance in s of a reflection from the line to which it belongs; one
            number, or one for each line.

    Raises:
        ValueError: the lattice is flat.

    Example:
        >>> cell, lines = 2.87 * np.eye(3), reflections(iron, s_max=2.0)  # doctest: +SKIP
        >>> amplitudes_of_lines(cell, *lines.T, span=(0.0, 2.0))  # doctest: +SKIP
    """
    places = lengths(lattice, harmonics())
    observed = (places >= span[0]) & (places <= span[1])
    if not (len(s) and observed.any()):
        return Amplitudes(np.zeros(len(places), np.float32), observed.astype(np.float32))
    widths = np.broadcast_to(tolerance, np.shape(s))
    # All reflections up to the last harmonic share the lines, also those that are no harmonics.
    every = half_sphere(lattice, places[observed].max() + float(widths.max())).s
    owners, of_harmonic = (_line_of(each, s, widths) for each in (every, places))
    members = 2 * np.bincount(owners[owners >= 0], minlength=len(s))
    share = np.where(members > 0, intensity / np.maximum(members, 1), 0.0)
    squared = np.where((of_harmonic >= 0) & observed, share[of_harmonic], 0.0)
    scale = squared[observed].mean()
    amplitude = np.sqrt(squared / scale if scale > 0 else squared)
    return Amplitudes(amplitude.astype(np.float32), observed.astype(np.float32))


def amplitudes_of_bins(
    lattice: Float[np.ndarray, "3 3"],
    pattern: Float[np.ndarray, "1024"],
    coverage: Float[np.ndarray, "1024"],
) -> Amplitudes:
    """Return the amplitudes read from a pattern on the published grid, Mo K-alpha, 0-180 degrees.

    Reflections in one bin share its intensity, so a list of lines is read better.

    Args:
        lattice: rows a, b, c of the primitive cell, angstrom.
        pattern: intensities, strongest 1.
        coverage: 1 in measured bins, 0 in all others.
    """
    edges = 2 / MO_K_ALPHA * np.sin(np.linspace(0, np.pi / 2, len(pattern) + 1))
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    sine = np.minimum(middle * MO_K_ALPHA / 2, 1 - 1e-6)
    intensity = pattern * coverage / lorentz_polarization_of_sine(sine)
    measured = np.flatnonzero(coverage)
    span = (edges[measured[0]], edges[measured[-1] + 1]) if len(measured) else (0.0, 0.0)
    return amplitudes_of_lines(lattice, middle, intensity, span=span, tolerance=half)


def _line_of(
    places: Float[np.ndarray, " n"], s: Float[np.ndarray, " m"], widths: Float[np.ndarray, " m"]
) -> np.ndarray:
    """Return the line nearest to each place, or -1 where it is farther than its tolerance."""
    nearest = np.searchsorted((s[1:] + s[:-1]) / 2, places)
    return np.where(np.abs(places - s[nearest]) <= widths[nearest], nearest, -1)
