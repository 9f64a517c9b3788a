"""Which column is which: intensities beside monitors, lists without headings, headers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmed_jax.io.pattern import load_pattern

WAVELENGTH = 1.5406
D = np.array([3.256, 2.82, 1.994, 1.7006, 1.628, 1.41, 1.2939])
TWO_THETA = 2 * np.degrees(np.arcsin(WAVELENGTH / 2 / D))
INTENSITY = np.array([8.5, 100.0, 66.0, 2.4, 20.0, 8.0, 1.1])
INDICES = np.array(["1 1 1", "2 0 0", "2 2 0", "3 1 1", "2 2 2", "4 0 0", "3 3 1"])
OTHER = np.array([1006, 1003, 1001, 1000, 1004, 1002, 1005])
"""Numbers of a monitor or of a model, whose largest is elsewhere."""


@pytest.fixture
def read(tmp_path):
    def read(text, name="pattern.txt", wavelength=WAVELENGTH):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return load_pattern(path, wavelength)

    return read


def table(*columns, heading="", separator=" "):
    rows = [separator.join(map(str, row)) for row in zip(*columns, strict=True)]
    return "\n".join([*([heading] if heading else []), *rows]) + "\n"


@pytest.mark.parametrize(
    "heading",
    [
        *(
            "tth,mon,det",
            "tth,I0,I1",
            "2theta,Monitor counts,Detector counts",
            "tth,Ion chamber,Det",
        ),
        *("2theta,Bkg. counts,Net counts", "2theta,Background,Data", "2theta,Fit,Data"),
        *("2theta,calculated intensity,observed intensity", "2theta,I(calc),I(obs)"),
        *("2theta,Y calc,Y obs", "2theta,Integral breadth,Area", "2theta,Signal to noise,Height"),
        *("2theta,Norm. counts,Cts", "2theta,sqrt(I),I", "2theta,Monitor,Absorption,Counts"),
    ],
)
def test_the_intensity_is_measured_and_of_the_sample(read, heading):
    columns = [TWO_THETA, *(heading.count(",") - 1) * [OTHER], INTENSITY]
    found = read(table(*columns, heading=heading, separator=","))
    np.testing.assert_allclose(found.intensity, INTENSITY)
    assert bool(found.notes) == any(x in heading for x in ("Mon", "mon", "Ion", "I0", "Fit"))


def test_a_calculated_pattern_alone_is_read(read):
    found = read(table(TWO_THETA, INTENSITY, heading="2theta,Calc. intensity", separator=","))
    np.testing.assert_allclose(found.intensity, INTENSITY)


def test_an_integration_time_is_a_counting_time(read):
    heading = "2theta,Integration time (s),Counts"
    times = np.array([4, 1, 1, 1, 2, 2, 4])
    found = read(table(TWO_THETA, times, INTENSITY * times, heading=heading, separator=","))
    np.testing.assert_allclose(found.intensity, 2 * INTENSITY)


@pytest.mark.parametrize(
    "heading",
    ["Intensity (log)", "Counts^0.5", "Square root of counts", "√I", "Intensity dB", "I^(1/2)"],
)
def test_functions_of_the_intensity_are_refused_however_written(read, heading):
    with pytest.raises(ValueError, match="give the intensities themselves"):
        read(table(TWO_THETA, INTENSITY, heading=f"2theta,{heading}", separator=","))


@pytest.mark.parametrize(
    "heading", ["2theta,sample A,sample B", "2theta,300 K,400 K", "2theta,I,2theta,I"]
)
def test_of_several_samples_the_first_is_read_and_it_is_said(read, heading):
    columns = [TWO_THETA, INTENSITY, TWO_THETA, OTHER] if "I,2" in heading else None
    found = read(table(*(columns or [TWO_THETA, INTENSITY, OTHER]), heading=heading, separator=","))
    np.testing.assert_allclose(found.intensity, INTENSITY)
    assert "is read for the intensity, and 1 more, such as" in found.notes[0]


def test_the_error_of_an_angle_is_none_of_the_intensity(read):
    heading = "2theta,2theta error,Intensity"
    found = read(table(TWO_THETA, 0 * D + 0.01, INTENSITY, heading=heading, separator=","))
    assert found.sigma is None
    found = read(table(TWO_THETA, INTENSITY, heading="2theta error,Intensity", separator=","))
    assert "is taken for two-theta" in found.notes[0]


ORDERS = {
    "two-theta, d, I": (TWO_THETA, D, INTENSITY),
    "d, two-theta, I": (D, TWO_THETA, INTENSITY),
    "d, I, two-theta": (D, INTENSITY, TWO_THETA),
    "two-theta, I, d": (TWO_THETA, INTENSITY, D),
    "number, two-theta, d, I": (range(1, 8), TWO_THETA, D, INTENSITY),
}


@pytest.mark.parametrize("columns", ORDERS.values(), ids=ORDERS)
def test_bragg_s_law_tells_the_columns_of_a_list(read, columns):
    found = read(table(*[np.round(each, 3) for each in columns]))
    np.testing.assert_allclose(found.two_theta, TWO_THETA, atol=1e-3)
    np.testing.assert_allclose(found.intensity, INTENSITY)
    assert found.notes[-1].startswith("by Bragg's law column")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((D, INTENSITY), "its first column descends, as d does"),
        ((range(1, 8), D, INTENSITY), "its first column descends"),
        ((TWO_THETA, D), "its two columns are two-theta and d, by Bragg's law"),
        ((INTENSITY, TWO_THETA), "its first column is not in order, and another is"),
        ((INTENSITY, D), "its first column is not in order, and another is"),
        ((INDICES, INTENSITY), "its first three columns are whole numbers, like indices"),
        ((INDICES, TWO_THETA, INTENSITY), "its first three columns are whole numbers"),
    ],
)
def test_a_list_without_two_theta_in_front_is_refused(read, columns, message):
    with pytest.raises(ValueError, match=message):
        read(table(*columns))


@pytest.mark.parametrize(
    "row", ["13.1 ~10", "(13.1) 10", "13.1* 10", "13.1 <1", "13.1 n.d.", "13.1,NA", "13.1 -"]
)
def test_a_damaged_first_row_is_no_heading(read, row):
    text = f"# of a lamp\n2theta I\n{row}\n" + table(TWO_THETA, INTENSITY)
    with pytest.raises(ValueError, match="line 3 is not two columns of numbers"):
        read(text)


@pytest.mark.parametrize("line", ["sample 12", "2theta 1st", "T 25", "1.5 hours"])
def test_words_before_the_first_row_are_a_heading(read, line):
    np.testing.assert_allclose(read(f"{line}\n" + table(TWO_THETA, INTENSITY)).two_theta, TWO_THETA)


def test_a_list_by_intensity_is_read(read):
    order = np.argsort(-INTENSITY)
    found = read(table(TWO_THETA[order], INTENSITY[order]))
    np.testing.assert_allclose(found.two_theta, TWO_THETA)
    np.testing.assert_allclose(found.intensity, INTENSITY)


@pytest.mark.parametrize("apart", [" ", "; ", "\t"])
def test_rows_of_two_lines_each_are_refused(read, apart):
    lines = [f"{x:.3f} {i}" for x, i in zip(TWO_THETA, INTENSITY, strict=True)]
    in_turn = [apart.join(pair) for pair in zip(lines[:6:2], lines[1:6:2], strict=True)]
    one_after_the_other = [apart.join(pair) for pair in zip(lines[:3], lines[3:6], strict=True)]
    for rows in (in_turn, one_after_the_other):
        with pytest.raises(ValueError, match="its rows hold two lines each"):
            read("\n".join(rows) + "\n")


@given(
    names=st.permutations(["h", "k", "l"]),
    behind=st.lists(st.sampled_from(["I", "F2", "sigma"]), unique=True, min_size=1),
)
def test_indices_are_never_taken_for_two_theta(tmp_path_factory, names, behind):
    path = tmp_path_factory.getbasetemp() / "indices.txt"
    columns = [INDICES, *(INTENSITY for _ in behind)]
    path.write_text(table(*columns, heading=" ".join([*names, *behind])), encoding="utf-8")
    with pytest.raises(ValueError, match=r"give two-theta|names the columns"):
        load_pattern(path, WAVELENGTH)


@pytest.mark.parametrize(
    "heading",
    [
        *("2theta/2", "1/2 2theta", "Δ2θ", "2theta channel", "2theta (mdeg)", "2theta (x100)"),
        *(
            "2theta*100",
            "2theta (0.01 deg)",
            "Reciprocal spacing",
            "stol",
            "Epoch",
            "Incident angle",
        ),
    ],
)
def test_what_only_looks_like_two_theta_is_refused(read, heading):
    with pytest.raises(ValueError, match="give two-theta"):
        read(table(TWO_THETA, INTENSITY, heading=f"{heading},Counts", separator=","))


@pytest.mark.parametrize(
    ("heading", "position"),
    [
        ("d^-1 (1/A)", 1 / D),
        ("d⁻¹ (Å⁻¹)", 1 / D),
        ("Q (inv. A)", 2 * np.pi / D),
        ("Q [reciprocal nm]", 20 * np.pi / D),
        ("q (per angstrom)", 2 * np.pi / D),
        ("Q (A**-1)", 2 * np.pi / D),
        ("plane spacing (Å)", D),
        ("dspace", D),
    ],
)
def test_further_spellings_are_converted(read, heading, position):
    found = read(table(position, INTENSITY, heading=f"{heading},Counts", separator=","))
    np.testing.assert_allclose(found.two_theta, TWO_THETA, rtol=1e-6)


@pytest.mark.parametrize("scan", ["Rocking Curve", "Phi", "Theta Scan", "Omega"])
def test_a_header_in_one_line_tells_the_scan(read, scan):
    head = f'\'Id: "a" Anode: "Cu" Scantype: "{scan}" TimePerStep: "1"'
    with pytest.raises(ValueError, match=f"it says 'Scantype: \"{scan}\"': give a scan over"):
        read(table(TWO_THETA, INTENSITY, heading=head))
    coupled = head.replace(scan, "Coupled TwoTheta/Theta")
    assert len(read(table(TWO_THETA, INTENSITY, heading=coupled)).two_theta) == len(D)


@pytest.mark.parametrize(
    ("lines", "wavelength"),
    [
        ("# wavelength ratio: 0.5", None),
        ("# Ratio of wavelengths 0.500", None),
        ("# K-Beta wavelength: 1.39222", None),
        ("# K-Beta wavelength: 1.39222\n# K-Alpha wavelength: 1.5418", 1.5418),
        ("# Kalpha2 wavelength = 1.54439\n# Kalpha1 wavelength = 1.54060", 1.5406),
    ],
)
def test_the_wavelength_of_a_header_is_that_of_the_strongest_line(read, lines, wavelength):
    text = table(TWO_THETA, INTENSITY, heading=lines)
    if wavelength is None:
        with pytest.raises(ValueError, match="the wavelength is missing"):
            read(text, wavelength=None)
    else:
        assert read(text, wavelength=None).radiation.wavelengths.tolist() == [wavelength]


@pytest.mark.parametrize("line", ["# neutron wavelength: 1.494", "# Radiation type: Neutrons"])
def test_neutrons_are_refused(read, line):
    with pytest.raises(ValueError, match="give a pattern of X-rays, not of neutrons"):
        read(table(TWO_THETA, INTENSITY, heading=line))
    assert read(table(TWO_THETA, INTENSITY, heading="# X-ray and neutron sources")).notes == ()


def test_degrees_in_a_file_of_gsas_are_refused(read):
    rows = "".join(f"{10 + i / 50:.2f} {100 + i % 7} 10\n" for i in range(300))
    with pytest.raises(ValueError, match=r"end at 0\.1598 degrees.*write hundredths of a degree"):
        read(f"title\nBANK 1 300 300 CONS 10.0 0.02 0 0 FXYE\n{rows}", "a.fxye")


JCAMP = "##TITLE=salt\n##JCAMP-DX=4.24\n##XFACTOR={}\n##YFACTOR=1\n##{}\n{}##END=\n"


def test_jcamp_is_refused_where_its_numbers_are_no_columns(read):
    pairs = table(TWO_THETA, INTENSITY, separator=", ")
    for factor, kind in ((2, "XYPOINTS=(XY..XY)"), (1, "PEAK TABLE=(XY..XY)"), (1, "XYDATA=(X++)")):
        with pytest.raises(ValueError, match="it is JCAMP-DX: write two columns"):
            read(JCAMP.format(factor, kind, pairs), "a.jdx")
    assert len(read(JCAMP.format("1.0", "XYPOINTS=(XY..XY)", pairs), "a.jdx").two_theta) == len(D)


@pytest.mark.parametrize("heading", ["Q,Det", "# q Det", "d*;Det", "1/d Det", "Q\tSample 3"])
def test_a_reciprocal_axis_needs_its_unit_beside_any_name(read, heading):
    separator = next((each for each in ",;\t" if each in heading), " ")
    with pytest.raises(ValueError, match=r"it has a column .*, with the unit"):
        read(table(np.round(2 * np.pi / D, 5), INTENSITY, heading=heading, separator=separator))


@pytest.mark.parametrize("title", ["h BN", "K Cl", "scan test", "halite 3"])
def test_a_title_of_two_words_names_no_columns(read, title):
    np.testing.assert_allclose(
        read(table(TWO_THETA, INTENSITY, heading=title)).two_theta, TWO_THETA
    )


def test_lines_of_numbers_that_are_no_rows_are_soon_given_up(read):
    with pytest.raises(ValueError, match="holds no two columns of numbers in 401 lines"):
        read(9000 * "10.0 deg 155 cts\n")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("# column 1 = energy (keV)\n# column 2 = counts", "a column 'energy"),
        ("# x = omega", "a column 'omega"),
        ("# 1: theta\n# 2: I", "not theta"),
        ("# X: Q, Y: counts", "with the unit"),
        ("# columns: q I", "with the unit"),
        ("#Fields: omega, counts", "a column 'omega"),
    ],
)
def test_a_header_may_say_what_the_columns_are(read, lines, message):
    with pytest.raises(ValueError, match=message):
        read(table(TWO_THETA, INTENSITY, heading=lines))


@pytest.mark.parametrize("line", ["# x = 3.2 mm", "# 1: 2theta", "# x: 2theta [deg], y: I"])
def test_a_place_in_a_header_is_no_axis(read, line):
    found = read(table(TWO_THETA, INTENSITY, heading=line))
    np.testing.assert_allclose(found.two_theta, TWO_THETA)


def test_a_header_may_declare_d(read):
    found = read(table(D, INTENSITY, heading="# X: d-spacing\n# Y: counts"))
    np.testing.assert_allclose(found.two_theta, TWO_THETA)


@pytest.mark.parametrize("line", ["1.5406 1.5444", "1 2 3", "2031 11 30", "140 30"])
def test_a_line_of_numbers_before_a_profile_is_none_of_its_points(read, line):
    angle, counts = np.arange(300) / 50 + 20, 100 + np.arange(300) % 7
    found = read(table(np.round(angle, 2), counts, heading=line))
    assert len(found.two_theta) == 300
    assert "line 1 is left out, for it is far from the others" in found.notes[0]


def test_intensities_below_zero_alone_are_refused(read):
    with pytest.raises(ValueError, match="no intensity above zero, the largest is"):
        read(table(TWO_THETA, -INTENSITY))


def test_of_a_file_of_spec_the_first_scan_is_read(read):
    first = table(TWO_THETA, INTENSITY, heading="#S 1 ascan tth 20 80 6\n#L Two Theta  Detector")
    second = table(range(50, 60), range(10), heading="#S 2 ascan chi 50 59\n#L chi  Detector")
    found = read(first + second)
    np.testing.assert_allclose(found.two_theta, TWO_THETA)
    assert found.notes == ("only the first scan is read, up to line 10",)
