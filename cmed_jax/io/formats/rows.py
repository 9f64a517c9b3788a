"""Rows of numbers: what a layout takes from them, where they end, and which are refused."""

import re
from collections.abc import Sequence
from itertools import pairwise

from cmed_jax.io.formats.axes import kind_of
from cmed_jax.io.formats.headings import Layout
from cmed_jax.io.formats.marks import Marks, cells_of, split_line
from cmed_jax.io.formats.text import number_or_none, to_number

PROFILE_POINTS = 200
"""The number of points from which on two columns are a profile, except for a few gaps."""
MOST_UNNAMED = 4
"""The most numbers in a row without headings; rows of counts have more."""
RULE = re.compile(r"[=_~*#+.\s-]{3,}")
"""The pattern of a line that separates the data from what follows."""
GROUPS = re.compile(r"(?<!\S)[1-9]\d{0,2}(?: \d{3})+(\.\d*)?(?!\S)")
"""The pattern of a number whose thousands became numbers of their own."""
SEEN = 20
"""The number of rows that show how many cells of the first are empty."""
DAMAGED = re.compile(r"[<>~≈(]*[+-]?\d[\d.,]*[)*%?]*|n/?a|n\.?d\.?|-+|\*", re.IGNORECASE)
"""The pattern of what stands in place of a number: limits, estimates, and what was not measured."""
Lines = Sequence[tuple[int, str]]


def row_of(fields: list[str], layout: Layout) -> list[float]:
    """Return position, intensity, and the standard deviation where the layout has one.

    Raises:
        ValueError: a field is not a number.
        IndexError: there are too few fields.
    """
    wanted = (layout.position, layout.intensity, layout.sigma)
    return [to_number(fields[column]) for column in wanted if column is not None]


def number_of_columns(lines: Lines, marks: Marks) -> int:
    """Return the number of columns of rows; that of the first, which may have empty cells."""
    widths = [len(split_line(line, marks)) for _, line in lines[:SEEN]]
    widest = max(widths)
    empty = widths[0] < widest and cells_of(lines[0][1], marks, widest) is not None
    return widest if empty else widths[0]


def with_empty_cells(
    fields: list[str], line: str, number: int, marks: Marks, layout: Layout, columns: int
) -> list[str]:
    """Return the cells of a row with empty ones; none where the row belongs to other columns.

    Raises:
        ValueError: there is a position or an intensity, and the other is empty.
    """
    if (cells := cells_of(line, marks, columns)) is None:
        return fields
    wanted = [cells[i] for i in (layout.position, layout.intensity, layout.sigma) if i is not None]
    if any(wanted) and not all(wanted):
        raise ValueError(
            f"line {number} has an empty cell where a number should be: {line[:40]!r}: fill it, or "
            "leave the line out"
        )
    return cells if all(wanted) else []


def wanted(layout: Layout) -> str:
    """Return what a row should be, for an error message."""
    return "two columns of numbers" if layout.sigma is None else "three columns of numbers"


def check_heading(number: int, line: str, columns: int) -> None:
    """Refuse a damaged row directly before the first one, which would pass for a heading.

    Args:
        number: the number of the line before the first row.
        line: that line, no comment.
        columns: the number of fields of the first row.
    """
    fields = split_line(line, Marks())
    damaged = len(fields) == columns and all(map(DAMAGED.fullmatch, fields))
    if damaged and any(number_or_none(field) is not None for field in fields):
        raise ValueError(f"line {number} is not {wanted(Layout())}: {line[:60]!r}")


def is_foot(rest: Lines, layout: Layout, marks: Marks) -> bool:
    """Return whether the remaining lines are a foot, which begins with a line without numbers.

    Lines after a rule are always a foot. Otherwise no line of a foot is a row of data.
    """
    first = rest[0][1].lstrip()
    if RULE.fullmatch(first):
        return True
    if re.match(r"[+-]?[\d.]", first):  # a damaged row
        return False
    return not any(_is_row(line, layout, marks) for _, line in rest)


def _is_row(line: str, layout: Layout, marks: Marks) -> bool:
    try:
        return bool(row_of(split_line(line, marks), layout))
    except (ValueError, IndexError):
        return False


def check_row(fields: list[str], layout: Layout, line: str, number: int, first: list[str]) -> None:
    """Refuse rows in which the first numbers may not be two-theta and an intensity."""
    if "," in line and len(fields) > len(first) and re.fullmatch(r"\d{3}(\.\d*)?", fields[-1]):
        raise ValueError(
            f"line {number} has more numbers than those before: part its columns by semicolons or "
            "blanks if its commas part thousands"
        )
    longer = max(fields, first, key=len)
    if len(fields) != len(first) and GROUPS.search(" ".join(longer[1:])):
        raise ValueError(
            f"line {number} has {len(fields)} numbers, and the first line of the data "
            f"{len(first)}: write thousands without blanks or commas"
        )
    if not layout.named and sum(number_or_none(x) is not None for x in fields) > MOST_UNNAMED:
        raise ValueError(
            f"line {number} holds {len(fields)} numbers, as files of counts do: give two-theta "
            "beside each intensity, or a heading that names the columns"
        )
    if "," in line and any(re.fullmatch(r"0\d+", field) for field in fields):
        raise ValueError(
            f"line {number} is parted by commas that may be decimal ones: part its columns by "
            "semicolons or blanks"
        )


def check_groups(headings: list[str], lines: Lines, marks: Marks) -> None:
    """Refuse rows that all hold a number whose thousands seem to be separated like columns.

    In a short list the second of two numbers may be indices, unless it has decimals, or the
    heading names fewer columns.
    """
    rows = [split_line(line, marks) for _, line in lines if line[0].isdigit()]
    found = [GROUPS.search(" ".join(row[1:])) for row in rows]
    if not rows or not all(found):
        return
    names = re.split(r",|\s{2,}", headings[-1]) if headings else []
    names = names if len(names) > 1 else headings[-1].split() if headings else []
    fewer = 1 < len(names) < len(rows[0]) and kind_of(names[0]) is not None
    if len(rows) >= PROFILE_POINTS or fewer or any(match and match[1] for match in found):
        raise ValueError(
            f"the same sign separates its columns, and the thousands of its intensities, it seems "
            f"(line {lines[0][0]} has {len(rows[0])} numbers): write thousands without blanks or "
            "commas"
        )


def check_decimal_commas(rows: Sequence[Sequence[str]], lines: Sequence[str], named: int) -> None:
    """Refuse rows parted by commas that may be decimal ones, as in "27,36, 13".

    Such rows hold whole numbers alone, more than a heading names, the same first number again, or
    blanks behind some of their commas.

    Args:
        rows: the fields of all rows.
        lines: the rows as they are written.
        named: the number of columns that a heading names; 0 without one.

    Raises:
        ValueError: commas may be decimal marks.
    """
    widths = {len(row) for row in rows}
    whole = all(field.isdecimal() for row in rows for field in row)
    firsts = [row[0] for row in rows]
    again = any(one == other for one, other in pairwise(firsts))
    mixed = all(re.search(r",\d", line) and re.search(r", +\d", line) for line in lines)
    if whole and widths in ({3}, {4}) and ((0 < named < min(widths)) or again or mixed):
        raise ValueError(
            f"its commas may part columns or be decimal marks, as in {','.join(rows[0])!r}: part "
            "its columns by semicolons or blanks"
        )
