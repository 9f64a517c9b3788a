"""Reader of Bruker's and Siemens' binary .raw, versions 1 to 4.

The formats are not published. The offsets follow what is publicly known, and were tried only on
files that our tests write. All numbers are little-endian.
"""

import struct
from collections.abc import Callable, Iterator

import numpy as np

from cmed_jax.io.formats.scan import (
    MOST_POINTS,
    MOST_SCANS,
    Column,
    Radiation,
    Scan,
    doublet,
    even_steps,
    together,
)

V4_COUPLED = ("Locked Coupled", "Unlocked Coupled", "TwoTheta", "2Theta")


class Bytes:
    """Reading of numbers and text at offsets of a file.

    Raises:
        ValueError: the file ends before the number or the text.
    """

    def __init__(self, data: bytes):
        self.data = data

    def number(self, code: str, offset: int) -> float:
        """Return a number of code f, d (floats of 4 and 8 bytes), H, or I (integers of 2 and 4)."""
        self._check(offset, struct.calcsize(code))
        return float(struct.unpack_from("<" + code, self.data, offset)[0])

    def count(self, code: str, offset: int) -> int:
        """Return an integer."""
        return int(self.number(code, offset))

    def text(self, offset: int, length: int) -> str:
        """Return text up to its first zero byte."""
        self._check(offset, length)
        return self.data[offset : offset + length].split(b"\0")[0].decode("latin-1").strip()

    def floats(self, offset: int, points: int) -> Column:
        """Return a column of floats of 4 bytes."""
        if points > MOST_POINTS:
            raise ValueError(f"its header says {points} points, more than any pattern has")
        self._check(offset, 4 * points)
        return np.frombuffer(self.data, "<f4", points, offset).astype(float)

    def _check(self, offset: int, length: int) -> None:
        if offset + length > len(self.data):
            raise ValueError(
                f"it is truncated: {offset + length} bytes are promised, {len(self.data)} are there"
            )


def read_raw(data: bytes) -> Scan:
    """Return the ranges of a .raw file, combined by `together`.

    Raises:
        ValueError: the file is of another instrument or version, is truncated, or is not over
            two-theta.
    """
    for magic, ranges in VERSIONS.items():
        if data.startswith(magic):
            return together(ranges(Bytes(data)))
    raise ValueError(
        f"it begins with {data[:7]!r}, which is none of Bruker's versions 1 to 4: export it as text"
    )


def _version1(file: Bytes) -> Iterator[Scan]:
    offset, follows = 0, 1
    while follows:
        # Early programs did not repeat the first four bytes before further ranges.
        offset = offset + 4 if file.data[offset : offset + 4] == b"RAW " else offset
        points = file.count("I", offset)
        step, start = file.number("f", offset + 8), file.number("f", offset + 20)
        seconds = file.number("f", offset + 4)
        radiation = doublet(file.number("f", offset + 68), file.number("f", offset + 72))
        follows = file.count("I", offset + 148)
        counts = file.floats(offset + 152, points)
        yield Scan(even_steps(start, step, points), counts, radiation=radiation, seconds=seconds)
        offset += 152 + 4 * points


def _version2(file: Bytes) -> Iterator[Scan]:
    first, second, ratio = (file.number("f", offset) for offset in (190, 194, 198))
    offset = 256
    for _ in range(_ranges(file.count("H", 4))):
        header, points = file.count("H", offset), file.count("H", offset + 2)
        if header < 48:
            raise ValueError(f"a range at byte {offset} has a header of {header} bytes")
        step, start = file.number("f", offset + 12), file.number("f", offset + 16)
        seconds = file.number("f", offset + 8)
        counts = file.floats(offset + header, points)
        radiation = doublet(first, second, ratio)
        yield Scan(even_steps(start, step, points), counts, radiation=radiation, seconds=seconds)
        offset += header + 4 * points


def _version3(file: Bytes) -> Iterator[Scan]:
    first, second, ratio = (file.number("d", offset) for offset in (624, 632, 648))
    offset = 712
    for _ in range(_ranges(file.count("I", 12))):
        header, points = file.count("I", offset), file.count("I", offset + 4)
        if header != 304:
            raise ValueError(f"a range at byte {offset} has a header of {header} bytes, not 304")
        start, step = file.number("d", offset + 16), file.number("d", offset + 176)
        seconds = file.number("f", offset + 192)
        begin = offset + header + file.count("I", offset + 256)
        counts = file.floats(begin, points)
        radiation = doublet(first, second, ratio)
        yield Scan(even_steps(start, step, points), counts, radiation=radiation, seconds=seconds)
        offset = begin + 4 * points


def _version4(file: Bytes) -> Iterator[Scan]:
    radiation: Radiation | None = None
    offset = 61
    while (kind := file.count("I", offset)) not in (0, 160):
        if kind == 30:  # the source
            first, second, ratio = (file.number("d", offset + at) for at in (80, 88, 104))
            radiation = doublet(first, second, ratio)
        offset += _length(file, offset)
    while offset < len(file.data) and file.count("I", offset) in (0, 160):
        scan, offset = _range4(file, offset, radiation)
        yield scan


def _range4(file: Bytes, offset: int, radiation: Radiation | None) -> tuple[Scan, int]:
    scan = file.text(offset + 32, 24)
    if not any(name in scan for name in V4_COUPLED):
        raise ValueError(f"its scan is {scan[:24]!r}: give a coupled scan over two-theta")
    start, step = file.number("d", offset + 72), file.number("d", offset + 80)
    points, size, extra = (file.count("I", offset + at) for at in (88, 136, 140))
    if size != 4:
        raise ValueError(f"a point has {size} bytes instead of 4: export the scan as text")
    at, data = offset + 160, offset + 160 + extra
    while at < data:
        if file.count("I", at) == 50 and file.text(at + 12, 24) == "2Theta":
            start = file.number("d", at + 56)
        at += _length(file, at)
    counts = file.floats(data, points)
    return Scan(even_steps(start, step, points), counts, radiation=radiation), data + 4 * points


def _length(file: Bytes, offset: int) -> int:
    length = file.count("I", offset + 4)
    if length < 8:
        raise ValueError(f"a record at byte {offset} has {length} bytes instead of 8 or more")
    return length


def _ranges(count: int) -> int:
    if not 0 < count <= MOST_SCANS:
        raise ValueError(f"its header says {count} ranges: give 1 to {MOST_SCANS}")
    return count


VERSIONS: dict[bytes, Callable[[Bytes], Iterator[Scan]]] = {
    b"RAW ": _version1,
    b"RAW2": _version2,
    b"RAW1.01": _version3,
    b"RAW4.00": _version4,
}
