"""The pattern calculated from a density or a known crystal, at the points of the measured one.

Its lines have the widths of the measured peaks and lie over the background that was found. Only two
numbers are fitted, which cannot hide a misfit: the scale, and one isotropic B for all atoms.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Float

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.solid_solutions import UNSHARED, Shares, shared_crystal
from cmed_jax.io.formats.scan import Radiation
from cmed_jax.physics.density import B_FACTOR
from cmed_jax.physics.density_lines import FLOOR, S_COMPARED, calculated_lines
from cmed_jax.physics.patterns import lorentz_polarization, two_theta
from cmed_jax.physics.reflections import reflections
from cmed_jax.powder.indexing import UNSHIFTED, Shift
from cmed_jax.powder.line_profiles import FittedLines, profile, profiles
from cmed_jax.powder.noise import noise_of
from cmed_jax.powder.preparation import Prepared

THERMAL = np.arange(0.0, 6.1, 0.5)
"""The isotropic B that are tried, angstrom^2."""
NEGLIGIBLE = 1e-5
"""The share of the strongest line below which lines are omitted."""
BEYOND = 1.0
"""The distance outside the measured range, degrees, up to which lines contribute their tails."""
WIDTH = 0.2
"""The FWHM, degrees, of the profiles in which lists of peaks are compared."""

Column = Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class CalculatedPattern:
    """The pattern calculated from a density or a crystal, compared with the measured one.

    Attributes:
        two_theta: the points of the measured pattern, degrees.
        intensity: the calculated intensity at these points with the background, on the scale of the
            measured pattern; for a list of peaks, the sum of the calculated lines next to each.
        lines: two-theta (degrees, for the mean wavelength, with the shift of the pattern) and area
            of each calculated line, in the unit of the areas of the measured peaks.
        cosine: the cosine of the angle between calculated and measured net intensity, 0 to 1.
        rwp: the weighted profile R factor of calculated and measured net intensity, 0 to 1.
        noise: the Rwp that counting noise alone leaves of the true pattern, 0 to 1.
    """

    two_theta: Float[np.ndarray, " n"]
    intensity: Float[np.ndarray, " n"]
    lines: Float[np.ndarray, "m 2"]
    cosine: float
    rwp: float
    noise: float = 0.0


def calculate_pattern(
    density: Float[Array | np.ndarray, "a b c"],
    lattice: Float[np.ndarray, "3 3"],
    prepared: Prepared,
    shift: Shift | None = None,
    b_factor: float = B_FACTOR,
) -> CalculatedPattern:
    """Return the pattern calculated from a density in its cell under the conditions measured.

    It lacks the anomalous dispersion, which requires elements at sites.

    Args:
        density: the density, e/angstrom^3.
        lattice: rows a, b, c in angstrom of its cell.
        prepared: the measured pattern.
        shift: the shift of its lines; None stands for the shift found in preparation.
        b_factor: the isotropic B of the density, angstrom^2; it is divided out.
    """
    s, (intensity,) = calculated_lines(np.asarray(density)[None], lattice)
    return _drawn(s, intensity * np.exp(b_factor * s**2 / 2), prepared, shift)


def calculate_crystal_pattern(
    crystal: Material, prepared: Prepared, shares: Shares = UNSHARED
) -> CalculatedPattern:
    """Return the pattern calculated from a known crystal, with anomalous dispersion.

    Args:
        crystal: the crystal, with one element a site.
        prepared: the measured pattern.
        shares: the elements that share its sites (`cmed_jax.crystal.solid_solutions`).
    """
    atoms = shared_crystal(crystal, shares)
    used = prepared.radiation.mean
    s, squared = reflections(atoms, s_max=S_COMPARED, wavelength=used, anomalous=True).T
    return _drawn(s, squared, prepared, None)


def _drawn(
    s: Float[np.ndarray, " m"],
    squared: Float[np.ndarray, " m"],
    prepared: Prepared,
    shift: Shift | None,
) -> CalculatedPattern:
    """Return the measured form of lines of atoms at rest.

    Rwp = sqrt(sum w (y - k y')^2 / sum w y^2) of net intensities, with the scale k that minimises
    it and the weight w = 1 / sigma^2 (Young, The Rietveld Method, 1993, chapter 1). The variance
    sigma^2 is that of the noise (`cmed_jax.powder.noise.noise_of`), or for a list of peaks
    the intensity. Points below 1 % of the largest variance have equal weights. The Rwp of noise
    alone has sigma in place of y - k y'.
    """
    used = prepared.radiation.mean
    angle = np.nan_to_num(two_theta(s, used), nan=180.0)
    points, net = _compared(prepared)
    near = (angle > points[0] - BEYOND) & (angle < min(points[-1] + BEYOND, 179))
    near &= squared > NEGLIGIBLE * squared.max(initial=0)
    s, angle = s[near], angle[near]
    # Lines are drawn at their measured angles.
    moved = angle + (shift or prepared.shift or UNSHIFTED).at(angle)
    strength = squared[near] * lorentz_polarization(angle, prepared.options.monochromator)
    variance = noise_of(prepared.measured) ** 2 if prepared.measured.is_profile else net
    weight = 1 / np.maximum(variance, FLOOR * variance.max())
    trials = strength * np.exp(-THERMAL[:, None] * s**2 / 2)
    like_measured = _like_measured(moved, prepared)
    drawn = profiles(points, like_measured, _radiation(prepared), trials)
    fits = [_scaled(each, net, weight) for each in drawn]
    best = min(range(len(fits)), key=lambda trial: fits[trial][0])
    rwp, scale = fits[best]
    areas, fitted = scale * trials[best], scale * drawn[best]
    lengths = np.linalg.norm(fitted) * np.linalg.norm(net)
    cosine = float(np.clip(fitted @ net / lengths, 0, 1)) if lengths else 0.0
    shown = prepared.measured.two_theta
    if prepared.measured.is_profile:
        at_points = prepared.background + fitted
    else:
        at_points = (np.abs(shown[:, None] - moved) < WIDTH) @ areas
    lines = np.stack([moved, areas], axis=1)
    noise = 0.0
    if prepared.measured.is_profile:
        noise = float(np.sqrt(min((weight @ variance) / (weight @ net**2), 1.0)))
    return CalculatedPattern(shown, at_points, lines, cosine, rwp, noise)


def _compared(prepared: Prepared) -> tuple[Column, Column]:
    """Return the angles at which patterns are compared, and the net intensity there."""
    measured = prepared.measured.two_theta
    if prepared.measured.is_profile:
        return measured, prepared.net
    angle = np.arange(measured[0] - 1, measured[-1] + 1, WIDTH / 8)
    lines = _like_measured(measured, prepared)
    return angle, profile(angle, lines._replace(area=prepared.peaks.area), _radiation(prepared))


def _radiation(prepared: Prepared) -> Radiation:
    """Return the components of the radiation in each line."""
    if prepared.measured.is_profile:
        return prepared.radiation
    return Radiation(np.array([prepared.radiation.mean]), np.ones(1))


def _like_measured(angle: Column, prepared: Prepared) -> FittedLines:
    """Return lines of area 1 at angles, with the widths of the measured lines nearby."""
    ones, peaks = np.ones_like(angle), prepared.peaks
    if not prepared.measured.is_profile:
        return FittedLines(angle, ones, WIDTH * ones, 0 * ones)
    weight = np.sqrt(peaks.area)
    slope = 1 if len(peaks.area) > 3 else 0
    trend = np.polynomial.Polynomial.fit(peaks.two_theta, peaks.width, slope, w=weight)
    width = np.clip(trend(angle), peaks.width.min(), peaks.width.max())
    return FittedLines(angle, ones, width, np.average(peaks.lorentzian, weights=weight) * ones)


def _scaled(drawn: Column, net: Column, weight: Column) -> tuple[float, float]:
    """Return the smallest Rwp over all scales, and its scale."""
    across, own = (weight * net) @ drawn, (weight * drawn) @ drawn
    scale = max(float(across / own), 0.0) if own > 0 else 0.0
    left = net - scale * drawn
    return float(np.sqrt((weight * left) @ left / ((weight * net) @ net))), scale
