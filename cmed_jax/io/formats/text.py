"""Text of unknown encoding, its lines and its numbers."""

import codecs
import io
from collections.abc import Iterator, Sequence

import numpy as np

from cmed_jax.io.formats.scan import MOST_POINTS, Column

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings that the first bytes tell."""


def decode(data: bytes) -> str:
    """Return text of UTF-8, of UTF-16 with its mark, or else of Latin-1, as older programs write.

    Raises:
        ValueError: it is no text.
    """
    try:
        text = data.decode(_encoding(data))
    except UnicodeDecodeError:
        raise ValueError("it begins as UTF-16 text, but is broken or truncated") from None
    if "\0" in text:
        raise ValueError("it is not text, for it holds bytes of zero")
    return text


def _encoding(data: bytes) -> str:
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            return encoding if encoding == "utf-16" else _utf8_or_latin(data, encoding)
    return _utf8_or_latin(data, "utf-8")


def _utf8_or_latin(data: bytes, encoding: str) -> str:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return "latin-1"
    return encoding


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


def to_number(field: str) -> float:
    """Return the number of a field.

    Raises:
        ValueError: it is none.
    """
    if "_" in field:  # Python's own way to group digits
        raise ValueError(f"{field!r} is not a number")
    return float(field)


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
