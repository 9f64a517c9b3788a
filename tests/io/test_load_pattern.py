"""Every format is read correctly; a broken file gives an error of one sentence."""

import io
import re
import struct
import zipfile

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmed_jax.io.formats.bruker import read_brml, read_uxd
from cmed_jax.io.formats.bruker_raw import read_raw
from cmed_jax.io.formats.xrdml import read_xrdml
from cmed_jax.io.pattern import MeasuredPattern, load_pattern
from tests.io.instrument_files import (
    ALPHA1,
    ALPHA2,
    ANGLE,
    COUNTS,
    MEAN,
    SIGMA,
    WITH_RADIATION,
    WRITTEN,
    archive,
    asc,
    brml,
    columns,
    gsas,
    pdcif,
    ras,
    raw1,
    raw3,
    raw4,
    uxd,
    uxd_in_parts,
    xrdml,
)

HEADINGS = ["", "# a comment", "2theta intensity", "two_theta_deg,intensity", "! 3 4", "'x' 1 2"]
numbers = st.floats(0.001, 180).map(lambda x: round(x, 4)).filter(bool)


@pytest.fixture
def read(tmp_path):
    def read(data, name="pattern.xy", wavelength="CuKa"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return load_pattern(path, wavelength)

    return read


@pytest.mark.parametrize("name", WRITTEN)
def test_every_format_is_read_as_it_was_written(read, name):
    found = read(WRITTEN[name], name)
    np.testing.assert_allclose(found.two_theta, ANGLE, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.intensity, COUNTS, rtol=1e-6)
    assert found.path.name == name
    assert not found.notes


@pytest.mark.parametrize("name", WRITTEN)
def test_content_tells_the_format_where_the_suffix_does_not(read, name):
    found, named = read(WRITTEN[name], "renamed.dat"), read(WRITTEN[name], name)
    np.testing.assert_array_equal(found.two_theta, named.two_theta)
    np.testing.assert_array_equal(found.intensity, named.intensity)
    assert found.format == named.format


@pytest.mark.parametrize("name", WITH_RADIATION)
def test_the_radiation_is_the_file_s(read, name):
    radiation = read(WRITTEN[name], name, wavelength=None).radiation
    np.testing.assert_allclose(radiation.wavelengths, [ALPHA1, ALPHA2], rtol=1e-7)
    np.testing.assert_allclose(radiation.weights, [2 / 3, 1 / 3])
    np.testing.assert_allclose(radiation.mean, MEAN, rtol=1e-7)


@pytest.mark.parametrize("name", sorted(set(WRITTEN) - set(WITH_RADIATION) - {"rruff.txt"}))
def test_there_is_no_silent_wavelength(read, name):
    with pytest.raises(ValueError, match="the wavelength is missing, and the file does not say it"):
        read(WRITTEN[name], name, wavelength=None)


@pytest.mark.parametrize(
    "line",
    [
        "##X-RAY WAVELENGTH=1.541838",
        "# lambda: 0,1541838 nm",
        "Wavelength (A);1,541838",
        "wavelength (nm) = 0.1541838",
        "# Wavelength: 1.541838e-10 m",
        "# Wavelength: 1.541838e-10",
        "# wavelength 154.1838 pm, measured",
    ],
)
def test_a_comment_may_tell_the_wavelength(read, line):
    found = read(columns(heading=[line]), wavelength=None)
    np.testing.assert_allclose(found.radiation.wavelengths, [1.541838])


@pytest.mark.parametrize(
    ("intended", "expected"),
    [("K-Alpha 1", ALPHA1), ("K-Alpha 2", ALPHA2), ("K-Beta", 1.39225), ("K-Alpha", MEAN)],
)
def test_the_radiation_of_xrdml_is_what_was_intended(read, intended, expected):
    found = read(xrdml(intended=intended), "salt.xrdml", wavelength=None)
    np.testing.assert_allclose(found.radiation.mean, expected)


def test_a_given_wavelength_goes_before_the_file_s_and_a_contradiction_is_said(read):
    agreed = read(xrdml(), "salt.xrdml", 1.5406)
    assert (agreed.radiation.mean, agreed.notes) == (1.5406, ())
    found = read(xrdml(), "salt.xrdml", "CoKa1")
    assert found.radiation.mean == 1.788996
    assert found.notes[0].startswith("the file says that the wavelength is 1.54187 angstrom, but")


@pytest.mark.parametrize("name", ["salt.xye", "salt.fxye", "salt.gsas", "salt.gsa", "scan.cif"])
def test_standard_deviations_are_read(read, name):
    expected = {"scan.cif": np.round(SIGMA), "salt.gsa": np.sqrt(COUNTS)}.get(name, SIGMA)
    np.testing.assert_allclose(read(WRITTEN[name], name).sigma, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.xrdml", xrdml(scans=2)),
        ("a.ras", ras(scans=2)),
        ("a.asc", asc(scans=2)),
        ("a.brml", brml(scans=2)),
        ("a.uxd", uxd(ranges=2)),
        ("a.raw", raw1()),
        ("b.raw", raw1(repeat=False)),
    ],
)
def test_scans_of_the_same_angles_are_added_up(read, name, data):
    found = read(data, name)
    np.testing.assert_array_equal(found.intensity, 2 * COUNTS)
    np.testing.assert_allclose(found.two_theta, ANGLE, rtol=0, atol=1e-5)
    assert found.notes == ("2 scans of the same angles are added up",)


