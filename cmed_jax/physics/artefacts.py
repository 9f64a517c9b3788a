"""What a measurement does to a pattern: conditions drawn at random, and the pattern under them.

`Artefacts` says from which ranges the conditions are drawn, `draw` draws those of one measurement
from a key, `middle` gives those in the middle of every range, `expected` renders the pattern under
them, and `measure` counts it. All of it is pure, treats one pattern, and is mapped over a batch
with `jax.vmap`.

A measurement is made on the instrument's own two-theta and handed to another grid bin by bin: each
bin keeps its s = 1/d, and its intensity changes by the ratio of the Lorentz-polarization factors,
as a user would convert a file, who does not know of a monochromator.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from cmed_jax.physics.grids import PUBLISHED_GRID, Grid
from cmed_jax.physics.instrument import (
    Instrument,
    Lines,
    Peaks,
    Sample,
    peak_shape,
    powder_peaks,
    radiation,
)
from cmed_jax.physics.patterns import RADIATIONS
from cmed_jax.physics.profiles import height
from cmed_jax.physics.rendering import profiles
from cmed_jax.physics.texture import line_factors

Range = tuple[float, float]

LOGARITHMIC = ("w", "size", "strain", "b_factor", "march", "background", "hump", "counts")
"""Scales, drawn evenly in the logarithm, unless their range begins at 0."""
SLOPES = 3
"""Chebyshev coefficients of the background beside the constant one."""

FEW = 8
"""Quanta up to which Poisson's distribution is inverted term by term."""


@dataclass(frozen=True)
class Artefacts:
    """Ranges from which the conditions of a measurement are drawn, each evenly.

    Scales (`LOGARITHMIC`) are drawn evenly in their logarithm. Angles are of the instrument's
    two-theta; heights and areas are relative to those of the crystal's strongest line.

    Attributes:
        anodes: one is drawn; its K-alpha doublet is the radiation. Name one twice to draw it twice
            as often, none for a single wavelength.
        wavelength: angstrom, where there is no anode.
        monochromator: two-theta of its reflection, degrees; graphite has 26.6 for Cu K-alpha.
        start: first angle, degrees.
        stop: last angle, degrees.
        zero: shift of the scale, degrees.
        displacement: of the sample, as a share of the radius; 0.1 mm of 200 mm is 5e-4.
        u: Caglioti's U, degrees^2, like the two that follow.
        v: his V.
        w: his W.
        size: of the crystallites, angstrom.
        strain: delta d / d.
        b_factor: isotropic B, angstrom^2.
        march: March's parameter of the texture along a random axis.
        background: its mean height.
        slope: each of the Chebyshev coefficients 1 to 3 of the background, relative to its mean.
        hump: height of the amorphous hump.
        hump_s: its position s = 1/d, 1/angstrom.
        hump_width: its FWHM in s, 1/angstrom.
        impurities: number of foreign lines.
        impurity: area of each.
        calibration: relative error of the intensity at the ends of the range: linear and quadratic.
        counts: quanta in the strongest line.
        reach: bins on either side over which a profile is followed.
    """

    anodes: tuple[str, ...] = ("Cu",)
    wavelength: Range = (0.4, 1.0)
    monochromator: Range = (0.0, 26.6)
    start: Range = (5.0, 20.0)
    stop: Range = (60.0, 140.0)
    zero: Range = (-0.05, 0.05)
    displacement: Range = (-5e-4, 5e-4)
    u: Range = (0.0, 0.02)
    v: Range = (-0.01, 0.0)
    w: Range = (0.002, 0.02)
    size: Range = (200.0, 5000.0)
    strain: Range = (1e-4, 2e-3)
    b_factor: Range = (0.2, 2.0)
    march: Range = (0.7, 1 / 0.7)
    background: Range = (3e-3, 0.1)
    slope: Range = (-0.5, 0.5)
    hump: Range = (1e-3, 0.05)
    hump_s: Range = (0.2, 0.35)
    hump_width: Range = (0.05, 0.15)
    impurities: int = 4
    impurity: Range = (0.0, 0.03)
    calibration: Range = (-0.2, 0.2)
    counts: Range = (1e3, 1e5)
    reach: int = 12

    def __post_init__(self):
        for name in self.ranges:
            low, high = getattr(self, name)
            if not -np.inf < low <= high < np.inf:
                raise ValueError(f"{name} is ({low}, {high}): give a range of two finite numbers")
            least, most = LIMITS.get(name, (0.0, 1000.0))
            if low < least or high > most:
                raise ValueError(f"{name} is ({low}, {high}): give {least:g} to {most:g}")
        for anode in self.anodes:
            if f"{anode}Ka1" not in RADIATIONS:
                known = ", ".join(name[:-2] for name in RADIATIONS if name.endswith("Ka"))
                raise ValueError(f"unknown anode {anode!r}: give some of {known}")
        if self.start[1] >= self.stop[0]:
            raise ValueError(
                f"start goes up to {self.start[1]} degrees and stop down to {self.stop[0]}: "
                "every range must end after it starts"
            )
        if self.impurities < 0 or self.reach < 1:
            raise ValueError(
                f"impurities is {self.impurities} and reach {self.reach}: "
                "give at least 0 and at least 1"
            )

    @property
    def ranges(self) -> tuple[str, ...]:
        """Names of the fields that are ranges."""
        return tuple(field.name for field in fields(self) if field.type == Range)

    @property
    def s_max(self) -> float:
        """The largest s = 1/d that any of the measurements reaches, 1/angstrom."""
        wavelengths = [radiation(f"{anode}Ka")[0].min() for anode in self.anodes]
        shortest = min(wavelengths, default=self.wavelength[0])
        return 2 * np.sin(np.radians(self.stop[1]) / 2).item() / shortest


