"""Powder patterns from powder lines: two-theta, Lorentz-polarization factor, sticks on a grid.

Angles in degrees, wavelengths in angstrom, s = 1/d = 2 sin(theta) / wavelength in 1/angstrom.
"""

from typing import TypeVar

import numpy as np
from jaxtyping import Array, Float

from cmed_jax.physics.radiations import radiation_name, wavelength_of

Angles = TypeVar("Angles", Float[np.ndarray, "*m"], Float[Array, "*m"])
"""Of NumPy or of JAX: what comes out is of the kind that went in."""
Wavelength = Float[np.ndarray | Array, "*n"] | float

MO_K_ALPHA = 0.71073
"""The radiation of every record's pattern, angstrom: Mo K-alpha as pymatgen has it."""
BINS = 1024
"""Bins of the published pattern, over two-theta from 0 to 180 degrees."""
RADIATIONS = {
    "CuKa": 1.5418711, "CuKa1": 1.5405929, "CuKa2": 1.5444274, "CuKb1": 1.392234,
    "MoKa": 0.7107471, "MoKa1": 0.7093172, "MoKa2": 0.713607, "MoKb1": 0.632303,
    "CrKa": 2.2910343, "CrKa1": 2.289726, "CrKa2": 2.293651, "CrKb1": 2.084881,
    "FeKa": 1.9373517, "FeKa1": 1.936041, "FeKa2": 1.939973, "FeKb1": 1.756604,
    "CoKa": 1.7902757, "CoKa1": 1.788996, "CoKa2": 1.792835, "CoKb1": 1.620826,
    "AgKa": 0.5608856, "AgKa1": 0.5594218, "AgKa2": 0.5638131, "AgKb1": 0.4970817,
}  # fmt: skip
"""Wavelengths of the usual anodes in angstrom (Deslattes et al., International Tables C, 2006,
section 4.2.2); "Ka" is the mean of K-alpha 1 and 2, weighted 2:1.

Older tables, and pymatgen's of copper and molybdenum, are in Bearden's unit of 1967, the
angstrom-star, which is longer by 2e-5: cells measured with its numbers are as much too small.
"""


def wavelength_in_angstrom(wavelength: str | float) -> float:
    """Return the wavelength (angstrom) of a radiation's name, such as "CuKa", or of a number.

    Names and numbers with units may be written as people do (`cmed_jax.physics.radiations`).

    Raises:
        ValueError: the name is unknown, or the number is not a wavelength of X-rays.
    """
    value: float | None
    if isinstance(wavelength, str):
        if (name := radiation_name(wavelength)) in RADIATIONS:
            return RADIATIONS[name]
        value = wavelength_of(wavelength) or _plain_number(wavelength)
    else:
        value = float(wavelength)
    if value is None:
        raise ValueError(
            f"unknown radiation {wavelength!r}: give angstroms or one of {', '.join(RADIATIONS)}, "
            "or a number with its unit, such as 0.15406 nm or 8.05 keV"
        )
    if not 0.05 <= value <= 10:  # also false for NaN
        raise ValueError(f"wavelength {value} is not one of X-rays: give angstroms, 0.05 to 10")
    return value


def _plain_number(written: str) -> float | None:
    """Return a number that is no wavelength, such as "-1", to be refused by its value."""
    try:
        return float(written)
    except ValueError:
        return None


def two_theta(s: Angles, wavelength: Wavelength) -> Angles:
    """Return the scattering angle 2 arcsin(s wavelength / 2), degrees; NaN where there is none."""
    xp = s.__array_namespace__()
    sine = s * wavelength / 2
    return 2 * xp.rad2deg(xp.asin(xp.where(xp.abs(sine) <= 1, sine, xp.nan)))


def s_of_two_theta(angle: Angles, wavelength: Wavelength) -> Angles:
    """Return s = 2 sin(theta) / wavelength, 1/angstrom, of angles in degrees."""
    xp = angle.__array_namespace__()
    return 2 * xp.sin(xp.deg2rad(angle) / 2) / wavelength


def lorentz_polarization(angle: Angles, monochromator: Wavelength = 0.0) -> Angles:
    """Return (1 + A cos^2 2theta) / (sin^2 theta cos theta) at two-theta in degrees.

    The factor of a powder (International Tables C, section 6.2.5, up to a constant). It diverges at
    0 and 180 degrees.

    Args:
        angle: two-theta.
        monochromator: two-theta of its reflection, by which A = cos^2: 0 is an unpolarised beam
            without monochromator, 90 the beam of a synchrotron, diffracted across its polarisation.
    """
    xp = angle.__array_namespace__()
    return lorentz_polarization_of_sine(xp.sin(xp.deg2rad(angle) / 2), monochromator)


def lorentz_polarization_of_sine(sine: Angles, monochromator: Wavelength = 0.0) -> Angles:
    """Return `lorentz_polarization` at sin(theta), where that is known already."""
    xp = sine.__array_namespace__()
    polarised = xp.cos(xp.deg2rad(xp.asarray(monochromator))) ** 2
    return (1 + polarised * (1 - 2 * sine**2) ** 2) / (sine**2 * xp.sqrt(1 - sine**2))


def powder_lines(
    reflections: Float[np.ndarray, "m 2"], wavelength: float, monochromator: float = 0.0
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Return two-theta (degrees) and intensity, strongest 1, of the lines a wavelength reaches.

    Empty where it reaches none.

    Args:
        reflections: columns s (1/angstrom) and |F|^2 with multiplicity.
        wavelength: angstrom.
        monochromator: as in `lorentz_polarization`.
    """
    # Backscattering is left out: the Lorentz factor is infinite at 180 degrees.
    reached = reflections[reflections[:, 0] * wavelength < 2 * (1 - 1e-12)]
    angle = two_theta(reached[:, 0], wavelength)
    intensity = reached[:, 1] * lorentz_polarization(angle, monochromator)
    return angle, intensity / intensity.max(initial=np.finfo(float).tiny)


def stick_pattern(
    angle: Float[np.ndarray, " m"], intensity: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "1024"]:
    """Return sticks on the published grid: 1,024 bins of two-theta 0-180, strongest 1, float32.

    Of several lines in a bin the strongest counts, as published. An angle of exactly 180 degrees
    belongs to the last bin. No sticks, or only sticks of zero, leave the pattern zero.

    Raises:
        ValueError: an angle is not within 0 to 180, or an intensity is negative or not finite.
    """
    if not np.all((angle >= 0) & (angle <= 180)):  # also false for NaN
        span = f"{angle.min()} to {angle.max()}"
        raise ValueError(f"two-theta goes from {span} degrees: give 0 to 180")
    if not np.all((intensity >= 0) & (intensity < np.inf)):
        span = f"{intensity.min()} to {intensity.max()}"
        raise ValueError(f"intensities go from {span}: give finite numbers, 0 or more")
    bins = np.minimum((BINS * angle / 180).astype(int), BINS - 1)
    pattern = np.zeros(BINS)
    np.maximum.at(pattern, bins, intensity)
    return (pattern / pattern.max(initial=np.finfo(float).tiny)).astype(np.float32)


def published_pattern(reflections: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, "1024"]:
    """Return the pattern of a record: Mo K-alpha sticks as CrystalNet has them.

    Guo et al., npj Computational Materials 2024, doi:10.1038/s41524-024-01401-8.
    """
    return stick_pattern(*powder_lines(reflections, MO_K_ALPHA))