def test_of_scans_of_different_angles_the_first_is_read(read):
    second = uxd().replace(b"_START=20.0", b"_START=60.0").replace(b"\r\n2", b"\r\n6")
    found = read(uxd() + second, "two.uxd")
    np.testing.assert_allclose(found.two_theta, ANGLE)
    assert found.notes == ("the first of 2 scans is read, for they are of different angles",)


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (uxd_in_parts(), "scaled to equal counting times"),
        (uxd_in_parts(unit="CPS"), "scaled to equal counting times"),
        (uxd_in_parts((None, None)), "as if counted for equal times"),
    ],
)
def test_ranges_that_adjoin_are_one_pattern(read, data, note):
    found = read(data, "parts.uxd")
    np.testing.assert_allclose(found.two_theta, ANGLE, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.intensity, COUNTS)
    assert found.notes == (f"2 ranges that adjoin are joined, {note}",)


def test_the_beginning_of_a_range_of_a_uxd_is_none_of_the_next(read):
    before = f"_2THETA={ANGLE[100]:.2f}\n_COUNTS".encode()
    found = read(uxd_in_parts().replace(b"_COUNTS", before, 1), "parts.uxd")
    np.testing.assert_allclose(found.two_theta, ANGLE, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.intensity, COUNTS)


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        (read_uxd, "salt.uxd"),
        (read_brml, "salt.brml"),
        (read_xrdml, "salt.xrdml"),
        (read_raw, "two.raw"),
        (read_raw, "three.raw"),
    ],
)
def test_the_counting_time_is_read(reader, name):
    assert reader(WRITTEN[name]).seconds == 3


def test_a_cif_is_read_as_gemmi_reads_it(read):
    """gemmi reads the columns of the loop; standard uncertainties follow their definition."""
    block = gemmi.cif.read_string(pdcif("last").decode()).sole_block()
    table = block.find("_pd_meas_", ["2theta_scan", "counts_total"])
    expected = np.array([[gemmi.cif.as_number(field) for field in row] for row in table])
    found = read(pdcif("last"), "last.cif")
    np.testing.assert_array_equal(np.column_stack([found.two_theta, found.intensity]), expected)


