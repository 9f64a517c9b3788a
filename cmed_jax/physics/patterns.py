"""Powder patterns from lines: two-theta, Lorentz-polarization factor, sticks on a grid.

Angles in degrees, wavelengths in angstrom, s = 1/d = 2 sin(theta) / wavelength in 1/angstrom.
"""

from typing import TypeVar

import numpy as np
from jaxtyping import Array, Float

from cmed_jax.physics.radiations import check_unit, radiation_name, wavelength_of

Angles = TypeVar("Angles", Float[np.ndarray, "*m"], Float[Array, "*m"])
"""Angles as arrays of NumPy or of JAX; results are of the same kind."""
Wavelength = Float[np.ndarray | Array, "*n"] | float

MO_K_ALPHA = 0.71073
"""The wavelength of the patterns of records, angstrom: pymatgen's value of Mo K-alpha."""
BINS = 1024
"""The number of bins of the published pattern, over two-theta from 0 to 180 degrees."""
RADIATIONS = {
    "CuKa": 1.5418711, "CuKa1": 1.5405929, "CuKa2": 1.5444274, "CuKb1": 1.392234,
    "MoKa": 0.7107471, "MoKa1": 0.7093172, "MoKa2": 0.713607, "MoKb1": 0.632303,
    "CrKa": 2.2910343, "CrKa1": 2.289726, "CrKa2": 2.293651, "CrKb1": 2.084881,
    "FeKa": 1.9373517, "FeKa1": 1.936041, "FeKa2": 1.939973, "FeKb1": 1.756604,
    "CoKa": 1.7902757, "CoKa1": 1.788996, "CoKa2": 1.792835, "CoKb1": 1.620826,
    "AgKa": 0.5608856, "AgKa1": 0.5594218, "AgKa2": 0.5638131, "AgKb1": 0.4970817,
}  # fmt: skip
"""The wavelengths of the usual anodes in angstrom (Deslattes et al., International Tables C, 2006,
section 4.2.2); "Ka" is the mean of K-alpha 1 and 2, weighted 2:1.

Older tables, and pymatgen's values of copper and molybdenum, are in Bearden's unit of 1967, the
angstrom-star, which is longer by 2e-5. Cells measured with them are too small by this share.
"""


def wavelength_in_angstrom(wavelength: str | float) -> float:
    """Return the wavelength (angstrom) from the name of a radiation, such as "CuKa", or a number.

    Names and numbers with units are accepted in their usual spellings
    (`cmed_jax.physics.radiations`).

    Raises:
        ValueError: the name is unknown, or the number is not a wavelength of X-rays, or may be an
            energy.
    """
    value: float | None
    if isinstance(wavelength, str):
        if (name := radiation_name(wavelength)) in RADIATIONS:
            return RADIATIONS[name]
        value = wavelength_of(wavelength) or _plain_number(wavelength)
    else:
        value = float(wavelength)
        check_unit(value)
    if value is None:
        raise ValueError(
            f"unknown radiation {wavelength!r:.40}: give angstroms or one of "
            f"{', '.join(RADIATIONS)}, or a number with its unit, such as 0.15406 nm or 8.05 keV"
        )
    if not 0.05 <= value <= 10:  # also false for NaN
        raise ValueError(f"wavelength {value} is not one of X-rays: give angstroms, 0.05 to 10")
    return value


def _plain_number(written: str) -> float | None:
    """Return a number that is not a wavelength, such as "-1", for an error with its value."""
    try:
        return float(written)
    except ValueError:
        return None


def two_theta(s: Angles, wavelength: Wavelength) -> Angles:
    """Return the scattering angle 2 arcsin(s wavelength / 2), degrees; NaN out of reach."""
    xp = s.__array_namespace__()
    sine = s * wavelength / 2
    return 2 * xp.rad2deg(xp.asin(xp.where(xp.abs(sine) <= 1, sine, xp.nan)))


def s_of_two_theta(angle: Angles, wavelength: Wavelength) -> Angles:
    """Return s = 2 sin(theta) / wavelength, 1/angstrom, from two-theta in degrees."""
    xp = angle.__array_namespace__()
    return 2 * xp.sin(xp.deg2rad(angle) / 2) / wavelength


def lorentz_polarization(angle: Angles, monochromator: Wavelength = 0.0) -> Angles:
    """Return (1 + A cos^2 2theta) / (sin^2 theta cos theta) at two-theta in degrees.

    This is the factor of a powder (International Tables C, section 6.2.5, up to a constant). It
    diverges at 0 and 180 degrees.

    Args:
        angle: two-theta, degrees.
        monochromator: two-theta of the reflection of the monochromator; A is its cos^2. 0 is an
            unpolarised beam without monochromator, 90 the beam of a synchrotron, diffracted across
            its polarisation.
    """
    xp = angle.__array_namespace__()
    return lorentz_polarization_of_sine(xp.sin(xp.deg2rad(angle) / 2), monochromator)


def lorentz_polarization_of_sine(sine: Angles, monochromator: Wavelength = 0.0) -> Angles:
    """Return `lorentz_polarization` from sin(theta)."""
    xp = sine.__array_namespace__()
    polarised = xp.cos(xp.deg2rad(xp.asarray(monochromator))) ** 2
    return (1 + polarised * (1 - 2 * sine**2) ** 2) / (sine**2 * xp.sqrt(1 - sine**2))


def powder_lines(
    reflections: Float[np.ndarray, "m 2"], wavelength: float, monochromator: float = 0.0
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Return two-theta (degrees) and intensity, strongest 1, of lines in reach of a wavelength.

    The arrays are empty where it reaches none.

    Args:
        reflections: columns s (1/angstrom) and |F|^2 with multiplicity.
        wavelength: the wavelength, angstrom.
        monochromator: two-theta of its reflection, as in `lorentz_polarization`.
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

    The strongest of several lines in a bin counts, as in the publication. An angle of exactly 180
    degrees belongs to the last bin. Without sticks, or with sticks of zero only, the pattern is
    zero.

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
    """Return the pattern of a record: sticks of Mo K-alpha as in CrystalNet.

    Guo et al., npj Computational Materials 2024, doi:10.1038/s41524-024-01401-8.
    """
    return stick_pattern(*powder_lines(reflections, MO_K_ALPHA))
