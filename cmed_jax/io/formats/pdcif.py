"""Reader of powder CIF (pdCIF): International Tables G, chapter 3.3."""

import re

import gemmi
import numpy as np

from cmed_jax.crystal.cif_names import undotted
from cmed_jax.io.formats.scan import (
    MOST_POINTS,
    Axis,
    Column,
    Radiation,
    Scan,
    doublet,
    even_steps,
    is_wavelength,
    per_equal_time,
)
from cmed_jax.io.formats.text import decode, number_or_none

ANGLES = (
    "_pd_proc_2theta_corrected",
    "_pd_meas_2theta_corrected",
    "_pd_meas_2theta_scan",
    "_pd_meas_angle_2theta",
    "_pd_peak_2theta_centroid",
    "_pd_peak_2theta_maximum",
)
RANGES = ("_pd_proc_2theta_range_", "_pd_meas_2theta_range_")
SPACINGS = ("_pd_proc_d_spacing", "_pd_peak_d_spacing")
MOMENTA = ("_pd_proc_recip_len_q",)
"""The items that the dictionary defines as 2 pi / d in 1/angstrom."""
TIMES = ("_pd_meas_step_count_time",)
MONITORS = ("_pd_meas_counts_monitor", "_pd_meas_intensity_monitor")
"""The items of the incident beam at each point, by which intensities are divided."""
PROBES = (
    "_diffrn_radiation_probe",
    "_diffrn_radiation_type",
    "_diffrn_source",
    "_diffrn_source_type",
)
OTHERS = ("_pd_meas_position", "_pd_proc_energy_incident", "_pd_meas_angle_omega")
"""The positions of scans over other axes than two-theta, which a refusal names."""
INTENSITIES = (
    "_pd_meas_counts_total",
    "_pd_meas_intensity_total",
    "_pd_proc_intensity_total",
    "_pd_meas_counts_net",
    "_pd_meas_intensity_net",
    "_pd_proc_intensity_net",
    "_pd_peak_intensity",
    "_pd_peak_pk_height",
)
SAME_MONITOR = 1.001
"""The ratio of monitor counts below which they are the same."""
FLIGHT = "_pd_meas_time_of_flight"
BLOCK = re.compile(r"(?<!\S)data_", re.IGNORECASE)
MOST_BLOCKS = 1000
MISSING = (".", "?")
NUMBER = re.compile(r"([+-]?(\d+\.?(\d*)|\.(\d+))(?:[eE][+-]?\d{1,4})?)(?:\((\d{1,9})\))?")
"""The pattern of a number in a CIF with its standard uncertainty in units of the last digit."""


def read_pdcif(data: bytes) -> Scan:
    """Return the first measured pattern or list of peaks of a powder CIF.

    Two-theta is read from a column beside the intensities, from any loop, or from a range of even
    steps; without these, d or Q is read. Names may have a dot between category and item, as in the
    newer dictionaries. Points with the intensity "." or "?" are left out. Measured intensities take
    precedence over processed ones, and total over net ones. Standard uncertainties are read where
    all points have one.

    Raises:
        ValueError: the text is not a CIF (the line is named), no block holds a pattern, the
            pattern is of neutrons or of time of flight, or an item is not numbers.
    """
    text = undotted(decode(data))
    if (blocks := len(BLOCK.findall(text))) > MOST_BLOCKS:
        raise ValueError(f"it has {blocks} data blocks: give one of them")
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"it is no whole CIF: {_reason(error)}") from None
    patterns = [block for block in document if _intensity_tag(block)]
    if not patterns:
        raise ValueError(
            "no data block holds intensities of a powder pattern (_pd_meas_, _pd_proc_)"
        )
    radiations = (_radiation(block) for block in [patterns[0], *document])
    radiation = next((found for found in radiations if found), None)
    return _scan(patterns[0], radiation, len(patterns))


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _scan(block: gemmi.cif.Block, radiation: Radiation | None, blocks: int) -> Scan:
    probes = [(block.find_value(name) or "").lower() for name in PROBES]
    if any(re.search(r"neutron|nuclear reactor", probe) for probe in probes):
        raise ValueError(f"block {block.name[:40]!r} is measured with neutrons: give one of X-rays")
    tag = _intensity_tag(block)
    intensity, sigma = _numbers(block, tag)
    position, axis = _positions(block, len(intensity), tag)
    factor, notes = _factor(block, tag, len(intensity))
    intensity, sigma = factor * intensity, None if sigma is None else factor * sigma
    known = np.isfinite(intensity) & np.isfinite(position)
    if not known.all():
        notes.append(f"{np.sum(~known)} points without a value are left out")
    promised = number_or_none(block.find_value("_pd_meas_number_of_points"))
    if promised is not None and promised > len(intensity):
        notes.append(f"{promised:.0f} points are promised, {len(intensity)} are there")
    if blocks > 1:
        notes.append(f"the first of {blocks} patterns is read, of block {block.name[:40]!r}")
    sigma = None if sigma is None or not np.isfinite(sigma[known]).all() else sigma[known]
    return Scan(position[known], intensity[known], sigma, radiation, tuple(notes), axis)


