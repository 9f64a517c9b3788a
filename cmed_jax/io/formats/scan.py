"""What every reader returns: a scan, and the radiation that it was measured with."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float

from cmed_jax.physics.instrument import DOUBLET

Column = Float[np.ndarray, " n"]
Axis = Literal["two_theta", "d", "q"]

SHORTEST, LONGEST = 0.05, 10.0
"""Wavelengths of X-rays, angstrom; what lies outside is a file's way to say nothing."""
MOST_POINTS = 1_000_000
"""More than any powder pattern holds, and few enough for the memory."""
MOST_SCANS = 1000
ADJOINING = 0.5
"""Degrees between ranges that are one pattern; lines in wider gaps would be missed."""
STATISTICAL_RATIO = DOUBLET[1] / DOUBLET[0]


@dataclass(frozen=True, eq=False)
class Radiation:
    """The components of a radiation.

    Attributes:
        wavelengths: angstrom.
        weights: their shares of the intensity; they sum to 1.
    """

    wavelengths: Float[np.ndarray, " w"]
    weights: Float[np.ndarray, " w"]

    @property
    def mean(self) -> float:
        """The weighted mean wavelength, angstrom."""
        return float(self.weights @ self.wavelengths)


@dataclass(frozen=True, eq=False)
class Scan:
    """What a file holds, before it is checked.

    Attributes:
        position: two-theta in degrees, d in angstrom, or Q = 2 pi / d in 1/angstrom, in the file's
            order.
        intensity: in the file's unit.
        sigma: standard deviation of the intensity; None where the file has none.
        radiation: None where the file does not say.
        notes: what the user should know, in sentences.
        axis: which of them the positions are.
        seconds: counting time of a point, 1 of counts per second; None where it is not known.
    """

    position: Column
    intensity: Column
    sigma: Column | None = None
    radiation: Radiation | None = None
    notes: tuple[str, ...] = ()
    axis: Axis = "two_theta"
    seconds: float | None = None


Reader = Callable[[bytes], Scan]
"""Reads a file's bytes; a ValueError says in one sentence what is wrong, and where."""


def is_wavelength(value: float | None) -> bool:
    """Whether a number can be the wavelength of X-rays in angstrom."""
    return value is not None and SHORTEST <= value <= LONGEST  # false for NaN


def doublet(
    alpha1: float | None, alpha2: float | None = None, ratio: float | None = None
) -> Radiation | None:
    """Return K-alpha 1 and 2, K-alpha 1 alone where the other is missing, or None without it.

    Args:
        alpha1: wavelength in angstrom, like `alpha2`.
        alpha2: of the second component.
        ratio: of the intensities, alpha 2 to alpha 1; the statistical 1:2 where it is not known.
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


def together(scans: Iterable[Scan]) -> Scan:
    """Return the sum of scans of the same positions, ranges that adjoin as one, or the first.

    A note says which.

    Raises:
        ValueError: there is no scan, or there are too many.
    """
    scans = list(islice(scans, MOST_SCANS + 1))
    if not scans:
        raise ValueError("it holds no scan over two-theta")
    if len(scans) > MOST_SCANS:
        raise ValueError(f"it holds more than {MOST_SCANS} scans: give one of them")
    first, *others = scans
    if not others:
        return first
    if all(_same_positions(first, other) for other in others):
        total = np.sum([scan.intensity for scan in scans], axis=0)
        note = f"{len(scans)} scans of the same angles are added up"
        return replace(first, intensity=total, notes=(*first.notes, note))
    ascending = sorted(scans, key=lambda scan: float(scan.position.min(initial=np.inf)))
    if all(_adjoin(one, following) for one, following in pairwise(ascending)):
        return _joined(ascending)
    note = f"the first of {len(scans)} scans is read, for they are of different angles"
    return replace(first, notes=(*first.notes, note))


def _adjoin(one: Scan, following: Scan) -> bool:
    if not (len(one.position) and len(following.position)):
        return False
    return bool(-1e-3 <= following.position.min() - one.position.max() <= ADJOINING)


def _joined(scans: list[Scan]) -> Scan:
    """Return ranges as one, with the counts that each had in the counting time of the first."""
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