@pytest.mark.parametrize(
    ("field", "value", "sigma"),
    [("12.5(3)", 12.5, 0.3), ("1200(35)", 1200, 35), ("1.25e3(4)", 1250, 40), (".5(1)", 0.5, 0.1)],
)
def test_standard_uncertainties_are_of_the_last_digit(read, field, value, sigma):
    rows = "\n".join(f"{angle} {field}" for angle in (10, 11, 12))
    text = f"data_a\nloop_\n_pd_meas_2theta_scan\n_pd_meas_intensity_total\n{rows}\n"
    found = read(text, "a.cif")
    np.testing.assert_allclose(found.intensity, value)
    np.testing.assert_allclose(found.sigma, sigma)


def test_points_of_a_cif_without_a_value_are_left_out(read):
    text = "data_a\nloop_\n_pd_meas_2theta_scan\n_pd_meas_counts_total\n10 5\n11 .\n12 ?\n13 6\n"
    found = read(text, "a.cif")
    assert found.two_theta.tolist() == [10, 13]
    assert found.notes == ("2 points without a value are left out",)


@pytest.mark.parametrize(
    "text",
    [
        "h k l d I\n1 1 1 3.25 12\n2 0 0 2.81 100\n2 2 0 1.99 55\n",
        "# d(A), Int\n3.25, 12\n2.81, 100\n1.99, 55\n",
        "d-spacing [Å];Rel. Int. [%]\n3,25;12\n2,81;100\n1,99;55\n",
        "No.\td (Å)\tHeight\n1\t3.25\t12\n2\t2.81\t100\n3\t1.99\t55\n",
    ],
)
def test_a_list_of_d_becomes_two_theta_by_bragg_s_law(read, text):
    found = read(text, "peaks.txt", 1.54056)
    expected = 2 * np.degrees(np.arcsin(1.54056 / 2 / np.array([3.25, 2.81, 1.99])))
    np.testing.assert_allclose(found.two_theta, expected)
    assert found.intensity.tolist() == [12, 100, 55]


@pytest.mark.parametrize(
    ("heading", "unit"),
    [
        ("#  q_A^-1   I", 1),
        ("# q_nm^-1  I  sigma", 10),
        ("salt.edf\nQ (Inverse Nanometres)\nIntensity\n   3", 10),
        ("Q (Inverse Angstroms)\nIntensity", 1),
        ("Q(1/A),I", 1),
        ("Q [1/Å],Intensity [a.u.]", 1),
        ("# Q (nm⁻¹)\tcounts", 10),
        ("q_invA,I", 1),
        ("'Q 1/A", 1),
    ],
)
def test_a_list_of_q_becomes_two_theta_by_bragg_s_law(read, heading, unit):
    q = np.array([1.9, 2.2, 3.2])
    sigma = " 1" if "sigma" in heading else ""
    rows = "\n".join(f"{unit * value:.6f} {i}{sigma}" for i, value in enumerate(q, 1))
    found = read(f"{heading}\n{rows}\n", "peaks.txt", 0.4)
    expected = 2 * np.degrees(np.arcsin(q * 0.4 / (4 * np.pi)))
    np.testing.assert_allclose(found.two_theta, expected)
    assert found.intensity.tolist() == [1, 2, 3]


def test_peaks_are_taken_by_the_names_of_their_columns(read):
    text = (
        "Pos. [°2Th.];Height [cts];FWHM [°2Th.];d-spacing [Å]\n27,4;12;0,1;3,25\n31,8;100;0,1;2,8\n"
    )
    found = read(text, "peaks.csv")
    assert found.two_theta.tolist() == [27.4, 31.8]
    assert found.intensity.tolist() == [12, 100]


