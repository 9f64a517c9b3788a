"""The guard: what of a measured pattern, or of a prediction from it, is not as in training.

Every check returns sentences. None of them stops anything: a network answers whatever it is asked,
and these say why the answer may be worth nothing.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.composition import SYMBOLS, anonymous_formula
from cmed_jax.crystal.lattice import PRIMITIVE
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.volumes import nearest_room, volume_of_atom
from cmed_jax.data.familiar import SEEN, STEP, Familiar
from cmed_jax.files.analogues import Analogue
from cmed_jax.files.cell_search import lattice_type_of
from cmed_jax.files.implied import Implied
from cmed_jax.files.preparation import Prepared
from cmed_jax.physics.artefacts import Artefacts
from cmed_jax.physics.cell import cell_volume
from cmed_jax.physics.instrument import radiation
from cmed_jax.physics.patterns import BINS, MO_K_ALPHA, s_of_two_theta, two_theta
from cmed_jax.physics.profiles import caglioti, microstrain, scherrer, thompson_cox_hastings

WHOLE = 120.0
"""Two-theta, Mo K-alpha, up to which a network of whole patterns should be shown one, degrees."""
MERGED = 2.0
"""Peaks as wide as this many bins of the network's grid hide their neighbours."""
LEAST_ROOM, MOST_ROOM = 0.7, 1.4
"""What a cell that holds whole formula units may have room for, as a share of them."""
MOST_UNITS = 2
"""More formula units than these are not told apart by the volume."""
SAME_VOLUME = 0.01
"""Cells whose volumes differ by a smaller share hold the same atoms."""
ALIKE = 0.03
"""Volumes that differ by a smaller share are of one cell, roughly measured."""
LEAST_LINES = 2
"""Lines from which on a cell may be sought."""
NAMED = 3
"""Most refused structures that are named."""
LARGEST_UNIT = 48
"""Most atoms of a formula unit that amounts are reduced to."""
POOR = 0.8
"""Cosine of the implied pattern below which a prediction does not explain its own pattern."""


def of_pattern(
    prepared: Prepared, artefacts: Artefacts | None, familiar: Familiar | None
) -> list[str]:
    """Return what is unusual about a measured pattern.

    Args:
        prepared: the pattern.
        artefacts: that the network was trained with; None for one of ideal sticks.
        familiar: what the training crystals have between them, where it is known.
    """
    found = _of_whole(prepared) if artefacts is None else _of_range(prepared, artefacts)
    found += _of_widths(prepared, artefacts)
    return found + ([] if familiar is None else _of_lines(prepared, familiar))


def of_lines(prepared: Prepared) -> list[str]:
    """Return whether a pattern has too few lines to tell a cell."""
    lines = len(prepared.peaks.two_theta)
    if lines >= LEAST_LINES:
        return []
    return ["the pattern has one line, which does not tell a cell: give a longer scan, or the cell"]


def of_composition(composition: Float[np.ndarray, "119"], familiar: Familiar | None) -> list[str]:
    """Return which elements of a composition the network has never seen."""
    if familiar is None:
        return []
    strange = sorted(set(np.flatnonzero(composition).tolist()) - set(familiar.elements))
    if not strange:
        return []
    names = ", ".join(SYMBOLS[number] for number in strange)
    return [f"no training crystal holds {names}: the network knows nothing of it"]


def without_template(composition: Float[np.ndarray, "119"]) -> str:
    """Return what to say of a composition for whose type no crystal is known."""
    return (
        f"no known crystal is of the type {anonymous_formula(composition)}, so that nothing tells "
        "whether wavelength and formula go together with the pattern"
    )


def of_cell(lattice: Float[np.ndarray, "3 3"], composition: Float[np.ndarray, "119"]) -> list[str]:
    """Return whether a cell and a composition do not go together.

    Args:
        lattice: rows a, b, c in angstrom of the primitive cell.
        composition: the fractions of all elements.
    """
    if LEAST_ROOM < room(lattice, composition) < MOST_ROOM:
        return []
    units = formula_units(lattice, composition)
    return [
        f"the primitive cell, {cell_volume(lattice):.4g} angstrom^3, has room for about "
        f"{units:.2f} formula units: check the wavelength, the composition, and the cell"
    ]


