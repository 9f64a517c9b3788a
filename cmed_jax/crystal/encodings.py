"""Text of unknown encoding, as editors and instruments of all kinds write it."""

import codecs

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Encodings that the first bytes tell."""
HEAD = 200
"""Bytes in which UTF-16 without its mark shows."""


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
