"""Lines and numbers of text in an unknown encoding."""

import io
from collections.abc import Iterator, Sequence

import numpy as np

from cmed_jax.crystal.encodings import decode as decode  # also for the other readers
from cmed_jax.crystal.encodings import to_number as to_number
from cmed_jax.io.formats.scan import MOST_POINTS, Column


def numbered_lines(text: str, *, margin: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty with their numbers, from 1; any line end is accepted.

    Args:
        text: a text of any length.
        margin: whether to keep the blanks at the beginning of a line.

    Raises:
        ValueError: there are more lines than any pattern has points.
    """
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if number > MOST_POINTS:
            raise ValueError(f"it has more than {MOST_POINTS} lines, as no pattern has")
        if stripped := line.strip():
            yield number, line.rstrip() if margin else stripped


def to_numbers(fields: Sequence[str], where: str) -> Column:
    """Return the numbers that fields hold.

    Args:
        fields: the fields, of one number each.
        where: the line or the element of the fields, for the error message.

    Raises:
        ValueError: a field is not a number, or there are too many fields.
    """
    if len(fields) > MOST_POINTS:
        raise ValueError(f"{where} has {len(fields)} numbers, more than any pattern")
    numbers = []
    for field in fields:
        try:
            numbers.append(to_number(field))
        except ValueError:
            raise ValueError(f"{where} has {field[:30]!r} where a number should be") from None
    return np.array(numbers, float)


def number_or_none(field: str | None) -> float | None:
    """Return the number of a field in a header, or None where it is missing or not a number."""
    try:
        return None if field is None else to_number(field.strip("'\" "))
    except ValueError:
        return None
