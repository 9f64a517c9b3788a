"""Columns of text: .xy, .xye, .csv, .dat, .txt; profiles, lists of peaks, and rows of counts."""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from cmed_jax.io.formats.scan import MOST_POINTS, Axis, Column, Radiation, Scan, doublet, even_steps
from cmed_jax.io.formats.text import decode, number_or_none, numbered_lines, to_number, to_numbers

COMMENT = "#!;%'\"/*"
"""Characters that begin a line which holds no data."""
PROFILE_POINTS = 200
"""Evenly spaced points from which on two columns are a profile, and not a list of peaks."""
NAMES = {
    "angle": r"(2|two)[\W_]*(th|θ)|tth|^(2t|angle|pos)\b",
    "spacing": r"^d\b|^d[-_ (]?(spacing|hkl|obs|value|å|a\b)",
    "intensity": r"^(i|y|yobs|counts?|cps|height|area)\b|int|counts|i[-_ ]?obs",
    "sigma": r"esd|sigma|σ|\berr|uncert|std",
    "momentum": r"^[qs](\b|_)",
    "half": r"^(theta|θ)(\b|_)",
}
"""What columns are called, in lower case."""
LONGEST_HEADER = 10_000
"""Lines that may precede the data."""
LONGEST_HEADING = 300
"""Characters of a heading that are looked at."""
MOST_HEADINGS = 8
"""Headings before the data that may name the columns."""
LONGEST_ROW = 20
"""Most counts in a row."""
MOST_UNNAMED = 4
"""Numbers in a row of which no heading tells the meaning; files of counts have more."""
WAVELENGTH = re.compile(
    r"(?:wave[\s_-]?length|lambda|λ)(?:[^\d\n]{0,9}?(?<![a-z])(nm|pm|m)(?![a-z]))?[^\d\n]{0,20}?"
    r"(\d+(?:[.,]\d+(?:e[+-]?\d+)?|e-\d+))(?:\s*(nm|pm|m)(?![a-z]))?",
    re.IGNORECASE,
)
ANGSTROM = {"": 1.0, "nm": 10.0, "pm": 0.01, "m": 1e10}
INVERSE = {
    1.0: r"(1 ?/ ?|inverse |inv_?)([aå](?![a-z])|ang)|(?<![a-z])([aå]|ang\w+)[\^{(]*[-−⁻][1¹]",
    0.1: r"(1 ?/ ?|inverse |inv_?)(nm|nano)|nm[\^{(]*[-−⁻][1¹]",
}
"""How units of Q are written, in lower case, by what they are in 1/angstrom."""
Q = r"(?<![a-z])q(?![a-z])"
RADIANS = r"(th|theta|θ)[\W_]{0,3}rad(ians?)?(?![a-z])"
"""Of headings that tell of Q and of radians, in lower case."""
Lines = Sequence[tuple[int, str]]


class Layout(NamedTuple):
    """Which column is which, from 0; what the positions are, their unit, and who says so."""

    position: int = 0
    intensity: int = 1
    sigma: int | None = None
    axis: Axis = "two_theta"
    unit: float = 1.0
    named: bool = False


def read_columns(data: bytes) -> Scan:
    """Return two-theta, d or Q, and intensity, of columns of text.

    Columns are parted by blanks, commas or semicolons; where it is not commas that part them, a
    comma within a number is a decimal one. Comments and headings may precede the data. Where a
    heading names as many columns as there are, they are taken by their names; else the first is
    two-theta, or Q where a heading says so with its unit, and the second the intensity. Further
    columns are ignored, unless their heading says that they are standard deviations. A heading or a
    comment may give the wavelength.

    Counts in rows, after a line of start, step and stop, are read too, as FullProf and DBWS have
    them (FullProf manual, INSTRM = 0).

    Raises:
        ValueError: a line within the data is not numbers (it is named), there are no data, the
            columns are of theta, of radians, or of Q without a unit, a comma may be a decimal one,
            rows hold more numbers than columns are known, or a profile's angles go up and down.
    """
    return _read(data, Layout())


def read_columns_with_sigma(data: bytes) -> Scan:
    """Return two-theta, intensity and standard deviation: .xye, see `read_columns`."""
    return _read(data, Layout(sigma=2))


def _read(data: bytes, usual: Layout) -> Scan:
    lines = list(numbered_lines(decode(data)))
    return _rows_of_counts(lines) or _columns(lines, usual)


def _rows_of_counts(lines: Lines) -> Scan | None:
    """Return counts in rows, where a line before them says a range of as many points."""
    data = [(number, line) for number, line in lines if line[0] not in COMMENT]
    for i, (number, line) in enumerate(data[:MOST_HEADINGS]):
        if (range_ := _range(line)) is None:
            continue
        start, step, steps = range_
        fields = [field for _, row in data[i + 1 :] for field in row.split()]
        if steps <= len(fields) <= steps + LONGEST_ROW:  # the last row may be filled up
            counts = to_numbers(fields[: steps + 1], f"what follows line {number}")
            radiations = (_radiation(line) for _, line in lines[:MOST_HEADINGS])
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
    headings: deque[str] = deque(maxlen=MOST_HEADINGS)
    rows: list[list[float]] = []
    numbers: list[int] = []
    radiation: Radiation | None = None
    layout = usual
    for number, line in lines:
        if not rows and number > LONGEST_HEADER:
            raise ValueError(f"it holds no two columns of numbers in {LONGEST_HEADER} lines")
        if not rows or line[0] in COMMENT:
            radiation = radiation or _radiation(line)
        if line[0] in COMMENT:
            headings.append(line[:LONGEST_HEADING].lstrip(COMMENT).strip())
            continue
        fields = _fields(line)
        layout = layout if rows else _layout(headings, len(fields), usual)
        try:
            rows.append(_row(fields, layout))
            numbers.append(number)
        except (ValueError, IndexError):
            if rows:
                raise ValueError(f"line {number} is not {_wanted(layout)}: {line[:60]!r}") from None
            headings.append(line[:LONGEST_HEADING])
        else:
            _check_row(fields, layout, line, number)
    if not rows:
        raise ValueError("it holds no two columns of numbers (two-theta, intensity)")
    return _scan(np.array(rows), numbers, layout, radiation)


