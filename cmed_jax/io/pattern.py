"""Measured powder patterns: `load_pattern` reads every format."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Real

from cmed_jax.io.formats.bruker import read_brml, read_uxd
from cmed_jax.io.formats.bruker_raw import read_raw
from cmed_jax.io.formats.columns import PROFILE_POINTS, read_columns, read_columns_with_sigma
from cmed_jax.io.formats.gsas import read_gsas
from cmed_jax.io.formats.markup import MOST_BYTES
from cmed_jax.io.formats.pdcif import read_pdcif
from cmed_jax.io.formats.rigaku import read_asc, read_ras, read_rasx
from cmed_jax.io.formats.scan import Column, Radiation, Reader, Scan
from cmed_jax.io.formats.xrdml import read_xrdml
from cmed_jax.io.steps import even_angles, has_even_steps, is_profile, is_smooth
from cmed_jax.physics.instrument import radiation
from cmed_jax.physics.patterns import s_of_two_theta, two_theta

LEAST_POINTS = 2
DISAGREEMENT = 0.005
"""The share from which on a given wavelength that differs from the file's causes a note."""
STILL = 0.005
"""The range of two-theta, degrees, below which it is not what was scanned."""
FEWEST_PREPARED = 50
"""The number of points from which on a profile can be prepared."""
LARGEST_LEAST = 6.7
"""The least d of a pattern, angstrom, from which on its first column may be none of angles.

Copper has it at 13 degrees, where Q and d in 1/angstrom and angstrom end.
"""
SCANNED = 10
"""The number of points from which on a range is that of a scan."""
Kind = Literal["profile", "peaks"]

HEAD = 16384
"""The number of bytes at the beginning in which a format is recognised."""


@dataclass(frozen=True, eq=False)
class MeasuredPattern:
    """A measured powder pattern, or a list of peaks.

    Attributes:
        two_theta: ascending angles above 0 and up to 180 degrees, in even steps for a profile.
        intensity: finite intensities in the unit of the file (counts, counts per second, or
            relative); negative where a background was subtracted.
        sigma: the standard deviations in the same unit; None where the file has none.
        radiation: the given wavelengths (angstrom) and weights, or else those of the file.
        path: the path of the file; None for columns in memory.
        format: the name of the file's format.
        notes: sentences for the user.
        kind: "profile" for the points of a profile, "peaks" for single peaks.
    """

    two_theta: Float[np.ndarray, " n"]
    intensity: Float[np.ndarray, " n"]
    sigma: Float[np.ndarray, " n"] | None
    radiation: Radiation
    path: Path | None
    format: str
    notes: tuple[str, ...]
    kind: Kind = "peaks"

    @property
    def is_profile(self) -> bool:
        """Whether the points form a profile."""
        return self.kind == "profile"


class Format(NamedTuple):
    """A format and its signs: bytes near the beginning, or else the suffix of the file."""

    name: str
    mark: bytes
    suffixes: tuple[str, ...]
    read: Reader


FORMATS = (
    Format("Rigaku .rasx", rb"\APK\x03\x04(?s:.*)Data\d+/Profile", (".rasx",), read_rasx),
    Format("Bruker .brml", rb"\APK\x03\x04(?s:.*)RawData\d*\.xml", (".brml",), read_brml),
    Format("Bruker .raw", rb"\ARAW( |2|1\.01|4\.00)", (".raw",), read_raw),
    Format("PANalytical .xrdml", rb"<(\w+:)?xrdMeasurements", (".xrdml",), read_xrdml),
    Format("Rigaku .ras", rb"(?m)^\*RAS_(DATA|HEADER)_START", (".ras",), read_ras),
    Format("Rigaku .asc", rb"(?m)^\*(BEGIN|TYPE[ \t]*=)", (), read_asc),
    Format("Bruker .uxd", rb"(?m)^_(FILEVERSION|2THETACOUNTS|2THETACPS)\b", (".uxd",), read_uxd),
    Format("pdCIF", rb"(?mi)^[ \t]*_pd_(meas|proc|peak)[_.]", (".cif",), read_pdcif),
    Format(
        "GSAS data",
        rb"(?m)^BANK\s+\d+\s+\d+\s+\d+\s+[A-Z]",
        (".fxye", ".gsas", ".gsa", ".gss"),
        read_gsas,
    ),
    Format("columns", rb"(?!)", (".xye",), read_columns_with_sigma),
    Format("columns", rb"(?!)", (), read_columns),
)
"""The formats, in the order in which they are tried."""

