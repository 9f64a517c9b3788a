"""Preparation of a measured pattern as the input of a network, in steps that can be omitted.

The steps, in this order: air scatter below the first line (`cmed_jax.powder.scatter`); background
(`cmed_jax.powder.background`); peaks, searched in a smoothed copy and fitted with the doublet of
the radiation (`cmed_jax.powder.peaks`); zero shift and displacement of the sample
(`cmed_jax.powder.zero_shift`); and the grid of the network (`cmed_jax.powder.network_grid`).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from cmed_jax.io.formats.scan import Radiation
from cmed_jax.io.pattern import MeasuredPattern, check_intensities
from cmed_jax.physics.instrument import radiation
from cmed_jax.physics.patterns import RADIATIONS, s_of_two_theta
from cmed_jax.powder.background import Method, background
from cmed_jax.powder.indexing import UNSHIFTED, Shift
from cmed_jax.powder.line_fit import WINDOW
from cmed_jax.powder.line_profiles import FittedLines, profile
from cmed_jax.powder.network_grid import (
    coverage_of,
    profile_on_network_grid,
    sticks_on_network_grid,
)
from cmed_jax.powder.noise import excess_of_sigma, is_credible, noise_of
from cmed_jax.powder.peaks import (
    BROAD,
    fit_peaks,
    sensible,
    usual_widths,
    with_overlapping,
)
from cmed_jax.powder.scatter import without_scatter
from cmed_jax.powder.zero_shift import PRECISION, estimate_shift

CLEARLY = 0.85
"""The ratio of squares, K-alpha 1 alone over both, below which K-alpha 1 is taken alone.

