"""Readers of columns of text (.xy, .xye, .csv, .dat, .txt) and of rows of counts."""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cmed_jax.io.formats.axes import kind_of
from cmed_jax.io.formats.headings import Layout, layout_of
from cmed_jax.io.formats.lists import is_apart, states_range, unnamed
from cmed_jax.io.formats.marks import Marks, begins_with_number, marks_of, split_line
from cmed_jax.io.formats.rows import (
    PROFILE_POINTS,
    Lines,
    check_decimal_commas,
    check_groups,
    check_heading,
    check_row,
    is_foot,
    number_of_columns,
    row_of,
    wanted,
    with_empty_cells,
)
from cmed_jax.io.formats.scan import (
    MOST_POINTS,
    Column,
    Radiation,
    Scan,
    even_steps,
    per_equal_time,
)
from cmed_jax.io.formats.stated import (
    check_stated,
    notes_on_probe,
    stated_radiation,
    with_alpha2,
)
from cmed_jax.io.formats.text import decode, number_or_none, numbered_lines, to_numbers

COMMENT = "#!;%'\"/*"
"""The characters that begin a line without data."""
LONGEST_HEADER = 10_000
"""The largest number of lines before the data."""
MOST_TRIED = 400
"""The largest number of lines that hold two numbers, and are no data, before the data."""
LONGEST_HEADING = 300
"""The largest number of characters of a heading that are examined."""
MOST_HEADINGS = 8
"""The number of headings before the data that may name the columns."""
LONGEST_ROW = 20
"""The largest number of counts in a row."""
MOST_FIELDS = 50
"""The number of fields of a line that are examined to find the beginning of the data."""
SPEC = re.compile(r"L +(?=\S+ {2,}\S)")
"""The beginning of a comment of SPEC that names the columns."""
SCAN = re.compile(r"#S\s+\d")
"""The beginning of a comment of SPEC before a scan."""
MILLIONS = re.compile(r"(?<![\d.,])\d{1,3}([.,])\d{3}(?:\1\d{3})+(?![\d.,])")
"""The pattern of a number whose marks can only separate thousands."""
NUMBERED = "the first column numbers the points: the second is taken for two-theta in degrees"
FEWEST_NUMBERED = 3
"""The number of rows from which on a first column of 0, 1, 2 or 1, 2, 3 numbers the points."""
FEWEST_COUNTED = 30
"""The number of rows from which on it does so beside intensities alone."""
ROUNDED, SLOWEST = 0.75, 0.12
"""The distance of a clock's times from even ones, seconds, and its least step for each point.

Counting times that grow with the angle stay the same for many points.
"""


def read_columns(data: bytes) -> Scan:
    """Return positions (two-theta, d or Q) and intensities from columns of text.

    Columns are separated by blanks, commas or semicolons. Where the separator is not a comma, a
    comma within a number is a decimal mark or separates thousands (`cmed_jax.io.formats.marks`).
    Comments and headings may precede the data, and a foot may follow them. Where a heading names as
    many columns as there are, they are read by their names. Otherwise the first is two-theta, or
    the axis that a heading states alone, and the second is the intensity. Further columns are
    ignored, unless their heading states standard deviations. `cmed_jax.io.formats.axes` lists the
    names of positions. A heading or a comment may give the wavelength.

    Rows of counts after a line of start, step and stop, the format of FullProf and DBWS, are read
    too (FullProf manual, INSTRM = 0).

    Raises:
        ValueError: a line within the data is not numbers (it is named), there are no data, the
            axis is refused or is Q without a unit, a comma may be a decimal mark, rows hold more
            numbers than known columns, or the angles of a profile go up and down.
    """
    return _read(data, Layout())


def read_columns_with_sigma(data: bytes) -> Scan:
    """Return two-theta, intensity and standard deviation of a .xye file, like `read_columns`."""
    return _read(data, Layout(sigma=2))


def _read(data: bytes, usual: Layout) -> Scan:
    whole = numbered_lines(decode(data), margin=True)
    lines = [(number, _without_margin(line)) for number, line in whole]
    return _rows_of_counts(lines) or _columns(lines, usual)


def _without_margin(line: str) -> str:
    """Return a line without its margin; tabs stay, where they are empty cells before numbers."""
    bare = line.lstrip()
    kept = "\t" in bare and re.match(r"[+-]?[\d.]", bare)
    return line.lstrip(" ") if kept else bare


def _rows_of_counts(lines: Lines) -> Scan | None:
    """Return counts in rows, where a line before them states a range of as many points."""
    data = [(number, line) for number, line in lines if line[0] not in COMMENT]
    for i, (number, line) in enumerate(data[:MOST_HEADINGS]):
        if (range_ := _range(line)) is None:
            continue
        start, step, steps = range_
        fields = [field for _, row in data[i + 1 :] for field in row.split()]
        if steps <= len(fields) <= steps + LONGEST_ROW:  # the last row may be filled up
            counts = to_numbers(fields[: steps + 1], f"what follows line {number}")
            head = (line[:LONGEST_HEADING] for _, line in lines[:MOST_HEADINGS])
            radiations = map(stated_radiation, head)
            radiation = next((found for found in radiations if found), None)
            return Scan(even_steps(start, step, len(counts)), counts, radiation=radiation)
    return None


