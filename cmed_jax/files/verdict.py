"""The verdict on a question: do pattern, wavelength and formula go together?

A wrong wavelength scales every cell, so that what explains the pattern has too much room for its
atoms, or too little; with a wrong formula nothing explains the pattern in a usual volume. So what
explains it best decides, be it a known crystal or the predicted density: how much is left
unexplained (Rwp), and the volume. The limits were set on simulated measurements
(`benchmarks/verdicts.py`); that nothing is heard beyond `EXPLAINED` was added when one of thirteen
measured files, asked about with a wrong wavelength, passed without.
"""

from collections.abc import Sequence
from typing import NamedTuple

from cmed_jax.physics.patterns import RADIATIONS

EXPLAINED = 0.65
"""Rwp up to which a pattern counts as explained: cells without refined atoms leave much."""
BESIDE = 0.1
"""Explanations whose Rwp is larger than the best one's by more are not heard."""
LEAST_ROOM, MOST_ROOM = 0.72, 1.35
"""Of explanations: their volume over what such atoms usually take up."""
SAME_ANODE = 0.05
"""Share by which usual volumes leave a wavelength open."""


class Explanation(NamedTuple):
    """What may explain a pattern: its name, its Rwp, and its volume over the usual one."""

    name: str
    rwp: float
    room: float


class Verdict(NamedTuple):
    """Whether a question is consistent, the sentence that says so, or what to check, and by what.

    by: the name of the explanation that is believed; None where none is.
    """

    consistent: bool
    sentence: str
    by: str | None = None


def judge(explanations: Sequence[Explanation], wavelength: float, kind: str) -> Verdict | None:
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
        return Verdict(False, said)
    heard = min(best.rwp + BESIDE, EXPLAINED)
    usual = [x for x in explanations if x.rwp <= heard and LEAST_ROOM <= x.room <= MOST_ROOM]
    if usual:
        believed = min(usual, key=lambda each: each.rwp)
        said = f"pattern, wavelength and formula go together: {_explained(believed)}"
        return Verdict(True, said, believed.name)
    said = f"the wavelength looks wrong, or else the formula: {_explained(best)}"
    return Verdict(False, said + _anode(best.room, wavelength))


def _explained(by: Explanation) -> str:
    return (
        f"{by.name} explains the pattern (Rwp {by.rwp:.2f}) in {by.room:.2f} times the volume that "
        "its atoms usually take up"
    )


def _anode(room: float, wavelength: float) -> str:
    """Return with which other anode the volume would be usual, if there is one."""
    usual = wavelength / room ** (1 / 3)
    for name, other in RADIATIONS.items():
        near, differs = abs(other / usual - 1) < SAME_ANODE, abs(other / wavelength - 1) > 0.01
        if name.endswith("Ka") and near and differs:
            return f"; with {name}, {other:.4f} angstrom, it would be usual"
    return ""
