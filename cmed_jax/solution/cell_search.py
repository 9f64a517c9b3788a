"""`find_cell`: the cell of a predicted density, from the lines of the measured pattern.

A density in fractional coordinates has Fourier coefficients |F(hkl)|, whatever its cell is. A cell
gives each of them its d. Cubic lattices have one free parameter, and trigonal ones two. These
parameters are guessed from pairs of measured lines and of the density's strong reflections
(`cmed_jax.powder.indexing`), at several zero shifts. The guesses with the best agreement between
calculated and measured lines are refined together with the shift. They are then assessed once more,
under narrower peaks.

The agreement is the cosine between both patterns, in which each line is a Gaussian of the area
sqrt(I). With the square root the few strongest lines do not decide alone. It also reduces the
effect of texture, which changes the intensities of lines but not their positions.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Array, Float

from cmed_jax.crystal.lattice import PRIMITIVE, primitive_lattice
from cmed_jax.crystal.symmetry import lattice_type_of
from cmed_jax.physics.density import B_FACTOR, structure_factors
from cmed_jax.physics.patterns import lorentz_polarization, s_of_two_theta
from cmed_jax.powder.indexing import (
    Axes,
    Indexed,
    Shift,
    cell_edges,
    distinct,
    guessed_metrics,
    quadratic_forms,
    refine,
    two_theta_or_far,
)
from cmed_jax.powder.lines import MeasuredLines

LatticeType = Literal["cubic P", "cubic I", "cubic F", "hexagonal P", "hexagonal R"]
LATTICE_TYPES: tuple[LatticeType, ...] = get_args(LatticeType)

THERMAL = 1.0
"""The isotropic B assumed for a measured sample, angstrom^2, as that of its atoms is unknown."""
MODES = 16
"""The largest index of the reflections that are used."""
WEAK = 1e-4
"""The least |F|^2 of the reflections that guesses are made from, as a share of the strongest."""
GUESSED = 6
"""The number of measured lines, the strongest ones, that guesses are made from."""
FORMS = {"cubic": 24, "hexagonal": 24}
"""The number of the density's reflections, those of small indices, that guesses are made from."""
ZEROS = (-0.2, -0.1, 0.0, 0.1, 0.2)
"""The zero shifts at which cells are guessed, degrees, where the shift is not known."""
LONGEST = 45.0
"""The longest cell edge that is tried, angstrom."""
JUDGED = 100
"""The number of reflections, the strongest ones, that guesses are assessed with."""
COARSE, FINE = 0.15, 0.05
"""The standard deviations of the Gaussians in the first and in the final comparison, degrees."""
REFINED = 24
"""The number of guesses of each lattice type that are refined."""
LISTED = 5
"""The number of candidates of each lattice type that are returned."""
ALIKE = 0.004
"""Metrics that differ by less than this share count as one cell."""
FREEDOM = 0.01
"""The penalty in the ranking, in units of the merit, for each free parameter of a lattice."""
UNUSUAL = 0.1
"""The penalty for a volume that differs from the usual one by a factor e, in the same units."""
FREE_NUMBERS = {
    "cubic": 1, "hexagonal": 2, "tetragonal": 2, "orthorhombic": 3, "monoclinic": 4, "triclinic": 6,
}  # fmt: skip
"""The number of free parameters of the lattices of each type."""
SYMMETRIC = 5
"""The largest index of the reflections that are compared with their equivalents."""
CHUNK = 512
"""The number of guesses that are assessed at once, which limits the memory."""

