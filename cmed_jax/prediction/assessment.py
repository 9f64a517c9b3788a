"""Assessment of a query: do pattern, wavelength and formula go together?

A wrong wavelength scales every cell. The volume of the best explanation is then too large or too
small for its atoms. With a wrong formula, no explanation has a usual volume. The best explanation,
a known crystal or the predicted density, therefore decides by its Rwp and its volume. The limits
were set on simulated measurements (`benchmarks/verdicts.py`), and `benchmarks/alarms.py` counts
false and missed alarms. Counting noise is taken off the Rwp first.

Such an Rwp can also belong to another type of crystal in which the strongest lines coincide: the
type of CsCl explains rock salt except for its line 111. An accepted explanation must therefore have
a line at each measured line.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cmed_jax.crystal.atomic_volumes import KnownVolumes
from cmed_jax.physics.patterns import RADIATIONS
from cmed_jax.powder.preparation import PeakList
from cmed_jax.search.solved import Verdict
from cmed_jax.solution.calculated import WIDTH, CalculatedPattern
from cmed_jax.solution.isostructural import IsostructuralMatch

EXPLAINED = 0.65
"""The misfit up to which a pattern counts as explained; it is high where atoms are not refined."""
WELL = 0.4
"""The misfit above which a known crystal is accepted, but may not be the best explanation."""
BESIDE = 0.1
"""The largest difference from the best misfit at which an explanation is still considered."""
SMALLEST_VOLUME, LARGEST_VOLUME = 0.72, 1.35
"""The range of the usual relative volume of an explanation, where the volume is estimated."""
SMALLEST_KNOWN, LARGEST_KNOWN = 0.8, 1.25
"""That range where crystals of the compound are known.

A change of the coordination number from 4 to 6 changes the volume by a fifth. Calculated crystals
and thermal expansion differ by less.
"""
SAME_ANODE = 0.05
"""The share by which a wavelength is uncertain, given the range of usual volumes."""
PRESENT = 0.1
"""The share of a measured line that must be calculated; preferred orientation removes less."""
IMPURE = 0.03
"""The share of the measured area that may belong to other phases; few powders are purer."""
NAMED = 5
"""The largest number of lines that a sentence names."""


NOISIEST = 0.9
"""The largest share of the squares in a pattern that is ascribed to noise."""


SIMPLE = 20
"""The number of lines of a simple pattern, of which nearly all types of structures are known.

