"""Rendering of peaks on any grid: as sticks, or as profiles with their area divided among bins.

Bins are given by their ascending edges in two-theta of the instrument. The method
`cmed_jax.physics.grids.Grid.angles` converts the edges of a grid in s, in Q, or of another
wavelength. All functions are pure, treat one pattern, and are mapped over batches with `jax.vmap`.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cmed_jax.physics.grids import Grid
from cmed_jax.physics.instrument import PERFECT, Instrument, Lines, Peaks, Sample, powder_peaks
from cmed_jax.physics.profiles import Scalar, cumulative_pseudo_voigt

_WINDOWS = jax.lax.ScatterDimensionNumbers(
    update_window_dims=(1,), inserted_window_dims=(), scatter_dims_to_operand_dims=(0,)
)
"""The scatter of one row of neighbouring bins per peak, ten times as fast as an index per bin."""


def render(
    lines: Lines,
    grid: Grid,
    instrument: Instrument,
    sample: Sample = PERFECT,
    *,
    start: Scalar = 0.0,
    stop: Scalar = 180.0,
    reach: int | None = None,
) -> tuple[Float[Array, " bins"], Float[Array, " bins"]]:
    """Return the pattern that an instrument measures from `start` to `stop`, and its coverage.

    Args:
        lines: lines of the crystal.
        grid: grid of the pattern; it may differ from the instrument's own.
        instrument: the diffractometer.
        sample: the powder.
        start: first measured angle, degrees of the instrument's two-theta.
        stop: last measured angle.
        reach: number of bins on either side over which a profile is followed, as in `profiles`.

    Returns:
        The integrated intensity in each bin, 0 where nothing was measured; and the coverage, 1 for
        a measured bin and 0 for any other.
    """
    wavelength = instrument.mean_wavelength
    edges = grid.angles(wavelength)
    coverage = grid.coverage(start, stop, wavelength)
    return coverage * profiles(powder_peaks(lines, instrument, sample), edges, reach), coverage


def profiles(
    peaks: Peaks, edges: Float[Array, " edges"], reach: int | None = None
) -> Float[Array, " bins"]:
    """Return the integral of all profiles over each bin.

    Args:
        peaks: peaks to integrate. Their areas are conserved, except for parts beyond the edges.
        edges: edges of the bins, degrees, ascending.
        reach: number of bins on either side of its centre at which a profile ends, as in Rietveld
            programs; None follows it over the whole grid. The area beyond is lost: about
            w / (pi reach) of a Lorentzian with a width of w bins.
    """
    bins = len(edges) - 1
    size = bins if reach is None else min(2 * reach + 1, bins)
    home = jnp.searchsorted(edges, peaks.angle, side="right") - 1
    first = jnp.clip(home - size // 2, 0, bins - size)
    near = jax.vmap(lambda i: jax.lax.dynamic_slice(edges, (i,), (size + 1,)))(first)
    distance = (near - peaks.angle[:, None]) / peaks.width[:, None]
    below = cumulative_pseudo_voigt(distance, peaks.lorentzian[:, None])
    shares = peaks.area[:, None] * jnp.diff(below, axis=1)
    return jax.lax.scatter_add(
        jnp.zeros(bins, shares.dtype), first[:, None], shares, _WINDOWS, mode="promise_in_bounds"
    )


def sticks(
    peaks: Peaks, edges: Float[Array, " edges"], combine: Literal["max", "sum"] = "sum"
) -> Float[Array, " bins"]:
    """Return the sum or the largest of the areas in each bin, without peaks outside the grid."""
    bins = len(edges) - 1
    home = jnp.searchsorted(edges, peaks.angle, side="right") - 1
    home = jnp.where(peaks.angle == edges[-1], bins - 1, home)
    inside = (home >= 0) & (home < bins)
    area = jnp.where(inside, peaks.area, 0)
    pattern = jnp.zeros(bins, area.dtype).at[jnp.clip(home, 0, bins - 1)]
    return pattern.max(area) if combine == "max" else pattern.add(area)