For 13 measured doublets the ratio was 0.98 at least. For patterns without K-alpha 2 it was 0.64 at
most, except for one.
"""
EXPLAINED = 1.8
"""The mean square of residuals, in variances, below which K-alpha 1 is not tried alone."""
CHANCE = 9.0
"""The decrease of the sum of squares, in variances, that chance hardly causes."""
SAME_LINE = 5e-4
"""The difference, angstrom, below which wavelengths belong to one line of an anode."""


@dataclass(frozen=True)
class Preparation:
    """The choice of steps; each can be omitted.

    Attributes:
        background: the method that finds the background, or "none" where it was subtracted.
        doublet: whether to fit K-alpha 2 beside K-alpha 1 where the radiation has both, or where
            the lines show it; without it all lines have the given wavelength.
        alpha2: the presence of K-alpha 2 beside K-alpha 1: sought in the lines, certainly present,
            or certainly absent (stripped, or calculated for one wavelength).
        smoothing: whether to smooth the pattern for the search of peaks; fits use the raw pattern.
            What the fits leave over is smoothed in any case.
        shift: whether to correct zero shift and displacement where the pattern determines them.
        monochromator: two-theta of its reflection, degrees: 26.6 for graphite and Cu K-alpha; 0 is
            an unpolarised beam without one, 90 the polarised one of a synchrotron. It corrects the
            intensities, except for a network that was trained on measurements.

    Raises:
        ValueError: monochromator is not from 0 to 90.

    Example:
        >>> Preparation(background="none", monochromator=26.6).doublet
        True
    """

    background: Method = "arpls"
    doublet: bool = True
    smoothing: bool = True
    shift: bool = True
    monochromator: float = 0.0
    alpha2: Literal["sought", "present", "absent"] = "sought"

    def __post_init__(self):
        if not 0 <= self.monochromator <= 90:  # also true for NaN
            raise ValueError(
                f"monochromator is {self.monochromator}: give two-theta of its reflection, from 0 "
                "(none) to 90 degrees (a synchrotron)"
            )


EVERY_STEP = Preparation()
NOT_CORRECTED = (
    "the zero shift is not corrected: no cubic, tetragonal or hexagonal lattice explains "
    "the positions of the lines beyond doubt"
)
"""The sentence about a shift that the preparation does not find."""
NOTHING_LEFT = np.zeros((3, 0))
"""What the lines of a list of peaks leave over: nothing."""


class PeakList(NamedTuple):
    """The lines of a measured pattern, in ascending order.

    Attributes:
        two_theta: the measured angles, degrees, for the mean wavelength of the radiation.
        s: 1/d, 1/angstrom, corrected for the shift.
        area: the integrated intensity over two-theta in the unit of the file times degrees, of all
            components of the radiation together; the listed intensity of a list of peaks.
        width: the FWHM, degrees; NaN for a list of peaks.
        lorentzian: the Lorentzian share of the area; NaN for a list of peaks.
    """

    two_theta: Float[np.ndarray, " k"]
    s: Float[np.ndarray, " k"]
    area: Float[np.ndarray, " k"]
    width: Float[np.ndarray, " k"]
    lorentzian: Float[np.ndarray, " k"]

    @property
    def fitted(self) -> FittedLines:
        """The lines as they were fitted in the profile."""
        return FittedLines(self.two_theta, self.area, self.width, self.lorentzian)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A measured pattern, the results of each step, and the input of the network.

    Attributes:
        measured: the pattern in the file, without scatter of the air below its first line.
        options: the steps that were taken.
        radiation: the wavelengths and weights of the fitted lines.
        background: the background at the points of the measured pattern, in its unit; zero where
            none was sought, as in a list of peaks.
        net: the measured intensity minus the background.
        peaks: the positions, integrated intensities and widths of the lines.
        shift: the zero shift and displacement, which are corrected in `peaks.s` and `pattern`; None
            where they were not sought, or the pattern does not determine them.
        pattern: the input of the network: 1,024 bins of two-theta 0-180 degrees, Mo K-alpha,
            strongest 1.
        coverage: 1 in the bins that were measured, 0 in the others.
        warnings: sentences for the user.
    """

    measured: MeasuredPattern
    options: Preparation
    radiation: Radiation
    background: Float[np.ndarray, " n"]
    net: Float[np.ndarray, " n"]
    peaks: PeakList
    shift: Shift | None
    pattern: Float[np.ndarray, "1024"]
    coverage: Float[np.ndarray, "1024"]
    warnings: tuple[str, ...]

    @cached_property
    def left(self) -> Float[np.ndarray, "3 n"]:
        """The intensity that the lines leave over, point by point.

        Two-theta in degrees; the area in the unit of the peaks, which may be negative; and its
        variance. A list of peaks leaves nothing.
        """
        if not self.measured.is_profile:
            return NOTHING_LEFT
        angle, step = self.measured.two_theta, np.gradient(self.measured.two_theta)
        over = self.net - profile(angle, self.peaks.fitted, self.radiation)
        return np.stack([angle, over * step, (noise_of(self.measured) * step) ** 2])