A cubic or a small hexagonal cell shows as many up to 80 degrees of copper radiation.
"""
MAY_GO = "pattern, wavelength and formula may go together"
NOISY = 0.05
"""The part of Rwp due to counting noise from which on a sentence tells it."""


class Unexplained(NamedTuple):
    """Measured lines without a calculated line: share of the measured area, two-theta (degrees)."""

    share: float = 0.0
    angles: tuple[float, ...] = ()


class Explanation(NamedTuple):
    """A possible explanation of a pattern.

    Attributes:
        name: the name of a known crystal, or "the prediction"; several crystals may share a name.
        rwp: the Rwp of the pattern calculated from it.
        relative_volume: its volume relative to the usual one.
        unexplained: the measured lines that are not in the pattern calculated from it.
        crystal: the known crystal; None for the prediction.
        noise: the Rwp that counting noise alone leaves of the true pattern.
        volumes: the volumes of known crystals of the compound.
        of_known_volume: whether they tell the usual volume.
        verdict: the verdict of the search on its structure; None for others.
    """

    name: str
    rwp: float
    relative_volume: float
    unexplained: Unexplained = Unexplained()
    crystal: IsostructuralMatch | None = None
    noise: float = 0.0
    volumes: KnownVolumes = KnownVolumes()
    of_known_volume: bool = False
    verdict: Verdict | None = None

    @property
    def is_structure(self) -> bool:
        """Whether it has atoms: a known crystal, or a structure of the search."""
        return self.crystal is not None or self.verdict is not None

    @property
    def disagreement(self) -> tuple[float, float]:
        """The misfit, and the Rwp where noise accounts for all of several."""
        return self.misfit, self.rwp

    @property
    def is_of_usual_volume(self) -> bool:
        """Whether the relative volume is in the range of usual ones."""
        if self.of_known_volume:
            return SMALLEST_KNOWN <= self.relative_volume <= LARGEST_KNOWN
        return SMALLEST_VOLUME <= self.relative_volume <= LARGEST_VOLUME

    @property
    def is_whole(self) -> bool:
        """Whether it has a line at each measured line, but for those of an impurity."""
        return self.unexplained.share <= IMPURE

    @property
    def misfit(self) -> float:
        """The Rwp without the counting noise, 0 to 1.

        The squares of the noise add to those of the misfit in numerator and denominator of Rwp^2.
        """
        noise = min(self.noise**2, NOISIEST)
        return float(np.sqrt(max(self.rwp**2 - noise, 0) / (1 - noise)))


class Assessment(NamedTuple):
    """An assessment of a query.

    Attributes:
        consistent: whether pattern, wavelength and formula go together.
        sentence: a sentence that states the result, or what to check.
        accepted: the accepted explanation; for an inconsistent query the one with the lowest Rwp,
            of any volume. None where none is accepted; the sentence gives the reason if the query
            is consistent.
    """

    consistent: bool
    sentence: str
    accepted: Explanation | None = None

    @property
    def known(self) -> Explanation | None:
        """The accepted explanation where it is a known crystal, else None."""
        accepted = self.accepted
        return None if accepted is None or accepted.crystal is None else accepted


def unexplained(peaks: PeakList, calculated: CalculatedPattern) -> Unexplained:
    """Return the measured lines that have hardly any calculated intensity within their width.

    Args:
        peaks: the peaks of the measured pattern.
        calculated: the pattern calculated from a density or a crystal.
    """
    angle, area = calculated.lines.T
    width = np.where(np.isnan(peaks.width), WIDTH, peaks.width)
    near = np.abs(peaks.two_theta[:, None] - angle) < width[:, None]
    missed = near @ area < PRESENT * peaks.area
    strongest = np.argsort(-np.where(missed, peaks.area, 0))[: min(missed.sum(), NAMED)]
    angles = np.sort(peaks.two_theta[strongest]).tolist()
    return Unexplained(float(peaks.area[missed].sum() / peaks.area.sum()), tuple(angles))


def explanation_of(match: IsostructuralMatch, peaks: PeakList) -> Explanation:
    """Return a known crystal as an explanation of the pattern that it was compared with.

    Crystals of the parent of a solid solution are no known crystals of the compound.
    """
    assert match.calculated is not None  # it was compared
    return Explanation(
        match.name,
        match.calculated.rwp,
        match.relative_volume,
        unexplained(peaks, match.calculated),
        match,
        match.calculated.noise,
        KnownVolumes() if match.shares else match.volumes,
        match.volumes.are_usual(match.crystal.composition),
    )


def assess(
    explanations: Sequence[Explanation], wavelength: float, kind: str, lines: int = 0
) -> Assessment | None:
    """Return whether pattern, wavelength and formula go together; None without explanations.

    A pattern that nothing explains does not tell against the question where it has many lines and
    no crystal of the compound is known: the structure may be of a type that is not known either.
    A compound that is known in other types than the one that explains the pattern is asked about
    with the wrong formula, or is another form, which a structure that the search found shows. A
    predicted density alone is no structure of the formula: it is never accepted.

    Args:
        explanations: known crystals and the predicted density.
        wavelength: the given wavelength, angstrom.
        kind: the anonymous formula of the composition, such as "ABC3".
        lines: the number of measured lines.
    """
    if not explanations:
        return None
    best = min(explanations, key=lambda each: each.disagreement)
    is_known = any(each.volumes.of_compound for each in explanations)
    if best.misfit > EXPLAINED:
        said = (
            f"no known crystal of the type {kind} explains the pattern, nor does the prediction "
            f"(at best {best.name}, {_agreement(best)}): check the formula and the wavelength, "
            "and whether the sample is one phase"
        )
        if is_known or lines <= SIMPLE:
            return Assessment(False, said)
        return Assessment(
            True, f"{said}, or search for its structure, which may be of another type"
        )
    limit = min(best.misfit + BESIDE, EXPLAINED)
    usual = [each for each in explanations if each.misfit <= limit and each.is_of_usual_volume]
    whole = [each for each in usual if each.is_whole]
    if whole:
        # A density fits a pattern more freely than atoms: where a crystal explains it about as
        # well, the crystal is accepted.
        accepted = min(whole, key=lambda each: (each.crystal is None, *each.disagreement))
        other = is_known and not any(each.is_of_usual_volume for each in _known_types(explanations))
        if other and accepted.verdict != "found":
            said = (
                f"no known crystal of the compound explains the pattern, but {_explained(accepted)}"
            )
            return Assessment(
                False, f"{said}: check the formula, or whether it is another form", accepted
            )
        if not accepted.is_structure:
            said = f"{MAY_GO}: {_explained(accepted)}, but no structure of the formula does"
            return Assessment(True, said)
        said = f"pattern, wavelength and formula go together: {_explained(accepted)}"
        said += ", which is another form than those that are known" if other else ""
        return Assessment(True, said, accepted)
    if usual:
        closest = min(usual, key=lambda each: each.disagreement)
        said = f"{MAY_GO}, but no crystal is accepted: {_but_for(closest)}"
        return Assessment(True, said)
    said = f"the wavelength looks wrong, or else the formula: {_explained(best)}"
    by = best if best.is_whole else None
    return Assessment(False, said + _anode(best.relative_volume, wavelength), by)


def _known_types(explanations: Sequence[Explanation]) -> list[Explanation]:
    """Return the known crystals of the compound itself that explain the pattern."""
    return [
        each
        for each in explanations
        if each.volumes.of_type is not None and each.misfit <= EXPLAINED
    ]


def _explained(by: Explanation) -> str:
    return (
        f"{by.name} explains the pattern ({_agreement(by)}) in {by.relative_volume:.2f} times the "
        "volume that its atoms usually take up"
    )


def _agreement(by: Explanation) -> str:
    without = f", {by.misfit:.2f} without counting noise" if by.rwp - by.misfit > NOISY else ""
    return f"Rwp {by.rwp:.2f}{without}"


def _but_for(by: Explanation) -> str:
    share, angles = by.unexplained
    lines = ", ".join(f"{angle:.2f}" for angle in angles)
    return f"{_explained(by)}, but not lines at {lines} degrees, {100 * share:.0f} % of its area"


def _anode(relative_volume: float, wavelength: float) -> str:
    """Return the other anode with which the volume would be usual, if there is one."""
    usual = wavelength / relative_volume ** (1 / 3)
    for name, other in RADIATIONS.items():
        near, differs = abs(other / usual - 1) < SAME_ANODE, abs(other / wavelength - 1) > 0.01
        if name.endswith("Ka") and near and differs:
            return f"; with {name}, {other:.4f} angstrom, it would be usual"
    return ""
