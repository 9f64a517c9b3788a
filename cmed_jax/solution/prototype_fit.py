"""The fit of prototypes to measured lines: their size, their shape, and their agreement.

Prototypes are scaled as a whole until their lines agree best with the measured ones over ln s,
where scaling shifts a pattern. Those with free axial ratios are also stretched. The intensities of
a stretched crystal are those of the unstretched one, since its structure factors hardly change. The
cells of the best are then refined: s^2 = h G* h is linear in the free numbers of the reciprocal
metric tensor G*.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Float, Integer

from cmed_jax.crystal.freedom import free_metrics
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import SpaceGroup, space_group
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.host_factors import squared_factors
from cmed_jax.physics.patterns import lorentz_polarization, s_of_two_theta, two_theta
from cmed_jax.physics.reflections import reflections_of, unique_reflections
from cmed_jax.powder.indexing import UNSHIFTED
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.solution.profiles import (
    REACH,
    S_MIN,
    Profile,
    fit_scales,
    profile_of_lines,
    profile_steps,
    profiles_of_lines,
)

NEAR = (0.01, 0.006, 0.004)
"""The distance in ln s within which lines match, for each round of the refinement."""
WEAK = 1e-3
"""The share of the strongest line below which lines are not matched."""
STEP, WIDTH = 0.05, 2.0
"""The step of the grid of comparison, degrees, and the standard deviation of a line, steps."""
SAME_LINE = 1e-6
"""The relative difference of s below which lines of a stretched crystal are one line."""


class Observed(NamedTuple):
    """Measured lines in the form in which prototypes are compared with them.

    Attributes:
        s: 1/d of each line, 1/angstrom, corrected for the shift.
        squared: |F|^2 of each line with its multiplicity, in any unit.
        span: the first and the last s of the measurement, 1/angstrom.
        wavelength: the wavelength, angstrom.
    """

    s: Float[np.ndarray, " k"]
    squared: Float[np.ndarray, " k"]
    span: tuple[float, float]
    wavelength: float

    @classmethod
    def of(cls, lines: MeasuredLines) -> "Observed":
        """Return measured lines without the Lorentz-polarization factor."""
        angle = (lines.shift or UNSHIFTED).correct(lines.angle)
        start, stop = s_of_two_theta(np.array([lines.start, lines.stop]), lines.wavelength)
        squared = lines.area / lorentz_polarization(angle, lines.monochromator)
        s = s_of_two_theta(angle, lines.wavelength)
        return cls(s, squared, (float(start), float(stop)), lines.wavelength)


class Fitted(NamedTuple):
    """A prototype with other elements in a fitted cell, and its agreement, 0 to 1."""

    crystal: Material
    merit: float


def fitted(
    crystals: Sequence[Material], changes: Float[np.ndarray, "c 3"], observed: Observed
) -> list[Fitted]:
    """Return crystals in the shape and size that agree best with the lines.

    Args:
        crystals: crystals in the orientation of canonical lattices: a main axis lies along z.
        changes: the trial changes of ln x, ln y and ln z, which keep the symmetry.
        observed: the measured lines.
    """
    if not crystals:
        return []
    target = profile_of_lines(observed.s, observed.squared)
    measured = np.zeros_like(target)
    measured[slice(*profile_steps(np.maximum(observed.span, S_MIN)))] = 1
    factors = np.exp(changes)
    farthest = observed.span[1] * np.exp(REACH)
    profiles = [
        profiles_of_lines(*_stretched(each, factors, farthest, observed.wavelength))
        for each in crystals
    ]
    scales, agreement = fit_scales(np.concatenate(profiles), target, measured)
    best = agreement.reshape(len(crystals), -1).argmax(axis=1)
    rows = np.arange(len(crystals)) * len(changes) + best
    return [
        Fitted(replace(each, lattice=each.lattice * factors[change] * scales[row]), float(merit))
        for each, change, row, merit in zip(crystals, best, rows, agreement[rows], strict=True)
    ]


def _stretched(
    crystal: Material, factors: Float[np.ndarray, "c 3"], s_max: float, wavelength: float
) -> tuple[Float[np.ndarray, "m c"], Float[np.ndarray, " m"]]:
    """Return s for each change of a crystal's axes, and |F|^2, of its lines."""
    laue = space_group(crystal.space_group).laue
    orbits = unique_reflections(crystal.lattice, s_max * factors.max(), laue)
    squared = orbits.multiplicity * squared_factors(
        crystal_of(crystal), orbits.hkl, orbits.s, table="it92", wavelength=wavelength
    )
    along = (orbits.hkl @ np.linalg.inv(crystal.lattice).T) ** 2
    s = np.sqrt(along @ (1 / factors**2).T)
    # Lines that coincide for three of the changes coincide for all: symmetry makes them equal.
    few = s[:, np.linspace(0, len(factors) - 1, 3).astype(int)]
    kinds = np.rint(np.log(few) / SAME_LINE)
    order = np.lexsort(kinds.T)
    first = np.flatnonzero(np.diff(kinds[order], axis=0, prepend=np.nan).any(axis=1))
    return s[order[first]], np.add.reduceat(squared[order], first)


