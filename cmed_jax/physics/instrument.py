"""Positions, intensities and widths of lines by a powder diffractometer and its sample.

Every field is an array without dimensions (or a number). Instruments can therefore be sampled,
mapped and differentiated like any other data. The axis of an instrument is its own two-theta in
degrees.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cmed_jax.physics.patterns import (
    RADIATIONS,
    lorentz_polarization,
    two_theta,
    wavelength_in_angstrom,
)
from cmed_jax.physics.profiles import (
    Scalar,
    caglioti,
    microstrain,
    scherrer,
    thompson_cox_hastings,
)
from cmed_jax.physics.radiations import radiation_name

DOUBLET = (2 / 3, 1 / 3)
"""The shares of K-alpha 1 and 2 in the statistical ratio 2:1; `RADIATIONS` holds the means."""


LEAST = 1e-4
"""The smallest s, 1/angstrom, of a line; the primary beam lies below it."""


class Lines(NamedTuple):
    """The reflections of a crystal; an intensity of 0 pads.

    Attributes:
        s: 1/d in 1/angstrom.
        intensity: |F|^2 with multiplicity, for atoms at rest.
        directions: the moments of the directions of the members of each line
            (`cmed_jax.physics.texture.moments`); None where they are unknown, which excludes
            texture.
    """

    s: Float[Array | np.ndarray, "*b l"]
    intensity: Float[Array | np.ndarray, "*b l"]
    directions: Float[Array | np.ndarray, "*b l 28"] | None = None


class Instrument(NamedTuple):
    """A diffractometer.

    Attributes:
        wavelengths: the wavelengths of the components of the radiation, angstrom.
        weights: their shares of the intensity, which sum to 1.
        u: Caglioti's U, degrees^2.
        v: Caglioti's V, degrees^2.
        w: Caglioti's W, degrees^2.
        zero: the shift of the scale, degrees of two-theta.
        displacement: the displacement of the sample out of the axis, away from source and
            detector, as a share of the radius of the goniometer (Bragg-Brentano geometry).
        monochromator: two-theta of the reflection of the monochromator, degrees; 0 for none, 90
            for a synchrotron.
    """

    wavelengths: Float[Array | np.ndarray, " w"]
    weights: Float[Array | np.ndarray, " w"]
    u: Scalar = 0.0
    v: Scalar = 0.0
    w: Scalar = 0.0
    zero: Scalar = 0.0
    displacement: Scalar = 0.0
    monochromator: Scalar = 0.0

    @property
    def mean_wavelength(self) -> Float[Array, ""]:
        """The wavelength that converts the angles of the pattern, angstrom."""
        return jnp.asarray(self.weights @ self.wavelengths)


class Sample(NamedTuple):
    """The effects of a real powder on its lines.

    Attributes:
        size: the size of the crystallites, angstrom; an infinite size does not broaden.
        strain: the spread of d, delta d / d.
        b_factor: the isotropic B of all atoms, angstrom^2.
    """

    size: Scalar = np.inf
    strain: Scalar = 0.0
    b_factor: Scalar = 0.0


PERFECT = Sample()
"""A sample of large crystals without strain and with atoms at rest."""


class Peaks(NamedTuple):
    """Lines on an instrument: pseudo-Voigt profiles; an area of 0 pads.

    Attributes:
        angle: two-theta, degrees.
        area: the integrated intensity.
        width: the FWHM, degrees.
        lorentzian: the Lorentzian share of the area.
    """

    angle: Float[Array, " l"]
    area: Float[Array, " l"]
    width: Float[Array, " l"]
    lorentzian: Float[Array, " l"]


def radiation(
    name: str | float,
) -> tuple[Float[np.ndarray, " w"], Float[np.ndarray, " w"]]:
    """Return wavelengths (angstrom) and shares: the doublet of K-alpha, or else a single one.

    Raises:
        ValueError: the name is unknown, or the number is not a wavelength of X-rays.

    Example:
        >>> wavelengths, weights = radiation("CuKa")
        >>> wavelengths.round(4).tolist()
        [1.5406, 1.5444]
    """
    plain = radiation_name(name) if isinstance(name, str) else None
    if plain is not None and plain.endswith("Ka") and plain in RADIATIONS:
        return np.array([RADIATIONS[plain + "1"], RADIATIONS[plain + "2"]]), np.array(DOUBLET)
    return np.array([wavelength_in_angstrom(name)]), np.ones(1)


def powder_peaks(lines: Lines, instrument: Instrument, sample: Sample = PERFECT) -> Peaks:
    """Return the peak of each line for each component of the radiation.

    The area is |F|^2 exp(-B s^2 / 2) times the Lorentz-polarization factor times the share of the
    component; lines that a wavelength does not reach have the area 0. The angle is that of Bragg's
    law plus the zero shift and -2 (displacement) cos(theta) radians (International Tables H,
    section 2.1). The width is Caglioti's combined with the Lorentzian widths of size and strain by
    Thompson, Cox & Hastings.
    """
    s = jnp.repeat(lines.s, len(instrument.wavelengths))
    wavelength = jnp.tile(instrument.wavelengths, len(lines.s))
    share = jnp.tile(instrument.weights, len(lines.s))
    # In the primary beam and at backscattering the factors diverge.
    reached = (s > LEAST) & (s * wavelength / 2 < 1 - 8 * jnp.finfo(s.dtype).eps)
    angle = two_theta(jnp.where(reached, s, 1 / wavelength), wavelength)
    thermal = jnp.exp(-sample.b_factor * s**2 / 2)
    intensity = jnp.repeat(lines.intensity, len(instrument.wavelengths)) * share * thermal
    area = intensity * lorentz_polarization(angle, instrument.monochromator)
    shift = instrument.zero - jnp.degrees(2 * instrument.displacement) * jnp.cos(
        jnp.radians(angle) / 2
    )
    width, mixing = peak_shape(angle, wavelength, instrument, sample)
    return Peaks(angle + shift, jnp.where(reached, area, 0), width, mixing)


def peak_shape(
    angle: Float[Array, " l"],
    wavelength: Float[Array, " l"],
    instrument: Instrument,
    sample: Sample,
) -> tuple[Float[Array, " l"], Float[Array, " l"]]:
    """Return FWHM (degrees) and Lorentzian share of peaks at two-theta."""
    gaussian = caglioti(angle, instrument.u, instrument.v, instrument.w)
    lorentzian = scherrer(angle, wavelength, sample.size) + microstrain(angle, sample.strain)
    return thompson_cox_hastings(gaussian, lorentzian)
