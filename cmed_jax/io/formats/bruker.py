"""Readers of Bruker's .brml, an archive of XML files, and .uxd, a text file."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from xml.etree import ElementTree

import numpy as np

from cmed_jax.io.formats.bruker_views import check_scale, mean_temperature, views_of
from cmed_jax.io.formats.markup import Archive, number_at, parse_xml, text_of
from cmed_jax.io.formats.scan import (
    Column,
    OtherAxis,
    Radiation,
    Scan,
    doublet,
    even_steps,
    over_two_theta,
    per_equal_time,
)
from cmed_jax.io.formats.text import decode, number_or_none, numbered_lines, to_numbers

ROUNDING = 0.006
"""The largest difference, degrees, of printed angles in a .uxd from those by start and step."""
DATA = re.compile(r"_(?:(2THETA)(?:COUNTS|CPS)(TIME)?|COUNTS|CPS)", re.IGNORECASE)
OTHER = re.compile(r"_([A-Z]+)(?:COUNTS|CPS)(?:TIME)?", re.IGNORECASE)
"""`DATA` and `OTHER` match the beginning of data in a .uxd over two-theta and another axis."""
COUPLED = {"", "COUPLED", "2THETA", "TWOTHETA", "LOCKED COUPLED", "UNLOCKED COUPLED", "DETECTOR"}


def read_brml(data: bytes) -> Scan:
    """Return the scans over two-theta of a .brml file, combined by `together`.

    Raises:
        ValueError: the archive or a member is damaged, a step has no number where the intensity
            should be, or no scan is over two-theta.
    """
    archive = Archive(data)
    names = sorted(name for name in archive.names if re.search(r"RawData\d*\.xml$", name))
    if not names:
        raise ValueError("the archive holds no RawData*.xml, as a scan of Bruker's does")
    roots = ((name, parse_xml(archive.read(name), name)) for name in names)
    scan = over_two_theta(
        partial(_route, route, root, name)
        for name, root in roots
        if (route := _last_route(root)) is not None
    )
    if scan.radiation is not None:
        return scan
    return Scan(scan.position, scan.intensity, radiation=_container(archive), notes=scan.notes)


def _last_route(root: ElementTree.Element) -> ElementTree.Element | None:
    """Return the last route of a scan that has steps; earlier routes are its raw material."""
    for route in reversed(root.findall(".//{*}DataRoute")):
        steps = len(route.findall("{*}Datum"))
        if steps > 1 or (steps and route.find(".//{*}ScaleAxisInfo") is not None):
            return route
    return None


def _route(route: ElementTree.Element, root: ElementTree.Element, name: str) -> Scan:
    steps = [datum.text or "" for datum in route.iterfind("{*}Datum")]
    if len(steps) > 1:
        return _stepwise(route, steps, _tube(root), name)
    return _at_once(route, steps[0], _tube(root), name)


def _stepwise(
    route: ElementTree.Element, steps: list[str], radiation: Radiation | None, name: str
) -> Scan:
    views = views_of(route, name)
    rows = [
        to_numbers(step.split(","), f"Datum {number} of {name}")
        for number, step in enumerate(steps, start=1)
    ]
    least = max(views) + 1
    for number, row in enumerate(rows, start=1):
        if len(row) < least:
            raise ValueError(f"Datum {number} of {name} has {len(row)} numbers instead of {least}")
    table = np.array([row[:least] for row in rows])
    attenuated = bool((table[:, views.factor] != 1).any())
    note = "an absorber was in the beam; intensities are as the file has them"
    times = np.ones(len(table)) if views.rate else table[:, views.time]
    counts, seconds, notes = per_equal_time(table[:, views.counts], times)
    notes = (*notes, note) if attenuated else notes
    scan = Scan(table[:, views.angle], counts, None, radiation, notes, seconds=seconds)
    return replace(scan, temperature=mean_temperature(route, rows))


def _at_once(
    route: ElementTree.Element, datum: str, radiation: Radiation | None, name: str
) -> Scan:
    """Return the scan of a detector that stood still: all channels are in one `Datum`."""
    check_scale(route, name)
    start, stop, step = (
        number_or_none(text_of(route, f"ScanInformation/ScaleAxes/ScaleAxisInfo/{field}"))
        for field in ("Start", "Stop", "Increment")
    )
    if start is None or stop is None or not step:
        raise ValueError(f"ScaleAxisInfo of {name} has no Start, Stop and Increment")
    counts = to_numbers(datum.split(","), f"Datum of {name}")[3:]
    promised = (stop - start) / step
    if not abs(len(counts) - promised) < 2:
        raise ValueError(f"Datum of {name} has {len(counts)} channels instead of {promised:.0f}")
    return Scan(even_steps(start, step, len(counts)), counts, radiation=radiation)


def _container(archive: Archive) -> Radiation | None:
    for name in archive.names:
        if name.endswith("MeasurementContainer.xml"):
            return _tube(parse_xml(archive.read(name), name))
    return None


def _tube(root: ElementTree.Element) -> Radiation | None:
    first, second = (number_at(root, f"WaveLengthAlpha{i}") for i in (1, 2))
    return doublet(first, second, number_at(root, "WaveLengthRatio"))


def read_uxd(data: bytes) -> Scan:
    """Return the ranges over two-theta of a .uxd file, combined by `together`.

    Raises:
        ValueError: a line is not numbers, a range does not state its beginning, or none is over
            two-theta.
    """
    return over_two_theta(_ranges(decode(data)))


def _ranges(text: str) -> Iterator[Callable[[], Scan]]:
    header: dict[str, str] = {}
    kind: re.Match[str] | None = None
    rows: list[np.ndarray] = []
    for number, line in numbered_lines(text):
        if line[0] == "_":
            if kind and rows:
                yield partial(_range, kind, rows, header.copy())
            rows, kind = [], DATA.fullmatch(line)
            if not kind and (other := OTHER.fullmatch(line)):
                yield partial(_other_range, other.group(1)[:20], number)
            key, _, value = line.partition("=")
            key = key.strip().upper()
            header[key] = value.strip(" '")
            if key == "_START":  # of the next range; its _2THETA, if any, follows
                header.pop("_2THETA", None)
        elif kind and line[0] != ";":
            rows.append(_row(kind, line, number))
    if kind and rows:
        yield partial(_range, kind, rows, header)


def _other_range(axis: str, number: int) -> Scan:
    raise OtherAxis(f"line {number} is over {axis!r}: give a scan over two-theta", axis)


def _row(kind: re.Match[str], line: str, number: int) -> np.ndarray:
    row = to_numbers(line.split(), f"line {number}")
    width = 3 if kind.group(2) else 2
    if kind.group(1) and len(row) != width:
        raise ValueError(f"line {number} has {len(row)} numbers instead of {width}: {line[:40]!r}")
    return row


def _range(kind: re.Match[str], rows: list[np.ndarray], header: dict[str, str]) -> Scan:
    drive = header.get("_DRIVE", "").upper()
    if drive not in COUPLED:
        raise OtherAxis(f"_DRIVE is {drive[:20]!r}: give a scan over two-theta", drive[:20])
    printed, intensity = np.array(rows).T[:2] if kind.group(1) else (None, np.concatenate(rows))
    angle = _uxd_angles(printed, len(intensity), header)
    notes: tuple[str, ...] = ()
    rate = "CPS" in kind.group().upper()
    seconds = 1.0 if rate else number_or_none(header.get("_STEPTIME"))
    if kind.group(2) and not rate:
        intensity, seconds, notes = per_equal_time(intensity, np.array(rows)[:, 2])
    return Scan(angle, intensity, None, _uxd_radiation(header), notes, seconds=seconds)


def _uxd_angles(printed: Column | None, points: int, header: dict[str, str]) -> Column:
    """Return even steps where the header states them; printed angles have four digits only."""
    start = number_or_none(header.get("_2THETA", header.get("_START")))
    step = number_or_none(header.get("_STEPSIZE"))
    even = None if start is None or step is None else even_steps(start, step, points)
    if printed is None and even is None:
        raise ValueError("a range has neither angles nor _START and _STEPSIZE")
    if printed is not None and (even is None or not np.all(np.abs(even - printed) < ROUNDING)):
        return printed
    assert even is not None
    return even


def _uxd_radiation(header: dict[str, str]) -> Radiation | None:
    first, second, ratio = (number_or_none(header.get(key)) for key in ("_WL1", "_WL2", "_WLRATIO"))
    scale = 10.0 if header.get("_WL_UNIT", "A").lower() == "nm" else 1.0
    if first is None:
        return None
    return doublet(first * scale, None if second is None else second * scale, ratio)
