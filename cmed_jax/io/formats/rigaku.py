"""Readers of Rigaku's .ras and .asc, which are text, and .rasx, which is an archive."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from cmed_jax.io.formats.axes import check_scan_axis
from cmed_jax.io.formats.markup import Archive, number_at, parse_xml, text_of
from cmed_jax.io.formats.scan import Column, Radiation, Scan, doublet, even_steps, over_two_theta
from cmed_jax.io.formats.text import decode, number_or_none, numbered_lines, to_numbers

PROFILE = re.compile(r"(.*Data\d+/)Profile(\d+)\.txt")


def read_ras(data: bytes) -> Scan:
    """Return the scans over two-theta of a .ras file, combined by `together`.

    The third column is the factor of the attenuator, by which the second is multiplied. The format
    does not hold the ratio of K-alpha 2 to 1; the statistical ratio is assumed.

    Raises:
        ValueError: a line is not numbers, the end of a scan is missing, or no scan is over
            two-theta.
    """
    return over_two_theta(_scans(decode(data)))


def _scans(text: str) -> Iterator[Callable[[], Scan]]:
    header: dict[str, str] = {}
    rows: list[np.ndarray] | None = None
    for number, line in numbered_lines(text):
        if line == "*RAS_INT_START":
            rows = []
        elif line == "*RAS_INT_END":
            yield partial(_scan, rows or [], header.copy())
            rows = None
        elif rows is not None:
            rows.append(_row(line, f"line {number}"))
        elif match := re.fullmatch(r"\*(\S+)\s+\"(.*)\"", line):
            header[match.group(1)] = match.group(2)
    if rows is not None:
        raise ValueError(f"it is truncated: *RAS_INT_END is missing after {len(rows)} points")


def read_asc(data: bytes) -> Scan:
    """Return the scans over two-theta of an .asc file, combined by `together`.

    The counts stand in rows below the header of each scan.

    Raises:
        ValueError: a line is not numbers, a scan is truncated or does not state its beginning, or
            no scan is over two-theta.
    """
    return over_two_theta(_scans_in_rows(decode(data)))


def _scans_in_rows(text: str) -> Iterator[Callable[[], Scan]]:
    header: dict[str, str] = {}
    rows: list[np.ndarray] = []
    for number, line in numbered_lines(text + "\n*EOF"):
        if line[0] != "*":
            rows.append(to_numbers(line.replace(",", " ").split(), f"line {number}"))
            continue
        if rows:
            yield partial(_scan_in_rows, np.concatenate(rows), header.copy())
            rows = []
        key, _, value = line.partition("=")
        header[key.strip("* \t")] = value.strip()


def _scan_in_rows(counts: Column, header: dict[str, str]) -> Scan:
    check_scan_axis(header.get("SCAN_AXIS", "2theta"), "*SCAN_AXIS")
    start, step, points, first, second = (
        number_or_none(header.get(key))
        for key in ("START", "STEP", "COUNT", "WAVE_LENGTH1", "WAVE_LENGTH2")
    )
    # The format has no place for the wavelength of K-beta.
    radiation = _radiation(header.get("XRAY_CHAR"), first, second, None)
    if start is None or step is None:
        raise ValueError("a scan in it does not say *START and *STEP")
    if points is not None and points > len(counts):
        raise ValueError(
            f"it is truncated: *COUNT promises {points:.0f} points, {len(counts)} are there"
        )
    return Scan(even_steps(start, step, len(counts)), counts, radiation=radiation)


def _radiation(
    component: str | None, alpha1: float | None, alpha2: float | None, beta: float | None
) -> Radiation | None:
    """Return the components of the tube's radiation that were used: both of K-alpha, or one.

    Args:
        component: the name that the file gives to them, such as Ka1 or K-BETA.
        alpha1: the wavelength of K-alpha 1, angstrom; None where the file has none.
        alpha2: likewise of K-alpha 2.
        beta: likewise of K-beta.
    """
    match re.sub(r"[^a-z\d]|lpha|eta", "", (component or "").lower()):
        case "ka1":
            return doublet(alpha1)
        case "ka2":
            return doublet(alpha2)
        case "kb" | "kb1" | "kb3":
            return doublet(beta)
    return doublet(alpha1, alpha2)


def read_rasx(data: bytes) -> Scan:
    """Return the scans over two-theta of a .rasx file, combined by `together`.

    Raises:
        ValueError: the archive or a member is damaged, a line is not numbers, or no scan is over
            two-theta.
    """
    archive = Archive(data)
    profiles = [name for name in archive.names if PROFILE.fullmatch(name)]
    if not profiles:
        raise ValueError("the archive holds no Data*/Profile*.txt, as a scan of Rigaku's does")
    return over_two_theta(partial(_profile, archive, name) for name in sorted(profiles))


def _profile(archive: Archive, name: str) -> Scan:
    rows = [
        _row(line, f"line {number} of {name}")
        for number, line in numbered_lines(decode(archive.read(name)))
    ]
    # The program of the instrument spells "Mesurement".
    named = [
        PROFILE.sub(rf"\1{way}Conditions\2.xml", name) for way in ("Mesurement", "Measurement")
    ]
    conditions = next((each for each in named if each in archive.names), None)
    if conditions is None:
        return _scan(rows, {})
    root = parse_xml(archive.read(conditions), conditions)
    axis = text_of(root, "ScanInformation/AxisName")
    if axis and axis.strip():
        check_scan_axis(axis, f"AxisName of {conditions}")
    kind = root.find(".//{*}WaveType")
    lengths = (number_at(root, f"WavelengthK{each}") for each in ("alpha1", "alpha2", "beta"))
    scan = _counted(rows, _radiation(None if kind is None else kind.text, *lengths))
    unit, speed = (text_of(root, f"ScanInformation/{x}") for x in ("IntensityUnit", "SpeedUnit"))
    return replace(scan, seconds=_seconds(unit, number_at(root, "Speed"), speed, scan.position))


def _scan(rows: list[np.ndarray], header: dict[str, str]) -> Scan:
    check_scan_axis(header.get("MEAS_SCAN_AXIS_X", "2-Theta"), "*MEAS_SCAN_AXIS_X")
    lengths = (
        number_or_none(header.get(f"HW_XG_WAVE_LENGTH_{each}"))
        for each in ("ALPHA1", "ALPHA2", "BETA")
    )
    scan = _counted(rows, _radiation(header.get("MEAS_COND_XG_WAVE_TYPE"), *lengths))
    unit, way = (header.get(f"MEAS_SCAN_{key}") for key in ("UNIT_Y", "SPEED_UNIT"))
    speed = number_or_none(header.get("MEAS_SCAN_SPEED"))
    return replace(scan, seconds=_seconds(unit, speed, way, scan.position))


def _seconds(
    unit: str | None, speed: float | None, of_speed: str | None, angle: Column
) -> float | None:
    """Return the counting time of a point: 1 for counts per second, else from the speed."""
    if (unit or "").strip().lower() == "cps":
        return 1.0
    by_minutes = re.search(r"deg\w*[ /]*(per)?[ /]*min", (of_speed or "").lower())
    if not by_minutes or not speed or len(angle) < 2:
        return None
    return float(60 * np.ptp(angle) / (len(angle) - 1) / abs(speed))


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
