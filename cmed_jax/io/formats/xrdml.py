"""PANalytical's .xrdml: XML of the schemas 1.0 to 2.3."""

from xml.etree import ElementTree

import numpy as np

from cmed_jax.io.formats.markup import number_at, parse_xml, text_of
from cmed_jax.io.formats.scan import Column, Radiation, Scan, doublet, together
from cmed_jax.io.formats.text import number_or_none, to_numbers


def read_xrdml(data: bytes) -> Scan:
    """Return the scans over 2Theta, as `together` does.

    `intensities` are corrected for the beam attenuator; `counts`, from schema 2.0 on, are not, and
    are multiplied by `beamAttenuationFactors`. The radiation is `usedWavelength`, of which only
    that component counts that was intended.

    Raises:
        ValueError: the XML is broken, an element holds no numbers, or no scan is over 2Theta.
    """
    root = parse_xml(data, "it")
    radiation = _radiation(root)
    scans = (_scan(points, radiation) for points in root.iterfind(".//{*}scan/{*}dataPoints"))
    return together(scan for scan in scans if scan is not None)


def _scan(points: ElementTree.Element, radiation: Radiation | None) -> Scan | None:
    """Return the scan of `dataPoints`, or None where two-theta stands still."""
    intensity = _intensity(points)
    for positions in points.iterfind("{*}positions"):
        if positions.get("axis") == "2Theta":
            angle = _angle(positions, len(intensity))
            seconds = number_at(points, "commonCountingTime")
            return (
                None if angle is None else Scan(angle, intensity, None, radiation, seconds=seconds)
            )
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