LIMITS = {
    "wavelength": (0.05, 10.0),
    "monochromator": (0.0, 90.0),
    "start": (0.0, 180.0),
    "stop": (0.0, 180.0),
    "zero": (-5.0, 5.0),
    "displacement": (-0.1, 0.1),
    "u": (-1.0, 100.0),
    "v": (-100.0, 100.0),
    "w": (0.0, 100.0),
    "size": (1.0, 1e9),
    "march": (0.1, 10.0),
    "slope": (-1.0, 1.0),
    "hump_width": (1e-3, 10.0),
    "calibration": (-1.0, 1.0),
    "counts": (1.0, 1e12),
}
"""What the ends of a range may be; 0 to 1000 where nothing is said."""

LABORATORY = Artefacts()
SYNCHROTRON = Artefacts(
    anodes=(),
    monochromator=(85.0, 90.0),
    start=(1.0, 6.0),
    stop=(30.0, 90.0),
    zero=(-0.005, 0.005),
    displacement=(0.0, 0.0),
    u=(0.0, 1e-3),
    v=(-5e-4, 0.0),
    w=(2e-5, 1e-3),
    size=(500.0, 20000.0),
    strain=(3e-5, 1e-3),
    march=(0.9, 1 / 0.9),
    background=(1e-3, 0.03),
    impurity=(0.0, 0.02),
    calibration=(-0.05, 0.05),
    counts=(1e4, 1e6),
)
NANOCRYSTAL = Artefacts(
    size=(10.0, 100.0), strain=(1e-3, 0.01), march=(1.0, 1.0), counts=(1e3, 3e4), reach=64
)
PRESETS = {"laboratory": LABORATORY, "synchrotron": SYNCHROTRON, "nanocrystal": NANOCRYSTAL}
"""By name: Bragg-Brentano with a tube, a parallel monochromatic beam, crystals of 1 to 10 nm."""


class Conditions(NamedTuple):
    """One measurement, drawn; the units are those of `Artefacts`.

    Attributes:
        instrument: the diffractometer.
        sample: the powder.
        axis: of the texture, a unit vector.
        march: March's parameter.
        start: first angle.
        stop: last angle.
        background: coefficients of its Chebyshev series over the range.
        hump: height, position in s, and FWHM in s of the amorphous hump.
        impurity: two-theta and area of each foreign line.
        calibration: linear and quadratic error at the ends of the range.
        counts: quanta in the strongest line.
    """

    instrument: Instrument
    sample: Sample
    axis: Float[Array, "3"]
    march: Float[Array, ""]
    start: Float[Array, ""]
    stop: Float[Array, ""]
    background: Float[Array, "4"]
    hump: Float[Array, "3"]
    impurity: Float[Array, "2 i"]
    calibration: Float[Array, "2"]
    counts: Float[Array, ""]


def draw(key: PRNGKeyArray, artefacts: Artefacts) -> Conditions:
    """Return the conditions of one measurement."""
    shares, direction = jax.random.split(key)
    axis = jax.random.normal(direction, (3,))
    number = sum(_draws(artefacts).values())
    return _conditions(jax.random.uniform(shares, (number,)), axis, artefacts)


def middle(artefacts: Artefacts) -> Conditions:
    """Return the conditions in the middle of every range, of the first anode, without impurities.

    In the presets shifts, texture and errors of calibration vanish there.
    """
    first = replace(artefacts, anodes=artefacts.anodes[:1], impurity=(0.0, 0.0))
    number = sum(_draws(first).values())
    return _conditions(jnp.full(number, 0.5), jnp.array([0.0, 0.0, 1.0]), first)