def refined_cell(crystal: Material, observed: Observed) -> Material:
    """Return a crystal in the cell of its space group that fits the measured lines best."""
    group = space_group(crystal.space_group)
    reach = observed.span[1] * np.exp(NEAR[0])
    hkl = _strong_reflections(crystal, reach, observed.wavelength).astype(float)
    free = free_metrics(group)
    forms = np.einsum("mi,pij,mj->mp", hkl, free, hkl)
    metric = np.linalg.inv(crystal.lattice @ crystal.lattice.T)
    for near in NEAR:
        squared = np.einsum("mi,ij,mj->m", hkl, metric, hkl)
        gap = np.abs(np.log(squared) / 2 - np.log(observed.s)[:, None])
        matched = gap.min(axis=1, initial=np.inf) < near
        if not matched.any():
            break
        s, form = observed.s[matched], forms[gap[matched].argmin(axis=1)]
        # The weight 1 / s^2 makes equal errors of ln s count equally.
        free_numbers, _, rank, _ = np.linalg.lstsq(form / s[:, None] ** 2, np.ones_like(s))
        found = np.tensordot(free_numbers, free, 1)
        if rank < len(free) or np.linalg.eigvalsh(found).min() <= 0:
            break
        metric = found
    return replace(crystal, lattice=standard_lattice(np.linalg.inv(metric), group))


def standard_lattice(
    metric: Float[np.ndarray, "3 3"], group: SpaceGroup
) -> Float[np.ndarray, "3 3"]:
    """Return the rows of a primitive cell, with the first axis of its conventional cell along x.

    Args:
        metric: the metric tensor of the primitive cell.
        group: its space group.
    """
    to_primitive = np.linalg.inv(group.cell)
    return group.cell.T @ np.linalg.cholesky(to_primitive.T @ metric @ to_primitive)


def _strong_reflections(
    crystal: Material, s_max: float, wavelength: float
) -> Integer[np.ndarray, "m 3"]:
    """Return one of each set of equivalent reflections, without absent and weak ones."""
    (lines,) = lines_of_crystals([crystal], s_max, wavelength)
    s = lines[lines[:, 1] > WEAK * lines[:, 1].max(initial=0), 0]
    orbits = unique_reflections(crystal.lattice, s_max, space_group(crystal.space_group).laue)
    return orbits.hkl[np.abs(orbits.s[:, None] - s).min(axis=1, initial=np.inf) < 1e-6]


def merits(crystals: Sequence[Material], observed: Observed) -> list[float]:
    """Return the cosine between amplitudes of each crystal's lines and the measured ones."""
    target = _over_two_theta(observed.s, observed.squared, observed)
    lines = lines_of_crystals(crystals, observed.span[1], observed.wavelength)
    profiles = (_over_two_theta(s, squared, observed) for s, squared in (each.T for each in lines))
    return [float(profile @ target) for profile in profiles]


def _over_two_theta(
    s: Float[np.ndarray, " k"], squared: Float[np.ndarray, " k"], observed: Observed
) -> Profile:
    """Return amplitudes over two-theta in the measured range, normalised to unit length."""
    first, last = two_theta(np.array(observed.span), observed.wavelength)
    inside = (s >= observed.span[0]) & (s <= observed.span[1])
    steps = np.rint((two_theta(s[inside], observed.wavelength) - first) / STEP).astype(int)
    # |F| / s, as in profiles over ln s, balances few strong lines against many weak ones.
    height = np.sqrt(squared[inside]) / s[inside]
    smooth = scipy.ndimage.gaussian_filter1d(
        np.bincount(steps, height, round((last - first) / STEP) + 2), WIDTH, mode="constant"
    )
    return smooth / max(np.linalg.norm(smooth), 1e-30)


def lines_of_crystals(
    crystals: Sequence[Material], s_max: float, wavelength: float
) -> list[Float[np.ndarray, "_ 2"]]:
    """Return the lines of crystals with the anomalous dispersion of their elements."""
    return reflections_of(
        [crystal_of(crystal) for crystal in crystals],
        s_max=s_max,
        wavelength=wavelength,
        anomalous=True,
        laue=[space_group(crystal.space_group).laue for crystal in crystals],
    )


def crystal_of(crystal: Material) -> Crystal:
    """Return the atoms of a crystal in the form that structure factors take."""
    return Crystal.of(crystal.lattice, crystal.numbers, crystal.frac_coords)