def prepare(
    measured: MeasuredPattern,
    options: Preparation = EVERY_STEP,
    *,
    as_measured: bool = False,
) -> Prepared:
    """Return the input of the network from a measured pattern, with the results of each step.

    A network that was trained on published sticks receives the strongest line of each bin. A
    network that was trained on measurements receives the profile with its background, or the sticks
    of a list of peaks.

    Args:
        measured: the pattern from `cmed_jax.load_pattern`.
        options: the steps to take.
        as_measured: whether the network was trained on measurements (artefacts) and not on sticks.

    Raises:
        ValueError: no peak rises above the noise, a list of peaks holds a negative intensity, or
            the wavelength leaves no line in the range of the network.

    Example:
        >>> from cmed_jax import load_pattern
        >>> prepared = prepare(load_pattern("examples/halite.xy", "CuKa"))
        >>> prepared.peaks.two_theta[:3].round(1).tolist()
        [27.4, 31.7, 45.5]
    """
    if measured.is_profile and options.background != "none":
        measured = without_scatter(measured)
    angle, intensity = measured.two_theta, measured.intensity
    if measured.is_profile:
        level = background(angle, intensity, options.background)
        used, lines, notes = _lines(measured, intensity - level, options)
        excess = excess_of_sigma(measured)
        if excess is not None and not is_credible(excess):
            notes.append(
                f"the standard deviations in the file are {excess:.2g} times the scatter of the "
                "points, which is used instead"
            )
        resolution = (angle[-1] - angle[0]) / (len(angle) - 1) / 2
    else:
        check_intensities(intensity)
        level, used, notes = np.zeros_like(intensity), measured.radiation, []
        unknown = np.full_like(intensity, np.nan)
        lines, resolution = FittedLines(angle, intensity, unknown, unknown), 0.0
    shift = None
    if options.shift:
        precision = max(PRECISION, resolution)
        shift = estimate_shift(lines.angle, lines.area, used.mean, precision)
        notes.append(_of_shift(shift))
    peaks, pattern = _corrected(measured, options, used, lines, shift, as_measured=as_measured)
    return Prepared(
        measured,
        options,
        used,
        level,
        intensity - level,
        peaks,
        shift,
        pattern,
        coverage_of(measured, used.mean),
        (*measured.notes, *notes),
    )


def with_shift(prepared: Prepared, shift: Shift, *, as_measured: bool) -> Prepared:
    """Return a pattern in which no shift was found with a shift that is known otherwise.

    Args:
        prepared: the prepared pattern.
        shift: its zero shift and displacement.
        as_measured: as for `prepare`.
    """
    peaks, pattern = _corrected(
        prepared.measured,
        prepared.options,
        prepared.radiation,
        prepared.peaks.fitted,
        shift,
        as_measured=as_measured,
    )
    notes = [each for each in prepared.warnings if each != NOT_CORRECTED]
    return replace(
        prepared,
        peaks=peaks,
        shift=shift,
        pattern=pattern,
        warnings=(*notes, _of_shift(shift)),
    )


def _corrected(
    measured: MeasuredPattern,
    options: Preparation,
    used: Radiation,
    lines: FittedLines,
    shift: Shift | None,
    *,
    as_measured: bool,
) -> tuple[PeakList, Float[np.ndarray, "1024"]]:
    """Return the lines and the input of the network, corrected for a shift."""
    shift = shift or UNSHIFTED
    corrected = shift.correct(lines.angle)
    if measured.is_profile and as_measured:
        straight = shift.correct(measured.two_theta)
        pattern = profile_on_network_grid(straight, measured.intensity, used.mean)
    else:
        pattern = sticks_on_network_grid(corrected, lines.area, used.mean, options.monochromator)
    return PeakList(lines.angle, s_of_two_theta(corrected, used.mean), *lines[1:]), pattern


def _lines(
    measured: MeasuredPattern, net: Float[np.ndarray, " n"], options: Preparation
) -> tuple[Radiation, FittedLines, list[str]]:
    """Return the radiation that explains the lines best, the lines, and sentences about it."""
    angle, given, noise = measured.two_theta, measured.radiation, noise_of(measured)
    best: _Trial | None = None
    for used, note, least in _radiations(given, options):
        if best is not None and least < 1 and best.squares.mean() < EXPLAINED:
            break
        peaks = fit_peaks(angle, net, noise, used, smoothing=options.smoothing)
        left = ((net - profile(angle, sensible(peaks), used)) / noise) ** 2
        trial = _Trial(used, note, peaks, left, _without_overlaps(angle, peaks))
        if best is None or trial.ratio(best) < min(least, 1 - CHANCE / len(net)):
            best = trial
    assert best is not None  # there is always a radiation
    lines = with_overlapping(angle, net, noise, best.peaks, best.radiation)
    return best.radiation, lines, [best.sentence] if best.sentence else []