@given(
    rows=st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30)
    .map(sorted)
    .filter(lambda rows: rows[-1][0] > 5),  # d and Q end below
    separator=st.sampled_from([" ", "\t", ",", ";", " , ", ";  ", "\t "]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.sampled_from(["", "\ufeff"]),
    headings=st.lists(st.sampled_from(HEADINGS), max_size=3),
    further=st.sampled_from(["", "1.5", "a remark"]),
    indent=st.sampled_from(["", "  "]),
)
def test_columns_are_read_however_they_are_written(
    tmp_path_factory, rows, separator, end, mark, headings, further, indent
):
    path = tmp_path_factory.getbasetemp() / "pattern.txt"
    table = ((str(a), str(b), further) if further else (str(a), str(b)) for a, b in rows)
    lines = [*headings, *(indent + separator.join(fields) for fields in table), ""]
    path.write_bytes((mark + end.join(lines)).encode())
    found = load_pattern(path, "CuKa")
    expected = np.array(sorted(rows, key=lambda row: row[0]))
    np.testing.assert_array_equal(np.column_stack([found.two_theta, found.intensity]), expected)


@pytest.mark.parametrize(
    "line", ["10,5;200,25", "10,5 200,25", "10,5\t200,25", "10,5 ; 200,25;1", "10.5 200,25"]
)
def test_a_comma_between_other_separators_is_a_decimal_one(read, line):
    found = read(f"{line}\n11;3,5\n")
    assert found.two_theta.tolist() == [10.5, 11]
    assert found.intensity.tolist() == [200.25, 3.5]


def test_columns_that_a_heading_names_may_be_many(read):
    found = read("a b c 2theta counts\n1 2 3 10 5\n1 2 3 11 6\n")
    assert found.two_theta.tolist() == [10, 11]
    assert found.intensity.tolist() == [5, 6]


def test_comments_and_empty_lines_may_follow(read):
    assert read("10 1\n\n# the end\n11 2\n").two_theta.tolist() == [10, 11]


def test_points_at_or_below_zero_are_left_out_and_said(read):
    found = read("-20 5\n0 6\n20 7\n40 8\n")
    assert found.two_theta.tolist() == [20, 40]
    assert found.notes == ("2 points at or below 0 degrees are left out",)


def test_angles_ascend_and_intensities_follow(read):
    found = read("12 3 .3\n11 2 .2\n10 -1 .1\n", "down.xye")
    assert isinstance(found, MeasuredPattern)
    assert found.two_theta.tolist() == [10, 11, 12]
    assert found.intensity.tolist() == [-1, 2, 3]
    assert found.sigma is not None
    assert found.sigma.tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("name", ["nowhere.xy", "."])
def test_a_missing_file_is_an_error(tmp_path, name):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_pattern(tmp_path / name)


