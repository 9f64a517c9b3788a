"""Assessment of a question: do pattern, wavelength and formula go together?

A wrong wavelength scales every cell, so that what explains the pattern has too much room for its
atoms, or too little; with a wrong formula nothing explains the pattern in a usual volume. So what
explains it best decides, be it a known crystal or the predicted density: how much is left
unexplained (Rwp), and the volume. The limits were set on simulated measurements
(`benchmarks/verdicts.py`); that nothing is considered beyond `EXPLAINED` was added when one of
thirteen measured files, asked about with a wrong wavelength, passed without.

Such an Rwp leaves room for another type of crystal in which the strongest lines fall together: rock
salt is explained by that of CsCl but for its line 111. So what is accepted must have a line where
one was measured.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cmed_jax.physics.patterns import RADIATIONS
from cmed_jax.powder.preparation import PeakList
from cmed_jax.solution.calculated import WIDTH, CalculatedPattern
from cmed_jax.solution.isostructural import IsostructuralMatch

EXPLAINED = 0.65
"""Rwp up to which a pattern counts as explained: cells without refined atoms leave much."""
BESIDE = 0.1
"""Explanations whose Rwp is larger than the best one's by more are not considered."""
SMALLEST_VOLUME, LARGEST_VOLUME = 0.72, 1.35
"""Of explanations: their volume over what such atoms usually take up."""
SAME_ANODE = 0.05
"""Share by which usual volumes leave a wavelength open."""
PRESENT = 0.1
"""Share of a measured line that must be implied; preferred orientation takes less away."""
IMPURE = 0.03
"""Share of the measured area that may be of other phases: few powders are purer."""
NAMED = 5
"""Most lines that a sentence names."""


class Unexplained(NamedTuple):
    """Measured lines where none is implied: share of the measured area, and two-theta, degrees."""

    share: float = 0.0
    angles: tuple[float, ...] = ()


class Explanation(NamedTuple):
    """What may explain a pattern.

    Attributes:
        name: of a known crystal, or "the prediction"; several crystals may have one name.
        rwp: of the pattern that it implies.
        relative_volume: its volume over the usual one.
        unexplained: measured lines that it does not imply.
        crystal: the known crystal; None for the prediction.
    """

    name: str
    rwp: float
    relative_volume: float
    unexplained: Unexplained = Unexplained()
    crystal: IsostructuralMatch | None = None


class Assessment(NamedTuple):
    """An assessment of a question.

    Attributes:
        consistent: whether pattern, wavelength and formula go together.
        sentence: says so, or what to check.
        accepted: the explanation that is accepted; of an inconsistent question the one which
            explains the pattern best, whatever its volume. None where none is, which of a
            consistent question the sentence explains.
    """

    consistent: bool
    sentence: str
    accepted: Explanation | None = None


def unexplained(peaks: PeakList, calculated: CalculatedPattern) -> Unexplained:
    """Return the measured lines within whose width hardly anything is implied.

    Args:
        peaks: of the measured pattern.
        calculated: by a density.
    """
    angle, area = calculated.lines.T
    width = np.where(np.isnan(peaks.width), WIDTH, peaks.width)
    near = np.abs(peaks.two_theta[:, None] - angle) < width[:, None]
    missed = near @ area < PRESENT * peaks.area
    strongest = np.argsort(-np.where(missed, peaks.area, 0))[: min(missed.sum(), NAMED)]
    angles = np.sort(peaks.two_theta[strongest]).tolist()
    return Unexplained(float(peaks.area[missed].sum() / peaks.area.sum()), tuple(angles))


def assess(explanations: Sequence[Explanation], wavelength: float, kind: str) -> Assessment | None:
    """Return whether pattern, wavelength and formula go together; None where nothing tells.

    Args:
        explanations: known crystals, and the predicted density.
        wavelength: that was given, angstrom.
        kind: anonymous formula of the composition, such as "ABC3".
    """
    if not explanations:
        return None
    best = min(explanations, key=lambda each: each.rwp)
    if best.rwp > EXPLAINED:
        said = (
            f"no known crystal of the type {kind} explains the pattern, nor does the prediction "
            f"(at best {best.name}, Rwp {best.rwp:.2f}): check the formula and the wavelength, "
            "and whether the sample is one phase"
        )
        return Assessment(False, said)
    limit = min(best.rwp + BESIDE, EXPLAINED)
    usual = [
        x
        for x in explanations
        if x.rwp <= limit and SMALLEST_VOLUME <= x.relative_volume <= LARGEST_VOLUME
    ]
    whole = [each for each in usual if each.unexplained.share <= IMPURE]
    if whole:
        accepted = min(whole, key=lambda each: each.rwp)
        said = f"pattern, wavelength and formula go together: {_explained(accepted)}"
        return Assessment(True, said, accepted)
    if usual:
        said = "pattern, wavelength and formula may go together, but no crystal is accepted"
        return Assessment(True, f"{said}: {_but_for(min(usual, key=lambda each: each.rwp))}")
    said = f"the wavelength looks wrong, or else the formula: {_explained(best)}"
    by = best if best.unexplained.share <= IMPURE else None
    return Assessment(False, said + _anode(best.relative_volume, wavelength), by)


def _explained(by: Explanation) -> str:
    return (
        f"{by.name} explains the pattern (Rwp {by.rwp:.2f}) in {by.relative_volume:.2f} times the "
        "volume that its atoms usually take up"
    )


def _but_for(by: Explanation) -> str:
    share, angles = by.unexplained
    lines = ", ".join(f"{angle:.2f}" for angle in angles)
    return f"{_explained(by)}, but not lines at {lines} degrees, {100 * share:.0f} % of its area"


def _anode(relative_volume: float, wavelength: float) -> str:
    """Return with which other anode the volume would be usual, if there is one."""
    usual = wavelength / relative_volume ** (1 / 3)
    for name, other in RADIATIONS.items():
        near, differs = abs(other / usual - 1) < SAME_ANODE, abs(other / wavelength - 1) > 0.01
        if name.endswith("Ka") and near and differs:
            return f"; with {name}, {other:.4f} angstrom, it would be usual"
    return ""