_CYCLE = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
_THREEFOLD = np.array([[0, -1, 0], [1, -1, 0], [0, 0, 1]])
_TWOFOLD = [np.diag(signs) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
LAUE = {
    "cubic": [np.linalg.matrix_power(_CYCLE, k) @ two for k in range(3) for two in _TWOFOLD],
    "hexagonal": [np.linalg.matrix_power(_THREEFOLD, k) for k in range(3)],
}
"""The rotations of m-3 and -3 that multiply (h k l) from the right; Friedel's law adds -1."""


class CellCandidate(NamedTuple):
    """A cell that a density may fill.

    Attributes:
        lattice_type: such as "cubic F", "hexagonal R" or "monoclinic C".
        parameters: a, b, c (angstrom), alpha, beta, gamma (degrees) of the conventional cell.
        lattice: rows a, b, c, angstrom, of the primitive cell, which the density fills.
        merit: the figure of merit, 0 to 1: the agreement of calculated and measured lines, times
            the degree to which the density has the symmetry of the lattice type.
        shift: the zero shift of that agreement.
        origin: the source of the calculated lines: the density, or a known crystal.
        relative_volume: the volume of the cell over the usual volume of the atoms in it
            (`cmed_jax.crystal.atomic_volumes`); the atoms of a density are those of whole formula
            units. 1 where the usual volume is not known.
    """

    lattice_type: str
    parameters: Float[np.ndarray, "6"]
    lattice: Float[np.ndarray, "3 3"]
    merit: float
    shift: Shift
    origin: str = "the predicted density"
    relative_volume: float = 1.0


class Reflections(NamedTuple):
    """Lines of a lattice type: their quadratic forms, and |F|^2 summed over their reflections."""

    forms: Float[np.ndarray, "m p"]
    squared: Float[np.ndarray, " m"]

    def strongest(self, number: int) -> "Reflections":
        """Return the lines that are likely to be the strongest ones of a pattern."""
        # The Lorentz-polarization factor falls like 1 / s^2 at first.
        order = np.argsort(-self.squared / self.forms.sum(axis=1), kind="stable")[:number]
        return Reflections(self.forms[order], self.squared[order])


def find_cell(
    density: Float[Array | np.ndarray, "a b c"],
    lines: MeasuredLines,
    lattice_types: Sequence[LatticeType] = LATTICE_TYPES,
    b_factor: float = B_FACTOR,
) -> tuple[CellCandidate, ...]:
    """Return the cells in which the lines calculated from a density match measured lines.

    The best cell comes first.

    Args:
        density: the density in the primitive cell, in any unit.
        lines: the measured lines.
        lattice_types: the lattice types that are tried.
        b_factor: the isotropic B of the density, angstrom^2.
    """
    found = [cell for each in lattice_types for cell in _cells(density, lines, each, b_factor)]
    return best_cells_first(found)


def best_cells_first(cells: Iterable[CellCandidate]) -> tuple[CellCandidate, ...]:
    """Return cells ranked by merit less the penalty of `ranking_penalty`, the best first.

    Both parts of the penalty prevent wrong choices. Every cubic lattice is also a rhombohedral one,
    and the rhombohedral one fits at least as well with its two parameters. Ions with equal numbers
    of electrons, as in KCl, look like a lattice of half the edge, which is too small for the atoms.
    """
    return tuple(
        sorted(
            cells,
            key=lambda cell: ranking_penalty(cell.lattice_type, cell.relative_volume) - cell.merit,
        )
    )


def ranking_penalty(lattice_type: str, relative_volume: float) -> float:
    """Return the penalty that is subtracted from the merit of a cell in the ranking.

    The penalty grows with the number of free parameters and with the deviation of the volume.

    Args:
        lattice_type: the lattice type of the cell.
        relative_volume: the volume of the cell over the usual volume of its atoms.
    """
    return FREEDOM * FREE_NUMBERS[lattice_type.split()[0]] + UNUSUAL * abs(
        float(np.log(relative_volume))
    )


def lattice_types_of(space_groups: Iterable[int]) -> tuple[LatticeType, ...]:
    """Return those of `LATTICE_TYPES` that belong to any of the space groups."""
    found = {lattice_type_of(number) for number in space_groups}
    return tuple(each for each in LATTICE_TYPES if each in found)


def density_reflections(
    density: Float[Array | np.ndarray, "a b c"], lattice_type: LatticeType
) -> Reflections:
    """Return the lines of a density in the primitive cell of a lattice type."""
    axes, centring = _axes_and_centring(lattice_type)
    factors = np.asarray(structure_factors(density))
    middle = np.array(factors.shape) // 2
    reach = np.minimum(middle, MODES)
    inside = tuple(slice(m - r, m + r + 1) for m, r in zip(middle, reach, strict=True))
    squared = np.abs(factors[inside]).ravel() ** 2
    modes = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1)
    # (a_p, b_p, c_p) = (a, b, c) M, and so (h_p, k_p, l_p) = (h, k, l) M.
    hkl = np.rint(modes.reshape(-1, 3) @ np.linalg.inv(PRIMITIVE[centring]))
    forms, place = np.unique(quadratic_forms(axes, hkl), axis=0, return_inverse=True)
    together = np.bincount(place.ravel(), squared, len(forms))
    return Reflections(forms[1:], together[1:])  # without F(0)


