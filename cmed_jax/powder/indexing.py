"""Indexing of the lines of a pattern: lines, quadratic forms, and the metrics that fit them.

In every lattice s^2 = 1/d^2 is linear in one to six numbers. A cubic lattice has s^2 = (h^2 + k^2 +
l^2) / a^2, a hexagonal one s^2 = (h^2 + h k + k^2) 4 / (3 a^2) + l^2 / c^2. The integers are called
forms here, the numbers metric. Guessed forms of as many lines as there are numbers give a metric.
Its agreement with the other lines decides whether the guess was right.
"""

from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer, Num

from cmed_jax.physics.patterns import two_theta

Axes = Literal["cubic", "tetragonal", "hexagonal", "orthorhombic", "monoclinic", "triclinic"]
FREE: dict[str, int] = {
    "cubic": 1, "tetragonal": 2, "hexagonal": 2, "orthorhombic": 3, "monoclinic": 4, "triclinic": 6,
}  # fmt: skip
"""The free numbers of the metric of each kind of axes."""
SHORTEST = 2.0
"""The shortest cell edge that is tried, angstrom."""
NEAR = 0.15
"""The distance, degrees, within which lines match before the refinement."""
MATCHED = 0.06
"""The distance, degrees, within which lines match after the refinement."""
FAR = 1e3
"""The angle, degrees, of lines that the wavelength does not reach."""

Column = Float[np.ndarray, " k"]


class Shift(NamedTuple):
    """The shift of lines from Bragg's law: zero plus -2 displacement cos(theta) radians.

    Attributes:
        zero: the zero shift of the scale, degrees of two-theta.
        displacement: the displacement of the sample, as a share of the radius of the goniometer.
    """

    zero: float = 0.0
    displacement: float = 0.0

    def at(self, angle: Num[np.ndarray, "*k"]) -> Float[np.ndarray, "*k"]:
        """Return the shift at two-theta, degrees (International Tables H, section 2.1)."""
        return self.zero - np.degrees(2 * self.displacement) * np.cos(np.radians(angle) / 2)

    def correct(self, angle: Num[np.ndarray, "*k"]) -> Float[np.ndarray, "*k"]:
        """Return the angles without the shift, degrees, of lines measured at some angles."""
        return angle - self.at(angle - self.at(angle))


UNSHIFTED = Shift()


class Indexed(NamedTuple):
    """A metric and a shift that explain lines, with the standard deviations of the shift.

    Attributes:
        metric: the coefficients of s^2, 1/angstrom^2.
        shift: the shift of the lines.
        deviation: the standard deviations of the shift; zero where it was not fitted, infinite
            where it cannot be determined.
        matched: a mask of the lines that are explained.
    """

    metric: Float[np.ndarray, " p"]
    shift: Shift
    deviation: Shift
    matched: Bool[np.ndarray, " k"]


def quadratic_forms(axes: Axes, hkl: Num[np.ndarray, "m 3"]) -> Float[np.ndarray, "m p"]:
    """Return the integers in which s^2 is linear, for reflections of the conventional cell.

    Monoclinic lattices have the unique axis b.
    """
    h, k, ell = hkl.T.astype(float)
    if axes == "cubic":
        return (h**2 + k**2 + ell**2)[:, None]
    if axes == "tetragonal":
        return np.stack([h**2 + k**2, ell**2], axis=1)
    if axes == "hexagonal":
        return np.stack([h**2 + h * k + k**2, ell**2], axis=1)
    mixed = {"monoclinic": [h * ell], "triclinic": [k * ell, h * ell, h * k]}.get(axes, [])
    return np.stack([h**2, k**2, ell**2, *mixed], axis=1)


