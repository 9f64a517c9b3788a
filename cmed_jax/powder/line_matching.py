"""Comparison of many trial metrics with measured lines at once.

A first test only counts. A table over s^2 says which measured lines are near, one bit for each. The
bits of all lines of a lattice together are the lines that it explains. How many it would explain by
chance follows from the number of its own lines. The metrics that pass are refined together. Their
evidence compares two explanations of each measured line: that it is the nearest line of the
lattice, or that it lies anywhere between two of them.
"""

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from cmed_jax.physics.patterns import s_of_two_theta
from cmed_jax.powder.indexing import Axes, cell_edges, quadratic_forms, two_theta_or_far

CENTRINGS: dict[Axes, tuple[str, ...]] = {
    "cubic": ("P", "I", "F"),
    "tetragonal": ("P", "I"),
    "hexagonal": ("P", "R"),
    "orthorhombic": ("P", "A", "B", "C", "I", "F"),
    "monoclinic": ("P", "A", "C", "I"),
    "triclinic": ("P",),
}
"""The centrings that are tried with each kind of axes."""
BINS = 1 << 15
"""The number of steps of the table over s^2."""
MOST_FORMS = 900
"""The largest number of lines of a cell in the range; larger cells explain anything."""
SHARED: dict[Axes, int] = {"cubic": 6, "tetragonal": 2, "hexagonal": 2}
"""The number of index triples of each line, in any order of equivalent axes; 1 otherwise."""
FOREIGN = 0.05
"""The share of lines that do not belong to the lattice, a priori."""
FAR = 10.0
"""The largest distance between lines that counts as the gap around a line, degrees."""
COINCIDENT, SEEN = 0.02, 0.08
"""The distances, degrees, below which lines of a lattice are one, and within which one is seen."""
CHUNK = 4_000_000
"""The number of lines that are compared at once, which limits the memory."""


class Trials(NamedTuple):
    """Trial lattices of one kind of axes.

    Attributes:
        metrics: the metrics.
        centring: the index of the centring of each, in `CENTRINGS`.
        zero: the zero shift of each, degrees.
        score: the score of each; larger is better.
    """

    metrics: Float[np.ndarray, "t p"]
    centring: Integer[np.ndarray, " t"]
    zero: Float[np.ndarray, " t"]
    score: Float[np.ndarray, " t"]

    def at(self, rows: np.ndarray) -> "Trials":
        """Return some of the trials."""
        return Trials(*(column[rows] for column in self))


class Forms(NamedTuple):
    """The lines of a lattice within a box of indices.

    Attributes:
        forms: the distinct quadratic forms.
        allowed: which centrings allow each line, by the order of `CENTRINGS`.
    """

    forms: Float[np.ndarray, "m p"]
    allowed: Bool[np.ndarray, "m c"]


@lru_cache(maxsize=4096)  # 120 MB at most; the next pattern asks for the same, a second less each
def forms_within(axes: Axes, reach: tuple[int, int, int]) -> Forms:
    """Return the lines with indices up to a limit for each axis."""
    low = {"monoclinic": (0, 0, -1), "triclinic": (-1, -1, 0)}.get(axes, (0, 0, 0))
    sides = [np.arange(start * most, most + 1) for start, most in zip(low, reach, strict=True)]
    hkl = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[hkl.any(axis=1)]
    allowed = np.stack([allowed_by(each, hkl) for each in CENTRINGS[axes]], axis=1)
    forms, place = np.unique(quadratic_forms(axes, hkl), axis=0, return_inverse=True)
    together = np.zeros((len(forms), allowed.shape[1]), bool)
    np.logical_or.at(together, place.ravel(), allowed)
    return Forms(forms, together)


