"""Reader of Bruker's and Siemens' binary .raw, versions 1 to 4.

The formats are not published. The offsets follow what is publicly known, and were tried only on
files that our tests write. All numbers are little-endian.
"""

import struct
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from cmed_jax.io.formats.scan import (
    MOST_POINTS,
    MOST_SCANS,
    Column,
    OtherAxis,
    Radiation,
    Scan,
    doublet,
    even_steps,
    over_two_theta,
)

V4_COUPLED = ("Locked Coupled", "Unlocked Coupled", "Detector", "TwoTheta", "2Theta")
"""Parts of the names of scans over two-theta in version 4."""
LARGEST_RECORD = 256
"""The largest number of bytes of a point: its intensity, and the axes and times recorded beside."""
V3_OTHERS = {
    3: "a rocking angle", 4: "chi", 5: "phi", 6: "x", 7: "y", 8: "z", 9: "an auxiliary axis",
    10: "an auxiliary axis", 11: "an auxiliary axis", 12: "psi", 13: "hkl",
    14: "reciprocal space",
}  # fmt: skip
"""The axes of the types of scans in version 3 that are not over two-theta."""


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

    def floats(self, offset: int, points: int, size: int = 4) -> Column:
        """Return a column of floats of 4 bytes, each the first number of a record of a size."""
        if points > MOST_POINTS:
            raise ValueError(f"its header says {points} points, more than any pattern has")
        if not 4 <= size <= LARGEST_RECORD or size % 4:
            raise ValueError(
                f"a point has {size} bytes, and no whole numbers of 4 bytes: export the scan as "
                "text"
            )
        self._check(offset, size * points)
        records = np.frombuffer(self.data, "<f4", points * size // 4, offset)
        return records[:: size // 4].astype(float)

    def _check(self, offset: int, length: int) -> None:
        if offset + length > len(self.data):
            raise ValueError(
                f"it is truncated: {offset + length} bytes are promised, {len(self.data)} are there"
            )


Range = Callable[[], Scan]
"""A function that reads one range of a file."""


def read_raw(data: bytes) -> Scan:
    """Return the ranges over two-theta of a .raw file, combined by `together`.

    Raises:
        ValueError: the file is of another instrument or version, is truncated, or is not over
            two-theta.
    """
    for magic, ranges in VERSIONS.items():
        if data.startswith(magic):
            return over_two_theta(ranges(Bytes(data)))
    raise ValueError(
        f"it begins with {data[:7]!r}, which is none of Bruker's versions 1 to 4: export it as text"
    )


def _version1(file: Bytes) -> Iterator[Range]:
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
        yield partial(_scan, start, step, counts, radiation, seconds)
        offset += 152 + 4 * points


def _version2(file: Bytes) -> Iterator[Range]:
    first, second, ratio = (file.number("f", offset) for offset in (190, 194, 198))
    offset = 256
    for _ in range(_ranges(file.count("H", 4))):
        header, points = file.count("H", offset), file.count("H", offset + 2)
        if header < 48:
            raise ValueError(f"a range at byte {offset} has a header of {header} bytes")
        step, start = file.number("f", offset + 12), file.number("f", offset + 16)
        seconds = file.number("f", offset + 8)
        counts = file.floats(offset + header, points)
        yield partial(_scan, start, step, counts, doublet(first, second, ratio), seconds)
        offset += header + 4 * points


def _scan(
    start: float, step: float, counts: Column, radiation: Radiation | None, seconds: float
) -> Scan:
    angle = even_steps(start, step, len(counts))
    return Scan(angle, counts, radiation=radiation, seconds=seconds)


def _version3(file: Bytes) -> Iterator[Range]:
    first, second, ratio = (file.number("d", offset) for offset in (624, 632, 648))
    offset = 712
    for _ in range(_ranges(file.count("I", 12))):
        header, points = file.count("I", offset), file.count("I", offset + 4)
        if header != 304:
            raise ValueError(f"a range at byte {offset} has a header of {header} bytes, not 304")
        # Beside its count a record holds the axes and times that vary.
        record = file.count("I", offset + 252) or 4
        begin = offset + header + file.count("I", offset + 256)
        yield partial(_range3, file, offset, begin, doublet(first, second, ratio))
        offset = begin + record * points


def _range3(file: Bytes, offset: int, begin: int, radiation: Radiation | None) -> Scan:
    """Return the range whose header is at an offset, and whose points begin at another."""
    if axis := V3_OTHERS.get(file.count("I", offset + 196)):
        raise OtherAxis(f"its scan is over {axis}: give a scan over two-theta", axis)
    start, step = file.number("d", offset + 16), file.number("d", offset + 176)
    points, record = file.count("I", offset + 4), file.count("I", offset + 252) or 4
    counts = file.floats(begin, points, record)
    return _scan(start, step, counts, radiation, file.number("f", offset + 192))


def _version4(file: Bytes) -> Iterator[Range]:
    radiation: Radiation | None = None
    offset = 61
    while (kind := file.count("I", offset)) not in (0, 160):
        if kind == 30:  # the source
            first, second, ratio = (file.number("d", offset + at) for at in (80, 88, 104))
            radiation = doublet(first, second, ratio)
        offset += _length(file, offset)
    while offset < len(file.data) and file.count("I", offset) in (0, 160):
        yield partial(_range4, file, offset, radiation)
        points, size, extra = (file.count("I", offset + at) for at in (88, 136, 140))
        offset += 160 + extra + size * points


def _range4(file: Bytes, offset: int, radiation: Radiation | None) -> Scan:
    scan = file.text(offset + 32, 24)
    if not any(name in scan for name in V4_COUPLED):
        raise OtherAxis(f"its scan is {scan[:24]!r}: give a coupled scan over two-theta", scan)
    start, step = file.number("d", offset + 72), file.number("d", offset + 80)
    points, size, extra = (file.count("I", offset + at) for at in (88, 136, 140))
    at, data = offset + 160, offset + 160 + extra
    while at < data:
        if file.count("I", at) == 50 and file.text(at + 12, 24) == "2Theta":
            start = file.number("d", at + 56)
        at += _length(file, at)
    counts = file.floats(data, points, size)
    return _scan(start, step, counts, radiation, file.number("f", offset + 92))


def _length(file: Bytes, offset: int) -> int:
    length = file.count("I", offset + 4)
    if length < 8:
        raise ValueError(f"a record at byte {offset} has {length} bytes instead of 8 or more")
    return length


def _ranges(count: int) -> int:
    if not 0 < count <= MOST_SCANS:
        raise ValueError(f"its header says {count} ranges: give 1 to {MOST_SCANS}")
    return count


VERSIONS: dict[bytes, Callable[[Bytes], Iterator[Range]]] = {
    b"RAW ": _version1,
    b"RAW2": _version2,
    b"RAW1.01": _version3,
    b"RAW4.00": _version4,
}