def reciprocal_metric(axes: Axes, metric: Float[np.ndarray, "*t p"]) -> Float[np.ndarray, "*t 3 3"]:
    """Return the metric tensors G* of metrics, where s^2 = h G* h."""
    tensor = np.zeros((*metric.shape[:-1], 3, 3))
    columns = {"cubic": [0, 0, 0], "tetragonal": [0, 0, 1], "hexagonal": [0, 0, 1]}
    for place, column in enumerate(columns.get(axes, [0, 1, 2])):
        tensor[..., place, place] = metric[..., column]
    mixed = {
        "hexagonal": [(0, 1, 0, 1.0)],
        "monoclinic": [(0, 2, 3, 1.0)],
        "triclinic": [(1, 2, 3, 1.0), (0, 2, 4, 1.0), (0, 1, 5, 1.0)],
    }
    for i, j, column, factor in mixed.get(axes, []):
        tensor[..., i, j] = tensor[..., j, i] = factor * metric[..., column] / 2
    return tensor


def cell_edges(axes: Axes, metric: Float[np.ndarray, "*t p"]) -> Float[np.ndarray, "*t 3"]:
    """Return the edges a, b, c, angstrom, of metrics; not finite where they span no lattice."""
    return edges_and_volumes(axes, metric)[0]


def edges_and_volumes(
    axes: Axes, metric: Float[np.ndarray, "*t p"]
) -> tuple[Float[np.ndarray, "*t 3"], Float[np.ndarray, "*t"]]:
    """Return the edges (angstrom) and the volumes (angstrom^3) of the cells of metrics.

    They are not finite where a metric spans no lattice.
    """
    tensor = reciprocal_metric(axes, metric)
    (a, f, e), (_, b, d), (_, _, c) = np.moveaxis(tensor, (-2, -1), (0, 1))
    minors = np.stack([b * c - d * d, a * c - e * e, a * b - f * f], axis=-1)
    determinant = a * minors[..., 0] - f * (f * c - d * e) + e * (f * d - b * e)
    with np.errstate(divide="ignore", invalid="ignore"):
        edges = np.sqrt(minors / determinant[..., None])
        return edges, np.asarray(1 / np.sqrt(determinant))


def guessed_metrics(
    axes: Axes,
    forms: Float[np.ndarray, "m p"],
    squared: Float[np.ndarray, " k"],
    longest: float = 25.0,
) -> Float[np.ndarray, "t p"]:
    """Return the metrics that result from forms guessed for some lines, with usual edges.

    Args:
        axes: the axes of the lattice.
        forms: the possible forms of a line.
        squared: s^2 of the lines, 1/angstrom^2.
        longest: the longest edge that is tried, angstrom.
    """
    if forms.shape[1] == 1:
        found = (squared[:, None] / forms[:, 0]).reshape(-1, 1)
    else:
        lines = np.array(list(combinations(range(len(squared)), 2)), int).reshape(-1, 2)
        matrices = forms[np.argwhere(~np.eye(len(forms), dtype=bool))]
        matrices = matrices[np.abs(np.linalg.det(matrices)) > 0.5]
        found = (np.linalg.inv(matrices)[:, None] @ squared[lines][..., None]).reshape(-1, 2)
    found = found[(found > 1e-6).all(axis=1)]
    edges = cell_edges(axes, found)
    return found[((edges > SHORTEST) & (edges < longest)).all(axis=1)]