FOREIGN = {
    rb"\APK\x03\x04(?s:.*)xl/": "a workbook of a spreadsheet: save the table as text (.csv)",
    rb"\APK\x03\x04(?s:.*)content\.xml": "a document of an office: save the table as text (.csv)",
    rb"\A\xd0\xcf\x11\xe0": "a workbook or document of an office: save the table as text (.csv)",
    rb"\A%PDF": "a PDF: give its numbers as text",
    rb"\A(\x89PNG|\xff\xd8\xff|GIF8|BM|II\*\0|MM\0\*)": "a picture: give its numbers as text",
    rb"\A\x89HDF": "an HDF5 file: write two-theta and intensity as text",
    rb"\A\s*<(!DOCTYPE )?html": "a web page: give the file that it links to",
    rb"(?i)\A\s*##[^=]{1,40}=(?s:.*)##(XYDATA|PEAK ?TABLE|XFACTOR\s*=\s*(?!0*1(\.0*)?\s))": (
        "JCAMP-DX: write two columns, two-theta and intensity"
    ),
    rb"\A\s*(\{|\[\s*[\[{\"\d.-])": "JSON or the like: write two columns, two-theta and intensity",
}
"""The beginnings of files that hold no columns of text, and what to give instead."""


def load_pattern(path: str | Path, wavelength: str | float | None = None) -> MeasuredPattern:
    """Read a measured powder pattern or a list of peaks.

    Formats: columns of text (.xy, .xye, .csv, .dat, .txt, .chi: two-theta, d or Q, intensity, and
    standard deviation), rows of counts (FullProf's and DBWS' .dat), powder CIF, PANalytical .xrdml,
    Rigaku .ras, .rasx and .asc, Bruker .brml, .raw and .uxd, GSAS .fxye, .gsas, .gsa and .gss. The
    format is recognised by the content of the file, or else by its suffix. Scans of the same angles
    are added, adjoining ranges are joined, and otherwise the first scan is read; a note states
    this. A profile with repeated or uneven angles is converted to even steps, with a note as well.

    Args:
        path: the path of the file.
        wavelength: a radiation such as "CuKa", or angstroms; it replaces the one in the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read (the line or the element is named), angles or
            intensities are unusable, or neither the file nor the caller gives the wavelength. The
            message begins with the path.

    Example:
        >>> pattern = load_pattern("examples/halite.xy", "CuKa")
        >>> pattern.kind, len(pattern.two_theta)
        ('profile', 4250)
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file: give the path of a pattern")
    given = None if wavelength is None else Radiation(*radiation(wavelength))
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path}: it is larger than {MOST_BYTES >> 20} MiB: give a powder pattern")
    data = path.read_bytes()
    form = _format(data, path.suffix.lower())
    foreign = (said for mark, said in FOREIGN.items() if re.match(mark, data[:HEAD]))
    if form is FORMATS[-1] and (said := next(foreign, None)):
        raise ValueError(f"{path}: it is {said}")
    try:
        with np.errstate(all="ignore"):  # numbers of any size; `_pattern` checks the results
            return _pattern(form.read(data), given, path, form.name)
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as {form.name}: {error}") from None


def pattern_of_columns(
    angle: Real[np.ndarray, "..."],
    intensity: Real[np.ndarray, "..."],
    wavelength: str | float,
) -> MeasuredPattern:
    """Return the pattern of two columns, in any order.

    Args:
        angle: two-theta in degrees of peaks or of a profile.
        intensity: intensities in any unit.
        wavelength: a radiation such as "CuKa", or angstroms.

    Raises:
        ValueError: the columns are unequal, angles or intensities are unusable, or the wavelength
            is not one of X-rays.
    """
    if angle.ndim != 1 or angle.shape != intensity.shape:
        raise ValueError(
            f"two_theta has shape {angle.shape} and intensity {intensity.shape}: "
            "give two columns of the same length"
        )
    if not len(angle):
        raise ValueError("the pattern is empty: give at least one peak")
    _check(angle, intensity, None)
    order = np.argsort(angle, kind="stable")
    used = Radiation(*radiation(wavelength))
    columns = angle[order].astype(float), intensity[order].astype(float)
    return _evened(MeasuredPattern(*columns, None, used, None, "columns", ()))


def _format(data: bytes, suffix: str) -> Format:
    head = data if data.startswith(b"PK") else _narrow(data[:HEAD])
    *known, columns = FORMATS
    by_content = (form for form in known if re.search(form.mark, head))
    by_suffix = (form for form in known if suffix in form.suffixes)
    return next(by_content, None) or next(by_suffix, columns)


def _narrow(head: bytes) -> bytes:
    """Return the ASCII beginning of a text of UTF-8 or UTF-16, with line ends that `^` matches."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head[2:].replace(b"\0", b"")
    if head[:64].count(b"\0") >= len(head[:64]) // 2 > 0:  # UTF-16 without a byte order mark
        head = head.replace(b"\0", b"")
    return head.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n")


