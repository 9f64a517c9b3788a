"""Parsing of radiations and wavelengths in their usual spellings."""

import re
import unicodedata

HC = 12.398419843320026
"""Planck's constant times the speed of light, keV angstrom (exact in the SI of 2019)."""
SEPARATORS = re.compile(r"[\s_\-–—().]+")
NAME = re.compile(r"([a-z]{2})k([ab])(1[,+/&]?(?:k?a)?2|1[,+]3|\d)?(?:radiation|line|doublet)?")
VALUE = re.compile(
    r"(?:(?:(lambda|λ|wavelength)|(energy|e))\s*[=:]?\s*)?"
    r"(\d+(?:[.,]\d*)?(?:e[+-]?\d{1,2})?|[.,]\d+)(?:\(\d+\))?\s*([a-zåö]*)\.?"
)
LENGTHS = {"": 1.0, "a": 1.0, "å": 1.0, "nm": 10.0, "pm": 0.01, "m": 1e10}
ENERGIES = {"kev": 1.0, "ev": 1e-3, "mev": 1e3}
"""The units of energy in keV; `LENGTHS` holds the units of length in angstrom."""
ANGSTROM = re.compile(r"[aå]ng(str[oö]ms?|s)?")
NANOMETRE = re.compile(r"nanomet(er|re)s?")
LONGEST_BARE = 3.0
"""The wavelength, angstrom, from which on a number without a unit may be an energy in keV."""
MOST_BARE = 150.0
"""The largest such number; photons of more energy are of no use for powders."""


def radiation_name(written: str) -> str | None:
    """Return the standard name of a radiation, or None where the text is not a radiation.

    "CuKα", "Cu K-alpha" and "Cu Kα1,2" become "CuKa", "cu ka1" becomes "CuKa1", and "Cu Kβ" becomes
    "CuKb1".
    """
    plain = unicodedata.normalize("NFKC", written).lower()
    plain = plain.replace("α", "a").replace("β", "b").replace("alpha", "a").replace("beta", "b")
    match = NAME.fullmatch(SEPARATORS.sub("", plain))
    if not match:
        return None
    anode, line, number = match.groups()
    if line == "b":
        number = "1" if number in (None, "1,3", "1+3") else number
    return f"{anode.capitalize()}K{line}{number if number in ('1', '2', '3') else ''}"


def wavelength_of(written: str) -> float | None:
    """Return the wavelength, angstrom, from a number with or without a unit; None for other text.

    "1.5406 Å", "1,5406", "lambda = 5.4" and "0.15406 nm" are read as lengths, and "8.04 keV" as a
    photon energy.

    Raises:
        ValueError: a number has no unit, and is called an energy or may be one.
    """
    plain = unicodedata.normalize("NFKC", written).lower().strip()
    match = VALUE.fullmatch(plain)
    if not match:
        return None
    length, energy, number, unit = match.groups()
    value = float(number.replace(",", "."))
    if ANGSTROM.fullmatch(unit):
        unit = "å"
    if NANOMETRE.fullmatch(unit):
        unit = "nm"
    if not unit and energy:
        raise ValueError(f"{written.strip()!r} has no unit: give {value:g} keV, or the wavelength")
    if not unit and not length:
        check_unit(value)
    if unit in ENERGIES:
        return HC / (value * ENERGIES[unit]) if value > 0 else None
    return value * LENGTHS[unit] if unit in LENGTHS else None


def check_unit(value: float) -> None:
    """Raise ValueError where a wavelength without a unit may be an energy in keV."""
    if LONGEST_BARE <= value <= MOST_BARE:
        raise ValueError(
            f"wavelength {value:g} has no unit: give {value:g} keV, or {value:g} A for angstrom"
        )
