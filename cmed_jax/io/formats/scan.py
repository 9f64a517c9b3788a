"""The scan that every reader returns, its radiation, and the combination of several scans."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float

from cmed_jax.physics.instrument import DOUBLET

Column = Float[np.ndarray, " n"]
Axis = Literal["two_theta", "d", "q"]

SHORTEST, LONGEST = 0.05, 10.0
"""The range of wavelengths of X-rays, angstrom; files use other numbers for "unknown"."""
MOST_POINTS = 1_000_000
"""The largest number of points: more than any powder pattern holds, and few enough for memory."""
MOST_SCANS = 1000
ADJOINING = 0.5
"""The largest gap, degrees, between ranges of one pattern; wider gaps would hide lines."""
SAME_TEMPERATURE = 2.0
"""The difference below which temperatures count as equal: furnaces are no steadier."""
DIFFERENT = 3.0
"""The mean squared difference of scans, in variances, from which on the samples differ."""
SYSTEMATIC = 0.03
"""The share of an intensity by which scans of one sample may differ beside counting noise."""
STATISTICAL_RATIO = DOUBLET[1] / DOUBLET[0]


@dataclass(frozen=True, eq=False)
class Radiation:
    """The components of a radiation.

    Attributes:
        wavelengths: the wavelengths, angstrom, that of the strongest component first.
        weights: their shares of the intensity, which sum to 1 and do not ascend.

    Raises:
        ValueError: a component is stronger than the one before it.
    """

    wavelengths: Float[np.ndarray, " w"]
    weights: Float[np.ndarray, " w"]

    def __post_init__(self):
        if (np.diff(self.weights) > 0).any():
            raise ValueError(
                f"the weights of the radiation are {self.weights.tolist()}: give the strongest "
                "component first"
            )

    @property
    def mean(self) -> float:
        """The weighted mean wavelength, angstrom."""
        return float(self.weights @ self.wavelengths)


@dataclass(frozen=True, eq=False)
class Scan:
    """The content of a file before it is checked.

    Attributes:
        position: two-theta in degrees, d in angstrom, or Q = 2 pi / d in 1/angstrom, in the order
            of the file.
        intensity: the intensities in the unit of the file.
        sigma: the standard deviations of the intensities; None where the file has none.
        radiation: the radiation; None where the file does not state it.
        notes: sentences for the user.
        axis: the axis of the positions.
        seconds: the counting time of a point, 1 for counts per second; None where it is unknown.
        temperature: the temperature of the sample in the unit of the file; None where unknown.
        named: whether the file says what the positions are.
    """

    position: Column
    intensity: Column
    sigma: Column | None = None
    radiation: Radiation | None = None
    notes: tuple[str, ...] = ()
    axis: Axis = "two_theta"
    seconds: float | None = None
    temperature: float | None = None
    named: bool = True


class OtherAxis(ValueError):
    """A scan over another axis than two-theta, as of an alignment; a file may hold others beside.

    Attributes:
        axis: the name of the axis.
    """

    def __init__(self, message: str, axis: str):
        super().__init__(message)
        self.axis = axis


Reader = Callable[[bytes], Scan]
"""A function that reads the bytes of a file; a ValueError states what is wrong, and where."""


def is_wavelength(value: float | None) -> bool:
    """Return whether a number can be a wavelength of X-rays in angstrom."""
    return value is not None and SHORTEST <= value <= LONGEST  # false for NaN


def doublet(
    alpha1: float | None, alpha2: float | None = None, ratio: float | None = None
) -> Radiation | None:
    """Return K-alpha 1 and 2, K-alpha 1 alone where the other is missing, or None without it.

    Args:
        alpha1: the wavelength of K-alpha 1, angstrom.
        alpha2: the wavelength of K-alpha 2, angstrom.
        ratio: the ratio of intensities, alpha 2 to alpha 1; the statistical 1:2 where unknown.
    """
    if alpha1 is None or not is_wavelength(alpha1):
        return None
    ratio = STATISTICAL_RATIO if ratio is None else ratio
    if alpha2 is None or not is_wavelength(alpha2) or not 0 < ratio <= 1:
        return Radiation(np.array([alpha1]), np.ones(1))
    return Radiation(np.array([alpha1, alpha2]), np.array([1, ratio]) / (1 + ratio))


def even_steps(start: float, step: float, points: int) -> Column:
    """Return evenly spaced positions."""
    return start + step * np.arange(points, dtype=float)


def per_equal_time(
    counts: Column, times: Float[np.ndarray, " m"]
) -> tuple[Column, float, tuple[str, ...]]:
    """Return counts scaled to the same counting time at each point.

    Args:
        counts: the counts of the points.
        times: the counting times of the points, seconds.

    Returns:
        The counts, the common time, and notes for the user.

    Raises:
        ValueError: a point has no time.
    """
    if len(times) != len(counts):
        raise ValueError(f"it has {len(times)} counting times for {len(counts)} points")
    seconds = float(np.median(times)) if len(times) else np.nan
    if not (np.all(times > 0) and np.isfinite(times).all()):
        return counts, seconds, ()
    if times.max() < 1.05 * times.min():
        return counts, seconds, ()
    note = (
        f"points were counted for {times.min():.3g} to {times.max():.3g} s; intensities are scaled "
        f"to {seconds:.3g} s"
    )
    return counts * (seconds / times), seconds, (note,)


def over_two_theta(scans: Iterable[Callable[[], Scan]]) -> Scan:
    """Return the scans over two-theta, combined by `together`; a note names the others.

    Args:
        scans: functions that read one scan each, and raise `OtherAxis` where it is over another
            axis.

    Raises:
        OtherAxis: all scans are over other axes.
        ValueError: a scan cannot be read, there is none, or there are too many.
    """
    found: list[Scan] = []
    others: list[OtherAxis] = []
    for number, read in enumerate(scans):
        if number == MOST_SCANS:
            raise ValueError(f"it holds more than {MOST_SCANS} scans: give one of them")
        try:
            found.append(read())
        except OtherAxis as other:
            others.append(other)
    if others and not found:
        raise others[0]
    scan = together(found)
    if not others:
        return scan
    axes = ", ".join(dict.fromkeys(other.axis for other in others))[:60]
    many = f"{len(others)} scans over {axes} are left out"
    left = f"a scan over {axes} is left out" if len(others) == 1 else many
    return replace(scan, notes=(*scan.notes, left))


def together(scans: Sequence[Scan]) -> Scan:
    """Return the sum of scans of equal positions, adjoining ranges as one, or the first scan.

    A scan at another temperature than the first, or one that differs from it by more than counting
    noise, belongs to another measurement and is left out. A note names it.

    Raises:
        ValueError: there is no scan.
    """
    if not scans:
        raise ValueError("it holds no scan over two-theta")
    first, *others = scans
    if not others:
        return first
    if all(_same_positions(first, other) for other in others):
        return _summed(scans)
    ascending = sorted(scans, key=lambda scan: float(scan.position.min(initial=np.inf)))
    adjoining = all(_adjoin(one, following) for one, following in pairwise(ascending))
    if adjoining and all(_same_temperature(first, other) for other in others):
        return _joined(ascending)
    why = "angles" if _same_temperature(*_hottest_and_coldest(scans)) else "angles and temperatures"
    note = f"the first of {len(scans)} scans is read, for they are of different {why}"
    return replace(first, notes=(*first.notes, note))


def _summed(scans: Sequence[Scan]) -> Scan:
    """Return the sum of the scans that are alike, with a note on those left out."""
    first = scans[0]
    alike = [scan for scan in scans if scan is first or _alike(first, scan)]
    total = np.sum([scan.intensity for scan in alike], axis=0)
    note = f"{len(alike)} scans of the same angles are added up"
    if left := [scan for scan in scans if all(scan is not each for each in alike)]:
        what = "the first" if len(alike) == 1 else f"the sum of {len(alike)}"
        note = f"{what} of {len(scans)} scans of the same angles is read{_at(alike)}: {_why(left)}"
    return replace(first, intensity=total, notes=(*first.notes, note))


def _alike(first: Scan, second: Scan) -> bool:
    """Return whether two scans of the same positions belong to one measurement."""
    return _same_temperature(first, second) and _only_counting(first.intensity, second.intensity)


def _same_temperature(first: Scan, second: Scan) -> bool:
    if first.temperature is None or second.temperature is None:
        return True
    return abs(first.temperature - second.temperature) < SAME_TEMPERATURE


def _hottest_and_coldest(scans: Sequence[Scan]) -> tuple[Scan, Scan]:
    known = [scan for scan in scans if scan.temperature is not None] or scans
    ordered = sorted(known, key=lambda scan: scan.temperature or 0.0)
    return ordered[0], ordered[-1]


def _only_counting(first: Column, second: Column) -> bool:
    """Return whether two columns, of any scale, differ little beside counting noise.

    The size of one count in the unit of the file is estimated from differences of neighbours.
    """
    if not (np.isfinite(first).all() and np.isfinite(second).all()) or len(first) < 3:
        return True
    total, other = float(np.abs(first).sum()), float(np.abs(second).sum())
    if not (0 < total < np.inf and 0 < other < np.inf):
        return total == other
    scale = total / other
    mean = (np.abs(first) + scale * np.abs(second)) / 2
    variance = (_count(first) + _count(scale * second)) * mean + (SYSTEMATIC * mean) ** 2
    floor = 1e-6 * mean.max() ** 2
    squares = (first - scale * second) ** 2 / (variance + floor)
    strong = mean >= np.quantile(mean, 0.9)
    return bool(squares[strong].mean() < DIFFERENT)


def _count(intensity: Column) -> float:
    """Return the size of one count in the unit of an intensity."""
    between = np.maximum(np.abs(intensity[1:]) + np.abs(intensity[:-1]), 1e-300)
    return float(np.median(np.diff(intensity) ** 2 / between) / 0.4549)


def _at(scans: list[Scan]) -> str:
    temperature = scans[0].temperature
    return "" if temperature is None else f", at a temperature of {temperature:.6g}"


def _why(left: list[Scan]) -> str:
    """Return the reason why scans are left out."""
    known = [scan.temperature for scan in left if scan.temperature is not None]
    if known:
        return f"the others are at {min(known):.6g} to {max(known):.6g}"
    return "the others differ from it by more than counting"


def _adjoin(one: Scan, following: Scan) -> bool:
    if not (len(one.position) and len(following.position)):
        return False
    return bool(-1e-3 <= following.position.min() - one.position.max() <= ADJOINING)


def _joined(scans: list[Scan]) -> Scan:
    """Return ranges as one, with counts scaled to the counting time of the first."""
    seconds = np.array([scan.seconds or np.nan for scan in scans])
    known = bool(np.all((seconds > 0) & (seconds < np.inf)))
    factors = seconds[0] / seconds if known else np.ones(len(scans))
    how = "scaled to equal counting times" if known else "as if counted for equal times"
    return replace(
        scans[0],
        position=np.concatenate([scan.position for scan in scans]),
        intensity=np.concatenate(
            [factor * scan.intensity for factor, scan in zip(factors, scans, strict=True)]
        ),
        notes=(*scans[0].notes, f"{len(scans)} ranges that adjoin are joined, {how}"),
    )


def _same_positions(first: Scan, second: Scan) -> bool:
    return first.position.shape == second.position.shape and np.allclose(
        first.position, second.position, rtol=0, atol=1e-3
    )
