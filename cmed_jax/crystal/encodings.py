"""Decoding of text in an unknown encoding, and parsing of its numbers."""

import codecs
import re

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""The encodings by the first bytes of a text."""
HEAD = 200
"""The number of bytes in which UTF-16 without a byte order mark is recognised."""


FORTRAN = re.compile(r"([+-]?(?:\d+\.\d*|\.\d+))(?:[dDqQ]([+-]?\d{1,3})|([+-]\d{2,3}))")
"""The pattern of a number of FORTRAN: its exponent has the letter D or Q, or no letter."""


UNCERTAINTY = re.compile(r"(?<=[\d.])\(\d+\)")
"""The pattern of a standard uncertainty behind a number, as in 27.365(4)."""


def to_number(field: str) -> float:
    """Return the number of a field, with any minus sign and any exponent of FORTRAN.

    A standard uncertainty behind it, as in 27.365(4), is left out.

    Raises:
        ValueError: the field is not a number.
    """
    if "_" in field:  # Python accepts underscores between digits
        raise ValueError(f"{field!r} is not a number")
    field = UNCERTAINTY.sub("", field.replace("\u2212", "-"))
    if match := FORTRAN.fullmatch(field):
        mantissa, lettered, bare = match.groups()
        return float(f"{mantissa}e{lettered or bare}")
    return float(field)


def decode(data: bytes) -> str:
    """Return text decoded from UTF-8, UTF-16, or else Latin-1, which older programs write.

    A byte order mark is dropped; UTF-16 without one is recognised by its bytes of zero.

    Raises:
        ValueError: the data are not text.
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
    """Return the UTF-16 encoding of text in which nearly every other byte is zero."""
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
