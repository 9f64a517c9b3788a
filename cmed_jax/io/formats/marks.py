"""Decimal marks and marks of thousands: the meaning of commas, points and blanks in numbers.

A file has one decimal mark and at most one mark of thousands. A mark before other than three
digits is decimal. A mark that occurs twice in a number separates thousands. The other numbers of
the file decide the meaning of numbers such as 1,234.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

NUMBER = re.compile(r"[+-]?\d(?:[\d.,]*\d)?\.?(?:[eEdD][+-]?\d+)?")
GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:['’\u2009\u202f\u00a0]\d{3})+(?![\d'’])")
"""A number with thousands separated by an apostrophe or by a blank that does not break."""
BLANKS = re.compile(r"[+-]?\d{1,3}(?: \d{3})+(?:[.,]\d+)?")
"""A field, between tabs or semicolons, with thousands separated by blanks."""
QUOTED = re.compile(r'"[+-]?[\d.]')
"""The beginning of a line of quoted numbers."""
CSV = re.compile(r'(^|[,;\t]) *"[+-]?\d[\d.,]*" *($|[,;\t])')
"""A quoted number among the fields of a line."""
THOUSAND = 1000


FEWEST_WHOLE = 10
"""The number of whole numbers of a column beside which three decimals look like thousands."""


class Marks(NamedTuple):
    """The marks in the numbers of a file.

    Attributes:
        thousands: the mark that separates thousands: a comma, a point, or none (empty).
        columns: the mark that separates the columns of a file with quoted numbers, else empty.
            Spreadsheets quote only the numbers that hold that mark.
    """

    thousands: str = ""
    columns: str = ""


def marks_of(lines: Iterable[tuple[int, str]]) -> Marks:
    """Return the marks that the numbers of a file show.

    Args:
        lines: the lines with their line numbers; lines without numbers are ignored.

    Raises:
        ValueError: a mark separates thousands in one line, and is decimal in another (it is
            named).
    """
    lines = list(lines)
    columns = next((_separator(line) for _, line in lines if CSV.search(line)), "")
    rows = [(number, row) for number, line in lines if (row := _row(line, columns))]
    if any("," in field for _, row in rows for field in row):
        for mark, other in ((",", "."), (".", ",")):
            if _parts_thousands(rows, mark, other):
                return Marks(mark, columns)
    for mark in ",.":
        _check_decimals(rows or _parted_by_commas(lines), mark)
    return Marks("", columns)


def split_line(line: str, marks: Marks) -> list[str]:
    """Return the fields of a line with decimal points and without marks of thousands.

    A comma is decimal where another character separates the columns.
    """
    line = _joined(line)
    if separator := marks.columns or (_separator(line) if CSV.search(line) else ""):
        return [_plain(field, marks) for field in _quoted(line, separator)]
    fields = [field.strip() for field in re.split(r"[;\t]", line)]
    if len(fields) == 1:
        fields = line.split()
    else:
        fields = [field.replace(" ", "") if BLANKS.fullmatch(field) else field for field in fields]
    if marks.thousands:
        fields = [_without(field, marks.thousands) for field in fields]
    if len(fields) > 1 and all(_is_decimal(field) for field in fields):
        return [part for field in fields for part in field.replace(",", ".").split()]
    return [part for field in fields for part in re.split(r"[,;\s]+", field) if part]


def cells_of(line: str, marks: Marks, columns: int) -> list[str] | None:
    """Return as many cells of a line as there are columns, empty ones too.

    None where no separator shows the places of empty cells, or where `split_line` keeps them, as in
    a file with quoted numbers. Those at the end may be missing.
    """
    separator = next((mark for mark in "\t;," if mark in line), "")
    cells = line.split(separator) if separator and not marks.columns else []
    if not cells or len(cells) > columns or all(map(str.strip, cells)):
        return None
    plain = [" ".join(split_line(cell, marks)) if cell.strip() else "" for cell in cells]
    return plain + [""] * (columns - len(cells))


def begins_with_number(line: str) -> bool:
    """Return whether a line that begins with a quotation mark holds numbers."""
    return QUOTED.match(line) is not None


def _joined(line: str) -> str:
    """Return a line without the apostrophes or narrow blanks that separate thousands."""
    joined = GROUPED.sub(lambda match: re.sub(r"\D", "", match.group()), line)
    return joined if len(re.split(r"[,;\s]+", joined.strip())) > 1 else line


def _separator(line: str) -> str:
    """Return the mark beside the quotation marks of a line, which separates its columns."""
    return next((mark for mark in "\t;," if re.search(rf'" *{mark}|{mark} *"', line)), ",")


def _quoted(line: str, separator: str) -> list[str]:
    return [
        field.strip()
        for field in next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    ]


def _plain(field: str, marks: Marks) -> str:
    """Return a single field as a number with a decimal point."""
    if marks.thousands or re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+\.\d*", field):
        return _without(field, marks.thousands or ",").replace(",", ".")
    return field.replace(",", ".") if _is_decimal(field) else field


def _without(field: str, mark: str) -> str:
    """Return a field without the mark that stands before groups of digits."""
    return re.sub(rf"(?<=\d){re.escape(mark)}(?=\d{{2,3}})", "", field)


def _row(line: str, columns: str) -> list[str]:
    """Return the numbers of a line unless commas separate them; none of other lines."""
    line = _joined(line)
    if columns:
        fields = _quoted(line, columns)
    else:
        parted = [field.strip() for field in re.split(r"[;\t]", line)]
        fields = line.split() if len(parted) == 1 else parted
    fields = [field for field in fields if field]
    few = len(fields) > 1 and all(NUMBER.fullmatch(field) for field in fields[:2])
    return fields if few else []


def _parted_by_commas(lines: Iterable[tuple[int, str]]) -> list[tuple[int, list[str]]]:
    """Return the numbers of the lines in which commas separate them."""
    rows = [(number, [field.strip() for field in line.split(",")]) for number, line in lines]
    return [
        (number, row)
        for number, row in rows
        if len(row) > 1 and all(NUMBER.fullmatch(field) for field in row[:2])
    ]


def _parts_thousands(rows: Sequence[tuple[int, list[str]]], mark: str, other: str) -> bool:
    """Return whether a mark separates thousands in the rows of a file."""
    lines = {True: 0, False: 0}
    places: set[int] = set()
    for number, row in rows:
        for place, field in enumerate(row):
            parts = _tells(field, mark, other)
            if parts is not None:
                lines[parts] = lines[parts] or number
            elif mark in field and NUMBER.fullmatch(field):
                places.add(place)
    if lines[True] and lines[False]:
        first, second = sorted(lines.values())
        raise ValueError(
            f"line {second} has {mark!r} before other than three digits, or among thousands, where "
            f"line {first} has it otherwise: write numbers with a decimal point alone"
        )
    if lines[True] or lines[False] or not places:
        return bool(lines[True])
    return 0 not in places and _rest_tells(rows, places, other)


def _check_decimals(rows: Sequence[tuple[int, list[str]]], mark: str) -> None:
    """Refuse numbers with three decimals beside whole numbers below 1000, as of thousands.

    A column with decimals has other numbers of them, or no whole numbers.
    """
    columns = max((len(row) for _, row in rows), default=0)
    for place in range(1, columns):
        fields = [(number, row[place]) for number, row in rows if place < len(row)]
        whole = [field for _, field in fields if field.isdecimal()]
        marked = [(number, field) for number, field in fields if not field.isdecimal()]
        alike = all(re.fullmatch(rf"[1-9]\d{{0,2}}{re.escape(mark)}\d{{3}}", x) for _, x in marked)
        small = all(len(field) <= 3 for field in whole)  # below 1000
        if len(marked) > 1 and len(whole) >= FEWEST_WHOLE and alike and small:
            number, field = marked[0]
            raise ValueError(
                f"line {number} has {field!r} beside whole numbers below 1000, where {mark!r} may "
                "be decimal or part thousands: write numbers with a decimal point alone"
            )


def _rest_tells(rows: Sequence[tuple[int, list[str]]], places: set[int], other: str) -> bool:
    """Return whether numbers such as 1,234 are thousands, by the other numbers of the file."""
    if any(other in row[0] for _, row in rows):
        return True
    bare = [
        int(row[place])
        for _, row in rows
        for place in places
        if place < len(row) and row[place].isdecimal() and len(row[place]) < 12
    ]
    return bool(bare) and max(bare) < THOUSAND


def _tells(field: str, mark: str, other: str) -> bool | None:
    """Return true where a mark separates thousands, false where decimal, None where unclear."""
    if mark not in field or not NUMBER.fullmatch(field):
        return None
    if field.count(mark) > 1:
        m, o = re.escape(mark), re.escape(other)
        groups = rf"\D?\d{{1,3}}({m}\d{{2,3}})*{m}\d{{3}}({o}\d*)?"
        return True if re.fullmatch(groups, field) else None
    if other in field and mark in field.partition(other)[0]:
        return True
    before, _, after = field.lstrip("+-").partition(mark)
    if other in before:
        return False
    alike = len(after) == 3 and before.isdecimal() and 0 < len(before) <= 3 and before[0] != "0"
    return None if alike else False


def _is_decimal(field: str) -> bool:
    """Return whether a comma in a field, if any, is a decimal mark."""
    commas = field.count(",")
    return commas == 0 or (commas == 1 and "." not in field and field.strip(",") == field)
