"""Angles, the Lorentz-polarization factor, and sticks on the published grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pymatgen.analysis.diffraction.xrd import WAVELENGTHS, XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.patterns import (
    MO_K_ALPHA,
    RADIATIONS,
    lorentz_polarization,
    powder_lines,
    published_pattern,
    s_of_two_theta,
    stick_pattern,
    two_theta,
    wavelength_in_angstrom,
)
from cmed_jax.physics.reflections import reflections


def test_wavelengths_are_those_of_international_tables():
    """The wavelengths are those of volume C (2006), table 4.2.2.6, in angstrom.

    They agree to its standard uncertainties.
    """
    assert RADIATIONS["CuKa1"] == pytest.approx(1.54059292, abs=4.5e-7)
    assert RADIATIONS["MoKa1"] == pytest.approx(0.70931713, abs=4.1e-7)


@pytest.mark.parametrize("name", RADIATIONS)
def test_wavelengths_are_those_of_pymatgen_but_for_the_unit(name):
    """The values of pymatgen are rounded to 1e-5, in the older unit for some anodes.

    Its Co K-beta is a misprint; the right value is 1.62079.
    """
    theirs = {**WAVELENGTHS, "CoKb1": 1.62079}[name]
    assert RADIATIONS[name] == pytest.approx(theirs, abs=5e-6, rel=2.5e-5)


@pytest.mark.parametrize("anode", ["Cu", "Mo", "Cr", "Fe", "Co", "Ag"])
def test_the_mean_of_a_doublet_is_weighted_two_to_one(anode):
    first, second = RADIATIONS[f"{anode}Ka1"], RADIATIONS[f"{anode}Ka2"]
    assert RADIATIONS[f"{anode}Ka"] == pytest.approx((2 * first + second) / 3, abs=6e-8)


@pytest.mark.parametrize("wavelength", [1.5406, "1.5406", 0.05, 2.9])
def test_a_wavelength_may_be_a_number(wavelength):
    assert wavelength_in_angstrom(wavelength) == float(wavelength)


@pytest.mark.parametrize(
    ("wavelength", "message"),
    [
        ("CuK", "unknown radiation 'CuK': give angstroms or one of CuKa,"),
        (154.06, "wavelength 154.06 is not"),  # picometres
        (0.0, "wavelength 0.0 is not"),
        (-1.5, "wavelength -1.5 is not"),
        (np.nan, "wavelength nan is not"),
        ("inf", "wavelength inf is not"),
    ],
)
def test_what_is_no_wavelength_is_refused(wavelength, message):
    with pytest.raises(ValueError, match=message):
        wavelength_in_angstrom(wavelength)


def test_angles_follow_braggs_law():
    d = np.array([2.0, 1.0, 0.5])  # 2 d sin(theta) = wavelength
    np.testing.assert_allclose(two_theta(1 / d, 1.0), [28.95502437, 60.0, 180.0], rtol=1e-9)


def test_angle_and_s_are_inverse():
    angle = np.linspace(0, 180, 361)
    np.testing.assert_allclose(two_theta(s_of_two_theta(angle, 1.54), 1.54), angle, atol=1e-5)


def test_what_a_wavelength_does_not_reach_has_no_angle():
    assert np.isnan(two_theta(np.array([1.3]), 1.54)).all()


def test_lorentz_polarization_at_known_angles():
    # theta = 30: (1 + 1/4) / (1/4 * sqrt(3)/2); theta = 45: 1 / (1/2 * sqrt(1/2))
    expected = [10 / 3**0.5, 8**0.5]
    np.testing.assert_allclose(lorentz_polarization(np.array([60.0, 90.0])), expected)


def test_lines_beyond_reach_and_straight_back_are_left_out():
    wavelength = 0.8
    table = np.array([[0.5, 3.0], [1.0, 2.0], [2 / wavelength, 1e9], [2.6, 1e9]])
    angle, intensity = powder_lines(table, wavelength)
    assert len(angle) == 2
    assert intensity.max() == 1
    assert np.isfinite(intensity).all()


def test_no_lines_give_an_empty_pattern():
    angle, intensity = powder_lines(np.zeros((0, 2)), MO_K_ALPHA)
    assert angle.shape == intensity.shape == (0,)
    assert not published_pattern(np.zeros((0, 2))).any()


def test_the_published_pattern_is_that_of_pymatgen(crystal):
    structure = Structure(Lattice(crystal.lattice), crystal.numbers.tolist(), crystal.frac_coords)
    theirs = XRDCalculator(MO_K_ALPHA).get_pattern(structure, two_theta_range=(0, 180))
    expected = [0.0] * 1024
    for angle, intensity in zip(theirs.x, theirs.y, strict=True):
        index = int(1024 * angle / 180)
        expected[index] = max(expected[index], intensity / 100)
    lines = reflections(Crystal.of(*crystal), wavelength=MO_K_ALPHA, table="pymatgen")
    pattern = published_pattern(lines)
    assert pattern.dtype == np.float32
    assert pattern.max() == 1
    np.testing.assert_allclose(pattern, expected, atol=1e-5)


def test_the_strongest_of_a_bin_counts_and_180_degrees_is_in_the_last():
    bin_width = 180 / 1024
    angle = np.array([0.0, 10.1, 10.2, 10.3, 11.0, 180.0]) * bin_width
    angle[-1] = 180.0
    pattern = stick_pattern(angle, np.array([1.0, 2.0, 4.0, 3.0, 1.0, 8.0]))
    assert np.flatnonzero(pattern).tolist() == [0, 10, 11, 1023]
    assert pattern[[0, 10, 11, 1023]].tolist() == [0.125, 0.5, 0.125, 1.0]


angles = arrays(float, 5, elements=st.floats(0, 180))
heights = arrays(float, 5, elements=st.floats(0, 1e12, allow_subnormal=False))


@given(angles, heights)
def test_a_stick_pattern_is_scaled_to_its_strongest(angle, intensity):
    pattern = stick_pattern(angle, intensity)
    assert np.isfinite(pattern).all()
    assert pattern.min() == 0
    assert pattern.max() == (1 if intensity.any() else 0)


@pytest.mark.parametrize("bad", [-0.1, 180.1, np.nan, np.inf])
def test_sticks_off_the_grid_are_refused(bad):
    with pytest.raises(ValueError, match="two-theta goes from"):
        stick_pattern(np.array([10.0, bad]), np.ones(2))


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_sticks_of_no_intensity_are_refused(bad):
    with pytest.raises(ValueError, match="intensities go from"):
        stick_pattern(np.array([10.0, 20.0]), np.array([1.0, bad]))
