"""Decimal and thousands marks: what commas, points and blanks within numbers mean.

A file has one decimal mark and at most one mark of thousands. What stands before other than three
digits is decimal, what stands there twice parts thousands, and of numbers such as 1,234 the rest of
the file tells.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

NUMBER = re.compile(r"[+-]?\d(?:[\d.,]*\d)?\.?(?:[eEdD][+-]?\d+)?")
GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:['’\u2009\u202f\u00a0]\d{3})+(?![\d'’])")
"""A number whose thousands are parted by an apostrophe, or by a blank that does not break."""
BLANKS = re.compile(r"[+-]?\d{1,3}(?: \d{3})+(?:[.,]\d+)?")
"""A field, between tabs or semicolons, whose thousands are parted by blanks."""
QUOTED = re.compile(r'"[+-]?[\d.]')
"""How a line of quoted numbers begins."""
THOUSAND = 1000


class Marks(NamedTuple):
    """Which mark parts thousands: a comma, a point, or none (empty)."""

    thousands: str = ""


def marks_of(lines: Iterable[tuple[int, str]]) -> Marks:
    """Return what the numbers of a file tell of their marks.

    Args:
        lines: with their numbers; what holds no numbers is left out of account.

    Raises:
        ValueError: a mark parts thousands in one line, and is decimal in another (it is named).
    """
    rows = [(number, row) for number, line in lines if (row := _row(line))]
    if not any("," in field for _, row in rows for field in row):
        return Marks()
    for mark, other in ((",", "."), (".", ",")):
        if _parts_thousands(rows, mark, other):
            return Marks(mark)
    return Marks()


def split_line(line: str, marks: Marks) -> list[str]:
    """Return the fields of a line, with a decimal point and without marks of thousands.

    A comma is decimal where something else parts the columns.
    """
    line = _joined(line)
    if QUOTED.match(line):
        return [_plain(field, marks) for field in _quoted(line)]
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


def begins_with_number(line: str) -> bool:
    """Return whether a line that begins with a quotation mark is one of numbers."""
    return QUOTED.match(line) is not None


def _joined(line: str) -> str:
    """Return a line whose thousands are not parted by apostrophes or narrow blanks any more."""
    joined = GROUPED.sub(lambda match: re.sub(r"\D", "", match.group()), line)
    return joined if len(re.split(r"[,;\s]+", joined.strip())) > 1 else line


def _quoted(line: str) -> list[str]:
    separator = next((mark for mark in "\t;," if re.search(rf'"\s*{mark}', line)), ",")
    return [field.strip() for field in next(csv.reader([line], delimiter=separator))]


def _plain(field: str, marks: Marks) -> str:
    """Return a field of its own as a number with a point."""
    if marks.thousands or re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+\.\d*", field):
        return _without(field, marks.thousands or ",").replace(",", ".")
    return field.replace(",", ".") if _is_decimal(field) else field


def _without(field: str, mark: str) -> str:
    """Return a field without a mark that stands before groups of digits."""
    return re.sub(rf"(?<=\d){re.escape(mark)}(?=\d{{2,3}})", "", field)


def _row(line: str) -> list[str]:
    """Return the numbers of a line that something else than commas parts; none of other lines."""
    line = _joined(line)
    if QUOTED.match(line):
        fields = _quoted(line)
    else:
        parted = [field.strip() for field in re.split(r"[;\t]", line)]
        fields = line.split() if len(parted) == 1 else parted
    fields = [field for field in fields if field]
    few = len(fields) > 1 and all(NUMBER.fullmatch(field) for field in fields[:2])
    return fields if few else []


def _parts_thousands(rows: Sequence[tuple[int, list[str]]], mark: str, other: str) -> bool:
    """Return whether a mark parts thousands in the rows of a file."""
    told = {True: 0, False: 0}
    places: set[int] = set()
    for number, row in rows:
        for place, field in enumerate(row):
            parts = _tells(field, mark, other)
            if parts is not None:
                told[parts] = told[parts] or number
            elif mark in field and NUMBER.fullmatch(field):
                places.add(place)
    if told[True] and told[False]:
        first, second = sorted(told.values())
        raise ValueError(
            f"line {second} has {mark!r} before other than three digits, or among thousands, where "
            f"line {first} has it otherwise: write numbers with a decimal point alone"
        )
    if told[True] or told[False] or not places:
        return bool(told[True])
    return 0 not in places and _rest_tells(rows, places, other)


def _rest_tells(rows: Sequence[tuple[int, list[str]]], places: set[int], other: str) -> bool:
    """Return whether numbers such as 1,234 are of thousands, by the other numbers of the file."""
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
    """Return whether a mark parts thousands in a number (true), or is decimal; None if unclear."""
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
    """Whether a comma in a field, if any, is a decimal one."""
    commas = field.count(",")
    return commas == 0 or (commas == 1 and "." not in field and field.strip(",") == field)
