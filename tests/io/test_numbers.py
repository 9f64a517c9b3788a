"""Numbers in the notations of programs are read correctly or refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmed_jax.crystal.encodings import to_number
from cmed_jax.io.pattern import load_pattern
from cmed_jax.prediction.manifest import pattern_files

ANGLE = np.round(20 + 0.02 * np.arange(300), 3)
COUNTS = np.round(150 + 15_359 * np.exp(-(((ANGLE - 23) / 0.1) ** 2))).astype(int)


@pytest.fixture
def read(tmp_path):
    def read(data, name="pattern.txt"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return load_pattern(path, "CuKa")

    return read


def rows(separator, angle, counts):
    return "\n".join(
        separator.join((angle(a), counts(n))) for a, n in zip(ANGLE, COUNTS, strict=True)
    )


def english(value):
    return f"{value:,}"


def german(value):
    return english(value).replace(",", ".")


@pytest.mark.parametrize("separator", ["\t", " ", ";", "  ", " ; "])
@pytest.mark.parametrize(
    ("angle", "counts"),
    [
        ("{:.3f}", english),
        ("{:.2f}", english),
        ("{:.3f}", lambda n: f"{n:,}.00"),
        ("{:.3f}", lambda n: english(n).replace(",", "'")),
        ("{:.3f}", lambda n: english(n).replace(",", "’")),
        ("{:.3f}", lambda n: english(n).replace(",", "\u202f")),
        ("comma", german),
        ("comma", lambda n: f"{german(n)},00"),
        ("comma", str),
        ("comma", lambda n: english(n).replace(",", "\u2009")),
    ],
)
def test_thousands_are_thousands(read, separator, angle, counts):
    written = (lambda a: f"{a:.3f}".replace(".", ",")) if angle == "comma" else angle.format
    found = read("2theta" + separator + "Intensity\n" + rows(separator, written, counts))
    np.testing.assert_allclose(found.two_theta, ANGLE)
    np.testing.assert_array_equal(found.intensity, COUNTS)
    assert not found.notes


@pytest.mark.parametrize("separator", ["\t", ";"])
def test_blanks_between_tabs_part_thousands(read, separator):
    found = read(rows(separator, "{:.3f}".format, lambda n: english(n).replace(",", " ")))
    np.testing.assert_array_equal(found.intensity, COUNTS)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_quoted_numbers_are_numbers(read, separator):
    text = rows(separator, '"{:.3f}"'.format, lambda n: f'"{n:,}"')
    found = read(f'"2theta"{separator}"Intensity"\n{text}')
    np.testing.assert_array_equal(found.intensity, COUNTS)
    np.testing.assert_allclose(found.two_theta, ANGLE)


@pytest.mark.parametrize("separator", [",", ";"])
def test_spreadsheets_quote_only_the_numbers_that_need_it(read, separator):
    text = rows(separator, "{:.3f}".format, lambda n: f'"{n:,}"' if n > 999 else str(n))
    found = read(f"2theta{separator}Intensity\n{text}")
    np.testing.assert_array_equal(found.intensity, COUNTS)
    np.testing.assert_allclose(found.two_theta, ANGLE)


@pytest.mark.parametrize("separator", [" ", "  ", "\t "])
@pytest.mark.parametrize("order", [1, -1])
def test_blanks_that_part_columns_and_thousands_are_refused(read, separator, order):
    lines = rows(separator, "{:.3f}".format, lambda n: english(n).replace(",", " ")).splitlines()
    lines = lines[150:] if order < 0 else lines  # the first has thousands or not
    if separator == "\t ":
        np.testing.assert_array_equal(read("\n".join(lines)).intensity.max(), COUNTS.max())
        return
    with pytest.raises(ValueError, match=r"line \d+ has \d numbers, and .*: write thousands with"):
        read("\n".join(lines))


def test_blanks_that_part_the_thousands_of_every_count_are_refused(read):
    text = rows(" ", "{:.3f}".format, lambda n: english(n + 1000).replace(",", " "))
    with pytest.raises(ValueError, match="write thousands without blanks"):
        read(text)


@pytest.mark.parametrize("first", ["10,00\t2.511.561", "10.00\t2,511,561", "10,00;12.511.561"])
def test_a_first_count_of_millions_is_no_heading(read, first):
    decimal, thousands = first[2], ",."[first[2] == ","]
    separator = "\t" if "\t" in first else ";"
    more = [f"1{i}{decimal}00{separator}{36 + i}{thousands}044" for i in range(1, 9)]
    found = read("\n".join([first, *more]))
    assert found.two_theta.tolist() == list(range(10, 19))
    assert found.intensity[0] % 10_000_000 == 2_511_561


def test_indices_after_intensities_are_no_thousands(read):
    found = read("27.37 8 111\n31.70 100 200\n45.45 55 220\n")
    assert found.intensity.tolist() == [8, 100, 55]


@pytest.mark.parametrize("decimals", [2, 3])
@pytest.mark.parametrize("mark", [".", ","])
def test_a_mark_that_is_decimal_in_angles_may_not_part_thousands(read, decimals, mark):
    text = rows("\t", f"{{:.{decimals}f}}".format, lambda n: english(n).replace(",", "."))
    with pytest.raises(ValueError, match=r"line \d+ has '1.\d{3}' beside whole numbers below 1000"):
        read(text.replace(".", mark))


@pytest.mark.parametrize("separator", [",", ", "])
@pytest.mark.parametrize("counts", [english, lambda n: f"{n:,}.00"])
@pytest.mark.parametrize("begin", [0, 147])
def test_thousands_that_part_columns_as_well_are_refused(read, separator, counts, begin):
    """The first row has thousands or not."""
    lines = rows(separator, "{:.3f}".format, counts).splitlines()[begin:]
    with pytest.raises(ValueError, match=r"line \d+ has .*(its commas part|write) thousands"):
        read("\n".join(["2theta,Intensity", *lines]))


@pytest.mark.parametrize(
    "text",
    [
        "2theta  I\n5.00  1 535\n5.12  26 358\n",
        "5.00 5 750.14\n5.05 291 347.29\n",
        "2Theta (deg),I (counts)\n5.00,1,502\n5.12,26,484\n",
        "2theta,I,esd\n5.00,101,10.05\n5.12,1,951,44.17\n",
        "2theta  I  esd\n5.00  141  11.87\n5.12  2 019  44.93\n",
    ],
)
def test_thousands_of_a_short_list_that_part_columns_are_refused(read, text):
    with pytest.raises(ValueError, match="write thousands without blanks or commas"):
        read(text)


def test_points_that_part_thousands_beside_commas_are_refused(read):
    with pytest.raises(ValueError, match=r"line \d+ has '1.\d{3}' beside whole numbers below 1000"):
        read(rows(",", "{:.2f}".format, german))


def test_columns_of_three_digits_are_no_thousands(read):
    """Intensities at two temperatures, which are larger than 999 in few rows."""
    text = "\n".join(f"{a:.2f},{n},{n + 300}" for a, n in zip(ANGLE, COUNTS, strict=True))
    np.testing.assert_array_equal(read(text).intensity, COUNTS)


def test_one_mark_is_not_of_thousands_and_decimal(read):
    text = rows("\t", "{:.3f}".format, english) + "\n26.0\t1,5\n"
    with pytest.raises(ValueError, match=r"line 301 has ','.*line \d+ has it otherwise"):
        read(text.replace("15,509", "1,015,509"))


def test_three_decimals_stay_decimals(read):
    """All numbers of both columns have a comma before three digits."""
    text = "\n".join(f"{a:.3f} {n / 8:.3f}" for a, n in zip(ANGLE, COUNTS, strict=True))
    found = read(text.replace(".", ","))
    np.testing.assert_allclose(found.two_theta, ANGLE)
    np.testing.assert_allclose(found.intensity, COUNTS / 8)


@given(
    counts=st.lists(st.integers(0, 3_000_000), min_size=3, max_size=20).filter(any),
    decimals=st.integers(1, 4),
    style=st.sampled_from([(".", ","), (".", ""), (",", "."), (",", ""), (".", "'"), (",", "’")]),
    separator=st.sampled_from(["\t", ";", " ", "   ", " ;"]),
    fraction=st.sampled_from(["", ".0", ".25"]),
)
def test_numbers_are_read_as_meant_or_refused(
    tmp_path_factory, counts, decimals, style, separator, fraction
):
    decimal, thousands = style
    angle = 10 + np.arange(len(counts)) / 10
    marks = str.maketrans({".": decimal, ",": thousands})
    lines = [
        separator.join((f"{a:.{decimals}f}".translate(marks), f"{n:,}{fraction}".translate(marks)))
        for a, n in zip(angle, counts, strict=True)
    ]
    path = tmp_path_factory.getbasetemp() / "numbers.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    found = answer(path)
    if not isinstance(found, str):
        np.testing.assert_allclose(found.two_theta, angle, atol=0.06)
        np.testing.assert_allclose(found.intensity, np.array(counts) + float(fraction or 0))


def answer(path):
    try:
        return load_pattern(path, "CuKa")
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1.0D+02", 100),
        ("1.5d-1", 0.15),
        ("0.1-100", 1e-101),
        ("-0.25+101", -2.5e100),
        ("1.5-05", 1.5e-5),
        ("2.5E-3", 0.0025),
        ("−3.5", -3.5),
        (".5+10", 5e9),
    ],
)
def test_numbers_of_fortran_are_numbers(written, value):
    assert to_number(written) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("written", ["1_0", "1-2", "1.5-1", "", "1.0D", "1.5--05", "0x1"])
def test_what_only_looks_like_a_number_is_none(written):
    with pytest.raises(ValueError, match=r".*"):
        to_number(written)


def test_thousands_among_quotation_marks_are_read(read):
    text = "".join(f'{20 + i / 10:.1f},"{1234 + i:,}"\n' for i in range(5))
    assert read(text).intensity.tolist() == [1234 + i for i in range(5)]


@pytest.mark.parametrize(
    "foot",
    [
        "====================\n  Some paper (1994) 79, 1104-1107.\n  20 30\n",
        "--------\n1 2 3\n",
        "END\n",
        "[End of data]\n",
        "\nMeasured by nobody, 3 h\n\nat 25 °C\n",
        "* * *\nx\n",
    ],
)
def test_a_foot_is_left_out_and_said(read, foot):
    found = read("20 1\n21 2\n22 3\n" + foot)
    assert found.two_theta.tolist() == [20, 21, 22]
    comment = foot.startswith("*")
    assert comment or "is left out, from line" in found.notes[0]


@pytest.mark.parametrize(
    "spoilt", ["22 x\n23 4\n", "2O 3\n23 4\n", "x\n23 4\n", "22\n", "22.x 4\n"]
)
def test_a_spoilt_row_is_no_foot(read, spoilt):
    with pytest.raises(ValueError, match="line 3 is not two columns of numbers"):
        read("20 1\n21 2\n" + spoilt)


@given(
    counts=st.lists(st.integers(1, 3_000_000), min_size=200, max_size=220),
    decimals=st.integers(2, 4),
    style=st.sampled_from([".,", ".'", ". ", ",.", ", ", "..", ",,", ",'", "._", ".\u202f"]),
    separator=st.sampled_from(["\t", ";", " ", "   ", ",", " ; "]),
    quoted=st.sampled_from(["none", "all", "needed"]),
    heading=st.sampled_from(["", "2theta{0}Intensity", "# Prüfung 25 °C", "Angle{0}Counts"]),
    foot=st.sampled_from(["", "====\nSome paper 1994 79\n", "END", "\n-----\n20 30\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    name=st.sampled_from(["A.XY", "a.Txt", "a.csv", "a.DAT"]),
)
def test_exports_of_programs_are_read_as_meant_or_refused(
    tmp_path_factory,
    counts,
    decimals,
    style,
    separator,
    quoted,
    heading,
    foot,
    encoding,
    end,
    name,
):
    decimal, thousands = style[0], style[1]
    angle = 10 + np.arange(len(counts)) / 50
    marks = str.maketrans({".": decimal, ",": thousands})
    lines = []
    for a, n in zip(angle, counts, strict=True):
        fields = [f"{x}".translate(marks) for x in (f"{a:.{decimals}f}", f"{n:,}")]
        quotes = {"none": False, "all": True, "needed": any(separator in x for x in fields)}[quoted]
        lines.append(separator.join(f'"{x}"' if quotes else x for x in fields))
    head = [heading.format(separator)] if heading else []
    text = end.join([*head, *lines, *foot.split("\n")])
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(text.encode(encoding if thousands.isascii() else "utf-8"))
    found = answer(path)
    if isinstance(found, str):
        assert "\n" not in found
        return
    np.testing.assert_allclose(found.two_theta, angle, atol=1e-6)
    np.testing.assert_array_equal(found.intensity, counts)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"]
)
@pytest.mark.parametrize("name", ["a.XY", "a.Txt", "a.csv", "a.DAT", "A.CSV"])
def test_encodings_and_endings_do_not_matter(read, tmp_path, encoding, name):
    text = "# Prüfung\r\n" + rows("\t", "{:.3f}".format, str).replace("\n", "\r\n")
    found = read(text.encode(encoding), name)
    np.testing.assert_array_equal(found.intensity, COUNTS)
    assert pattern_files([tmp_path]) == [tmp_path / name]


@pytest.mark.parametrize("place", [1, 2, 4])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_row_without_its_intensity_is_refused(read, separator, place):
    lines = ["2theta,Iobs,Icalc", "27.36,13,12", "31.70,99,98", "56.45,20,21"]
    lines.insert(place, "45.43,,66")
    with pytest.raises(ValueError, match=f"line {place + 1} has an empty cell"):
        read("\n".join(lines).replace(",", separator))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("heading", "more"),
    [("2theta,A,2theta,B", "27.4,5 30.1,12 ,,45.43,66 ,,46.43,67"), ("2theta,I,number", "1 ")],
)
def test_empty_cells_of_other_columns_do_no_harm(read, heading, more, separator):
    first, second, *rest = more.split(" ")
    text = "\n".join([heading, f"27.36,13,{first}", f"31.7,99,{second}", *rest])
    found = read(text.replace(",", separator))
    assert found.two_theta.tolist() == [27.36, 31.7]
    assert found.intensity.tolist() == [13, 99]


@pytest.mark.parametrize(
    "text",
    [
        "2theta, I\n27,36, 13\n31,70, 100\n45,43, 55\n",
        "".join(f"{20 + i // 10},{i % 10},{100 + i % 7}\n" for i in range(300)),
    ],
)
def test_whole_numbers_between_commas_that_may_be_decimal_are_refused(read, text):
    with pytest.raises(ValueError, match="its commas may part columns or be decimal marks"):
        read(text)


def test_commas_beside_decimal_points_part_columns(read):
    found = read(rows(",", "{:.2f}".format, lambda n: f"{n},10"))
    np.testing.assert_array_equal(found.intensity, COUNTS)


@pytest.mark.parametrize("separator", [" ", ",", ";", "\t"])
def test_a_range_before_the_points_is_none_of_them(read, separator):
    text = rows(separator, "{:.2f}".format, str)
    found = read(f"20.0 25.98 0.02\n{text}".replace(" ", separator))
    np.testing.assert_allclose(found.two_theta, ANGLE)
    assert found.notes == ("line 1 is left out: it is the range",)


@pytest.mark.parametrize(
    "text", ["31.704(4) 100(5)\n45.45(1) 55\n", "2theta;I\n31,704(4);100(5)\n45,45(1);55(3)\n"]
)
def test_uncertainties_behind_numbers_are_left_out(read, text):
    found = read(text)
    assert found.two_theta.tolist() == [31.704, 45.45]
    assert found.intensity.tolist() == [100, 55]