def allowed_by(centring: str, hkl: Integer[np.ndarray, "m 3"]) -> Bool[np.ndarray, " m"]:
    """Return which reflections a centring allows (obverse setting of R)."""
    h, k, ell = hkl.T
    match centring:
        case "A":
            return (k + ell) % 2 == 0
        case "B":
            return (h + ell) % 2 == 0
        case "C":
            return (h + k) % 2 == 0
        case "I":
            return (h + k + ell) % 2 == 0
        case "F":
            return ((h + k) % 2 == 0) & ((k + ell) % 2 == 0)
        case "R":
            return (-h + k + ell) % 3 == 0
    return np.ones(len(hkl), bool)


def grouped(
    axes: Axes, metrics: Float[np.ndarray, "t p"], largest: float, coarse: int = 1
) -> Iterator[tuple[np.ndarray, Forms]]:
    """Yield rows of metrics with the lines that they can have up to an s^2.

    Metrics whose cells would have too many lines are left out.
    """
    with np.errstate(invalid="ignore"):
        reach = np.floor(np.sqrt(largest) * cell_edges(axes, metrics))
    reach = np.nan_to_num(reach, nan=1e6, posinf=1e6).clip(1, 1e6).astype(int)
    if axes in ("cubic", "tetragonal", "hexagonal"):
        reach[:, :2] = reach[:, :2].max(axis=1)[:, None]
    reach = -(-reach // coarse) * coarse
    box = reach[:, 0] * reach[:, 1] * reach[:, 2]
    box *= {"monoclinic": 2, "triclinic": 4}.get(axes, 1)
    rows = np.flatnonzero(box <= SHARED.get(axes, 1) * MOST_FORMS * coarse)
    order = np.lexsort(reach[rows].T[::-1])
    starts = np.flatnonzero(np.diff(reach[rows[order]], axis=0, prepend=0).any(axis=1))
    for start, stop in pairwise([*starts, len(order)]):
        forms = forms_within(axes, tuple(reach[rows[order[start]]].tolist()))
        step = max(CHUNK // len(forms.forms), 1)
        for first in range(start, stop, step):
            yield rows[order[first : min(first + step, stop)]], forms


class NearTable(NamedTuple):
    """A table that says which measured lines are near an s^2.

    Attributes:
        bits: the near lines for each step of s^2, one bit for each line.
        scale: the steps for each unit of s^2.
        lines: the number of lines.
        width: the width of the windows of the lines, as a share of the range.
    """

    bits: np.ndarray
    scale: float
    lines: int
    width: float

    @classmethod
    def of(cls, angle: Float[np.ndarray, " k"], wavelength: float, near: float) -> "NearTable":
        """Return the table of lines.

        Args:
            angle: two-theta of the lines, degrees, ascending, corrected for the shift.
            wavelength: the wavelength, angstrom.
            near: the distance within which lines match, degrees.
        """
        low, high = (s_of_two_theta(angle + way * near, wavelength) ** 2 for way in (-1, 1))
        scale = (BINS - 2) / high.max()
        bits = np.zeros(BINS, np.uint64)
        for line, (first, last) in enumerate(
            zip(np.floor(low * scale).astype(int), np.ceil(high * scale).astype(int), strict=True)
        ):
            bits[first : last + 1] |= np.uint64(1 << line)
        bits[-1] = 0
        lowest = angle[0] / 2
        width = 2 * near * len(angle) / max(angle[-1] - lowest, 1.0)
        return cls(bits, float(scale), len(angle), float(width))


def counted(axes: Axes, metrics: Float[np.ndarray, "t p"], table: NearTable, zero: float) -> Trials:
    """Return each metric in its best centring, scored by the lines that it explains.

    The score is that of a binomial test: the number of lines times the divergence between the share
    of explained lines and the share that would be explained by chance.
    """
    score = np.full(len(metrics), -np.inf)
    centring = np.zeros(len(metrics), int)
    for rows, forms in grouped(axes, metrics, (BINS - 2) / table.scale):
        # Lines come first, so that those of all lattices are joined at once.
        scaled = (table.scale * forms.forms).astype(np.float32)
        squared = scaled @ metrics[rows].astype(np.float32).T
        place = np.minimum(squared, BINS - 1, out=squared).astype(np.intp)
        near, inside = table.bits.take(place), place < BINS - 1
        for column in range(forms.allowed.shape[1]):
            mine = forms.allowed[:, column]
            everything = bool(mine.all())
            seen = np.bitwise_or.reduce(near if everything else near[mine], axis=0)
            own = (inside if everything else inside[mine]).sum(axis=0, dtype=np.int32)
            explained = np.bitwise_count(seen) / table.lines
            found = table.lines * divergence(
                explained, 1 - np.exp(-own * table.width / table.lines)
            )
            better = found > score[rows]
            score[rows[better]] = found[better]
            centring[rows[better]] = column
    return Trials(metrics, centring, np.full(len(metrics), zero), score)


def divergence(
    share: Float[np.ndarray, " t"], chance: Float[np.ndarray, " t"]
) -> Float[np.ndarray, " t"]:
    """Return the divergence of a share from a smaller one by chance, in nats; 0 otherwise."""
    chance = np.clip(chance, 1e-6, 1 - 1e-6)
    inner = np.clip(share, 1e-9, 1 - 1e-9)
    found = inner * np.log(inner / chance) + (1 - inner) * np.log((1 - inner) / (1 - chance))
    return np.where(share > chance, found, 0.0)


class Fitted(NamedTuple):
    """Trial lattices that were refined with a zero shift.

    Attributes:
        trials: the lattices; their score is the evidence (nats).
        gap: the distance of each measured line from the nearest line, degrees.
        predicted: the number of lines of each lattice in the range.
        seen: the number of these lines that were measured.
    """

    trials: Trials
    gap: Float[np.ndarray, "t k"]
    predicted: Integer[np.ndarray, " t"]
    seen: Integer[np.ndarray, " t"]


def refined(
    axes: Axes,
    trials: Trials,
    angle: Float[np.ndarray, " k"],
    wavelength: float,
    steps: tuple[float, ...],
    errors: tuple[float, ...],
    weight: Float[np.ndarray, " k"],
) -> Fitted:
    """Return trial lattices after least squares with the lines that they explain.

    Args:
        axes: the axes of the lattices.
        trials: the lattices.
        angle: the measured two-theta, degrees, ascending.
        wavelength: the wavelength, angstrom.
        steps: the distance within which lines match, degrees, for each step of the refinement.
        errors: the errors of the angles that are tried, degrees; the best one counts.
        weight: the weight of each line in the evidence.
    """
    count = len(trials.score)
    metrics, zero = trials.metrics.copy(), trials.zero.copy()
    gaps = np.full((count, len(angle)), 90.0)
    score = np.full(count, -np.inf)
    predicted, seen = np.zeros(count, int), np.zeros(count, int)
    largest = float(s_of_two_theta(angle[-1:] + 0.5, wavelength)[0] ** 2)
    for rows, forms in grouped(axes, metrics, largest * 1.02, coarse=3):
        step = max(CHUNK // (len(forms.forms) * len(angle)), 1)
        for part in np.array_split(rows, -(-len(rows) // step)):
            m, z = metrics[part], zero[part]
            inside = (m @ forms.forms.T).min(axis=0) <= largest * 1.1
            # Lines that a centring forbids lie beyond all others.
            mine, own = forms.allowed.T[trials.centring[part]][:, inside], forms.forms[inside]
            if not len(own):
                continue
            for near in steps:
                m, z = _step(m, z, own, mine, angle, wavelength, near)
            metrics[part], zero[part] = m, z
            found = _assess(m, z, own, mine, angle, wavelength, errors, weight)
            score[part], gaps[part], predicted[part], seen[part] = found
    done = Trials(metrics, trials.centring, zero, score)
    return Fitted(done, gaps, predicted, seen)


def _step(
    metrics: Float[np.ndarray, "t p"],
    zero: Float[np.ndarray, " t"],
    forms: Float[np.ndarray, "m p"],
    allowed: Bool[np.ndarray, "t m"],
    angle: Float[np.ndarray, " k"],
    wavelength: float,
    near: float,
) -> tuple[Float[np.ndarray, "t p"], Float[np.ndarray, " t"]]:
    """Return metrics and zero shifts after one step of least squares."""
    squared = metrics @ forms.T
    angles = np.where(allowed, two_theta_or_far(np.maximum(squared, 1e-9), wavelength), 1e3)
    gap = (angle - zero[:, None])[:, :, None] - angles[:, None]
    nearest = np.abs(gap).argmin(axis=2)
    gap = np.take_along_axis(gap, nearest[..., None], axis=2)[..., 0]
    weight = (np.abs(gap) < near).astype(float)
    own = np.take_along_axis(angles, nearest, axis=1)
    theta = np.radians(np.minimum(own, 170)) / 2
    s2 = np.take_along_axis(squared, nearest, axis=1)
    slope = np.degrees(np.tan(theta) / np.maximum(s2, 1e-9))
    design = slope[..., None] * forms[nearest]
    design = np.concatenate([design, np.ones_like(slope)[..., None]], axis=2)
    size = metrics.shape[1]
    scale = np.sqrt((weight[..., None] * design**2).sum(axis=1)) + 1e-12
    design = design / scale[:, None]
    normal = np.einsum("tk,tkp,tkq->tpq", weight, design, design)
    right = np.einsum("tk,tkp,tk->tp", weight, design, gap)
    normal += 1e-6 * np.eye(design.shape[2])
    change = np.linalg.solve(normal, right[..., None])[..., 0] / scale
    change[weight.sum(axis=1) < design.shape[2]] = 0
    moved = metrics + change[:, :size]
    valid = (moved[:, :3] > 0).all(axis=1)
    metrics = np.where(valid[:, None], moved, metrics)
    zero = np.where(valid, np.clip(zero + change[:, size], -0.5, 0.5), zero)
    return metrics, zero


def _likelihood(
    near: Float[np.ndarray, "t k"], gap: Float[np.ndarray, "t k"], error: float
) -> Float[np.ndarray, "t k"]:
    """Return the logarithm of the likelihood of each line over that of a line at random.

    A measured line is one of the lattice, with a normal error; or it is of something else, anywhere
    in the gap between two lines of the lattice.
    """
    own = np.exp(-((near / error) ** 2) / 2) / (np.sqrt(2 * np.pi) * error)
    return np.log((1 - FOREIGN) * own * gap + FOREIGN)


def _assess(
    metrics: Float[np.ndarray, "t p"],
    zero: Float[np.ndarray, " t"],
    forms: Float[np.ndarray, "m p"],
    allowed: Bool[np.ndarray, "t m"],
    angle: Float[np.ndarray, " k"],
    wavelength: float,
    errors: tuple[float, ...],
    weight: Float[np.ndarray, " k"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the evidence, the gaps, and the numbers of predicted and of seen lines."""
    angles = two_theta_or_far(np.maximum(metrics @ forms.T, 1e-9), wavelength)
    angles = np.where(allowed, angles, 1e3)
    gap = (angle - zero[:, None])[:, :, None] - angles[:, None]
    below = np.where(gap >= 0, gap, FAR).min(axis=2)
    above = np.where(gap < 0, -gap, FAR).min(axis=2)
    near, between = np.minimum(below, above), below + above
    score = np.max([_likelihood(near, between, error) @ weight for error in errors], axis=0)
    inside = angles <= (angle[-1] - zero)[:, None] + 0.1
    # Lines of the lattice that coincide count once.
    order = np.sort(np.where(inside, angles, 1e4), axis=1)
    fresh = np.diff(order, axis=1, prepend=-1e4) > COINCIDENT
    predicted = (fresh & (order < 1e3)).sum(axis=1)
    seen_lines = np.abs(gap).min(axis=1) < SEEN
    seen_order = np.take_along_axis(seen_lines, np.argsort(angles, axis=1), axis=1)
    seen = (fresh & (order < 1e3) & seen_order).sum(axis=1)
    return score, near, predicted, seen
