"""Text of unknown encoding, its lines and its numbers."""

import io
from collections.abc import Iterator, Sequence

import numpy as np

from cmed_jax.crystal.encodings import decode as decode  # for the readers beside this, as well
from cmed_jax.crystal.encodings import to_number as to_number
from cmed_jax.io.formats.scan import MOST_POINTS, Column


def numbered_lines(text: str, *, margin: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, from 1; any line end will do.

    Args:
        text: of any length.
        margin: keep the blanks that a line begins with.

    Raises:
        ValueError: there are more lines than points of any pattern.
    """
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        if number > MOST_POINTS:
            raise ValueError(f"it has more than {MOST_POINTS} lines, as no pattern has")
        if stripped := line.strip():
            yield number, line.rstrip() if margin else stripped


def to_numbers(fields: Sequence[str], where: str) -> Column:
    """Return the numbers of fields.

    Args:
        fields: one number each.
        where: the line or the element that they stand in, for the error.

    Raises:
        ValueError: one is not a number, or there are too many.
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
    """Return the number of a header's field, or None where it is missing or none."""
    try:
        return None if field is None else to_number(field.strip("'\" "))
    except ValueError:
        return None