def _factor(block: gemmi.cif.Block, tag: str, points: int) -> tuple[Column, list[str]]:
    """Return the factors that scale intensities to equal times and monitor counts, and notes."""
    factor, notes = np.ones(points), list[str]()
    for name in TIMES:
        if "counts" in tag and len(block.find_values(name)) == points > 1:
            factor, _, said = per_equal_time(factor, _numbers(block, name)[0])
            notes += said
    for name in MONITORS:
        if "_meas_" in tag and len(block.find_values(name)) == points > 1:
            monitor = _numbers(block, name)[0]
            if (monitor > 0).all() and monitor.max() > SAME_MONITOR * monitor.min():
                factor = factor * (float(np.median(monitor)) / monitor)
                notes.append(f"intensities are divided by {name}, which varies")
    return factor, notes


def _intensity_tag(block: gemmi.cif.Block) -> str:
    return next((tag for tag in INTENSITIES if len(block.find_values(tag)) > 1), "")


def _positions(block: gemmi.cif.Block, points: int, tag: str) -> tuple[Column, Axis]:
    """Return the positions and their axis: two-theta, or else d or Q."""
    axes: dict[Axis, tuple[str, ...]] = {"two_theta": ANGLES, "d": SPACINGS, "q": MOMENTA}
    for axis, names in axes.items():
        for positions in names:
            if len(block.find_values(positions)) == points:
                return _numbers(block, positions)[0], axis
    for name in RANGES:
        if (angle := _range(block, name, points)) is not None:
            return angle, "two_theta"
    if len(block.find_values(FLIGHT)) > 1:
        raise ValueError(f"block {block.name[:40]!r} is of time of flight: give two-theta or d")
    other = next((f", but {each}" for each in OTHERS if len(block.find_values(each)) > 1), "")
    raise ValueError(
        f"block {block.name[:40]!r} has no two-theta, d or Q for its {points} {tag}{other}"
    )


def _range(block: gemmi.cif.Block, name: str, points: int) -> Column | None:
    start, end, step = (
        number_or_none(block.find_value(name + part)) for part in ("min", "max", "inc")
    )
    if start is None or (end is None and step is None):
        return None
    if step is None or end is None:
        return np.linspace(start, end, points) if end else even_steps(start, step or 0, points)
    if not abs(start + step * (points - 1) - end) < 1.5 * abs(step):
        raise ValueError(f"{name}min, max and inc are {start}, {end}, {step}, of {points} points")
    return even_steps(start, step, points)


def _numbers(block: gemmi.cif.Block, tag: str) -> tuple[Column, Column | None]:
    """Return the values of an item and their standard uncertainties, NaN where one is missing."""
    fields = block.find_values(tag)
    if len(fields) > MOST_POINTS:
        raise ValueError(f"{tag} has {len(fields)} values, more than any pattern")
    pairs = [_number(field, tag, i) for i, field in enumerate(fields, start=1)]
    values, sigmas = np.array(pairs).T
    return values, sigmas if np.isfinite(sigmas).any() else None


def _number(field: str, tag: str, number: int) -> tuple[float, float]:
    if field in MISSING:
        return np.nan, np.nan
    match = NUMBER.fullmatch(field.strip("'\""))
    if not match:
        raise ValueError(f"value {number} of {tag} is {field[:30]!r}, which is not a number")
    value, digits = float(match.group(1)), match.group(3) or match.group(4) or ""
    exponent = re.search(r"[eE]([+-]?\d+)", match.group(1))
    power = (int(exponent.group(1)) if exponent else 0) - len(digits)
    sigma = float(f"{match.group(5)}e{power}") if match.group(5) else np.nan
    return value, sigma


def _radiation(block: gemmi.cif.Block) -> Radiation | None:
    """Return the radiation of a block; two wavelengths without weights count 2:1.

    The order of a loop means nothing. Of two without weights the shorter is K-alpha 1.
    """
    tag = "_diffrn_radiation_wavelength"
    names = (tag, f"{tag}_value", "_pd_proc_wavelength")
    fields = [field for name in names for field in block.find_values(name)][:1000]
    values = [_plain(field) for field in fields]
    wavelengths = np.array([value for value in values if is_wavelength(value)])
    weights = np.array([_plain(field) for field in block.find_values(tag + "_wt")][:1000], float)
    if not len(wavelengths):
        return None
    if len(weights) == len(wavelengths) and (weights >= 0).all() and 0 < weights.sum() < np.inf:
        order = np.lexsort((wavelengths, -weights))
        return Radiation(wavelengths[order], weights[order] / weights.sum())
    return doublet(*sorted(map(float, wavelengths[:2])))


def _plain(field: str) -> float:
    match = NUMBER.fullmatch(field.strip("'\""))
    return float(match.group(1)) if match else np.nan
