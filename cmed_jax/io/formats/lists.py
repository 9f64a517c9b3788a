"""The meaning of columns without names, by what their numbers can be.

Two columns that obey Bragg's law are two-theta and d. A list whose first numbers can only be d, an
intensity or indices has no two-theta there, and is refused. What may be two-theta is left alone.
"""

from collections.abc import Sequence
from itertools import permutations, takewhile
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.io.formats.marks import Marks, split_line
from cmed_jax.io.formats.text import number_or_none

BRAGG = 0.005
"""The share by which 2 d sin(theta), which is the wavelength, may differ from its median."""
ROUNDED = 0.0006
"""The error of d, angstrom, from its rounding to three decimals."""
SHORTEST = 0.3
"""The least d, angstrom, of a list; many intensities relative to 1 are less."""
EVEN, EXACT, POINTS = 0.02, 2e-4, 20
"""The difference of steps in degrees, up to which angles are those of a profile.

Its intensities may come near 1 / sin(theta), so that d must obey Bragg's law within the second
number, at no fewer points than the third.
"""
FEWEST = 3
"""The number of rows from which on the numbers of columns tell what they are."""
SPREAD = 1.05
"""The least ratio of the largest and the smallest d, from which on Bragg's law is no chance."""
FEWEST_SPACINGS, LARGEST_SPACING = 5, 25.0
"""The fewest rows and the largest d, angstrom, of a list whose first column is d if it descends."""
LEAST_LAST = 5.0
"""The least two-theta of the last line of a list; d and Q of the usual lines are less."""
LARGEST_INDEX = 40
"""The largest number that may be an index of a line."""
INDICES = 3
FULL_SCALE = (100, 999, 1000)
"""The strongest relative intensity in lists."""
STILL = 1.0
"""The range of the first column below which it is not what was scanned."""
FAR, STEP = 50.0, 1e-3
"""The number of steps, and the least step, from which on a first point is none of the profile."""
MOST_COLUMNS = 6
MOST_ROWS = 200
"""The largest numbers of columns and rows that are examined."""


class Unnamed(NamedTuple):
    """The columns of two-theta and the intensity, from 0, and a note."""

    position: int
    intensity: int
    note: str


