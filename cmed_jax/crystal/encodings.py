"""Text of unknown encoding, and numbers, as editors and instruments of all kinds write them."""

import codecs
import re

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings that the first bytes tell."""
HEAD = 200
"""Bytes in which UTF-16 without its mark shows."""


FORTRAN = re.compile(r"([+-]?(?:\d+\.\d*|\.\d+))(?:[dDqQ]([+-]?\d{1,3})|([+-]\d{2,3}))")
"""A number whose exponent has the letter D, or none, as FORTRAN prints those of three digits."""


def to_number(field: str) -> float:
    """Return the number of a field, whatever its minus is and however FORTRAN wrote its exponent.

    Raises:
        ValueError: it is none.
    """
    if "_" in field:  # Python's own way to group digits
        raise ValueError(f"{field!r} is not a number")
    field = field.replace("\u2212", "-")
    if match := FORTRAN.fullmatch(field):
        mantissa, lettered, bare = match.groups()
        return float(f"{mantissa}e{lettered or bare}")
    return float(field)


def decode(data: bytes) -> str:
    """Return text of UTF-8, of UTF-16, or else of Latin-1, as older programs write.

    A mark of the byte order is dropped; UTF-16 without one shows in its bytes of zero.

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
    return _without_mark(data[:HEAD]) or _utf8_or_latin(data, "utf-8")


def _without_mark(head: bytes) -> str | None:
    """Return which UTF-16 text it is whose every other byte, nearly, is zero."""
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = head[first::2].count(0), head[1 - first :: 2].count(0)
        if len(head) >= 4 and not others and zeros > 0.9 * (len(head) // 2):
            return encoding
    return None


def _utf8_or_latin(data: bytes, encoding: str) -> str:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return "latin-1"
    return encoding