def _range(line: str) -> tuple[float, float, int] | None:
    """Return start, step and number of steps, where a line begins with start, step and stop."""
    match [number_or_none(field) for field in line.split()[:3]]:
        case [float(start), float(step), float(stop)] if step > 0:
            steps = (stop - start) / step
            if PROFILE_POINTS <= steps < MOST_POINTS:
                return start, step, round(steps)
    return None


def _columns(lines: Lines, usual: Layout) -> Scan:
    begin, headings, radiation = _head(lines)
    marks = marks_of(lines[begin:])
    ranged = states_range([split_line(line, marks) for _, line in lines[begin : begin + 3]])
    of_range = [f"line {lines[begin][0]} is left out: it is the range"] if ranged else []
    begin += ranged
    columns = number_of_columns(lines[begin:], marks)
    layout = layout_of(headings, columns, usual)
    numbered = not layout.named and _are_numbered(lines[begin:], marks)
    if numbered:
        layout = layout._replace(position=1, intensity=2, sigma=None, notes=(NUMBERED,))
    if layout == Layout(notes=layout.notes, labelled=layout.labelled) or numbered:
        found = unnamed(lines[begin:], marks, numbered=numbered)
        if found is not None:
            position, intensity, note = found
            layout = Layout(position, intensity, notes=(*layout.notes, note))
    table = _table(lines[begin:], layout, columns, marks)
    head = [line[:LONGEST_HEADING] for _, line in lines[:begin]]
    notes = [*of_range, *layout.notes, *notes_on_probe(head), *table.notes]
    rows, numbers = table.rows, table.numbers
    if radiation is not None and len(rows) >= PROFILE_POINTS:  # lines of a list are K-alpha 1
        radiation = with_alpha2(radiation, head)
    times = [_time(fields, layout) for fields in table.fields]
    of_rows = lines[begin : begin + len(rows)]
    if not layout.named:
        check_groups(headings, of_rows, marks)
    if all("," in line for _, line in of_rows):
        names = headings[-1].split(",") if headings else [""]
        named = len(names) if kind_of(names[0]) else 0
        check_decimal_commas(table.fields, [line for _, line in of_rows], named)
    if is_apart(rows):
        far = table.fields[0][:4]
        notes += [f"line {numbers[0]} is left out, for it is far from the others: {far}"]
        rows, times, numbers = rows[1:], times[1:], numbers[1:]
    scan = _scan(np.array(rows), numbers, layout, radiation or table.radiation)
    scan = replace(scan, notes=tuple(notes))
    known = np.array([time for time in times if time is not None])
    return _per_time(scan, known) if len(known) == len(times) else scan


class _Table(NamedTuple):
    """The rows of data: their numbers, fields and lines, and what is said among them."""

    rows: list[list[float]]
    fields: list[list[str]]
    numbers: list[int]
    radiation: Radiation | None
    notes: list[str]


def _table(lines: Lines, layout: Layout, columns: int, marks: Marks) -> _Table:
    """Return the rows of data, up to a foot or to a further scan.

    Raises:
        ValueError: a line within the data is not numbers, or has them where they may not be read.
    """
    found, radiation = _Table([], [], [], None, []), None
    for place, (number, line) in enumerate(lines):
        if _is_comment(line):
            if found.rows and SCAN.match(line):
                found.notes.append(f"only the first scan is read, up to line {number}")
                break
            radiation = radiation or stated_radiation(line[:LONGEST_HEADING])
            continue
        fields = split_line(line, marks)
        if len(fields) < columns:
            fields = with_empty_cells(fields, line, number, marks, layout, columns)
            if not fields:
                continue
        try:
            row = row_of(fields, layout)
        except (ValueError, IndexError):
            if not found.rows or not is_foot(lines[place:], layout, marks):
                raise ValueError(f"line {number} is not {wanted(layout)}: {line[:60]!r}") from None
            said = f"what follows the data is left out, from line {number} on: {line[:40]!r}"
            found.notes.append(said)
            break
        found.rows.append(row)
        found.fields.append(fields)
        found.numbers.append(number)
        check_row(fields, layout, line, number, found.fields[0])
    return found._replace(radiation=radiation)


def _time(fields: Sequence[str], layout: Layout) -> float | None:
    """Return the counting time in a row, seconds; None where there is none."""
    if layout.time is None or len(fields) <= layout.time:
        return None
    time = number_or_none(fields[layout.time])
    return None if time is None else time * layout.unit_of_time


def _per_time(scan: Scan, times: Column) -> Scan:
    """Return a scan with counts scaled to equal times, unless these are the time of the day."""
    factor, seconds, notes = per_equal_time(np.ones(len(times)), times)
    if not notes or _is_clock(times):
        return scan
    return replace(
        scan,
        intensity=scan.intensity * factor,
        sigma=None if scan.sigma is None else scan.sigma * factor,
        seconds=seconds,
        notes=(*scan.notes, *notes),
    )