def of_centring(given: Float[np.ndarray, "3 3"], believed: Analogue) -> list[str]:
    """Return whether a cell that was given as primitive is a centred one of the crystal behind it.

    Args:
        given: rows a, b, c in angstrom.
        believed: the known crystal that explains the pattern.
    """
    centring = lattice_type_of(believed.crystal.space_group)[-1]
    held = round(1 / np.linalg.det(PRIMITIVE[centring]))
    times = cell_volume(given) / believed.crystal.volume
    if held == 1 or abs(times / held - 1) > ALIKE:
        return []
    return [
        f"the cell that was given holds {held} primitive cells of {believed.name}, whose "
        f"lattice is centred: give centring {centring}, or the primitive cell"
    ]


def of_refinement(
    given: Float[np.ndarray, "6"], refined: Float[np.ndarray, "6"], centring: str
) -> list[str]:
    """Return what became of the cell that was given.

    Args:
        given: a, b, c in angstrom, alpha, beta, gamma in degrees, as they were given.
        refined: of the conventional cell of the crystal that is believed.
        centring: of that cell.
    """
    before, after = (" ".join(f"{x:.5g}" for x in cell) for cell in (given, refined))
    return [f"the cell that was given, {before}, was refined to {after}, centring {centring}"]


def of_structures(known: Sequence[Material | Refusal]) -> list[str]:
    """Return which structures of a source cannot be used."""
    refused = [each for each in known if isinstance(each, Refusal)]
    if not refused:
        return []
    named = [f"{each.material_id}: {each.reason}" for each in refused[:NAMED]]
    more = ["..."] if len(refused) > NAMED else []
    return [f"{len(refused)} of {len(known)} structures are refused: {'; '.join([*named, *more])}"]


def room(lattice: Float[np.ndarray, "3 3"], composition: Float[np.ndarray, "119"]) -> float:
    """Return the volume of a cell over what whole formula units in it usually take up.

    Returns:
        1 as well where that is not known.
    """
    return nearest_room(cell_volume(lattice), composition, atoms_of_formula(composition))


def electrons(
    lattice: Float[np.ndarray, "3 3"],
    composition: Float[np.ndarray, "119"],
    known: Sequence[Analogue] = (),
) -> float | None:
    """Return the electrons of the whole formula units in a cell.

    Args:
        lattice: rows a, b, c in angstrom.
        composition: the fractions of all elements.
        known: crystals of that composition; the best of those in a cell of the same volume tells.

    Returns:
        None where none of them does, and the volume leaves the number of units open.
    """
    volume = cell_volume(lattice)
    same = [each.crystal for each in known if abs(each.crystal.volume / volume - 1) < SAME_VOLUME]
    if same:
        return float(same[0].numbers.sum())
    units = formula_units(lattice, composition)
    if units is None or round(units) not in range(1, MOST_UNITS + 1):
        return None
    of_atom = float(composition @ np.arange(len(composition)))
    return round(units) * atoms_of_formula(composition) * of_atom


def formula_units(
    lattice: Float[np.ndarray, "3 3"], composition: Float[np.ndarray, "119"]
) -> float | None:
    """Return for how many formula units a cell has room, by usual volumes of atoms.

    Args:
        lattice: rows a, b, c in angstrom.
        composition: the fractions of all elements.

    Returns:
        None where it is not known what the atoms take up (`cmed_jax.crystal.volumes`).
    """
    of_atom = volume_of_atom(composition)
    return of_atom and cell_volume(lattice) / of_atom / atoms_of_formula(composition)


def of_agreement(implied: Implied, known: Sequence[Analogue] = ()) -> list[str]:
    """Return whether a prediction fails to explain the pattern that it was made from.

    Args:
        implied: by the prediction.
        known: crystals that may explain it better, the best first.
    """
    if implied.cosine >= POOR:
        return []
    better = ((each.name, each.implied) for each in known if each.implied is not None)
    instead = [
        f"; {name} does (cosine {its.cosine:.2f}, Rwp {its.rwp:.2f})"
        for name, its in better
        if its.cosine >= POOR
    ]
    return [
        f"the predicted density does not explain the pattern (cosine {implied.cosine:.2f}, Rwp "
        f"{implied.rwp:.2f}), so it is wrong{''.join(instead[:1])}"
    ]


