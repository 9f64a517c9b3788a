"""Names of samples in headings: none is skipped without a note, and none is an axis."""

import numpy as np
import pytest

from cmed_jax.io.pattern import load_pattern

TWO_THETA = np.array([21.3, 27.9, 38.6, 45.2, 51.7, 66.4])
FIRST = np.array([31, 100, 14, 55, 8, 23])
SECOND = np.array([97, 12, 45, 6, 77, 100])
D = 1.5406 / 2 / np.sin(np.radians(TWO_THETA / 2))
COLUMNS = {
    **{"2": TWO_THETA, "t": TWO_THETA / 2, "d": D, "q": 2 * np.pi / D, "i": FIRST, "o": SECOND},
    **{"x": TWO_THETA + 0.5, "y": D + 0.01, "1": np.full(6, 1), "-": np.full(6, "")},
}
"""Columns by a letter: i is the intensity, o another; x and y are two-theta and d of a model."""


@pytest.fixture
def read(tmp_path):
    def read(heading, *columns):
        separator = next((each for each in ",;\t" if each in heading), " ")
        rows = [separator.join(map(str, row)) for row in zip(*columns, strict=True)]
        path = tmp_path / "pattern.txt"
        path.write_text("\n".join([heading, *rows]) + "\n", encoding="utf-8")
        return load_pattern(path, 1.5406)

    return read


@pytest.mark.parametrize(
    "heading",
    [
        *("2theta,calcite,quartz", "2theta,Calcium carbonate,Gypsum", "2theta,calcium,zinc"),
        *("2theta;calcined_500C;raw", "2theta,FIT-1,MIL-53", "2theta transmission reflection"),
        *("2theta STO LSMO", "2theta,modelite A,halite", "2theta,normandite,halite"),
        *("2theta,cation chabazite,halite", "2theta,fondant,bgo", "2theta,Intensity A,Intensity B"),
        *("2theta,Intensity quartz,Intensity salt", "2theta,counts,calcite"),
        *("2theta,graphite,diamond", "2theta,sapphire,quartz", "2theta,beta-quartz,calcite"),
        *("2theta,sintered,raw", "2theta,pressed,loose", "2theta,graphite I,diamond I"),
        *("2theta,template,machine", "2theta,salt in a 1 mm tube,quartz", "2theta,d-alanine,salt"),
    ],
)
def test_the_first_sample_is_read_and_the_others_are_named(read, heading):
    found = read(heading, TWO_THETA, FIRST, SECOND)
    np.testing.assert_allclose(found.two_theta, TWO_THETA)
    np.testing.assert_allclose(found.intensity, FIRST)
    (note,) = found.notes
    assert "is read for the intensity, and 1 more, such as" in note


@pytest.mark.parametrize("heading", ["2theta,Omega,salt", "2theta,Temperature (K),salt"])
def test_an_axis_beside_two_theta_is_left_and_said(read, heading):
    found = read(heading, TWO_THETA, SECOND, FIRST)
    np.testing.assert_allclose(found.intensity, FIRST)
    assert found.notes[0].endswith("is taken for an axis, and is not read")


@pytest.mark.parametrize(
    "heading",
    [
        *("2theta,simulation,experiment", "2theta,Theory,Experiment", "2theta,I_sim,I_exp"),
        *("2theta,Simulated Intensity,Measured Intensity", "2theta,theoretical,observed"),
        *("2theta,Dark counts,Counts", "2theta,blank,sample", "2theta,empty capillary,sample"),
        *("2theta,Intensity smoothed,Intensity raw", "2theta,I (reference),I (measured)"),
    ],
)
def test_neither_a_simulation_nor_a_blank_is_the_measurement(read, heading):
    np.testing.assert_allclose(read(heading, TWO_THETA, SECOND, FIRST).intensity, FIRST)


@pytest.mark.parametrize(
    "line", ["Scan type: graphite monochromator", "Scan mode: continuous, phi rotation"]
)
def test_words_that_hold_the_name_of_an_axis_are_none(read, line):
    found = read(f"# {line}\n2theta,I", TWO_THETA, FIRST)
    np.testing.assert_allclose(found.intensity, FIRST)


@pytest.mark.parametrize("heading", ["2theta,Fit,halite", "2theta,model,raw", "2theta,diff,salt"])
def test_what_may_be_a_sample_beside_a_sample_is_named(read, heading):
    found = read(heading, TWO_THETA, SECOND, FIRST)
    np.testing.assert_allclose(found.intensity, FIRST)
    assert heading.split(",")[1].lower() in found.notes[0]


@pytest.mark.parametrize(
    "heading",
    [
        *("2theta,Yobs,Ycalc", "2theta,I_obs,I_calc", "2theta,Intensity,calc.", "2theta;int;bkg"),
        *("2theta,counts,background", "2theta,counts,difference", "2theta,height,area"),
        *("2theta,I,FWHM", "2theta,I,time (s)", "2theta,I,"),
    ],
)
def test_what_stands_beside_a_measured_intensity_needs_no_note(read, heading):
    found = read(heading, TWO_THETA, FIRST, np.full(6, 2.5))
    np.testing.assert_allclose(found.intensity, FIRST)
    assert not found.notes


