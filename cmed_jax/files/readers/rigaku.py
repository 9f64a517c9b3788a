"""Rigaku's .ras, which is text, and .rasx, which is an archive."""

import re
from collections.abc import Iterator

import numpy as np

from cmed_jax.files.readers.markup import Archive, number_at, parse_xml
from cmed_jax.files.readers.scan import Radiation, Scan, doublet, together
from cmed_jax.files.readers.text import decode, number_or_none, numbered_lines, to_numbers

TWO_THETA = re.compile(r"(2|two)[\s_-]*theta", re.IGNORECASE)
PROFILE = re.compile(r"(.*Data\d+/)Profile(\d+)\.txt")


def read_ras(data: bytes) -> Scan:
    """Return the scans of a .ras file, as `together` does.

    The third column is the factor of the attenuator, by which the second is multiplied. Of the
    radiation K-alpha, the statistical ratio is assumed, which the format does not hold.

    Raises:
        ValueError: a line is not numbers, the end of a scan is missing, or there is none.
    """
    return together(_scans(decode(data)))


def _scans(text: str) -> Iterator[Scan]:
    header: dict[str, str] = {}
    rows: list[np.ndarray] | None = None
    for number, line in numbered_lines(text):
        if line == "*RAS_INT_START":
            rows = []
        elif line == "*RAS_INT_END":
            yield _scan(rows or [], header)
            rows = None
        elif rows is not None:
            rows.append(_row(line, f"line {number}"))
        elif match := re.fullmatch(r"\*(\S+)\s+\"(.*)\"", line):
            header[match.group(1)] = match.group(2)
    if rows is not None:
        raise ValueError(f"it is truncated: *RAS_INT_END is missing after {len(rows)} points")


def read_rasx(data: bytes) -> Scan:
    """Return the scans of a .rasx file, as `together` does.

    Raises:
        ValueError: the archive or a member is damaged, a line is not numbers, or there is no scan.
    """
    archive = Archive(data)
    profiles = [name for name in archive.names if PROFILE.fullmatch(name)]
    if not profiles:
        raise ValueError("the archive holds no Data*/Profile*.txt, as a scan of Rigaku's does")
    return together(_profile(archive, name) for name in sorted(profiles))


def _profile(archive: Archive, name: str) -> Scan:
    rows = [
        _row(line, f"line {number} of {name}")
        for number, line in numbered_lines(decode(archive.read(name)))
    ]
    # "Mesurement" is how the instrument's program spells it.
    conditions = PROFILE.sub(r"\1MesurementConditions\2.xml", name)
    if conditions not in archive.names:
        return _scan(rows, {})
    root = parse_xml(archive.read(conditions), conditions)
    first, second = (number_at(root, f"WavelengthKalpha{i}") for i in (1, 2))
    return _counted(rows, doublet(first, second))


def _scan(rows: list[np.ndarray], header: dict[str, str]) -> Scan:
    axis = header.get("MEAS_SCAN_AXIS_X", "2-Theta")
    if not TWO_THETA.search(axis):
        raise ValueError(f"*MEAS_SCAN_AXIS_X is {axis[:40]!r}: give a scan over two-theta")
    first, second = (number_or_none(header.get(f"HW_XG_WAVE_LENGTH_ALPHA{i}")) for i in (1, 2))
    single = header.get("MEAS_COND_XG_WAVE_TYPE", "Ka").lower() in ("ka1", "kalpha1")
    return _counted(rows, doublet(first, None if single else second))


def _counted(rows: list[np.ndarray], radiation: Radiation | None) -> Scan:
    if not rows:
        raise ValueError("a scan in it has no points")
    angle, counts, factor = np.array(rows).T
    return Scan(angle, counts * factor, radiation=radiation)


def _row(line: str, where: str) -> np.ndarray:
    numbers = to_numbers(line.split(), where)
    if len(numbers) not in (2, 3):
        raise ValueError(f"{where} is not an angle, an intensity and a factor: {line[:40]!r}")
    return np.array([*numbers, 1.0][:3])