def _draws(artefacts: Artefacts) -> dict[str, int]:
    """How many numbers are drawn for what."""
    several = {"slope": SLOPES, "calibration": 2, "impurity": artefacts.impurities}
    ranges = {name: several.get(name, 1) for name in artefacts.ranges}
    return ranges | {"impurity_angle": artefacts.impurities, "anode": 1}


def _conditions(
    shares: Float[Array, " n"], axis: Float[Array, "3"], artefacts: Artefacts
) -> Conditions:
    """Return conditions at shares between 0 and 1 of every range."""
    numbers = _draws(artefacts)
    parts = jnp.split(shares, np.cumsum(list(numbers.values()))[:-1])
    share = dict(zip(numbers, parts, strict=True))
    at = {name: _within(name, getattr(artefacts, name), share[name]) for name in artefacts.ranges}
    one = {name: value[0] for name, value in at.items() if numbers[name] == 1}
    wavelengths, weights = _radiation(artefacts.anodes, share["anode"][0], at["wavelength"])
    instrument = Instrument(
        wavelengths,
        weights,
        *(one[name] for name in ("u", "v", "w", "zero", "displacement", "monochromator")),
    )
    start, stop = one["start"], one["stop"]
    return Conditions(
        instrument,
        Sample(one["size"], one["strain"], one["b_factor"]),
        axis / jnp.linalg.norm(axis),
        one["march"],
        start,
        stop,
        one["background"] * jnp.concatenate([jnp.ones(1), at["slope"]]),
        jnp.stack([one["hump"], one["hump_s"], one["hump_width"]]),
        jnp.stack([start + (stop - start) * share["impurity_angle"], at["impurity"]]),
        at["calibration"],
        one["counts"],
    )


def _within(name: str, ends: Range, share: Float[Array, " n"]) -> Float[Array, " n"]:
    if name in LOGARITHMIC and ends[0] > 0:
        low, high = np.log(ends)
        return jnp.exp(low + (high - low) * share)
    return ends[0] + (ends[1] - ends[0]) * share


def _radiation(
    anodes: tuple[str, ...], share: Float[Array, ""], wavelength: Float[Array, "1"]
) -> tuple[Float[Array, " w"], Float[Array, " w"]]:
    if not anodes:
        return wavelength, jnp.ones(1)
    doublets, weights = zip(*(radiation(f"{anode}Ka") for anode in anodes), strict=True)
    drawn = jnp.minimum((share * len(anodes)).astype(int), len(anodes) - 1)
    return jnp.asarray(np.float32(doublets))[drawn], jnp.asarray(np.float32(weights))[drawn]


def measured(
    key: PRNGKeyArray, lines: Lines, artefacts: Artefacts, grid: Grid = PUBLISHED_GRID
) -> tuple[Float[Array, " bins"], Float[Array, " bins"]]:
    """Return a crystal's pattern under conditions drawn at random, and its coverage (`measure`)."""
    conditions, noise = jax.random.split(key)
    return measure(noise, lines, draw(conditions, artefacts), grid, artefacts.reach)


def measure(
    key: PRNGKeyArray,
    lines: Lines,
    conditions: Conditions,
    grid: Grid = PUBLISHED_GRID,
    reach: int | None = None,
) -> tuple[Float[Array, " bins"], Float[Array, " bins"]]:
    """Return a pattern as it is measured under the conditions, and its coverage.

    Args:
        key: of the counting noise.
        lines: of the crystal; without their directions there is no texture.
        conditions: of the measurement.
        grid: to which the pattern is handed; its wavelength sets the Lorentz-polarization factor.
        reach: bins on either side over which a profile is followed, None for all.

    Returns:
        The pattern, strongest bin 1 and zero where it was not measured; and its coverage, 1 or 0.
    """
    signal, coverage = expected(lines, conditions, grid, reach)
    counted = count(key, conditions.counts * signal)
    pattern = counted * grid.conversion(conditions.instrument.mean_wavelength)
    return pattern / _or_one(pattern.max()), coverage