@pytest.mark.parametrize(
    "heading", ["2Theta\tScan", "2theta\tSTO", "2Theta [deg]\tn", "Two-theta,step", "2θ;h-BN"]
)
def test_beside_two_theta_the_other_column_needs_no_note(read, heading):
    found = read(heading, TWO_THETA, FIRST)
    np.testing.assert_allclose(found.intensity, FIRST)
    assert not found.notes


@pytest.mark.parametrize(
    ("heading", "scale"),
    [
        ("Reciprocal lattice vector Q (1/A)", 1),
        ("reciprocal space vector q (nm^-1)", 10),
        ("Inverse length q [1/nm]", 10),
        ("wavevector q (1/A)", 1),
        ("q_mod (1/A)", 1),
    ],
)
def test_a_reciprocal_axis_that_names_q_is_converted(read, heading, scale):
    momentum = 4 * np.pi / 1.5406 * np.sin(np.radians(TWO_THETA / 2))
    found = read(f"{heading},Counts", np.round(momentum * scale, 7), FIRST)
    np.testing.assert_allclose(found.two_theta, TWO_THETA, rtol=1e-5)


def test_the_last_label_that_is_of_an_axis_counts(read):
    lines = "# x-axis: 2theta (deg)\n# x-axis: d-spacing (A)\n# Temperature (K)"
    spacing = 1.5406 / 2 / np.sin(np.radians(TWO_THETA / 2))
    found = read(lines, np.round(spacing, 7), FIRST)
    np.testing.assert_allclose(found.two_theta, TWO_THETA, rtol=1e-5)


def check(read, heading, letters):
    """Return the pattern of columns by their letters, of which the measured ones are read."""
    found = read(heading, *(COLUMNS[letter] for letter in letters))
    np.testing.assert_allclose(found.two_theta, TWO_THETA, rtol=1e-6)
    np.testing.assert_allclose(found.intensity, FIRST)
    return found


@pytest.mark.parametrize(
    ("heading", "letters"),
    [
        ("d (A) Intensity", "di"),
        ("I (%) d (A)", "id"),
        ("2theta (deg) theta (deg) I (cts)", "2ti"),
        ("2theta (deg) Icalc (cts) Iobs (cts)", "2oi"),
        ("2theta [deg] FWHM [deg] Height [cts]", "2oi"),
        ("Angle;Time per step;Counts;", "21i-"),
        ("2Theta,Theta,Counts,", "2ti-"),
        ("2theta,background,counts,", "2oi-"),
        (",2theta,theta,counts", "-2ti"),
        ("\t2theta\ttheta\tcounts", "-2ti"),
    ],
)
def test_neither_units_nor_separators_at_the_ends_are_columns(read, heading, letters):
    assert not check(read, heading, letters).notes


@pytest.mark.parametrize(
    "axis", ["Theta (deg)", "Energy (keV)", "Omega (deg)", "TOF (us)", "Time (s)", "Temp (K)"]
)
@pytest.mark.parametrize("intensity", ["Counts", "Detector", "I (cts)"])
def test_an_axis_with_its_unit_in_brackets_is_refused_by_name(read, axis, intensity):
    with pytest.raises(ValueError, match=f"(?i){axis.split()[0]}.*give two-theta.* not "):
        read(f"{axis} {intensity}", TWO_THETA, FIRST)


@pytest.mark.parametrize(
    ("heading", "letters"),
    [
        ("Imeas dmeas Icalc dcalc hkl", "idoy1"),
        ("Icalc dcalc Iobs dobs h k l", "oyid111"),
        ("h k l 2theta_calc 2theta_obs Iobs", "111x2i"),
        ("dexp dcalc I hkl", "dyi1"),
        ("hkl d(obs) d(calc) I/I0", "1dyi"),
        ("h k l 2theta mult I", "1112oi"),
        ("h k l 2theta mult Area", "1112oi"),
        ("h k l d |F| Intensity", "111doi"),
    ],
)
def test_of_the_columns_of_a_refinement_the_measured_ones_are_read(read, heading, letters):
    check(read, heading, letters)


@pytest.mark.parametrize("name", ["|F|", "F2", "Fobs", "Fc^2"])
def test_structure_factors_are_no_intensities(read, name):
    for position in ("d", "2theta", "2theta mult"):
        with pytest.raises(ValueError, match="give intensities, not structure factors"):
            check(read, f"h k l {position} {name}", f"111{position[0]}{'1' * ('m' in position)}i")


@pytest.mark.parametrize("heading", ["X,Y,E", "# X , Y , E", "x y e"])
def test_the_columns_of_mantid_are_known(read, heading):
    np.testing.assert_allclose(check(read, heading, "2io").sigma, SECOND)


@pytest.mark.parametrize(("more", "letters"), [("", "2iooo"), (',"Q"', "2ioooq")])
def test_the_columns_of_gsas_ii_are_known(read, more, letters):
    assert check(read, f'"x","y_obs","weight","y_calc","y_bkg"{more}', letters).sigma is None