FLIGHT = "data_a\nloop_\n_pd_meas_time_of_flight\n_pd_meas_counts_total\n100 1\n200 2\n"
BOMB = '<!DOCTYPE a [<!ENTITY b "c">]><xrdMeasurements>&b;</xrdMeasurements>'
TURNS = (
    "\n".join(f"{abs(i)} 1" for i in range(-150, -0)) + "\n" + "\n".join("5 1" for _ in range(99))
)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.xy", "", "holds no two columns of numbers"),
        ("a.xy", "# nothing\n", "holds no two columns of numbers"),
        ("a.xy", "only words here\n", "holds no two columns of numbers"),
        ("a.xy", "1\n2\n", "holds no two columns of numbers"),
        ("a.xy", "angle counts\n10 1\n12 counts\n", "line 3 is not two columns of numbers: '12 c"),
        ("a.xy", "10 1\n\n12\n", "line 3 is not two columns of numbers: '12'"),
        ("a.xy", "10 1\n1.0D+1+1 3\n", "line 2 is not two"),
        ("a.xy", "10 1\n1_1 3\n", "line 2 is not two"),
        ("a.xye", "10 1 1\n11 1\n", "line 2 is not three columns"),
        ("a.xy", "10 1\n", "it holds one line or point: give 2 or more"),
        ("a.xy", "10 1\n11 nan\n", r"intensity nan \(point 2\)"),
        ("a.xy", "10 0\n11 0\n", "every value is zero"),
        ("a.xy", "10 1\n181 1\n", "two-theta 181.0 .* is not between 0 and 180"),
        ("a.xy", "d I\n3.2 1\n0.2 1\n", "d = 0.2 is out of reach"),
        ("a.xy", "q (1/A),I\n1.2,3\n9.3,4\n", "q = 9.3 is out of reach"),
        ("a.xy", "q,intensity\n1.2,3\n1.3,4\n", "column 'q': give two-theta, d, or Q in 1/A"),
        ("a.xy", "s (1/A),I\n1.2,3\n1.3,4\n", r"column 's \(1/a\)': give two-theta, d, or Q"),
        ("a.xy", "theta,I\n10,3\n11,4\n", "its columns are 'theta,I': give two-theta, not"),
        ("a.xy", "# two theta (rad)\n.1 3\n.2 4\n", "give two-theta in degrees"),
        ("a.xy", "# 2th_rad I\n.1 3\n.2 4\n", "give two-theta in degrees"),
        (
            "a.dat",
            "10 0.02 80\n" + 50 * "9 9 9 9 9 9 9 9 9 9\n",
            "line 2 holds 10 numbers, as files",
        ),
        ("a.csv", "10,02,5\n20,04,6\n", "line 1 is parted by commas that may be decimal ones"),
        ("a.asc", asc("omega"), "SCAN_AXIS is 'omega'"),
        ("a.asc", asc().replace(b"COUNT = 251", b"COUNT = 252"), "promises 252 points, 251 are"),
        ("a.asc", asc().replace(b"*STEP", b"*SLOPE"), r"does not say \*START and \*STEP"),
        ("a.asc", asc().replace(b" 40,", b" 4O,", 1), "line 10 has '4O'"),
        ("a.xy", TURNS, "goes back in the first column"),
        ("a.xy", b"\x00\x01\x02" * 99, "it is not text"),
        ("a.xy", b"\xff\xfe1\x00 ", "begins as UTF-16 text, but is broken"),
        ("a.cif", "data_a\n_cell_length_a 5\n", "no data block holds intensities"),
        ("a.cif", "data_a\nloop_\n_a\n_b\n1 2 3\n", "it is no whole CIF"),
        ("a.cif", FLIGHT, "is of time of flight"),
        (
            "a.cif",
            pdcif().replace(b"data_salt_publ", b"data_a _diffrn_radiation_probe neutron"),
            "neut",
        ),
        ("a.cif", pdcif().replace(b"20.0200 ", b"20.O200 "), "value 2 of _pd_meas_2theta_scan is"),
        ("a.cif", pdcif("range").replace(b"max 25.0", b"max 28.0"), "range_min, max and inc are"),
        ("a.xrdml", xrdml()[:-60], r"it is not whole XML: .*line \d+"),
        ("a.xrdml", xrdml().replace(b"40 40", b"40 4O", 1), "element intensities has '4O'"),
        ("a.xrdml", xrdml().replace(b'"2Theta"', b'"Phi"'), "no scan over two-theta"),
        (
            "a.xrdml",
            xrdml("2.1").replace(b"Factors>1 ", b"Factors>"),
            "beamAttenuationFactors has 250",
        ),
        ("a.ras", "*RAS_INT_START\n1 1\n*RAS_INT_END\n" * 1001, "more than 1000 scans"),
        ("a.cif", "".join(f"data_{i}\n" for i in range(1001)), "1001 data blocks"),
        ("a.xrdml", BOMB, "declares a document type"),
        ("a.ras", ras()[:4000], "it is truncated|line .* is not an angle"),
        ("a.ras", ras().replace(b"20.0200 ", b"20.O200 "), "line 11 has '20.O200'"),
        ("a.ras", ras("Omega"), "MEAS_SCAN_AXIS_X is 'Omega'"),
        ("a.rasx", WRITTEN["salt.rasx"][:-30], "it is not a whole zip archive"),
        ("a.rasx", archive({"root.xml": "<a/>"}), "no Data"),
        ("a.brml", b"", "it is not a whole zip archive"),
        ("a.brml", archive({"a.xml": "<a/>"}), r"holds no RawData\*.xml"),
        ("a.brml", archive({"RawData0.xml": "<a>"}), "RawData0.xml is not whole XML"),
        ("a.brml", archive({"RawData0.xml": b"0" * 2**26}), "larger than 16 MiB"),
        ("a.uxd", uxd(drive="THETA"), "_DRIVE is 'THETA'"),
        ("a.uxd", uxd().replace(b"\t40\r", b"\t4O\r", 1), "line 16 has '4O'"),
        ("a.uxd", "_FILEVERSION=2\n_COUNTS\n1 2 3\n", "neither angles nor _START"),
        ("a.uxd", "_FILEVERSION=2\n", "no scan over two-theta"),
        ("a.raw", b"FI\0\0" + bytes(999), "none of Bruker's versions"),
        ("a.raw", raw3()[:-4], "it is truncated: 2060 bytes are promised, 2056 are there"),
        ("a.raw", raw3()[:700], "it is truncated"),
        ("a.raw", raw3().replace(struct.pack("<I", 304), struct.pack("<I", 303)), "not 304"),
        ("a.raw", raw4("Rocking Curve"), "its scan is 'Rocking Curve'"),
        ("a.gsas", "title\n", "no line BANK"),
        ("a.gsas", gsas(binning="SLOG"), "line 3 says SLOG bins, of time of flight"),
        ("a.gsas", gsas(binning="RALF"), "line 3 says RALF bins, of time of flight"),
        ("a.gsas", gsas()[:-200], "it is truncated: line 3 promises 251 points|is not 3 numbers"),
        ("a.gsas", gsas("ALT"), "line 3 says data of type ALT"),
        ("a.gsas", gsas("ESD").replace(b"40.0", b"4O.0", 1), "line 4 has '4O.0'"),
    ],
)
def test_what_is_broken_is_answered_in_one_sentence(read, name, data, message):
    with pytest.raises(ValueError, match=message) as answer:
        read(data, name)
    assert re.match(rf"\S*{re.escape(name)}: cannot be read as \S+", str(answer.value))
    assert "\n" not in str(answer.value)


