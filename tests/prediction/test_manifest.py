"""The patterns that are predicted: files, folders and manifests, and known facts about each."""

import csv
from pathlib import Path

import pytest

from cmed_jax.prediction.batch import Job
from cmed_jax.prediction.manifest import check_names, parse_options, pattern_files, read_manifest
from cmed_jax.prediction.options import PredictionOptions


@pytest.fixture
def write(tmp_path):
    def write(*rows, encoding="utf-8"):
        path = tmp_path / "manifest.csv"
        with path.open("w", encoding=encoding, newline="") as file:
            csv.writer(file).writerows(rows)
        return path

    return write


def test_a_row_says_what_is_known_of_its_file(write, tmp_path):
    path = write(
        ["file", "composition", "wavelength", "cell", "centring"],
        ["a.xy", "NaCl", "CuKa", "5.64 5.64 5.64 90 90 90", "F"],
        ["sub/b.xy", "", "", "auto", ""],
        encoding="utf-8-sig",
    )
    common = PredictionOptions(wavelength="MoKa", composition="Si")
    first, second = read_manifest(path, common)
    cell = (5.64, 5.64, 5.64, 90.0, 90.0, 90.0)
    assert first == Job(tmp_path / "a.xy", PredictionOptions("CuKa", "NaCl", (), cell, "F"))
    assert second == Job(tmp_path / "sub/b.xy", PredictionOptions("MoKa", "Si", (), "auto", "P"))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_are_read_as_spreadsheets_write_them(tmp_path, separator):
    path = tmp_path / "manifest.csv"
    rows = ["File", "Elements", "wavelength "], ["a.xy", '"Na,Cl"', "CuKa"]
    path.write_text("\r\n".join(separator.join(row) for row in rows))
    known = PredictionOptions("CuKa", elements=("Na", "Cl"))
    assert read_manifest(path, PredictionOptions()) == [Job(tmp_path / "a.xy", known)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_what_spreadsheets_add_is_left_out(tmp_path, separator):
    path = tmp_path / "manifest.csv"
    rows = ["file", "composition", ""], ["", "", ""], ["a.xy", "NaCl", ""], ["#b.xy", "x", ""]
    lines = [f"sep={separator}", *(separator.join(row) for row in rows), 2 * separator]
    path.write_text("\r\n".join(lines))
    known = PredictionOptions(composition="NaCl")
    assert read_manifest(path, PredictionOptions()) == [Job(tmp_path / "a.xy", known)]


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "manifest.csv"
    path.write_text("file,composition,Composition\na.xy,NaCl,KCl\n")
    with pytest.raises(ValueError, match="the column 'composition' twice: give each once"):
        read_manifest(path, PredictionOptions())


def test_elements_take_the_place_of_a_formula_and_the_other_way_round():
    assert parse_options({"elements": "Na Cl"}, PredictionOptions(composition="Si")).elements == (
        "Na",
        "Cl",
    )
    assert (
        parse_options({"elements": "Na Cl"}, PredictionOptions(composition="Si")).composition
        is None
    )
    assert parse_options(
        {"composition": "Si"}, PredictionOptions(elements=("Na",))
    ) == PredictionOptions(composition="Si")


@pytest.mark.parametrize(
    ("text", "a"),
    [
        ("5,64 5,64 5,64 90 90 90", 5.64),
        ("5.64, 5.64, 5.64, 90, 90, 90", 5.64),
        ("5,5,5,90,90,90", 5),
    ],
)
def test_commas_in_a_cell_are_decimal_where_blanks_part_its_numbers(text, a):
    cell = parse_options({"cell": text}, PredictionOptions()).cell
    assert cell == (a, a, a, 90, 90, 90)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["file"]], "names no pattern"),
        ([["file", "formula"], ["a.xy", "NaCl"]], "unknown column 'formula'"),
        ([["composition"], ["NaCl"]], "no column 'file'"),
        ([["file", "composition"], ["a.xy", "Si"], ["", "NaCl"]], "row 2 .* names no file"),
        ([["file", "composition"], ["a.xy"]], "row 1 .* not as many fields"),
        ([["file", "cell"], ["a.xy", "5 5 5"]], "row 1 .*: cell '5 5 5'"),
        ([["file", "cell"], ["a.xy", "5,64 5,64 5,64"]], "row 1 .*: cell '5,64 5,64 5,64'"),
        ([["file", "centring"], ["a.xy", "X"]], "row 1 .*: unknown centring 'X'"),
    ],
)
def test_a_mistake_names_its_row(write, rows, message):
    with pytest.raises(ValueError, match=message):
        read_manifest(write(*rows), PredictionOptions())


def test_what_is_no_manifest_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no manifest at"):
        read_manifest(tmp_path / "none.csv", PredictionOptions())
    (tmp_path / "a.csv").write_bytes(b"file\n\0\n")
    with pytest.raises(ValueError, match="not a CSV file"):
        read_manifest(tmp_path / "a.csv", PredictionOptions())


def test_a_folder_is_its_patterns(tmp_path):
    for name in ("b.xy", "a.XRDML", "notes.md", ".hidden.xy", "c.raw"):
        (tmp_path / name).touch()
    (tmp_path / "sub.xy").mkdir()
    found = pattern_files([tmp_path, Path("elsewhere.txt")])
    assert [file.name for file in found] == ["a.XRDML", "b.xy", "c.raw", "elsewhere.txt"]
    with pytest.raises(FileNotFoundError, match="no pattern in"):
        pattern_files([tmp_path / "sub.xy"])


def test_two_patterns_of_one_name_are_refused():
    jobs = [Job(Path(name), PredictionOptions()) for name in ("a/x.xy", "y.xy", "b/x.raw")]
    check_names(jobs[:2])
    with pytest.raises(ValueError, match=r"a/x\.xy and b/x\.raw would both be written"):
        check_names(jobs)
