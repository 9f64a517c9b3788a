"""A cell and a zero shift, refined until measured lines stand where the lattice has them.

A cell from a table, or one that was found by few lines, is off by some tenths of a percent, and a
sample that lies too high shifts all lines. Either puts lines beside the reflections that they
belong to. What is refined are the free numbers of the reciprocal metric and one shift of two-theta,
by weighted linear least squares: s^2 = h G* h + 2 s (ds / d 2theta) shift.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Integer

from cmed_jax.crystal.freedom import free_metrics
from cmed_jax.crystal.symmetry import space_group
from cmed_jax.physics.reflections import half_sphere
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.settings import Bravais

REACH = (0.012, 0.006, 0.003)
"""Lines are sought within these shares of their s, in turn."""
ALONE = 1.7
"""The next reflection is so many times as far from a line that is used as its own one."""
SPARE = 2
"""Lines that there must be beside the numbers that are refined."""
LOOSE_METRIC, LOOSE_SHIFT = 0.004, 0.1
"""How far a metric (as a share of it) and a shift (degrees) are expected to be off."""
PRECISE = 3e-4
"""Error of a line's s, as a share of it."""
_HOLOHEDRY = {
    "triclinic": 2,
    "monoclinic": 10,
    "orthorhombic": 47,
    "tetragonal": 123,
    "trigonal": 191,
    "hexagonal": 191,
    "cubic": 221,
}
"""A space group of each system whose primitive cell has the shape of all conventional ones."""


def aligned(cell: Bravais, lines: ObservedLines) -> tuple[Bravais, ObservedLines]:
    """Return a cell and lines, corrected by the shift, that agree better; or both as they are.

    Args:
        cell: whose conventional axes are refined.
        lines: as measured; of ideal ones (without a wavelength) no shift is refined.
    """
    best, most = (cell, lines), _explained(cell, lines)
    current = best
    for reach in REACH:
        refined = _refined(*current, reach)
        if refined is None:
            continue
        current, explained = refined, _explained(*refined)
        if explained > most + 1e-9:
            best, most = current, explained
    return best


def _explained(cell: Bravais, lines: ObservedLines) -> float:
    """Return how much of the intensity is explained, a line counting less the farther it is."""
    s = half_sphere(cell.conventional, lines.s_max * 1.02).s
    gaps = np.abs(s[_nearest(s, lines.s)] - lines.s) / lines.resolution
    return float(lines.area @ np.exp(-(gaps**2) / 2) / lines.area.sum())


def _refined(
    cell: Bravais, lines: ObservedLines, reach: float
) -> tuple[Bravais, ObservedLines] | None:
    """Return what one round of least squares makes of cell and lines; None for too few lines."""
    sphere = half_sphere(cell.conventional, lines.s_max * 1.02)
    used, hkl = _assigned(sphere.s, sphere.hkl, lines.s, reach)
    metric = np.linalg.inv(cell.conventional @ cell.conventional.T)
    basis = free_metrics(space_group(_HOLOHEDRY[cell.system])) * np.linalg.norm(metric)
    if used.sum() < len(basis) + 1 + SPARE:
        return None
    s, h = lines.s[used], hkl[used].astype(float)
    shifts = _slope(s, lines.wavelength)
    design = np.column_stack([np.einsum("mi,kij,mj->mk", h, basis, h), 2 * s * shifts])
    left = s**2 - np.einsum("mi,ij,mj->m", h, metric, h)
    weight = (lines.area[used] / lines.area.max()) ** 0.25 / (2 * PRECISE * s**2)
    prior = np.diag([1 / LOOSE_METRIC] * len(basis) + [1 / LOOSE_SHIFT])
    rows = np.concatenate([design * weight[:, None], prior])
    target = np.concatenate([left * weight, np.zeros(len(prior))])
    solution = np.linalg.lstsq(rows, target, rcond=None)[0]
    changed = np.linalg.inv(metric + np.tensordot(solution[:-1], basis, 1))
    if np.linalg.eigvalsh(changed).min() <= 0:
        return None
    conventional = np.linalg.cholesky(changed)
    moved = lines.s - solution[-1] * _slope(lines.s, lines.wavelength)
    return cell._replace(conventional=conventional), replace(lines, s=np.maximum(moved, 1e-6))


def _slope(s: Float[np.ndarray, " m"], wavelength: float | None) -> Float[np.ndarray, " m"]:
    """Return by how much s changes with each degree of two-theta; 0 without a wavelength."""
    if wavelength is None:
        return np.zeros_like(s)
    cosine = np.sqrt(np.maximum(1 - (s * wavelength / 2) ** 2, 0))
    return np.radians(1) * cosine / wavelength


def _nearest(
    s: Float[np.ndarray, " m"], wanted: Float[np.ndarray, " k"]
) -> Integer[np.ndarray, " k"]:
    """Return the place of the value that is nearest to each wanted one; s ascends."""
    after = np.clip(np.searchsorted(s, wanted), 1, len(s) - 1)
    return np.where(wanted - s[after - 1] < s[after] - wanted, after - 1, after)


def _assigned(
    s: Float[np.ndarray, " m"],
    hkl: Integer[np.ndarray, "m 3"],
    lines: Float[np.ndarray, " k"],
    reach: float,
) -> tuple[Bool[np.ndarray, " k"], Integer[np.ndarray, "k 3"]]:
    """Return which lines have one reflection in reach that is nearest beyond doubt, and its hkl."""
    first = np.flatnonzero(np.diff(s, prepend=-1.0) > 1e-5)
    lengths = s[first]
    nearest = _nearest(lengths, lines)
    own = np.abs(lengths[nearest] - lines)
    below = np.where(nearest > 0, lines - lengths[np.maximum(nearest - 1, 0)], np.inf)
    above = lengths[np.minimum(nearest + 1, len(lengths) - 1)] - lines
    above = np.where(nearest < len(lengths) - 1, above, np.inf)
    next_one = np.minimum(np.abs(below), np.abs(above))
    used = (own <= reach * lines) & (next_one >= ALONE * own)
    return used, hkl[first[nearest]]