@pytest.mark.parametrize(
    ("limit", "name", "message"),
    [
        ("text.MOST_POINTS", "salt.ras", "it has more than 2 lines"),
        ("columns.LONGEST_HEADER", "rruff.txt", "no two columns of numbers in 2 lines"),
        ("text.MOST_POINTS", "salt.xrdml", "element intensities has 251 numbers"),
        ("markup.MOST_ELEMENTS", "salt.brml", "it has more than 2 elements"),
    ],
)
def test_what_a_file_may_cost_is_bounded(read, monkeypatch, limit, name, message):
    monkeypatch.setattr(f"cmed_jax.io.formats.{limit}", 2)
    with pytest.raises(ValueError, match=message):
        read(WRITTEN[name], name)


def test_a_file_larger_than_any_pattern_is_not_opened(tmp_path):
    path = tmp_path / "large.xy"
    with path.open("wb") as file:
        file.truncate(2**24 + 1)  # a sparse file
    with pytest.raises(ValueError, match="is larger than 16 MiB"):
        load_pattern(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.xlsx", archive({"xl/workbook.xml": "<workbook/>"}), "a workbook of a spreadsheet"),
        ("a.pdf", b"%PDF-1.7\n1 0 obj\n", "a PDF"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\0\0", "a picture"),
        ("a.json", b'{"two_theta": [1, 2]}', "JSON"),
        ("a.html", b"<!DOCTYPE html><html>", "a web page"),
    ],
)
def test_what_holds_no_columns_is_named(read, name, data, message):
    with pytest.raises(ValueError, match=f"{name}: it is {message}"):
        read(data, name)


def answer(path):
    """Return a pattern, or the sentence of the error."""
    try:
        return load_pattern(path, "CuKa")
    except ValueError as error:
        return str(error)


