"""Grids of a powder pattern: even bins of two-theta, of s = 1/d, or of Q = 2 pi s."""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cmed_jax.physics.patterns import (
    BINS,
    MO_K_ALPHA,
    lorentz_polarization_of_sine,
    s_of_two_theta,
    two_theta,
)


@dataclass(frozen=True)
class Grid:
    """A grid of even bins from `start` to `stop`.

    Attributes:
        start: lower edge of the first bin, degrees of two-theta or 1/angstrom.
        stop: upper edge of the last bin.
        bins: number of bins.
        axis: quantity on the axis: two-theta of `wavelength`, s, or Q.
        wavelength: wavelength of the two-theta axis, angstrom. On every axis it is also the
            wavelength of the Lorentz-polarization factor to which `conversion` brings measurements.
    """

    start: float
    stop: float
    bins: int
    axis: Literal["two_theta", "s", "q"] = "two_theta"
    wavelength: float = MO_K_ALPHA

    def __post_init__(self):
        most = 180.0 if self.axis == "two_theta" else 1000.0
        if not 0 <= self.start < self.stop <= most:  # also true for NaN
            raise ValueError(
                f"a grid from {self.start} to {self.stop} has no bins: "
                f"give 0 <= start < stop <= {most:.0f}"
            )
        if self.bins < 1:
            raise ValueError(f"bins is {self.bins}: give at least 1")
        if not 0 < self.wavelength < np.inf:
            raise ValueError(f"wavelength is {self.wavelength}: give angstroms")

    @property
    def edges(self) -> Float[np.ndarray, " edges"]:
        """The edges of the bins in the grid's own unit, float64."""
        return np.linspace(self.start, self.stop, self.bins + 1)

    @property
    def centres(self) -> Float[np.ndarray, " n"]:
        """The middle of each bin in the grid's own unit, float64."""
        edges = self.edges
        return (edges[1:] + edges[:-1]) / 2

    def s(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return s, 1/angstrom, of values in the grid's unit."""
        if self.axis == "two_theta":
            return s_of_two_theta(values, self.wavelength)
        return values / (2 * np.pi) if self.axis == "q" else values

    def angles(self, wavelength: Float[Array, ""] | float) -> Float[Array, " edges"]:
        """Return the edges in two-theta of a wavelength, degrees, or 180 beyond its range."""
        s = jnp.asarray(self.s(self.edges), jnp.result_type(float))
        reached = s * wavelength / 2 < 1
        return jnp.where(reached, two_theta(jnp.where(reached, s, 0), wavelength), 180.0)

    def coverage(
        self,
        start: Float[Array, ""] | float,
        stop: Float[Array, ""] | float,
        wavelength: Float[Array, ""] | float,
    ) -> Float[Array, " bins"]:
        """Return 1 for bins with a centre between two angles of a wavelength, and 0 for others."""
        s = jnp.asarray(self.s(self.centres), jnp.result_type(float))
        low, high = (s_of_two_theta(jnp.asarray(angle), wavelength) for angle in (start, stop))
        return ((s >= low) & (s <= high)).astype(s.dtype)

    def conversion(self, wavelength: Float[Array, ""] | float) -> Float[Array, " bins"]:
        """Return the factors that convert intensities from the wavelength of a measurement.

        Each is the ratio of two Lorentz-polarization factors without monochromator: that of the
        grid's own wavelength over that of the measurement.
        """
        s = jnp.asarray(self.s(self.centres), jnp.result_type(float))
        # The sine stays below that of backscattering, where the factors diverge.
        here, there = (jnp.minimum(s * x / 2, 1 - 1e-6) for x in (self.wavelength, wavelength))
        return lorentz_polarization_of_sine(here) / lorentz_polarization_of_sine(there)


PUBLISHED_GRID = Grid(0.0, 180.0, BINS)
"""The grid of every record's pattern and of the networks."""