def _pattern(scan: Scan, given: Radiation | None, path: Path, form: str) -> MeasuredPattern:
    used = given or scan.radiation
    if used is None:
        raise ValueError(
            "the wavelength is missing, and the file does not say it: give --wavelength "
            "(wavelength=) with a radiation such as CuKa, or angstroms"
        )
    notes = [*scan.notes, *_disagreement(scan.radiation, given)]
    angle, intensity, sigma = _two_theta(scan, used), scan.intensity, scan.sigma
    if len(angle) >= SCANNED and 0 < angle.max() < np.pi:
        notes.append(f"two-theta ends at {angle.max():.4g}: check that it is in degrees")
    elif not scan.named and 0 < angle.max(initial=0) < 180:
        notes += _doubt_of_axis(float(1 / s_of_two_theta(angle.max(keepdims=True), used.mean)[0]))
    beyond = angle <= 0  # a scan may begin on the other side of the primary beam
    if beyond.any() and not beyond.all():
        notes.append(f"{np.sum(beyond)} points at or below 0 degrees are left out")
        angle, intensity = angle[~beyond], intensity[~beyond]
        sigma = None if sigma is None else sigma[~beyond]
    if len(angle) < LEAST_POINTS:
        held = "one line or point" if len(angle) else "no point"
        raise ValueError(f"it holds {held}: give {LEAST_POINTS} or more")
    _check(angle, intensity, sigma)
    if len(angle) >= SCANNED and np.ptp(angle) < STILL:
        raise ValueError(f"two-theta stands still at {angle[0]:.6g}: give a scan over two-theta")
    order = np.argsort(angle, kind="stable")
    sigma = None if sigma is None else sigma[order]
    columns = angle[order], intensity[order], sigma
    return _evened(MeasuredPattern(*columns, used, path, form, tuple(notes)))


def _evened(pattern: MeasuredPattern) -> MeasuredPattern:
    """Return a pattern with its kind; a profile gets one point an angle, at even steps.

    Raises:
        ValueError: a profile has too few points for its preparation.
    """
    distinct = _averaged(pattern)
    points = len(distinct.two_theta)
    if not is_profile(pattern.two_theta) and not (
        points >= PROFILE_POINTS and is_smooth(distinct.two_theta, distinct.intensity)
    ):
        return pattern
    if points < FEWEST_PREPARED:
        raise ValueError(
            f"{points} evenly spaced points are a profile too short to prepare: give "
            f"{FEWEST_PREPARED} or more, or a list of peaks"
        )
    even = distinct if has_even_steps(distinct.two_theta) else _interpolated(distinct)
    return replace(even, kind="profile")