def symmetry_of(density: Float[Array | np.ndarray, "a b c"], lattice_type: LatticeType) -> float:
    """Return the degree to which a density has the lowest symmetry of a lattice type, 0 to 1.

    The degree is the share of the amplitudes |F| that remains after averaging over the Laue class:
    m-3 for cubic and -3 for trigonal crystals. The average is a projection, and so 1 is perfect.
    """
    axes, centring = _axes_and_centring(lattice_type)
    factors = np.asarray(structure_factors(density))
    middle = np.array(factors.shape) // 2
    most = int(min(SYMMETRIC, *middle))
    side = np.arange(-most, most + 1)
    modes = np.stack(np.meshgrid(side, side, side, indexing="ij"), axis=-1).reshape(-1, 3)
    modes = modes[modes.any(axis=1)]
    primitive = PRIMITIVE[centring]
    turned = [np.rint(modes @ np.linalg.inv(primitive) @ w @ primitive) for w in LAUE[axes]]
    within = np.all([(np.abs(each) <= middle).all(axis=1) for each in turned], axis=0)
    places = [tuple((each[within].astype(int) + middle).T) for each in turned]
    amplitudes = np.abs([factors[place] for place in places])
    lengths = np.linalg.norm(amplitudes, axis=1)
    return float(np.linalg.norm(amplitudes.mean(axis=0)) / max(lengths[0], 1e-30))


def _axes_and_centring(lattice_type: str) -> tuple[Axes, str]:
    axes: Axes = "cubic" if lattice_type.startswith("cubic") else "hexagonal"
    return axes, lattice_type[-1]


def _cells(
    density: Float[Array | np.ndarray, "a b c"],
    lines: MeasuredLines,
    lattice_type: LatticeType,
    b_factor: float,
) -> list[CellCandidate]:
    axes, centring = _axes_and_centring(lattice_type)
    calculated = density_reflections(density, lattice_type)
    metrics, shifts = _guesses(axes, calculated, lines)
    strong = calculated.strongest(JUDGED)
    symmetry = symmetry_of(density, lattice_type)
    if not len(metrics):
        return []
    merits = np.concatenate(
        [
            agreement(
                metrics[i : i + CHUNK], shifts[i : i + CHUNK], strong, lines, b_factor, COARSE
            )
            for i in range(0, len(metrics), CHUNK)
        ]
    )
    cells = []
    for row in distinct(metrics, merits, ALIKE)[:REFINED]:
        fit = _refined(metrics[row], shifts[row], calculated, lines, b_factor)
        shift = np.array([fit.shift])
        merit = (
            symmetry * agreement(fit.metric[None], shift, calculated, lines, b_factor, FINE).item()
        )
        angles = [90, 90, 90 if axes == "cubic" else 120]
        parameters = np.concatenate([cell_edges(axes, fit.metric), angles])
        lattice = primitive_lattice(parameters, centring)
        cells.append(
            (fit.metric, CellCandidate(lattice_type, parameters, lattice, merit, fit.shift))
        )
    ends, found = zip(*cells, strict=True)
    merits = np.array([cell.merit for cell in found])
    return [found[row] for row in distinct(np.array(ends), merits, ALIKE)[:LISTED]]


