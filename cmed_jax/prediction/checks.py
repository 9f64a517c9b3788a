"""Checks of a measured pattern, and of a prediction from it, against the training data.

Every check returns diagnostics, which do not stop a prediction. A network returns a density for
every input. The diagnostics state why that density may be worthless.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.cell_contents import formula_units, relative_cell_volume
from cmed_jax.crystal.composition import SYMBOLS, alike_elements, anonymous_formula, faint_elements
from cmed_jax.crystal.lattice import lattice_points
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.symmetry import centring_of, space_group_name
from cmed_jax.data.domain import SEEN, STEP, TrainingDomain
from cmed_jax.physics.artefact_ranges import Artefacts
from cmed_jax.physics.cell import cell_volume
from cmed_jax.physics.instrument import radiation
from cmed_jax.physics.patterns import BINS, MO_K_ALPHA, s_of_two_theta, two_theta
from cmed_jax.physics.profiles import caglioti, microstrain, scherrer, thompson_cox_hastings
from cmed_jax.powder.preparation import Prepared
from cmed_jax.prediction.assessment import LARGEST_VOLUME, SMALLEST_VOLUME
from cmed_jax.prediction.diagnostics import Diagnostic, Severity
from cmed_jax.prediction.query import LEAST_LINES, SAME_CELL, ConventionalCell
from cmed_jax.prediction.result import Answer
from cmed_jax.search.solved import SolvedStructure
from cmed_jax.solution.calculated import CalculatedPattern
from cmed_jax.solution.isostructural import IsostructuralMatch

WHOLE = 120.0
"""The least end of a pattern for networks of whole patterns, two-theta of Mo K-alpha, degrees."""
MERGED = 2.0
"""The width, in bins of the grid of the network, from which on peaks hide their neighbours."""
ALIKE = 0.03
"""The share below which volumes belong to one cell, roughly measured."""
NAMED = 3
"""The largest number of refused structures that are named."""
POOR = 0.8
"""The cosine of the calculated pattern below which a prediction does not explain its pattern."""

UNLIKELY = 0.2
"""The probability of a structure below which it is doubted."""


def check_pattern(
    prepared: Prepared, artefacts: Artefacts | None, domain: TrainingDomain | None
) -> list[Diagnostic]:
    """Return the unusual properties of a measured pattern.

    Args:
        prepared: the prepared pattern.
        artefacts: the artefacts in the training of the network; None for ideal sticks.
        domain: the domain of the training crystals, where it is known.
    """
    found = _check_extent(prepared) if artefacts is None else _check_range(prepared, artefacts)
    found += _check_widths(prepared, artefacts)
    found += [] if domain is None else _check_lines(prepared, domain)
    return [Diagnostic(code, "note", message) for code, message in found]


def check_lines(prepared: Prepared) -> list[Diagnostic]:
    """Return a finding where a pattern has too few lines to determine a cell."""
    if len(prepared.peaks.two_theta) >= LEAST_LINES:
        return []
    message = (
        "the pattern has one line, which does not tell a cell: give a longer scan, or the cell"
    )
    return [Diagnostic("one_line", "doubt", message)]


def check_elements(
    composition: Float[np.ndarray, "119"], domain: TrainingDomain | None
) -> list[Diagnostic]:
    """Return the elements of a composition that are absent from the training of the network."""
    if domain is None:
        return []
    strange = sorted(set(np.flatnonzero(composition).tolist()) - set(domain.elements))
    if not strange:
        return []
    names = ", ".join(SYMBOLS[number] for number in strange)
    message = f"no training crystal holds {names}: the network knows nothing of it"
    return [Diagnostic("unknown_element", "doubt", message)]


def check_alike_elements(composition: Float[np.ndarray, "119"]) -> list[Diagnostic]:
    """Return which elements of a composition the pattern hardly tells apart."""
    pairs = alike_elements(composition)
    if not pairs:
        return []
    names = ", ".join(f"{one} and {other}" for one, other in pairs)
    message = f"X-rays hardly tell {names} apart: they may be in each other's places"
    return [Diagnostic("alike_elements", "note", message)]


def check_faint_elements(composition: Float[np.ndarray, "119"]) -> list[Diagnostic]:
    """Return the elements of a composition whose places the pattern hardly shows."""
    faint = faint_elements(composition)
    if not faint:
        return []
    names = ", ".join(faint)
    message = f"the pattern hardly shows the places of {names}: the other elements scatter far more"
    return [Diagnostic("faint_elements", "note", message)]


def check_prototype(composition: Float[np.ndarray, "119"]) -> Diagnostic:
    """Return the finding that no known crystal has the formula type of a composition."""
    return Diagnostic(
        "no_prototype",
        "note",
        f"no known crystal is of the type {anonymous_formula(composition)}, so that nothing tells "
        "whether wavelength and formula go together with the pattern",
    )


def check_cell(
    lattice: Float[np.ndarray, "3 3"],
    composition: Float[np.ndarray, "119"],
    severity: Severity = "alarm",
) -> list[Diagnostic]:
    """Return a finding where a cell and a composition do not go together.

    Args:
        lattice: rows a, b, c in angstrom of the primitive cell.
        composition: the atom fractions of all elements.
        severity: an alarm where the cell was given, a doubt where it was found.
    """
    if SMALLEST_VOLUME < relative_cell_volume(lattice, composition) < LARGEST_VOLUME:
        return []
    units = formula_units(lattice, composition)
    message = (
        f"the primitive cell, {cell_volume(lattice):.4g} angstrom^3, has room for about "
        f"{units:.2f} formula units: check the wavelength, the composition, and the cell"
    )
    return [Diagnostic("cell_contents", severity, message)]


def check_centring(
    given: Float[np.ndarray, "3 3"], crystal: Material, name: str
) -> list[Diagnostic]:
    """Return a finding where the cell given as primitive is a centred cell of a crystal.

    Args:
        given: rows a, b, c of the given cell, angstrom.
        crystal: the crystal that explains the pattern.
        name: its name in the sentence.
    """
    centring = centring_of(crystal.space_group)
    held = lattice_points(centring)
    times = cell_volume(given) / crystal.volume
    if held == 1 or abs(times / held - 1) > ALIKE:
        return []
    message = (
        f"the cell that was given holds {held} primitive cells of {name}, whose "
        f"lattice is centred: give centring {centring}, or the primitive cell"
    )
    return [Diagnostic("centring", "alarm", message)]


def check_other_cell(cell: ConventionalCell, name: str) -> Diagnostic:
    """Return the finding that a crystal explains the pattern in another cell than the given one.

    Args:
        cell: the conventional cell of the crystal.
        name: its name in the sentence.
    """
    parameters = " ".join(f"{x:.5g}" for x in cell.parameters)
    message = (
        f"{name} explains the pattern in another cell than the given one, {parameters} with "
        f"centring {cell.centring}: check the cell, or leave it out"
    )
    return Diagnostic("other_cell", "doubt", message)


def check_refinement(
    given: Float[np.ndarray, "6"], refined: Float[np.ndarray, "6"], centring: str
) -> Diagnostic:
    """Return the finding that the given cell was refined, and whether its axes are others.

    Args:
        given: the given a, b, c in angstrom, and alpha, beta, gamma in degrees.
        refined: the same parameters of the conventional cell of the accepted crystal.
        centring: the centring of the conventional cell.
    """
    before, after = (" ".join(f"{x:.5g}" for x in cell) for cell in (given, refined))
    message = f"the cell that was given, {before}, was refined to {after}, centring {centring}"
    if not np.allclose(given, refined, rtol=SAME_CELL):
        message += ": these are other axes, and the density is given by them"
    return Diagnostic("cell_refined", "note", message)


def check_structures(known: Sequence[Material | Refusal]) -> list[Diagnostic]:
    """Return the structures of a source that cannot be used."""
    refused = [each for each in known if isinstance(each, Refusal)]
    if not refused:
        return []
    named = [f"{each.material_id}: {each.reason}" for each in refused[:NAMED]]
    more = ["..."] if len(refused) > NAMED else []
    message = f"{len(refused)} of {len(known)} structures are refused: {'; '.join([*named, *more])}"
    return [Diagnostic("structures_refused", "note", message)]


def check_agreement(
    calculated: CalculatedPattern, known: Sequence[IsostructuralMatch] = ()
) -> list[Diagnostic]:
    """Return a finding where a prediction does not explain the pattern that it was made from.

    Args:
        calculated: the pattern calculated from the prediction.
        known: the known crystals that may explain the pattern better, the best first.
    """
    if calculated.cosine >= POOR:
        return []
    better = ((each.name, each.calculated) for each in known if each.calculated is not None)
    instead = [
        f"; {name} does (cosine {its.cosine:.2f}, Rwp {its.rwp:.2f})"
        for name, its in better
        if its.cosine >= POOR
    ]
    message = (
        f"the predicted density does not explain the pattern (cosine {calculated.cosine:.2f}, Rwp "
        f"{calculated.rwp:.2f}), so it is wrong{''.join(instead[:1])}"
    )
    return [Diagnostic("disagreement", "doubt", message)]


def check_probability(answer: Answer, structures: Sequence[SolvedStructure]) -> list[Diagnostic]:
    """Return a doubt where the structure that answers is unlikely, or another is likelier.

    Args:
        answer: the density and the crystals that it is of.
        structures: the structures that explain the pattern; if one answers, it is the first.
    """
    crystals = [each.refined.crystal for each in answer.mixture.experts if each.refined is not None]
    for first in structures[:1]:
        answers = any(first.material is each for each in crystals)
        likelier = any(each.probability > first.probability for each in structures[1:])
        if answers and (first.probability < UNLIKELY or likelier):
            message = (
                f"the structure that answers, {first.formula} in "
                f"{space_group_name(first.space_group)}, has a probability of "
                f"{first.probability:.0%} (R {first.residual:.2f}): look at the alternatives"
            )
            return [Diagnostic("unlikely_structure", "doubt", message)]
    return []


def _check_extent(prepared: Prepared) -> list[tuple[str, str]]:
    last, used = prepared.measured.two_theta[-1], prepared.radiation.mean
    seen = _molybdenum_angle(last, used)
    if seen >= WHOLE:
        return []
    message = (
        f"the pattern ends at two-theta {last:.1f} degrees, which is {seen:.1f} of the 180 degrees "
        "of Mo K-alpha of an ideal pattern; what lies beyond is not known"
    )
    return [("range", message)]


def _check_range(prepared: Prepared, artefacts: Artefacts) -> list[tuple[str, str]]:
    angle, used = prepared.measured.two_theta, prepared.radiation.mean
    first, last = s_of_two_theta(angle[[0, -1]], used)
    longest, shortest = 1 / first, 1 / last
    trained = _wavelengths(artefacts)
    low = s_of_two_theta(np.array([artefacts.start[1]]), min(trained)).item()
    high = s_of_two_theta(np.array([artefacts.stop[0]]), max(trained)).item()
    found = []
    if first > low and prepared.measured.is_profile:
        found.append(
            f"the pattern begins at d = {longest:.3g} angstrom, and in training none began below "
            f"{1 / low:.3g}"
        )
    if last < high:
        found.append(
            f"the pattern ends at d = {shortest:.3g} angstrom, and in training none ended above "
            f"{1 / high:.3g}"
        )
    if not prepared.measured.is_profile:
        found.append("the network was trained on profiles, and is shown a list of peaks")
    return [("range", message) for message in found]


def _wavelengths(artefacts: Artefacts) -> list[float]:
    """Return the mean wavelengths of the anodes, or the ends of the range."""
    anodes = [radiation(f"{anode}Ka") for anode in artefacts.anodes]
    return [float(weights @ each) for each, weights in anodes] or list(artefacts.wavelength)


def _check_widths(prepared: Prepared, artefacts: Artefacts | None) -> list[tuple[str, str]]:
    if not prepared.measured.is_profile:
        return []
    peaks = prepared.peaks
    middle = int(np.argsort(peaks.width)[len(peaks.width) // 2])
    width, angle = float(peaks.width[middle]), peaks.two_theta[middle]
    if artefacts is None:
        used = prepared.radiation.mean
        spread = _molybdenum_angle(angle + width / 2, used) - _molybdenum_angle(
            angle - width / 2, used
        )
        if spread * BINS / 180 < MERGED:
            return []
        merged = f"peaks are {width:.2g} degrees wide: neighbours that sticks keep apart are merged"
        return [("widths", merged)]
    broadest = _broadest(angle, prepared.radiation.mean, artefacts)
    if width < broadest:
        return []
    broad = f"peaks are {width:.2g} degrees wide, and at most {broadest:.2g} in training"
    return [("widths", broad)]


def _broadest(angle: float, wavelength: float, artefacts: Artefacts) -> float:
    """Return the largest FWHM, degrees, that lines at two-theta have in training."""
    at = jnp.array([angle])
    gaussian = caglioti(at, artefacts.u[1], artefacts.v[1], artefacts.w[1])
    lorentzian = scherrer(at, jnp.array([wavelength]), artefacts.size[0])
    width, _ = thompson_cox_hastings(gaussian, lorentzian + microstrain(at, artefacts.strain[1]))
    return float(width[0])


def _check_lines(prepared: Prepared, domain: TrainingDomain) -> list[tuple[str, str]]:
    last = _molybdenum_angle(prepared.measured.two_theta[-1], prepared.radiation.mean)
    known = domain.most_lines[min(int(last // STEP), len(domain.most_lines) - 1)]
    lines = int((prepared.peaks.area > SEEN * prepared.peaks.area.max()).sum())
    if lines <= known:
        return []
    message = f"the pattern holds {lines} lines, and none in training more than {known} up to there"
    return [("lines", message)]


def _molybdenum_angle(angle: float, wavelength: float) -> float:
    """Return two-theta of Mo K-alpha, degrees, for the d of an angle; 180 beyond its reach."""
    s = s_of_two_theta(np.array([angle]), wavelength)
    return float(np.nan_to_num(two_theta(s, MO_K_ALPHA), nan=180.0)[0])
