"""Peak shapes of a powder diffractometer: the width of a line, and the distribution of its area.

Angles and widths are in degrees of two-theta. Every width is a full width at half maximum (FWHM).
All functions are pure functions of arrays, with finite gradients below two-theta = 180 degrees.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.polynomial import Chebyshev

NARROWEST = 1e-3
"""The smallest Gaussian FWHM, degrees; no powder diffractometer resolves less."""
SCHERRER = 0.9
"""Scherrer's constant for the FWHM (Patterson, Phys. Rev. 56, 978, 1939)."""

Scalar = Float[Array, ""] | float


def caglioti(angle: Float[Array, "*l"], u: Scalar, v: Scalar, w: Scalar) -> Float[Array, "*l"]:
    """Return the instrument's Gaussian FWHM at two-theta, at least `NARROWEST`.

    FWHM^2 = U tan^2(theta) + V tan(theta) + W, with U, V, W in degrees^2 (Caglioti, Paoletti &
    Ricci, Nucl. Instrum. 3, 223, 1958).
    """
    tangent = jnp.tan(jnp.radians(angle) / 2)
    return jnp.sqrt(jnp.maximum((u * tangent + v) * tangent + w, NARROWEST**2))


def scherrer(
    angle: Float[Array, "*l"], wavelength: Float[Array, "*l"], size: Scalar
) -> Float[Array, "*l"]:
    """Return the Lorentzian FWHM of crystallites: K wavelength / (size cos(theta)).

    Size and wavelength are in angstrom. An infinite size does not broaden (Scherrer, 1918).
    """
    return jnp.degrees(SCHERRER * wavelength / size / jnp.cos(jnp.radians(angle) / 2))


def microstrain(angle: Float[Array, "*l"], strain: Scalar) -> Float[Array, "*l"]:
    """Return the Lorentzian FWHM of a spread in d: 4 (delta d / d) tan(theta) (Stokes & Wilson)."""
    return jnp.degrees(4 * strain * jnp.tan(jnp.radians(angle) / 2))


def thompson_cox_hastings(
    gaussian: Float[Array, "*l"], lorentzian: Float[Array, "*l"]
) -> tuple[Float[Array, "*l"], Float[Array, "*l"]]:
    """Return FWHM and Lorentzian share of the pseudo-Voigt that approximates a Voigt profile.

    The formulas are those of Thompson, Cox & Hastings, J. Appl. Cryst. 20, 79 (1987).

    Args:
        gaussian: FWHM of the Gaussian part, positive.
        lorentzian: FWHM of the Lorentzian part.
    """
    r = lorentzian / gaussian
    fifth = 1 + r * (2.69269 + r * (2.42843 + r * (4.47163 + r * (0.07842 + r))))
    width = fifth**0.2
    q = r / width
    return gaussian * width, q * (1.36603 + q * (-0.47719 + q * 0.11116))


def cumulative_pseudo_voigt(
    x: Float[Array, "*#l"], lorentzian_share: Float[Array, "*#l"] | float
) -> Float[Array, "..."]:
    """Return the share of a pseudo-Voigt's area below x, the distance from its centre in FWHM."""
    lorentzian = arctangent(2 * x) / jnp.pi
    gaussian = jax.scipy.special.erf(2 * np.sqrt(np.log(2)) * x) / 2
    return 0.5 + gaussian + lorentzian_share * (lorentzian - gaussian)


def height(width: Float[Array, "*l"], lorentzian_share: Float[Array, "*l"]) -> Float[Array, "*l"]:
    """Return the height of pseudo-Voigts of area 1, per unit of their FWHM."""
    lorentzian, gaussian = 2 / np.pi, 2 * np.sqrt(np.log(2) / np.pi)
    return (gaussian + lorentzian_share * (lorentzian - gaussian)) / width


def arctangent(x: Float[Array, "*l"]) -> Float[Array, "*l"]:
    """Return arctan(x) to rounding, from a polynomial.

    On a CPU, the arctangent of XLA takes 15 times as long.
    """
    outside = jnp.abs(x) > 1
    inside = jnp.where(outside, 1 / jnp.where(outside, x, 1), x)
    ratio = jnp.zeros_like(x)
    for coefficient in _ARCTANGENT:
        ratio = ratio * inside**2 + coefficient
    value = inside * ratio
    return jnp.where(outside, jnp.sign(x) * (np.pi / 2) - value, value)


def _arctangent_over_x() -> list[float]:
    """Return the coefficients of arctan(x) / x in x^2 on [0, 1], highest power first."""

    def ratio(square: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        return np.arctan(np.sqrt(square)) / np.sqrt(square)

    series = Chebyshev.interpolate(ratio, 20, domain=[0, 1])
    return series.convert(kind=np.polynomial.Polynomial).coef[::-1].tolist()


_ARCTANGENT = _arctangent_over_x()