def _of_whole(prepared: Prepared) -> list[str]:
    last, used = prepared.measured.two_theta[-1], prepared.radiation.mean
    seen = _of_molybdenum(last, used)
    if seen >= WHOLE:
        return []
    return [
        f"the pattern ends at two-theta {last:.1f} degrees, which is {seen:.1f} of the 180 degrees "
        "of Mo K-alpha that the network was trained on; what lies beyond is read as empty"
    ]


def _of_range(prepared: Prepared, artefacts: Artefacts) -> list[str]:
    angle, used = prepared.measured.two_theta, prepared.radiation.mean
    first, last = s_of_two_theta(angle[[0, -1]], used)
    longest, shortest = 1 / first, 1 / last
    trained = _wavelengths(artefacts)
    low = s_of_two_theta(np.array([artefacts.start[1]]), min(trained)).item()
    high = s_of_two_theta(np.array([artefacts.stop[0]]), max(trained)).item()
    found = []
    if first > low and prepared.is_profile:
        found.append(
            f"the pattern begins at d = {longest:.3g} angstrom, and in training none began below "
            f"{1 / low:.3g}"
        )
    if last < high:
        found.append(
            f"the pattern ends at d = {shortest:.3g} angstrom, and in training none ended above "
            f"{1 / high:.3g}"
        )
    if not prepared.is_profile:
        found.append("the network was trained on profiles, and is shown a list of peaks")
    return found


def _wavelengths(artefacts: Artefacts) -> list[float]:
    """Return the mean wavelengths of the anodes, or the ends of the range."""
    anodes = [radiation(f"{anode}Ka") for anode in artefacts.anodes]
    return [float(weights @ each) for each, weights in anodes] or list(artefacts.wavelength)


def _of_widths(prepared: Prepared, artefacts: Artefacts | None) -> list[str]:
    if not prepared.is_profile:
        return []
    peaks = prepared.peaks
    middle = int(np.argsort(peaks.width)[len(peaks.width) // 2])
    width, angle = float(peaks.width[middle]), peaks.two_theta[middle]
    if artefacts is None:
        used = prepared.radiation.mean
        spread = _of_molybdenum(angle + width / 2, used) - _of_molybdenum(angle - width / 2, used)
        if spread * BINS / 180 < MERGED:
            return []
        return [f"peaks are {width:.2g} degrees wide: neighbours that sticks keep apart are merged"]
    broadest = _broadest(angle, prepared.radiation.mean, artefacts)
    if width < broadest:
        return []
    return [f"peaks are {width:.2g} degrees wide, and at most {broadest:.2g} in training"]


def _broadest(angle: float, wavelength: float, artefacts: Artefacts) -> float:
    """Return the largest FWHM, degrees, that lines at two-theta have in training."""
    at = jnp.array([angle])
    gaussian = caglioti(at, artefacts.u[1], artefacts.v[1], artefacts.w[1])
    lorentzian = scherrer(at, jnp.array([wavelength]), artefacts.size[0])
    width, _ = thompson_cox_hastings(gaussian, lorentzian + microstrain(at, artefacts.strain[1]))
    return float(width[0])


def _of_lines(prepared: Prepared, familiar: Familiar) -> list[str]:
    last = _of_molybdenum(prepared.measured.two_theta[-1], prepared.radiation.mean)
    known = familiar.most_lines[min(int(last // STEP), len(familiar.most_lines) - 1)]
    lines = int((prepared.peaks.area > SEEN * prepared.peaks.area.max()).sum())
    if lines <= known:
        return []
    return [f"the pattern holds {lines} lines, and none in training more than {known} up to there"]


def _of_molybdenum(angle: float, wavelength: float) -> float:
    """Return where Mo K-alpha shows the d of an angle, degrees; 180 beyond its reach."""
    s = s_of_two_theta(np.array([angle]), wavelength)
    return float(np.nan_to_num(two_theta(s, MO_K_ALPHA), nan=180.0)[0])


def atoms_of_formula(composition: Float[np.ndarray, "119"]) -> int:
    """Return the least number of atoms that fractions of them are whole numbers of."""
    fractions = composition[composition > 0].astype(float)
    numbers = np.arange(1, LARGEST_UNIT + 1)
    amounts = numbers[:, None] * fractions
    whole = np.abs(amounts - np.rint(amounts)).max(axis=1) < 1e-3
    return int(numbers[np.argmax(whole)]) if whole.any() else LARGEST_UNIT