def _guesses(
    axes: Axes, calculated: Reflections, lines: MeasuredLines
) -> tuple[Float[np.ndarray, "t p"], Float[np.ndarray, "t 2"]]:
    """Return guessed metrics and shifts, which assign low reflections to some strong lines."""
    present = calculated.squared > WEAK * calculated.squared.max()
    forms = calculated.forms[present]
    low = forms[np.argsort(forms.sum(axis=1), kind="stable")[: FORMS[axes]]]
    strongest = np.argsort(-lines.area, kind="stable")[:GUESSED]
    metrics, shifts = [], []
    tried = [Shift(zero) for zero in ZEROS] if lines.shift is None else [lines.shift]
    for shift in tried:
        squared = s_of_two_theta(shift.correct(lines.angle[strongest]), lines.wavelength) ** 2
        found = guessed_metrics(axes, low, squared, LONGEST)
        metrics.append(found)
        shifts.append(np.tile(np.array(shift), (len(found), 1)))
    return np.concatenate(metrics), np.concatenate(shifts)


def agreement(
    metrics: Float[np.ndarray, "t p"],
    shifts: Float[np.ndarray, "t 2"],
    calculated: Reflections,
    lines: MeasuredLines,
    b_factor: float,
    width: float,
) -> Float[np.ndarray, " t"]:
    """Return the cosine between calculated and measured lines, as Gaussians of area sqrt(I)."""
    angle, height = _calculated_lines(metrics, shifts, calculated, lines, b_factor)
    measured = np.sqrt(lines.area)
    grid = np.arange(lines.start - 1, lines.stop + 1, width / 4)
    own = _overlap(lines.angle[:, None] - lines.angle, width)
    profile = _overlap(grid[:, None] - lines.angle, width) @ measured
    across = np.sum(height * np.interp(angle, grid, profile, left=0.0, right=0.0), axis=1)
    strongest = np.argsort(-height, axis=1)[:, :100]
    angle, height = (np.take_along_axis(x, strongest, axis=1) for x in (angle, height))
    order = np.argsort(angle, axis=1)
    angle, height = (np.take_along_axis(x, order, axis=1) for x in (angle, height))
    length = (height**2).sum(axis=1)
    for k in range(1, 8):  # neighbouring lines that overlap
        close = _overlap(angle[:, k:] - angle[:, :-k], width)
        length += 2 * (height[:, k:] * height[:, :-k] * close).sum(axis=1)
    return across / np.sqrt(np.maximum(length, 1e-30) * (measured @ own @ measured))


def _calculated_lines(
    metrics: Float[np.ndarray, "t p"],
    shifts: Float[np.ndarray, "t 2"],
    calculated: Reflections,
    lines: MeasuredLines,
    b_factor: float,
) -> tuple[Float[np.ndarray, "t m"], Float[np.ndarray, "t m"]]:
    """Return the measured two-theta, and the root of the intensity, of all calculated lines."""
    squared = metrics @ calculated.forms.T
    angle = two_theta_or_far(squared, lines.wavelength)
    inside = angle < 179
    factor = lorentz_polarization(np.where(inside, angle, 90.0), lines.monochromator)
    intensity = (
        calculated.squared * factor * np.exp((b_factor - THERMAL) * np.minimum(squared, 2.0) / 2)
    )
    zero, displacement = shifts[:, :1], shifts[:, 1:]
    moved = angle + zero - np.degrees(2 * displacement) * np.cos(np.radians(angle) / 2)
    inside &= (moved >= lines.start) & (moved <= lines.stop)
    return moved, np.sqrt(np.where(inside, intensity, 0))


def _overlap(gap: Float[np.ndarray, "*k"], width: float) -> Float[np.ndarray, "*k"]:
    """Return the cosine between two Gaussians of equal width at a distance."""
    return np.exp(-((gap / width) ** 2) / 4)


def _refined(
    metric: Float[np.ndarray, " p"],
    shift: Float[np.ndarray, "2"],
    calculated: Reflections,
    lines: MeasuredLines,
    b_factor: float,
) -> Indexed:
    """Return the metric and the zero shift, refined with the stronger calculated lines."""
    _, height = _calculated_lines(metric[None], shift[None], calculated, lines, b_factor)
    counting = height[0] > 0.05 * height[0].max()
    return refine(metric, calculated.forms[counting], lines.angle, lines.wavelength, Shift(*shift))