class _Trial(NamedTuple):
    """The peaks that were fitted with a radiation.

    Attributes:
        radiation: the radiation.
        sentence: the sentence for the user where it is chosen.
        peaks: the lines, one for each peak.
        squares: the squares of what is left at each point, in variances.
        clear: the points without peaks that hide several lines.
    """

    radiation: Radiation
    sentence: str
    peaks: FittedLines
    squares: Float[np.ndarray, " n"]
    clear: Bool[np.ndarray, " n"]

    def ratio(self, other: "_Trial") -> float:
        """Return the sum of its squares over that of another trial.

        Of the ratio at all points and at those where both are clear, the smaller one is taken:
        peaks that hide several lines fit badly with any radiation, and can outweigh the others.
        """
        clear = self.clear & other.clear
        return min(
            float(self.squares[where].sum() / other.squares[where].sum())
            for where in (np.ones_like(clear), clear)
        )


def _without_overlaps(angle: Float[np.ndarray, " n"], peaks: FittedLines) -> Bool[np.ndarray, " n"]:
    """Return which points belong to no peak that hides several lines."""
    broad = peaks.at(np.flatnonzero(peaks.width > BROAD * usual_widths(peaks)))
    near = np.abs(angle - broad.angle[:, None]) < WINDOW / 2 * broad.width[:, None]
    return ~near.any(axis=0)


def _radiations(given: Radiation, options: Preparation) -> list[tuple[Radiation, str, float]]:
    """Return the possible radiations of a pattern, the likeliest first.

    Each comes with the sentence for the user where it is chosen, and with the ratio of its squares
    to those of the preceding one below which it is chosen instead.
    """
    if not options.doublet:
        return [(Radiation(np.array([given.mean]), np.ones(1)), "", 1.0)]
    if len(given.wavelengths) > 1:
        alone = Radiation(given.wavelengths[:1], np.ones(1))
        return _of_alpha2([(given, ""), (alone, _without(alone))], options)
    for name in (name for name in RADIATIONS if name.endswith("Ka")):
        wavelengths, weights = radiation(name)
        both = Radiation(wavelengths, weights)
        anode = name.removesuffix("Ka")
        if abs(given.mean - both.mean) < SAME_LINE:
            scaled = Radiation(wavelengths * given.mean / both.mean, weights)
            said = f"{given.mean:.6g} angstrom is the mean of {anode} K-alpha 1 and 2"
            with_both = (scaled, f"{said}: lines are fitted with both")
            return _of_alpha2([with_both, (given, _without(given))], options)
        if abs(given.mean - wavelengths[0]) < SAME_LINE and options.alpha2 != "absent":
            if options.alpha2 == "present":
                return [(both, "", 1.0)]
            said = f"the lines show {anode} K-alpha 2 beside the {given.mean:.6g} angstrom of"
            return [(given, "", 1.0), (both, f"{said} K-alpha 1: both are fitted", 1.0)]
    return [(given, "", 1.0)]


def _of_alpha2(
    found: list[tuple[Radiation, str]], options: Preparation
) -> list[tuple[Radiation, str, float]]:
    """Return both components, one alone, or both in the order of trial, by the option `alpha2`."""
    (both, said), (alone, without) = found
    sought = [(both, said, 1.0), (alone, without, CLEARLY)]
    return {"sought": sought, "present": sought[:1], "absent": [(alone, "", 1.0)]}[options.alpha2]


def _without(alone: Radiation) -> str:
    return f"the lines show no K-alpha 2: they are fitted with {alone.mean:.6g} angstrom alone"


def _of_shift(shift: Shift | None) -> str:
    if shift is None:
        return NOT_CORRECTED
    if not shift.displacement and not round(shift.zero, 3):
        return "the positions of the lines show no zero shift"
    moved = f"a zero shift of {shift.zero:.3f} degrees"
    if shift.displacement:
        moved += f" and a displacement of {shift.displacement:.2g} of the radius"
    return f"{moved} is corrected"