def _is_clock(times: Column) -> bool:
    """Return whether times ascend all the while, or evenly up to their rounding to seconds."""
    if (np.diff(times) > 0).all():
        return True
    points = np.arange(len(times))
    slope, start = np.polyfit(points, times, 1)
    even = np.abs(times - start - slope * points).max() < ROUNDED
    return bool(slope > SLOWEST and even)


def _head(lines: Lines) -> tuple[int, list[str], Radiation | None]:
    """Return the index of the first line of data, the headings, and the radiation they state.

    Raises:
        ValueError: there are no data.
    """
    headings: deque[str] = deque(maxlen=MOST_HEADINGS)
    radiation: Radiation | None = None
    tried = 0
    for place, (number, line) in enumerate(lines):
        if number > LONGEST_HEADER or tried > MOST_TRIED:
            raise ValueError(f"it holds no two columns of numbers in {number - 1} lines")
        radiation = radiation or stated_radiation(line[:LONGEST_HEADING])
        comment = _is_comment(line)
        following = lines[place + 1][1] if place + 1 < len(lines) else line
        # ",0,1" is a heading of pandas, whose rows begin with a number.
        blank = line[0] in ",;" and following[0] not in ",;"
        if not (comment or blank) and _holds_numbers(line):
            if _begins_data(line, headings):
                if place and not _is_comment(lines[place - 1][1]):
                    check_heading(*lines[place - 1], len(_fields(line)))
                return place, list(headings), radiation
            tried += 1
        text = line[:LONGEST_HEADING]
        check_stated(text)
        # Names in quotation marks may hold the sign that separates them.
        quoted = re.match(r'"[^"]*" *[,;\t]', text)
        headings.append(text if quoted or not comment else SPEC.sub("", _uncommented(text)))
    raise ValueError("it holds no two columns of numbers (two-theta, intensity)")


def _fields(line: str) -> list[str]:
    return split_line(MILLIONS.sub(lambda x: re.sub(r"\D", "", x.group()), line), Marks())


def _holds_numbers(line: str) -> bool:
    return sum(number_or_none(field) is not None for field in _fields(line)[:MOST_FIELDS]) > 1


def _begins_data(line: str, headings: Iterable[str]) -> bool:
    """Return whether a line holds as many numbers as its headings name columns."""
    fields = _fields(line)
    layout = layout_of(headings, len(fields), Layout())
    try:
        row_of(fields, layout)
    except (ValueError, IndexError):
        return False
    return True


def _are_numbered(lines: Lines, marks: Marks) -> bool:
    """Return whether the first column numbers the points, and the second can be two-theta.

    Raises:
        ValueError: the first column numbers the points, and there are only intensities beside it.
    """
    rows: list[list[float]] = []
    for _, line in lines:
        numbers = [number_or_none(field) for field in split_line(line, marks)[:3]]
        known = [number for number in numbers if number is not None]
        if not known or len(known) < len(numbers):  # a comment, or the foot
            break
        if known[0] not in ((rows[-1][0] + 1,) if rows else (0, 1)):
            return False
        rows.append(known)
    if len(rows) < FEWEST_NUMBERED or len({len(row) for row in rows}) > 1:
        return False
    if len(rows[0]) == 2 and len(rows) >= FEWEST_COUNTED:
        raise ValueError(
            "its first column numbers the points: give two-theta beside each intensity"
        )
    second = np.array([row[1] for row in rows])
    steps = np.diff(second)
    within = (second >= 0).all() and (second <= 180).all()
    return len(rows[0]) == 3 and bool(within and ((steps > 0).all() or (steps < 0).all()))


def _uncommented(line: str) -> str:
    return line.lstrip(COMMENT).strip()


def _is_comment(line: str) -> bool:
    return line[0] in COMMENT and not begins_with_number(line)


def _scan(rows: np.ndarray, lines: list[int], layout: Layout, radiation: Radiation | None) -> Scan:
    position, intensity = rows[:, 0], rows[:, 1]
    _check_order(position, lines)
    sigma = None if layout.sigma is None else rows[:, 2]
    axis, factor, power = layout.of
    position = position * factor if power == 1 else np.abs(position * factor) ** power
    named = layout.named or layout.labelled
    return Scan(position, intensity, sigma, radiation, axis=axis, named=named)


def _check_order(position: Column, lines: list[int]) -> None:
    """Refuse rows of counts, in which the first number is not an angle."""
    steps = np.diff(position)
    direction = 1 if position[-1] >= position[0] else -1
    back = steps * direction < 0
    if len(position) >= PROFILE_POINTS and back.any():
        where = int(np.argmax(back)) + 1
        raise ValueError(
            f"line {lines[where]} goes back in the first column, from {position[where - 1]} to "
            f"{position[where]}: give one scan, with two-theta in the first column"
        )