def attempt(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    found = answer(path)
    if isinstance(found, str):
        assert "\n" not in found
        assert len(found) < 600
        return
    assert np.all((found.two_theta > 0) & (found.two_theta <= 180))
    assert np.all(np.diff(found.two_theta) >= 0)
    assert np.isfinite(found.intensity).all()
    assert found.two_theta.shape == found.intensity.shape


PERTURBED = {**WRITTEN, "one.raw": raw1(), "many.xrdml": xrdml(scans=2), "many.ras": ras(scans=2)}
SUFFIXES = sorted({name.partition(".")[2] for name in WRITTEN})
STARTS = [b"", b"PK\x03\x04", b"RAW ", b"RAW2", b"RAW1.01", b"RAW4.00", b"<xrdMeasurements>"]
STARTS += [b"data_\nloop_\n_pd_meas_counts_total\n", b"*RAS_INT_START\n", b"_2THETACOUNTS\n"]
STARTS += [b"BANK 1 9 9 CONST 1 1 0 0 STD\n", b"\xff\xfe", b"\xef\xbb\xbf"]
fragments = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"-", b"\n", b"1e999", b"nan", b"\0\0\0\0", b"9" * 400]),
)
changes = st.tuples(st.floats(0, 1), st.integers(0, 40), fragments)


@given(
    start=st.sampled_from(STARTS), data=st.binary(max_size=2000), suffix=st.sampled_from(SUFFIXES)
)
def test_random_bytes_are_a_pattern_or_a_sentence(tmp_path_factory, start, data, suffix):
    attempt(tmp_path_factory.getbasetemp(), f"random.{suffix}", start + data)


@given(
    name=st.sampled_from(sorted(PERTURBED)),
    end=st.floats(0, 1),
    whole=st.booleans(),
    changed=st.lists(changes, max_size=4),
)
def test_spoilt_files_are_a_pattern_or_a_sentence(tmp_path_factory, name, end, whole, changed):
    data = PERTURBED[name]
    data = data if whole else data[: int(end * len(data))]
    for place, length, fragment in changed:
        at = int(place * len(data))
        data = data[:at] + fragment + data[at + length :]
    attempt(tmp_path_factory.getbasetemp(), name, data)


WHOLE = [
    name
    for name in PERTURBED
    if name.endswith((".xrdml", ".ras", ".rasx", ".asc", ".brml", ".raw"))
]
WHOLE += ["salt.fxye", "salt.gsas", "salt.gsa"]


@given(name=st.sampled_from(WHOLE), end=st.floats(0, 0.98))
def test_a_truncated_file_is_stated_where_its_format_shows_it(tmp_path_factory, name, end):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(PERTURBED[name][: int(end * len(PERTURBED[name]))])
    assert isinstance(answer(path), str)


ARCHIVES = [name for name in sorted(PERTURBED) if name.endswith(("rasx", "brml"))]


@given(
    name=st.sampled_from(ARCHIVES),
    member=st.integers(0, 3),
    end=st.floats(0, 1),
    changed=st.lists(changes, min_size=1, max_size=3),
)
def test_spoilt_members_are_a_pattern_or_a_sentence(tmp_path_factory, name, member, end, changed):
    """The members are perturbed before packing, because checksums hide most other damage."""
    with zipfile.ZipFile(io.BytesIO(PERTURBED[name])) as file:
        members = {inside: file.read(inside) for inside in file.namelist()}
    inside = list(members)[member % len(members)]
    data = members[inside]
    for place, length, fragment in changed:
        at = int(place * len(data))
        data = data[:at] + fragment + data[at + length :]
    members[inside] = data if end > 0.5 else data[: int(2 * end * len(data))]
    attempt(tmp_path_factory.getbasetemp(), name, archive(members))


def test_every_format_is_spoilt():
    assert {name.partition(".")[2] for name in PERTURBED} == set(SUFFIXES)
