"""Refinement of a cell and a zero shift by the positions of measured lines.

A cell from a table, or one found from few lines, is wrong by some tenths of a percent. A sample
that lies too high shifts all lines. Either error moves lines away from the reflections that they
belong to. The free numbers of the reciprocal metric and one shift of two-theta are refined by
weighted linear least squares: s^2 = h G* h + 2 s (ds / d 2theta) shift.
"""

import numpy as np
from jaxtyping import Bool, Float, Integer

from cmed_jax.crystal.bravais import Bravais
from cmed_jax.crystal.freedom import free_metrics
from cmed_jax.crystal.symmetry import space_group
from cmed_jax.physics.reflections import half_sphere
from cmed_jax.search.observed import ObservedLines

REACH = (0.012, 0.006, 0.003)
"""The largest distance of a line from its reflection in each round, as a share of its s."""
ALONE = 1.7
"""The least ratio of a used line's distances from the second nearest and the nearest reflection."""
SPARE = 2
"""The least number of lines in excess of the refined numbers."""
LOOSE_METRIC, LOOSE_SHIFT = 0.004, 0.1
"""The expected errors of a metric (as a share of it) and of a shift (degrees)."""
PRECISE = 3e-4
"""The error of a line's s, as a share of it."""
_HOLOHEDRY = {
    "triclinic": 2,
    "monoclinic": 10,
    "orthorhombic": 47,
    "tetragonal": 123,
    "trigonal": 191,
    "hexagonal": 191,
    "cubic": 221,
}
"""A space group of each system with a primitive cell that has the shape of conventional cells."""


def aligned(cell: Bravais, lines: ObservedLines) -> tuple[Bravais, ObservedLines]:
    """Return a refined cell, and the lines corrected for the shift.

    Both are returned unchanged where the refinement explains no more of the intensity.

    Args:
        cell: the lattice, with the conventional axes that are refined.
        lines: the measured lines; for ideal lines (without a wavelength) no shift is refined.
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
    """Return the explained share of the intensity; a line counts less with its distance."""
    s = half_sphere(cell.conventional, lines.s_max * 1.02).s
    if not len(s):  # the cell is too small, which the grouping of the lines tells the user
        return 0.0
    gaps = np.abs(s[_nearest(s, lines.s)] - lines.s) / lines.resolution
    return float(lines.area @ np.exp(-(gaps**2) / 2) / lines.area.sum())


def _refined(
    cell: Bravais, lines: ObservedLines, reach: float
) -> tuple[Bravais, ObservedLines] | None:
    """Return cell and lines after one round of least squares.

    The result is None where there are too few lines, the cell has no reflection, or the refined
    metric is not positive definite.
    """
    sphere = half_sphere(cell.conventional, lines.s_max * 1.02)
    if not len(sphere.s):
        return None
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

    def corrected(s: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        return np.maximum(s - solution[-1] * _slope(s, lines.wavelength), 1e-6)

    return cell._replace(conventional=conventional), lines.moved(corrected)


def _slope(s: Float[np.ndarray, " m"], wavelength: float | None) -> Float[np.ndarray, " m"]:
    """Return the change of s with each degree of two-theta; 0 without a wavelength."""
    if wavelength is None:
        return np.zeros_like(s)
    cosine = np.sqrt(np.maximum(1 - (s * wavelength / 2) ** 2, 0))
    return np.radians(1) * cosine / wavelength


def _nearest(
    s: Float[np.ndarray, " m"], wanted: Float[np.ndarray, " k"]
) -> Integer[np.ndarray, " k"]:
    """Return the index of the value nearest to each wanted one, where s ascends."""
    after = np.clip(np.searchsorted(s, wanted), 1, len(s) - 1)
    return np.where(wanted - s[after - 1] < s[after] - wanted, after - 1, after)


def _assigned(
    s: Float[np.ndarray, " m"],
    hkl: Integer[np.ndarray, "m 3"],
    lines: Float[np.ndarray, " k"],
    reach: float,
) -> tuple[Bool[np.ndarray, " k"], Integer[np.ndarray, "k 3"]]:
    """Return which lines have one clearly nearest reflection in reach, and the nearest hkl."""
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