def refine(
    metric: Float[np.ndarray, " p"],
    forms: Float[np.ndarray, "m p"],
    angle: Column,
    wavelength: float,
    shift: Shift = UNSHIFTED,
    *,
    free: Literal["metric", "zero", "both"] = "zero",
) -> Indexed:
    """Return the metric and the shift that fit the lines best, by least squares.

    Args:
        metric: the initial metric.
        forms: the forms of the lines of the lattice.
        angle: the measured two-theta of the lines, degrees.
        wavelength: the wavelength, angstrom.
        shift: the initial shift.
        free: the numbers fitted: the metric alone, with the zero shift, or with displacement too.
    """
    shifts = {"metric": 0, "zero": 1, "both": 2}[free]
    deviation, matched = np.full(2, np.inf), np.zeros(len(angle), bool)
    for near in (NEAR, NEAR, MATCHED, MATCHED, MATCHED):
        mine, gap = nearest_forms(metric, forms, angle, wavelength, shift)
        matched = np.abs(gap) < near
        if matched.sum() <= len(metric) + shifts:
            return Indexed(metric, shift, Shift(np.inf, np.inf), matched)
        design = _derivatives(metric, mine[matched], wavelength)[:, : len(metric) + shifts]
        step, left, rank, _ = np.linalg.lstsq(design, gap[matched])
        if rank < design.shape[1]:
            return Indexed(metric, shift, Shift(np.inf, np.inf), matched)
        metric = metric + step[: len(metric)]
        if not (metric > 0).all():
            return Indexed(np.abs(metric), shift, Shift(np.inf, np.inf), np.zeros_like(matched))
        nothing = np.zeros(2 - shifts)
        zero, displacement = np.append(step[len(metric) :], nothing).tolist()
        shift = Shift(shift.zero + zero, shift.displacement + displacement)
        free_points = matched.sum() - design.shape[1]
        variance = (left.sum() + 1e-6) / max(free_points, 1) * np.linalg.inv(design.T @ design)
        deviation = np.append(np.sqrt(np.diag(variance))[len(metric) :], nothing)
    return Indexed(metric, shift, Shift(*deviation.tolist()), matched)


def distinct(
    metrics: Float[np.ndarray, "t p"], scores: Float[np.ndarray, " t"], alike: float
) -> Integer[np.ndarray, " d"]:
    """Return the rows of metrics by falling score, with the best one only of those alike.

    Args:
        metrics: the metrics of lattices.
        scores: their scores; larger is better.
        alike: the share by which metrics of one kind differ.
    """
    order = np.argsort(-scores, kind="stable")
    return order[first_of_each(np.rint(np.log(metrics[order]) / alike))]


def first_of_each(kinds: Float[np.ndarray, "t q"]) -> Integer[np.ndarray, " d"]:
    """Return the places of the rows that equal none before them, ascending.

    Sorting by columns takes a tenth of the time of `np.unique` for rows.
    """
    order = np.lexsort(kinds.T)
    changes = (kinds[order[1:]] != kinds[order[:-1]]).any(axis=1)
    return np.sort(order[np.append(True, changes)[: len(order)]])


def nearest_forms(
    metric: Float[np.ndarray, " p"],
    forms: Float[np.ndarray, "m p"],
    angle: Column,
    wavelength: float,
    shift: Shift,
) -> tuple[Float[np.ndarray, "k p"], Column]:
    """Return the forms of the line next to each angle, and the measured excess over it."""
    angles = two_theta_or_far(forms @ metric, wavelength)
    angles = angles + shift.at(angles)
    nearest = np.abs(angle[:, None] - angles).argmin(axis=1)
    return forms[nearest], angle - angles[nearest]


def two_theta_or_far(
    squared: Float[np.ndarray, "*m"], wavelength: float
) -> Float[np.ndarray, "*m"]:
    """Return two-theta from s^2; a far angle where the wavelength does not reach."""
    angle = two_theta(np.sqrt(squared), wavelength)
    return np.where(np.isnan(angle), FAR, angle)


def _derivatives(
    metric: Float[np.ndarray, " p"], forms: Float[np.ndarray, "k p"], wavelength: float
) -> Float[np.ndarray, "k q"]:
    """Return the derivatives of two-theta by the metric, the zero and the displacement, degrees."""
    squared = forms @ metric
    theta = np.radians(two_theta_or_far(squared, wavelength)) / 2
    # sin(theta) = wavelength sqrt(s^2) / 2; hence d(2 theta)/d(s^2) = tan(theta) / s^2.
    by_metric = np.degrees(np.tan(theta) / squared)[:, None] * forms
    return np.column_stack([by_metric, np.ones_like(theta), -np.degrees(2 * np.cos(theta))])