def expected(
    lines: Lines, conditions: Conditions, grid: Grid = PUBLISHED_GRID, reach: int | None = None
) -> tuple[Float[Array, " bins"], Float[Array, " bins"]]:
    """Return what the instrument would count in each bin without noise, and the coverage.

    The area of the strongest line is 1, the Lorentz-polarization factor that of the instrument.
    Differentiable in the conditions and in the lines.
    """
    wavelength = conditions.instrument.mean_wavelength
    edges = grid.angles(wavelength)
    coverage = grid.coverage(conditions.start, conditions.stop, wavelength)
    peaks = _peaks(lines, conditions)
    inside = (peaks.angle >= conditions.start) & (peaks.angle <= conditions.stop)
    area = jnp.where(inside, peaks.area, 0)
    highest = jnp.max(area * height(peaks.width, peaks.lorentzian))
    counted = profiles(peaks, edges, reach) + highest * background(conditions, edges, grid)
    strongest = _or_one(jnp.max(area))
    return coverage * counted * _calibration(conditions, edges) / strongest, coverage


def _or_one(scale: Float[Array, ""]) -> Float[Array, ""]:
    """Return what to divide by, also where there is nothing to scale."""
    return jnp.where(scale > 0, scale, 1.0)


def _peaks(lines: Lines, conditions: Conditions) -> Peaks:
    """The crystal's peaks under a texture, and the foreign ones, of a single wavelength."""
    instrument, sample = conditions.instrument, conditions.sample
    if lines.directions is not None:
        factor = line_factors(jnp.asarray(lines.directions), conditions.axis, conditions.march)
        lines = lines._replace(intensity=lines.intensity * factor)
    peaks = powder_peaks(lines, instrument, sample)
    angle, share = conditions.impurity
    inside = (peaks.angle >= conditions.start) & (peaks.angle <= conditions.stop)
    strongest = jnp.max(jnp.where(inside, peaks.area, 0))
    wavelength = jnp.full_like(angle, instrument.mean_wavelength)
    shape = peak_shape(angle, wavelength, instrument, sample)
    foreign = Peaks(angle, share * strongest, *shape)
    return Peaks(*(jnp.concatenate(columns) for columns in zip(peaks, foreign, strict=True)))


def background(
    conditions: Conditions, edges: Float[Array, " edges"], grid: Grid
) -> Float[Array, " bins"]:
    """Return what is counted in each bin beside the peaks, over the height of the highest peak.

    A Chebyshev series over the measured range, never negative, and a Gaussian hump in s, both times
    the width of the bin: a wider one collects more.
    """
    x = _across(conditions, edges)
    chebyshev = (jnp.ones_like(x), x, 2 * x**2 - 1, (4 * x**2 - 3) * x)
    smooth = sum(c * t for c, t in zip(conditions.background, chebyshev, strict=True))
    peak, centre, width = conditions.hump
    s = jnp.asarray(grid.s(grid.centres), x.dtype)
    hump = peak * jnp.exp(-4 * np.log(2) * ((s - centre) / width) ** 2)
    return (jax.nn.relu(smooth) + hump) * jnp.diff(edges)


def _across(conditions: Conditions, edges: Float[Array, " edges"]) -> Float[Array, " bins"]:
    """Where each bin lies in the measured range: -1 at its start, 1 at its end and beyond."""
    middles = (edges[1:] + edges[:-1]) / 2
    x = 2 * (middles - conditions.start) / (conditions.stop - conditions.start) - 1
    return jnp.clip(x, -1, 1)


def _calibration(conditions: Conditions, edges: Float[Array, " edges"]) -> Float[Array, " bins"]:
    x = _across(conditions, edges)
    linear, quadratic = conditions.calibration
    return jnp.exp(linear * x + quadratic * x**2)


def count(key: PRNGKeyArray, mean: Float[Array, " bins"]) -> Float[Array, " bins"]:
    """Return numbers of quanta, Poisson-distributed about their mean.

    Up to `FEW` quanta the distribution is inverted exactly; above, by the quantiles of Cornish and
    Fisher, mean + sqrt(mean) z + (z^2 - 1) / 6, which are right to a fraction of a quantum. They
    are left fractions: rounded, the last digit of a mean, which depends on how a batch is divided
    over devices, would decide about a quantum. A sampler that rejects would cost more than all
    the rest.
    """
    share = jax.random.uniform(key, mean.shape, mean.dtype, minval=jnp.finfo(mean.dtype).tiny)
    z = jax.scipy.special.ndtri(share)
    many = mean + jnp.sqrt(mean) * z + (z**2 - 1) / 6
    return jnp.where(mean > FEW, jax.nn.relu(many), _few(share, jnp.minimum(mean, FEW)))


def _few(share: Float[Array, " bins"], mean: Float[Array, " bins"]) -> Float[Array, " bins"]:
    """Return the number of quanta below which a share of Poisson's distribution lies."""
    probability = jnp.exp(-mean)
    below, quanta = probability, jnp.zeros_like(mean)
    for number in range(1, 4 * FEW):
        quanta += share > below
        probability *= mean / number
        below += probability
    return quanta
