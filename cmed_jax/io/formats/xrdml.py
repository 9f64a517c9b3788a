"""Reader of PANalytical's .xrdml, XML of the schemas 1.0 to 2.3."""

from dataclasses import replace
from functools import partial
from xml.etree import ElementTree

import numpy as np

from cmed_jax.io.formats.markup import number_at, parse_xml, text_of
from cmed_jax.io.formats.scan import (
    Column,
    OtherAxis,
    Radiation,
    Scan,
    doublet,
    over_two_theta,
    per_equal_time,
)
from cmed_jax.io.formats.text import number_or_none, to_numbers

ABORTED = "a scan was aborted: check that its last angle is where it ended, and not where it should"


def read_xrdml(data: bytes) -> Scan:
    """Return the scans over 2Theta, combined by `together`.

    `intensities` are corrected for the beam attenuator. `counts`, from schema 2.0 on, are not, and
    are multiplied by `beamAttenuationFactors`. The radiation is the intended component of
    `usedWavelength`.

    Counts are scaled to equal times where `countingTimes` differ from point to point.

    Raises:
        ValueError: the XML is broken, an element holds no numbers, or no scan is over 2Theta.
    """
    root = parse_xml(data, "it")
    radiation = _radiation(root)
    return over_two_theta(
        partial(_scan, scan, radiation)
        for scan in root.iterfind(".//{*}scan")
        if scan.find("{*}dataPoints") is not None
    )


def _scan(scan: ElementTree.Element, radiation: Radiation | None) -> Scan:
    """Return a scan.

    Raises:
        OtherAxis: two-theta is constant.
    """
    points = scan.find("{*}dataPoints")
    assert points is not None  # checked by `read_xrdml`
    intensity = _intensity(points)
    for positions in points.iterfind("{*}positions"):
        if positions.get("axis") == "2Theta":
            if (unit := positions.get("unit") or "deg") != "deg":
                raise ValueError(f"two-theta is in {unit[:20]!r}: give it in degrees")
            angle = _angle(positions, len(intensity))
            if angle is None or (len(angle) > 1 and np.ptp(angle) == 0):
                break
            intensity, seconds, notes = _timed(points, intensity)
            if (scan.get("status") or "").lower() == "aborted":
                notes = (*notes, ABORTED)
            found = Scan(angle, intensity, None, radiation, notes, seconds=seconds)
            return replace(found, temperature=_temperature(scan))
    axis = (scan.get("scanAxis") or "an unnamed axis")[:60]
    raise OtherAxis(f"it holds no scan over two-theta, but over {axis}: give one over 2Theta", axis)


def _timed(
    points: ElementTree.Element, intensity: Column
) -> tuple[Column, float | None, tuple[str, ...]]:
    """Return intensities scaled to equal times, the common time, and notes for the user."""
    unit = points.find("{*}intensities")
    if unit is not None and (unit.get("unit") or "").lower() == "cps":
        return intensity, 1.0, ()
    times = text_of(points, "countingTimes")
    if times is None:
        return intensity, number_at(points, "commonCountingTime"), ()
    return per_equal_time(intensity, to_numbers(times.split(), "element countingTimes"))


def _temperature(scan: ElementTree.Element) -> float | None:
    """Return the mean temperature of a scan in the unit of the file."""
    for points in scan.iterfind(".//{*}nonAmbientPoints"):
        if "temp" in (points.get("type") or "").lower():
            text = " ".join(points.itertext()).split()
            known = [value for field in text if (value := number_or_none(field)) is not None]
            return float(np.mean(known)) if known else None
    return None


def _intensity(points: ElementTree.Element) -> Column:
    intensities = text_of(points, "intensities")
    if intensities is not None:
        return to_numbers(intensities.split(), "element intensities")
    counts = to_numbers((text_of(points, "counts") or "").split(), "element counts")
    factors = (text_of(points, "beamAttenuationFactors") or "1").split()
    factor = to_numbers(factors, "element beamAttenuationFactors")
    if len(factor) not in (1, len(counts)):
        raise ValueError(
            f"element beamAttenuationFactors has {len(factor)} numbers for {len(counts)} counts"
        )
    return counts * factor


def _angle(positions: ElementTree.Element, points: int) -> Column | None:
    listed = text_of(positions, "listPositions")
    if listed is not None:
        angle = to_numbers(listed.split(), "element listPositions")
        if len(angle) != points:
            raise ValueError(f"element listPositions has {len(angle)} numbers for {points} counts")
        return angle
    start, end = (number_or_none(text_of(positions, f"{end}Position")) for end in ("start", "end"))
    return None if start is None or end is None else np.linspace(start, end, points)


def _radiation(root: ElementTree.Element) -> Radiation | None:
    used = root.find(".//{*}usedWavelength")
    if used is None:
        return None
    intended = (used.get("intended") or "").replace(" ", "").replace("-", "").lower()
    if intended in ("kalpha1", "kalpha2", "kbeta"):
        return doublet(number_at(used, f"k{intended[1:].capitalize()}"))
    ratio = number_at(used, "ratioKAlpha2KAlpha1")
    return doublet(number_at(used, "kAlpha1"), number_at(used, "kAlpha2"), ratio)
