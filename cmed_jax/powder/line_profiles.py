"""The profiles of lines: pseudo-Voigt functions for each component of the radiation."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.io.formats.scan import Radiation
from cmed_jax.physics.patterns import s_of_two_theta, two_theta

CHUNK = 2_000_000
"""The number of points of profiles that are computed at once, which limits the memory."""

Column = Float[np.ndarray, " n"]


class FittedLines(NamedTuple):
    """Fitted lines: two-theta and FWHM in degrees, and areas in intensity times degrees.

    `lorentzian` is the Lorentzian share of the area of each line.
    """

    angle: Float[np.ndarray, " k"]
    area: Float[np.ndarray, " k"]
    width: Float[np.ndarray, " k"]
    lorentzian: Float[np.ndarray, " k"]

    def at(self, lines: Integer[np.ndarray, " m"]) -> "FittedLines":
        """Return the lines at some indices."""
        return FittedLines(*(column[lines] for column in self))


def profile(angle: Column, lines: FittedLines, radiation: Radiation) -> Column:
    """Return the sum of the profiles of lines, in the unit of their areas per degree."""
    return profiles(angle, lines, radiation, lines.area[None])[0]


def profiles(
    angle: Column, lines: FittedLines, radiation: Radiation, areas: Float[np.ndarray, "b k"]
) -> Float[np.ndarray, "b n"]:
    """Return the sums of the profiles of lines for rows of areas, each in their unit per degree.

    Args:
        angle: the two-theta of the points, degrees.
        lines: the lines; their own areas are not used.
        radiation: the radiation.
        areas: the areas of the lines, one row for each sum.
    """
    total = np.zeros((len(areas), len(angle)))
    step = max(CHUNK // max(len(angle), 1), 1)
    for start in range(0, areas.shape[1], step):
        some = np.arange(start, min(start + step, areas.shape[1]))
        total += areas[:, some] @ shapes(angle, lines.at(some), radiation)
    return total


def shapes(angle: Column, lines: FittedLines, radiation: Radiation) -> Float[np.ndarray, "k n"]:
    """Return the profile of each line, with area 1, summed over the components of the radiation."""
    s = s_of_two_theta(lines.angle, radiation.mean)
    total = np.zeros((len(s), len(angle)))
    for wavelength, weight in zip(radiation.wavelengths, radiation.weights, strict=True):
        x = (angle - two_theta(s, wavelength)[:, None]) / lines.width[:, None]
        total += weight * pseudo_voigt(x, lines.lorentzian) / lines.width[:, None]
    return total


def pseudo_voigt(
    x: Float[np.ndarray, "k n"], lorentzian: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "k n"]:
    """Return pseudo-Voigt functions of area 1 at x, where x is in units of the FWHM."""
    gaussian = _gaussian(x)
    return gaussian + lorentzian[:, None] * (_lorentzian(x) - gaussian)


class Slopes(NamedTuple):
    """The derivatives of the profile of each line with area 1, one row for each line.

    Attributes:
        angle: by its angle, for the mean wavelength, 1/degree.
        width: by the logarithm of its width.
        lorentzian: by its Lorentzian share.
    """

    angle: Float[np.ndarray, "k n"]
    width: Float[np.ndarray, "k n"]
    lorentzian: Float[np.ndarray, "k n"]


def slopes(angle: Column, lines: FittedLines, radiation: Radiation) -> Slopes:
    """Return the derivatives of `shapes`."""
    s = s_of_two_theta(lines.angle, radiation.mean)
    cosine = np.cos(np.radians(lines.angle) / 2)
    width, share = lines.width[:, None], lines.lorentzian[:, None]
    total = np.zeros((3, len(s), len(angle)))
    for wavelength, weight in zip(radiation.wavelengths, radiation.weights, strict=True):
        centre = two_theta(s, wavelength)
        moved = wavelength / radiation.mean * cosine / np.cos(np.radians(centre) / 2)
        x = (angle - centre[:, None]) / width
        gaussian, lorentzian = _gaussian(x), _lorentzian(x)
        of_gaussian = -8 * np.log(2) * x * gaussian
        of_lorentzian = -4 * np.pi * x * lorentzian**2
        of_x = of_gaussian + share * (of_lorentzian - of_gaussian)
        both = gaussian + share * (lorentzian - gaussian)
        total += weight * np.stack(
            [-of_x * moved[:, None] / width, -of_x * x - both, lorentzian - gaussian]
        )
    return Slopes(*(total / width))


def _gaussian(x: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n"]:
    """Return the Gaussian of area 1 and FWHM 1."""
    return 2 * np.sqrt(np.log(2) / np.pi) * np.exp(-4 * np.log(2) * x**2)


def _lorentzian(x: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n"]:
    """Return the Lorentzian of area 1 and FWHM 1."""
    return 2 / np.pi / (1 + 4 * x**2)
