"""`find_cell`: the cell of a predicted density, from the lines of the measured pattern.

A density in fractional coordinates has Fourier coefficients |F(hkl)|, whatever its cell is; a cell
gives them their d. For cubic and trigonal lattices one or two numbers are free. They are guessed
from pairs of measured lines and of the density's strong reflections (`cmed_jax.powder.indexing`),
at several zero shifts; of the guesses under which implied and measured lines agree best the metric
and the shift are refined, and they are judged once more, under narrower peaks.

The agreement is the cosine between both patterns, each line a Gaussian of the area sqrt(I): so
neither the few strongest lines decide alone, nor does texture, which changes intensities but not
where lines stand.
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
"""Isotropic B of a measured sample, angstrom^2: it stands for what is not known of its atoms."""
MODES = 16
"""Reflections with indices beyond this are not asked."""
WEAK = 1e-4
"""Reflections below this share of the strongest are not guessed with."""
GUESSED = 6
"""Lines that guesses are made of: the strongest of the measured ones."""
FORMS = {"cubic": 24, "hexagonal": 24}
"""And of the density's, with small indices."""
ZEROS = (-0.2, -0.1, 0.0, 0.1, 0.2)
"""Zero shifts that cells are guessed at, degrees, where none is known."""
LONGEST = 45.0
"""Longest cell edge that is tried, angstrom."""
JUDGED = 100
"""Reflections that guesses are judged by."""
COARSE, FINE = 0.15, 0.05
"""Standard deviations of the Gaussians that lines are compared under, degrees."""
REFINED = 24
"""Guesses of each lattice type that are refined."""
LISTED = 5
"""Candidates of each lattice type that are returned."""
ALIKE = 0.004
"""Metrics that differ by this share are one cell."""
FREEDOM = 0.01
"""By so much the merit has to rise for each further number that is free in a lattice."""
UNUSUAL = 0.1
"""And by so much for a volume that is larger or smaller than the usual one by a factor e."""
FREE_NUMBERS = {
    "cubic": 1, "hexagonal": 2, "tetragonal": 2, "orthorhombic": 3, "monoclinic": 4, "triclinic": 6,
}  # fmt: skip
"""Of the lattices of each type."""
SYMMETRIC = 5
"""Reflections with indices up to this are compared with their equivalents."""
CHUNK = 512
"""Guesses that are judged at once, which bounds the memory."""


_CYCLE = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
_THREEFOLD = np.array([[0, -1, 0], [1, -1, 0], [0, 0, 1]])
_TWOFOLD = [np.diag(signs) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]
LAUE = {
    "cubic": [np.linalg.matrix_power(_CYCLE, k) @ two for k in range(3) for two in _TWOFOLD],
    "hexagonal": [np.linalg.matrix_power(_THREEFOLD, k) for k in range(3)],
}
"""Rotations of m-3 and -3 by which (h k l) is multiplied from the right; Friedel's law adds -1."""


class CellCandidate(NamedTuple):
    """A cell that a density may fill.

    Attributes:
        lattice_type: such as "cubic F", "hexagonal R" or "monoclinic C".
        parameters: a, b, c (angstrom), alpha, beta, gamma (degrees) of the conventional cell.
        lattice: rows a, b, c, angstrom, of the primitive cell, which the density fills.
        merit: figure of merit, 0 to 1: how well implied and measured lines agree, times how well
            the density has the symmetry of the lattice type.
        shift: zero shift, with which they do.
        origin: what implies the lines: the density, or a known crystal.
        relative_volume: its volume over what the atoms in it usually take up, of a density those of
            whole formula units (`cmed_jax.crystal.atomic_volumes`); 1 where that is not known.
    """

    lattice_type: str
    parameters: Float[np.ndarray, "6"]
    lattice: Float[np.ndarray, "3 3"]
    merit: float
    shift: Shift
    origin: str = "the predicted density"
    relative_volume: float = 1.0


class Reflections(NamedTuple):
    """Lines of a lattice type: their forms, and |F|^2 of all reflections of a form together."""

    forms: Float[np.ndarray, "m p"]
    squared: Float[np.ndarray, " m"]

    def strongest(self, number: int) -> "Reflections":
        """Return the lines that are likely to be the strongest of a pattern."""
        # The Lorentz-polarization factor falls like 1 / s^2 at first.
        order = np.argsort(-self.squared / self.forms.sum(axis=1), kind="stable")[:number]
        return Reflections(self.forms[order], self.squared[order])


def find_cell(
    density: Float[Array | np.ndarray, "a b c"],
    lines: MeasuredLines,
    lattice_types: Sequence[LatticeType] = LATTICE_TYPES,
    b_factor: float = B_FACTOR,
) -> tuple[CellCandidate, ...]:
    """Return the cells in which a density implies the measured lines, the best first.

    Args:
        density: in any unit, of the primitive cell.
        lines: as measured.
        lattice_types: that are tried in turn.
        b_factor: isotropic B of the density, angstrom^2.
    """
    found = [cell for each in lattice_types for cell in _cells(density, lines, each, b_factor)]
    return best_cells_first(found)


def best_cells_first(cells: Iterable[CellCandidate]) -> tuple[CellCandidate, ...]:
    """Return cells by their merit, less for free numbers and for unusual room.

    Every cubic lattice is a rhombohedral one as well, which fits by its two numbers; and ions with
    equally many electrons, as in KCl, look like a lattice of half the edge, which has no room.
    """
    return tuple(
        sorted(
            cells,
            key=lambda cell: ranking_penalty(cell.lattice_type, cell.relative_volume) - cell.merit,
        )
    )


def ranking_penalty(lattice_type: str, relative_volume: float) -> float:
    """Return by how much the merit of a cell has to be above that of another to go before it.

    Args:
        lattice_type: of the cell.
        relative_volume: its volume over the usual.
    """
    return FREEDOM * FREE_NUMBERS[lattice_type.split()[0]] + UNUSUAL * abs(
        float(np.log(relative_volume))
    )


def lattice_types_of(space_groups: Iterable[int]) -> tuple[LatticeType, ...]:
    """Return the lattice types, of those that can be sought, that space groups have."""
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
    """Return how well a density has the least symmetry of a lattice type, 0 to 1.

    The share of the amplitudes |F| that is left when they are averaged over the Laue class, m-3 of
    cubic and -3 of trigonal crystals; a projection, so that 1 is perfect.
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
    """Return metrics under which some strong lines are some low reflections, and their shifts."""
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
    """Return the cosine between implied and measured lines as Gaussians of the area sqrt(I)."""
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
    for k in range(1, 8):  # neighbours that overlap
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
    """Return two-theta as it would be measured, and the root of the intensity, of all lines."""
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
    """Return the cosine between two Gaussians of one width."""
    return np.exp(-((gap / width) ** 2) / 4)


def _refined(
    metric: Float[np.ndarray, " p"],
    shift: Float[np.ndarray, "2"],
    calculated: Reflections,
    lines: MeasuredLines,
    b_factor: float,
) -> Indexed:
    """Return the metric and the zero shift that fit best, by the lines that count there."""
    _, height = _calculated_lines(metric[None], shift[None], calculated, lines, b_factor)
    counting = height[0] > 0.05 * height[0].max()
    return refine(metric, calculated.forms[counting], lines.angle, lines.wavelength, Shift(*shift))