def unnamed(lines: Sequence[tuple[int, str]], marks: Marks, *, numbered: bool) -> Unnamed | None:
    """Return the columns of rows without headings by Bragg's law; None where it tells nothing.

    Args:
        lines: the lines of the data with their numbers; a foot is ignored.
        marks: the marks in their numbers.
        numbered: whether the first column numbers the points.

    Raises:
        ValueError: the first column of a list cannot be two-theta, there is no intensity beside
            two-theta and d, or rows hold two lines each.
    """
    rows = _rows(lines[:: 1 + len(lines) // MOST_ROWS], marks)
    width = min((len(row) for row in rows), default=0)
    table = np.array([row[int(numbered) : width] for row in rows], float)
    if len(table) < FEWEST or width - numbered < 2 or not np.isfinite(table).all():
        return None
    columns = range(table.shape[1])
    for angle, spacing in permutations(columns, 2):
        if not _obey_bragg(table[:, angle], table[:, spacing]):
            continue
        others = [column for column in columns if column not in (angle, spacing)]
        if not others:
            raise ValueError(
                "its two columns are two-theta and d, by Bragg's law: give the intensities too"
            )
        said = [column + numbered + 1 for column in (angle, spacing, others[0])]
        note = (
            f"by Bragg's law column {said[0]} is two-theta, and column {said[1]} is d: column "
            f"{said[2]} is taken for the intensity"
        )
        return Unnamed(angle + numbered, others[0] + numbered, note)
    if len(lines) < MOST_ROWS:  # a profile may descend
        _check_list(table)
    return None


def is_apart(rows: Sequence[Sequence[float]]) -> bool:
    """Return whether the first row of a profile is none of its points, but a line of a header."""
    if len(rows) <= MOST_ROWS:
        return False
    steps = np.abs(np.diff([row[0] for row in rows]))
    return bool(steps[0] > FAR * max(np.median(steps), STEP) and steps[1] < 2 * np.median(steps))


def states_range(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first of three rows is start, stop and step, and the others are points."""
    if [len(row) for row in rows] != [3, 2, 2]:
        return False
    numbers = [[number_or_none(field) for field in row] for row in rows]
    match [*numbers[0], numbers[1][0], numbers[2][0]]:
        case [float(start), float(stop), float(step), float(first), float(second)]:
            near = abs(first - start) < EVEN and abs(second - first - step) < EVEN
            return near and stop > second and step > 0
    return False


def _rows(lines: Sequence[tuple[int, str]], marks: Marks) -> list[list[float]]:
    """Return the numbers at the beginning of each row, up to a line that begins with none."""
    read = (
        [number_or_none(field) for field in split_line(line, marks)[:MOST_COLUMNS]]
        for _, line in lines
    )
    numbers = (
        [x for x in takewhile(lambda x: x is not None, row) if x is not None] for row in read
    )
    return list(takewhile(len, numbers))


def _obey_bragg(angle: Float[np.ndarray, " n"], spacing: Float[np.ndarray, " n"]) -> bool:
    """Return whether 2 d sin(theta) is the same wavelength at each point."""
    if not ((angle > 0) & (angle < 180) & (spacing > SHORTEST)).all():
        return False
    order = np.lexsort((-spacing, angle))
    even = np.ptp(np.diff(angle)) <= EVEN
    if (np.diff(spacing[order]) > 0).any() or (even and len(angle) < POINTS):
        return False
    each = 2 * np.sin(np.radians(angle / 2))
    wavelength = float(np.median(spacing * each))
    near = EXACT if even else BRAGG
    alike = np.abs(spacing * each - wavelength) <= near * wavelength + ROUNDED * each
    return bool(alike.all() and spacing.max() >= SPREAD * spacing.min() and wavelength < 10)


def _check_list(table: Float[np.ndarray, "n m"]) -> None:
    """Refuse lists of lines whose first column cannot be two-theta."""
    first = table[:, 0]
    whole = np.abs(table - np.rint(table)).max(axis=0) == 0
    small = np.abs(table).max(axis=0) <= LARGEST_INDEX
    if table.shape[1] > INDICES and (whole & small)[:INDICES].all():
        raise ValueError(
            "its first three columns are whole numbers, like indices h k l: give a heading that "
            "names the columns, with two-theta or d"
        )
    steps = np.diff(first)
    descends = bool((steps < 0).all())
    if descends and len(table) >= FEWEST_SPACINGS and first.max() < LARGEST_SPACING:
        raise ValueError(
            "its first column descends, as d does in a list of lines: give a heading that names "
            "the columns, such as '2theta I' or 'd I'"
        )
    ranked = (np.diff(table[:, 1]) <= 0).all() and (steps < 0).any() and (steps > 0).any()
    if ranked and len(table) >= FEWEST_SPACINGS and first.max() < LARGEST_SPACING:
        raise ValueError(
            "its lines are sorted by intensity, and their positions may be two-theta or d: give a "
            "heading that names the columns, such as '2theta I' or 'd I'"
        )
    full = first.max() in FULL_SCALE
    back = (steps < 0).any() and np.ptp(first) > STILL and (full or not descends)
    second = table[:, 1]
    spacings = full and (np.diff(second) < 0).all() and second.max() < LARGEST_SPACING
    if back and (spacings or any(map(_are_angles, table[:, 1:].T))):
        raise ValueError(
            "its first column is not in order, and another is: give a heading that names the "
            "columns, for that one may be two-theta or d"
        )
    if table.shape[1] == INDICES + 1 and _are_pairs(table):
        raise ValueError("its rows hold two lines each, it seems: give one line in each row")
    if first.min() > 0 and first.max() < LEAST_LAST:
        raise ValueError(
            f"its first column ends at {first.max():g}, as d or Q does in a list of lines: give a "
            "heading that names the columns, such as '2theta I' or 'd I'"
        )


def _are_angles(column: Float[np.ndarray, " n"]) -> bool:
    """Return whether a column ascends like two-theta, and is no relative intensity or rank."""
    last, steps = float(column[-1]), np.diff(column)
    within = column[0] > 0 and LEAST_LAST < last <= 180 and last not in FULL_SCALE
    return bool(within and (steps > 0).all() and (steps != 1).any())


def _are_pairs(table: Float[np.ndarray, "n 4"]) -> bool:
    """Return whether columns 1 and 3 are angles of one list, in turn or one after the other."""
    first, second = table[:, 0], table[:, 2]
    if (second > 180).any() or not ((np.diff(first) > 0).all() and (np.diff(second) > 0).all()):
        return False
    in_turn = (first < second).all() and (second[:-1] < first[1:]).all()
    return bool(in_turn or second[0] > first[-1])