def _averaged(pattern: MeasuredPattern) -> MeasuredPattern:
    """Return the mean of the points of each angle."""
    angle, at, points = np.unique(pattern.two_theta, return_inverse=True, return_counts=True)
    if len(angle) == len(at):
        return pattern
    sigma = pattern.sigma
    if sigma is not None:
        largest = np.abs(sigma).max() or 1.0  # squares of large numbers overflow
        sigma = largest * np.sqrt(np.bincount(at, (sigma / largest) ** 2)) / points
    return replace(
        pattern,
        two_theta=angle,
        intensity=np.bincount(at, pattern.intensity) / points,
        sigma=sigma,
        notes=(
            *pattern.notes,
            f"points of the same angle are averaged: of {len(at)}, {len(angle)} are left",
        ),
    )


def _interpolated(pattern: MeasuredPattern) -> MeasuredPattern:
    """Return a pattern at even steps."""
    angle, sigma, even = pattern.two_theta, pattern.sigma, even_angles(pattern.two_theta)
    return replace(
        pattern,
        two_theta=even,
        intensity=np.interp(even, angle, pattern.intensity),
        sigma=None if sigma is None else np.interp(even, angle, sigma),
        notes=(
            *pattern.notes,
            f"the steps are uneven: the profile is interpolated at even ones of "
            f"{even[1] - even[0]:.4g} degrees",
        ),
    )


def _doubt_of_axis(least: float) -> list[str]:
    """Return a note on a first column without a name whose least d, angstrom, is unusual."""
    if least <= LARGEST_LEAST:
        return []
    return [f"it ends at d = {least:.3g} angstrom: is the first column Q or d, and not two-theta?"]


def _disagreement(said: Radiation | None, given: Radiation | None) -> list[str]:
    if said is None or given is None or abs(given.mean / said.mean - 1) <= DISAGREEMENT:
        return []
    return [
        f"the file says that the wavelength is {said.mean:.5f} angstrom, but {given.mean:.5f} is "
        "given, and is used"
    ]


def _two_theta(scan: Scan, used: Radiation) -> Column:
    """Return two-theta, degrees, of a scan over two-theta, d or Q."""
    if scan.axis == "two_theta":
        return scan.position
    s = 1 / scan.position if scan.axis == "d" else scan.position / (2 * np.pi)
    within = np.abs(s) <= 2 / used.mean
    if not within.all():
        raise ValueError(
            f"{scan.axis} = {scan.position[~within][0]} is out of reach of {used.mean:.5f} "
            "angstrom: check the wavelength"
        )
    return two_theta(s, used.mean)


def _check(angle: Column, intensity: Column, sigma: Column | None) -> None:
    inside = (angle > 0) & (angle <= 180)
    if not inside.all():
        raise ValueError(
            f"two-theta {angle[~inside][0]} (point {np.argmin(inside) + 1}) is not between 0 and "
            "180 degrees"
        )
    for name, column in (("intensity", intensity), ("standard deviation", sigma)):
        if column is None:
            continue
        known = np.isfinite(column)
        if not known.all():
            value, point = column[~known][0], np.argmin(known) + 1
            raise ValueError(f"{name} {value} (point {point}) is not a finite number")
    if not intensity.any():
        raise ValueError("it holds no intensity: every value is zero")
    if intensity.max() <= 0:
        raise ValueError(
            f"it holds no intensity above zero, the largest is {intensity.max():g}: give counts or "
            "intensities"
        )


def check_intensities(intensity: Column) -> None:
    """Raise ValueError where an intensity is negative or not finite, or all are zero."""
    wrong = ~(np.isfinite(intensity) & (intensity >= 0))
    if wrong.any():
        raise ValueError(
            f"intensity {intensity[wrong][0]} (number {np.argmax(wrong) + 1}) is negative or not a "
            "number: give counts or relative intensities from 0"
        )
    if not intensity.any():
        raise ValueError("the pattern holds no intensity: every value is zero")
