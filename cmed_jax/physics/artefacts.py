"""Effects of a measurement on a pattern: random conditions, and the pattern measured under them.

`Artefacts` holds the ranges of the conditions. `sample_conditions` draws the conditions of one
measurement from a key, and `central_conditions` returns the middle of every range. `expected`
renders the pattern under given conditions, and `measure` adds the counting noise. All functions are
pure, treat one pattern, and are mapped over a batch with `jax.vmap`.

A measurement is simulated on the two-theta scale of the instrument and converted to another grid
bin by bin. Each bin keeps its s = 1/d, and its intensity changes by the ratio of the
Lorentz-polarization factors. Converting a file without knowledge of a monochromator has the same
effect.
"""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from cmed_jax.physics.artefact_ranges import LOGARITHMIC, Artefacts, Range
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
from cmed_jax.physics.profiles import height
from cmed_jax.physics.rendering import profiles
from cmed_jax.physics.texture import line_factors

SLOPES = 3
"""The number of Chebyshev coefficients of the background besides the constant one."""

FEW = 8
"""The largest mean number of quanta at which Poisson's distribution is inverted term by term."""


class Conditions(NamedTuple):
    """The conditions of one measurement, in the units of `Artefacts`.

    Attributes:
        instrument: the diffractometer.
        sample: the powder.
        axis: axis of the texture, a unit vector.
        march: March's parameter.
        start: first angle.
        stop: last angle.
        background: coefficients of the background's Chebyshev series over the measured range.
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


def sample_conditions(key: PRNGKeyArray, artefacts: Artefacts) -> Conditions:
    """Draw the conditions of one measurement."""
    shares, direction = jax.random.split(key)
    axis = jax.random.normal(direction, (3,))
    number = sum(_draws(artefacts).values())
    return _conditions(jax.random.uniform(shares, (number,)), axis, artefacts)


def central_conditions(artefacts: Artefacts) -> Conditions:
    """Return the middle of every range, with the first anode and without impurities.

    In the presets, shifts, texture and calibration errors vanish there.
    """
    first = replace(artefacts, anodes=artefacts.anodes[:1], impurity=(0.0, 0.0))
    number = sum(_draws(first).values())
    return _conditions(jnp.full(number, 0.5), jnp.array([0.0, 0.0, 1.0]), first)


def _draws(artefacts: Artefacts) -> dict[str, int]:
    """Return how many random numbers each condition needs."""
    several = {"slope": SLOPES, "calibration": 2, "impurity": artefacts.impurities}
    ranges = {name: several.get(name, 1) for name in artefacts.ranges}
    return ranges | {"impurity_angle": artefacts.impurities, "anode": 1}


def _conditions(
    shares: Float[Array, " n"], axis: Float[Array, "3"], artefacts: Artefacts
) -> Conditions:
    """Return the conditions at given shares, 0 to 1, of every range."""
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
    """Draw conditions and return a crystal's pattern and coverage under them, as `measure` does."""
    conditions, noise = jax.random.split(key)
    return measure(noise, lines, sample_conditions(conditions, artefacts), grid, artefacts.reach)


def measure(
    key: PRNGKeyArray,
    lines: Lines,
    conditions: Conditions,
    grid: Grid = PUBLISHED_GRID,
    reach: int | None = None,
) -> tuple[Float[Array, " bins"], Float[Array, " bins"]]:
    """Return the pattern measured under given conditions, and its coverage.

    Args:
        key: random key of the counting noise.
        lines: lines of the crystal; without their directions there is no texture.
        conditions: conditions of the measurement.
        grid: grid of the pattern; its wavelength sets the Lorentz-polarization factor.
        reach: number of bins on either side over which a profile is followed; None for all.

    Returns:
        The pattern, with 1 in the strongest bin and 0 where nothing was measured; and its coverage,
        1 or 0 in each bin.
    """
    signal, coverage = expected(lines, conditions, grid, reach)
    counted = poisson_counts(key, conditions.counts * signal)
    pattern = counted * grid.conversion(conditions.instrument.mean_wavelength)
    return pattern / _or_one(pattern.max()), coverage


def expected(
    lines: Lines, conditions: Conditions, grid: Grid = PUBLISHED_GRID, reach: int | None = None
) -> tuple[Float[Array, " bins"], Float[Array, " bins"]]:
    """Return the noise-free intensity of each bin, and the coverage.

    The area of the strongest line is 1. The Lorentz-polarization factor is that of the instrument.
    The result is differentiable in the conditions and in the lines.
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
    """Return a safe divisor: the scale, or 1 where it is zero."""
    return jnp.where(scale > 0, scale, 1.0)


def _peaks(lines: Lines, conditions: Conditions) -> Peaks:
    """Return the crystal's peaks under a texture, and the foreign ones of the mean wavelength."""
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
    """Return the background of each bin, relative to the height of the highest peak.

    It is the sum of a Chebyshev series over the measured range, never negative, and a Gaussian hump
    in s. Both are multiplied by the width of the bin, because a wider bin collects more.
    """
    x = _across(conditions, edges)
    chebyshev = (jnp.ones_like(x), x, 2 * x**2 - 1, (4 * x**2 - 3) * x)
    smooth = sum(c * t for c, t in zip(conditions.background, chebyshev, strict=True))
    peak, centre, width = conditions.hump
    s = jnp.asarray(grid.s(grid.centres), x.dtype)
    hump = peak * jnp.exp(-4 * np.log(2) * ((s - centre) / width) ** 2)
    return (jax.nn.relu(smooth) + hump) * jnp.diff(edges)


def _across(conditions: Conditions, edges: Float[Array, " edges"]) -> Float[Array, " bins"]:
    """Return the place of each bin in the measured range: -1 at the start, 1 from the end on."""
    middles = (edges[1:] + edges[:-1]) / 2
    x = 2 * (middles - conditions.start) / (conditions.stop - conditions.start) - 1
    return jnp.clip(x, -1, 1)


def _calibration(conditions: Conditions, edges: Float[Array, " edges"]) -> Float[Array, " bins"]:
    x = _across(conditions, edges)
    linear, quadratic = conditions.calibration
    return jnp.exp(linear * x + quadratic * x**2)


def poisson_counts(key: PRNGKeyArray, mean: Float[Array, " bins"]) -> Float[Array, " bins"]:
    """Return Poisson-distributed numbers of quanta with given means.

    Up to a mean of `FEW` quanta the distribution is inverted exactly. Above, the quantiles of
    Cornish and Fisher, mean + sqrt(mean) z + (z^2 - 1) / 6, are right to a fraction of a quantum.
    They are not rounded: the last digit of a mean depends on how a batch is divided over devices,
    and after rounding it could change a count by one. Rejection sampling would cost more than the
    rest of the measurement.
    """
    share = jax.random.uniform(key, mean.shape, mean.dtype, minval=jnp.finfo(mean.dtype).tiny)
    z = jax.scipy.special.ndtri(share)
    many = mean + jnp.sqrt(mean) * z + (z**2 - 1) / 6
    return jnp.where(mean > FEW, jax.nn.relu(many), _few(share, jnp.minimum(mean, FEW)))


def _few(share: Float[Array, " bins"], mean: Float[Array, " bins"]) -> Float[Array, " bins"]:
    """Return the quantile of Poisson's distribution at a share, for means up to `FEW`."""
    probability = jnp.exp(-mean)
    below, quanta = probability, jnp.zeros_like(mean)
    for number in range(1, 4 * FEW):
        quanta += share > below
        probability *= mean / number
        below += probability
    return quanta
