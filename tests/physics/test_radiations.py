"""Radiations and wavelengths as people write them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmed_jax.physics.instrument import radiation
from cmed_jax.physics.patterns import RADIATIONS, wavelength_in_angstrom
from cmed_jax.physics.radiations import radiation_name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("CuKα", "CuKa"),
        ("CuKalpha", "CuKa"),
        ("Cu Kα", "CuKa"),
        ("Cu K-alpha", "CuKa"),
        ("Cu-Kα", "CuKa"),
        ("cu ka", "CuKa"),
        ("CU KA", "CuKa"),
        ("Cu Kα1,2", "CuKa"),
        ("CuKa1+2", "CuKa"),
        ("CuKa12", "CuKa"),
        ("Cu Kα1+Kα2", "CuKa"),
        ("Cu Kα1 / Kα2", "CuKa"),
        ("Cu K_alpha radiation", "CuKa"),
        ("Cu Ka1", "CuKa1"),
        ("CuKα1", "CuKa1"),
        ("Cu Kα₁", "CuKa1"),
        ("Cu K(alpha1)", "CuKa1"),
        ("Cu Kα₂", "CuKa2"),
        ("CuKβ", "CuKb1"),
        ("Cu Kbeta", "CuKb1"),
        ("Cu Kβ1,3", "CuKb1"),
        ("Mo Kα", "MoKa"),
        ("ＣｕＫα", "CuKa"),
        ("cokalpha", "CoKa"),
    ],
)
def test_every_spelling_is_of_one_radiation(written, name):
    assert radiation_name(written) == name
    for found, expected in zip(radiation(written), radiation(name), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", RADIATIONS)
def test_names_are_their_own_spelling(name):
    assert radiation_name(name) == name


@pytest.mark.parametrize(
    "written",
    [
        "1.5406",
        "1,5406",
        "1.5406 \u212b",
        "1.5406 \u00c5",
        "1.5406Å",
        "1,5406 Å",
        "1.5406 A",
        "1.5406 angstrom",
        "1.5406 Angstroms",
        "1.5406 Ångström",
        "0.15406 nm",
        "0,15406nm",
        "0.15406 nanometers",
        "154.06 pm",
        "1.5406(2) Å",
        "1.5406e-10 m",
        "λ = 1.5406 Å",
        "lambda=1.5406",
        "Wavelength: 1.5406 A",
        1.5406,
    ],
)
def test_lengths_are_angstroms(written):
    assert wavelength_in_angstrom(written) == pytest.approx(1.5406, rel=1e-12)


@given(energy=st.floats(2, 200), unit=st.sampled_from(["keV", " keV", "kev", " KeV"]))
def test_energies_are_wavelengths(energy, unit):
    """12.398 keV angstrom, as International Tables C gives it, section 4.2.1."""
    found = wavelength_in_angstrom(f"{energy!r}{unit}")
    assert found * energy == pytest.approx(12.39842, rel=1e-6)
    assert wavelength_in_angstrom(f"{1000 * energy!r} eV") == pytest.approx(found)


@pytest.mark.parametrize("written", ["Cu", "CuK", "Ka", "12 K", "1.54 foo", "", "0 keV", "Cu L3"])
def test_what_is_no_radiation_is_refused_by_its_spelling(written):
    with pytest.raises(ValueError, match=f"unknown radiation {written!r}: give angstroms or one"):
        radiation(written)


@pytest.mark.parametrize("written", ["-1", "nan", "154.06", "15 nm", "0.1 keV", "1e3 keV"])
def test_what_is_no_wavelength_of_x_rays_is_refused(written):
    with pytest.raises(ValueError, match="is not one of X-rays"):
        radiation(written)


@given(st.text(max_size=20))
def test_any_text_is_a_wavelength_or_a_sentence(written):
    found = wavelength_or_sentence(written)
    assert "\n" not in found if isinstance(found, str) else 0.05 <= found <= 10


def wavelength_or_sentence(written):
    try:
        return wavelength_in_angstrom(written)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("written", ["8.04", "8", " 5,9 ", "12.4", "17.45", "80"])
def test_a_number_that_may_be_an_energy_needs_a_unit(written):
    with pytest.raises(ValueError, match=r"has no unit: give .* keV, or .* A for angstrom"):
        wavelength_in_angstrom(written)
    assert wavelength_in_angstrom(f"{written} keV") == pytest.approx(
        12.39842 / float(written.replace(",", ".")), rel=1e-6
    )


def test_a_long_wavelength_is_read_with_its_unit():
    assert wavelength_in_angstrom("8.04 A") == 8.04


def test_a_bare_number_may_be_an_energy_as_its_text_may():
    with pytest.raises(ValueError, match=r"wavelength 8.04 has no unit: give 8.04 keV, or 8.04 A"):
        wavelength_in_angstrom(8.04)


@pytest.mark.parametrize("written", ["lambda=5.4", "wavelength 5.4", "\u03bb: 5,4", "Lambda 5.4"])
def test_what_is_called_a_length_needs_no_unit(written):
    assert wavelength_in_angstrom(written) == 5.4


@pytest.mark.parametrize("written", ["energy=1.5", "E = 2.5", "Energy: 17,4", "e8.04"])
def test_what_is_called_an_energy_needs_its_unit(written):
    with pytest.raises(ValueError, match=r"has no unit: give [\d.]+ keV, or the wavelength"):
        wavelength_in_angstrom(written)
    found = wavelength_in_angstrom(f"{written} keV")
    assert 12.39842 / found == pytest.approx(float(written.strip("Energy=: ").replace(",", ".")))