def _check_row(fields: list[str], layout: Layout, line: str, number: int) -> None:
    """Refuse rows whose first numbers are not sure to be two-theta and an intensity."""
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


def _scan(rows: np.ndarray, lines: list[int], layout: Layout, radiation: Radiation | None) -> Scan:
    position, intensity = rows[:, 0], rows[:, 1]
    _check_order(position, lines)
    sigma = None if layout.sigma is None else rows[:, 2]
    return Scan(position * layout.unit, intensity, sigma, radiation, axis=layout.axis)


def _check_order(position: Column, lines: list[int]) -> None:
    """Refuse rows of counts, whose first number is not an angle."""
    steps = np.diff(position)
    direction = 1 if position[-1] >= position[0] else -1
    back = steps * direction < 0
    if len(position) >= PROFILE_POINTS and back.any():
        where = int(np.argmax(back)) + 1
        raise ValueError(
            f"line {lines[where]} goes back in the first column, from {position[where - 1]} to "
            f"{position[where]}: give one scan, with two-theta in the first column"
        )


def _wanted(layout: Layout) -> str:
    return "two columns of numbers" if layout.sigma is None else "three columns of numbers"


def _row(fields: list[str], layout: Layout) -> list[float]:
    wanted = (layout.position, layout.intensity, layout.sigma)
    return [to_number(fields[column]) for column in wanted if column is not None]


def _fields(line: str) -> list[str]:
    """Split a line; a comma is decimal where something else parts the columns."""
    fields = [field.strip() for field in re.split(r"[;\t]", line)]
    fields = line.split() if len(fields) == 1 else fields
    if len(fields) > 1 and all(_is_decimal(field) for field in fields):
        return [part for field in fields for part in field.replace(",", ".").split()]
    return [part for part in re.split(r"[,;\s]+", line) if part]


def _is_decimal(field: str) -> bool:
    """Whether a comma in a field, if any, is a decimal one."""
    commas = field.count(",")
    return commas == 0 or (commas == 1 and "." not in field and field.strip(",") == field)


def _layout(headings: Iterable[str], columns: int, usual: Layout) -> Layout:
    """Return which column is which: by the last heading that tells, or else as usual.

    Raises:
        ValueError: a heading says that there is neither two-theta in degrees, nor d, nor Q.
    """
    headings = list(headings)
    short = usual.sigma is not None and columns <= usual.sigma
    usual = Layout() if short else usual
    for heading in reversed(headings):
        if re.search(RADIANS, heading.lower()):
            raise ValueError(f"its angles are {heading[:40]!r}: give two-theta in degrees")
        if layout := _named(heading, columns):
            return layout
    units = (_unit(heading) for heading in headings if re.search(Q, heading.lower()))
    unit = next((unit for unit in units if unit), None)
    return usual._replace(axis="q", unit=unit) if unit else usual


def _named(heading: str, columns: int) -> Layout | None:
    """Return what a heading says that names as many columns as there are."""
    split = (re.split(r"[,;\t]", heading), re.split(r"\s{2,}", heading), heading.split())
    names = next((names for names in split if len(names) == columns), [])
    names = [name.strip(" \"'").lower() for name in names]
    found = {kind: _first(pattern, names) for kind, pattern in NAMES.items()}
    intensity, sigma = found["intensity"], found["sigma"]
    if intensity is None:
        return None
    if (position := found["angle"]) is not None:
        return Layout(position, intensity, sigma, named=True)
    if (position := found["spacing"]) is not None:
        return Layout(position, intensity, sigma, "d", named=True)
    if (position := found["momentum"]) is not None:
        return Layout(position, intensity, sigma, "q", _unit_of_q(names[position]), named=True)
    if found["half"] is not None:
        raise ValueError(f"its columns are {heading[:40]!r}: give two-theta, not theta")
    return None


def _unit_of_q(name: str) -> float:
    unit = _unit(name)
    if unit is None or not re.search(Q, name):
        raise ValueError(f"it has a column {name[:40]!r}: give two-theta, d, or Q in 1/A or 1/nm")
    return unit


def _unit(name: str) -> float | None:
    """Return the unit of Q in 1/angstrom, where a name or a heading says it."""
    written = (unit for unit, pattern in INVERSE.items() if re.search(pattern, name.lower()))
    return next(written, None)


def _first(pattern: str, names: list[str]) -> int | None:
    return next((i for i, name in enumerate(names) if re.search(pattern, name)), None)


def _radiation(line: str) -> Radiation | None:
    if not (match := WAVELENGTH.search(line[:LONGEST_HEADING])):
        return None
    before, number, after = match.groups()
    value = float(number.replace(",", "."))
    unit = (after or before or ("m" if value < 1e-8 else "")).lower()
    return doublet(value * ANGSTROM[unit])
