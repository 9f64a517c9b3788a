"""Isostructural crystals: known crystals with the elements of the composition, in fitted cells.

Every known crystal of the same anonymous formula is a prototype. The elements replace those of the
prototype in every way that keeps the amounts, and the cell is fitted to the measured lines.
`cmed_jax.solution.substitution` does this for the patterns of a dataset, which are complete and
exact. Here the lines were measured over a part of the range, and each axis changes separately.

Prototypes are scaled as a whole until their lines agree best with the measured ones over ln s.
Those with one main axis are also stretched along it, and the best of those with three free axes
along all three. The cells of the best are then refined: s^2 = h G* h is linear in the free numbers
of the reciprocal metric tensor G*. The crystals are ranked by the agreement of the amplitudes of
their lines with the measured ones, and by their relative volume. The volume is needed because ions
with equally many electrons, as in KCl, look like one kind of atom. Another type of crystal then
explains their lines as well, in a volume that is too small for them.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Float, Integer

from cmed_jax.crystal.atomic_volumes import KnownVolumes, relative_volume
from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import SYMBOLS, composition_vector
from cmed_jax.crystal.freedom import free_metrics
from cmed_jax.crystal.lattice import cell_parameters
from cmed_jax.crystal.material import Material, Refusal, crystal_system
from cmed_jax.crystal.solid_solutions import UNSHARED, Shares, shared_crystal
from cmed_jax.crystal.symmetry import lattice_type_of, space_group
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import GRID, electron_density
from cmed_jax.physics.patterns import lorentz_polarization, s_of_two_theta, two_theta
from cmed_jax.physics.reflections import reflections_of, unique_reflections
from cmed_jax.powder.indexing import UNSHIFTED
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import Prepared
from cmed_jax.solution.calculated import CalculatedPattern, calculate_crystal_pattern
from cmed_jax.solution.cell_search import (
    FINE,
    CellCandidate,
    Reflections,
    agreement,
    ranking_penalty,
)
from cmed_jax.solution.profiles import REACH, Profile, fit_scales, profile_of_lines, profile_steps
from cmed_jax.solution.prototypes import (
    crystal_identity,
    distinct_prototypes,
    known_volumes,
    own_volume,
)
from cmed_jax.solution.site_assignments import site_assignments

NO_AXIS = np.zeros((1, 3))
MAIN_AXIS = np.arange(-6, 7)[:, None] / 100 * [-0.5, -0.5, 1]
ALL_AXES = np.array([(x, y, -x - y) for x in range(-3, 4) for y in range(-3, 4)]) / 75
"""The changes of ln x, ln y and ln z at constant volume that are tried."""
STRETCHED = 48
"""The largest number of crystals that are stretched along all axes."""
REFINED = 24
"""The largest number of crystals with refined cells."""
NEAR = (0.01, 0.006, 0.004)
"""The distance in ln s within which lines match, for each round of the refinement."""
WEAK = 1e-3
"""The share of the strongest line below which lines are not matched."""
STEP, WIDTH = 0.05, 2.0
"""The step of the grid of comparison, degrees, and the standard deviation of a line, steps."""
SYMPREC = 0.01
"""The tolerance of the symmetry in a CIF, angstrom; the crystals are already symmetrised."""
FARTHEST = 1.3
"""The s, 1/angstrom, up to which lines are compared; hard radiation shows more than is needed."""


class IsostructuralMatch(NamedTuple):
    """A known crystal with other elements, in a fitted cell.

    Attributes:
        crystal: the crystal in its canonical cell, with the id of the known crystal.
        prototype: the formula of the known crystal.
        merit: the cosine between the amplitudes of its lines and the measured ones, 0 to 1.
        calculated: the pattern calculated from it; None before the comparison.
        shares: the elements that share its sites in a solid solution.
        volumes: the volumes of known crystals of the composition itself.
    """

    crystal: Material
    prototype: str
    merit: float
    calculated: CalculatedPattern | None = None
    shares: Shares = UNSHARED
    volumes: KnownVolumes = KnownVolumes()

    @property
    def parameters(self) -> Float[np.ndarray, "6"]:
        """The a, b, c (angstrom), alpha, beta, gamma (degrees) of the conventional cell."""
        to_primitive = space_group(self.crystal.space_group).cell.T
        return cell_parameters(np.linalg.solve(to_primitive, self.crystal.lattice))

    @property
    def name(self) -> str:
        """The name in messages, such as "NaCl like KBr"."""
        return f"{self.crystal.formula} like {self.prototype}"

    @property
    def relative_volume(self) -> float:
        """The volume relative to the usual one; 1 where unknown."""
        composition, atoms = composition_vector(self.crystal.numbers), len(self.crystal.numbers)
        return self.volumes.relative(self.crystal.volume, composition, atoms)

    @property
    def is_known(self) -> bool:
        """Whether the known crystal is of the composition itself."""
        return self.volumes.of_type is not None

    @property
    def rwp(self) -> float:
        """The Rwp of the pattern calculated from it; infinite before the comparison."""
        return np.inf if self.calculated is None else self.calculated.rwp

    def cell(self, lines: MeasuredLines) -> CellCandidate:
        """Return its cell, scored by its lines as `find_cell` scores by those of a density."""
        lines = lines.up_to(FARTHEST)
        (calculated,) = _lines([self.crystal], _Observed.of(lines).span[1], lines.wavelength)
        reflections = Reflections(calculated[:, :1] ** 2, calculated[:, 1])
        shift = lines.shift or UNSHIFTED
        merit = agreement(np.ones((1, 1)), np.array([shift]), reflections, lines, 0.0, FINE)
        return CellCandidate(
            lattice_type_of(self.crystal.space_group),
            self.parameters,
            self.crystal.lattice,
            merit.item(),
            shift,
            self.name,
            self.relative_volume,
        )

    def density(self, shape: tuple[int, int, int] = GRID) -> Float[np.ndarray, "a b c"]:
        """Return the density of independent atoms (`cmed_jax.physics.electron_density`)."""
        return electron_density(shared_crystal(self.crystal, self.shares), shape=shape)

    def cif(self) -> str:
        """Return the structure as a CIF, in the conventional cell of its space group."""
        from pymatgen.core import Structure
        from pymatgen.io.cif import CifWriter

        lattice, numbers = self.crystal.lattice, self.crystal.numbers.tolist()
        filled = [self.shares.get(number, {number: 1.0}) for number in numbers]
        species = [{SYMBOLS[each]: share for each, share in site.items()} for site in filled]
        structure = Structure(lattice, species, self.crystal.frac_coords)
        return str(CifWriter(structure, symprec=SYMPREC))


def match_pattern(
    prepared: Prepared,
    composition: Float[np.ndarray, "119"],
    known: Iterable[Material | Refusal],
    most: int = 5,
    shares: Shares = UNSHARED,
) -> tuple[IsostructuralMatch, ...]:
    """Return the known crystals that explain a measured pattern best, compared with it.

    Args:
        prepared: the prepared pattern.
        composition: the full atom fractions.
        known: the known crystals in any cells.
        most: the largest number of crystals to return (`find_isostructural`).
        shares: the elements that share the sites of the parent in a solid solution.
    """
    found = find_isostructural(MeasuredLines.of(prepared), composition, known, most)
    return tuple(
        each._replace(
            calculated=calculate_crystal_pattern(each.crystal, prepared, shares), shares=shares
        )
        for each in found
    )


class _Observed(NamedTuple):
    """Measured lines: s (1/angstrom), |F|^2 with multiplicity, and the range of s."""

    s: Float[np.ndarray, " k"]
    squared: Float[np.ndarray, " k"]
    span: tuple[float, float]
    wavelength: float

    @classmethod
    def of(cls, lines: MeasuredLines) -> "_Observed":
        angle = (lines.shift or UNSHIFTED).correct(lines.angle)
        start, stop = s_of_two_theta(np.array([lines.start, lines.stop]), lines.wavelength)
        squared = lines.area / lorentz_polarization(angle, lines.monochromator)
        s = s_of_two_theta(angle, lines.wavelength)
        return cls(s, squared, (float(start), float(stop)), lines.wavelength)


def find_isostructural(
    lines: MeasuredLines,
    composition: Float[np.ndarray, "119"],
    known: Iterable[Material | Refusal],
    most: int = 5,
) -> list[IsostructuralMatch]:
    """Return the known crystals that explain measured lines best, the best first.

    Args:
        lines: the measured lines.
        composition: the full atom fractions.
        known: the known crystals in any cells.
        most: the largest number of crystals to return; the best one of the composition itself is
            always among them.
    """
    lines = lines.up_to(FARTHEST)
    if not len(lines.angle):
        return []
    observed, known = _Observed.of(lines), list(known)
    own = known_volumes(known, composition)
    trials = [
        IsostructuralMatch(
            _with_usual_volume(replace(prototype, numbers=numbers)),
            prototype.formula,
            0.0,
            volumes=KnownVolumes(own, own_volume(prototype, composition)),
        )
        for prototype in distinct_prototypes(known, composition)
        for numbers in site_assignments(prototype.numbers, composition)
    ]
    fixed, main, free = (
        [trial for trial in trials if _free_axes(trial.crystal) == count] for count in (1, 2, 3)
    )
    likely = _first(_fitted(free, NO_AXIS, observed), STRETCHED)
    fitted = [
        *_fitted(fixed, NO_AXIS, observed),
        *_fitted(main, MAIN_AXIS, observed),
        *_fitted(likely, ALL_AXES, observed),
    ]
    refined = [_refined(analogue, observed) for analogue in _first(_best_first(fitted), REFINED)]
    judged = _best_first(_judged(refined, observed))
    # Of crystals that became the same one, that of the composition itself is kept.
    found = _best_first(_canonical(sorted(judged, key=lambda each: not each.is_known)))
    listed, beyond = found[:most], _first(found[most:], 0)
    if beyond and not any(each.is_known for each in listed):
        listed[-1] = beyond[0]
    return listed


def _first(matches: Sequence[IsostructuralMatch], number: int) -> list[IsostructuralMatch]:
    """Return the first matches, and known crystals of the composition itself beyond them."""
    return [each for i, each in enumerate(matches) if i < number or each.is_known]


def _best_first(analogues: Iterable[IsostructuralMatch]) -> list[IsostructuralMatch]:
    return sorted(
        analogues,
        key=lambda each: (
            ranking_penalty(lattice_type_of(each.crystal.space_group), each.relative_volume)
            - each.merit
        ),
    )


def _free_axes(crystal: Material) -> int:
    """Return the number of free lengths in the cell of a crystal."""
    system = crystal_system(crystal.space_group)
    return {"cubic": 1, "tetragonal": 2, "trigonal": 2, "hexagonal": 2}.get(system, 3)


def _with_usual_volume(crystal: Material) -> Material:
    """Return a crystal in a cell of usual volume, the start of its scaling."""
    spare = relative_volume(
        crystal.volume, composition_vector(crystal.numbers), len(crystal.numbers)
    )
    return replace(crystal, lattice=crystal.lattice / np.cbrt(spare))


def _fitted(
    trials: Sequence[IsostructuralMatch], changes: Float[np.ndarray, "c 3"], observed: _Observed
) -> list[IsostructuralMatch]:
    """Return crystals in the shape and size that agree best with the lines, the best first.

    Args:
        trials: crystals in the orientation of canonical lattices: a main axis lies along z.
        changes: the trial changes of ln x, ln y and ln z, which keep the symmetry.
        observed: the measured lines.
    """
    if not trials:
        return []
    variants = [
        replace(trial.crystal, lattice=trial.crystal.lattice * factors)
        for trial in trials
        for factors in np.exp(changes)
    ]
    target = profile_of_lines(observed.s, observed.squared)
    measured = np.zeros_like(target)
    measured[slice(*profile_steps(np.array(observed.span)))] = 1
    lines = _lines(variants, observed.span[1] * np.exp(REACH), observed.wavelength)
    profiles = np.stack([profile_of_lines(*each.T) for each in lines])
    scales, agreement = fit_scales(profiles, target, measured)
    first = np.arange(0, len(variants), len(changes))
    best = first + agreement.reshape(-1, len(changes)).argmax(axis=1)
    return _best_first(
        trial._replace(
            crystal=replace(variants[i], lattice=variants[i].lattice * scales[i]),
            merit=float(agreement[i]),
        )
        for i, trial in zip(best, trials, strict=True)
    )


def _refined(analogue: IsostructuralMatch, observed: _Observed) -> IsostructuralMatch:
    """Return a crystal in the cell of its space group that fits the measured lines best."""
    crystal = analogue.crystal
    group = space_group(crystal.space_group)
    reach = observed.span[1] * np.exp(NEAR[0])
    hkl = _strong_reflections(crystal, reach, observed.wavelength).astype(float)
    free = free_metrics(group)
    forms = np.einsum("mi,pij,mj->mp", hkl, free, hkl)
    metric = np.linalg.inv(crystal.lattice @ crystal.lattice.T)
    for near in NEAR:
        squared = np.einsum("mi,ij,mj->m", hkl, metric, hkl)
        gap = np.abs(np.log(squared) / 2 - np.log(observed.s)[:, None])
        matched = gap.min(axis=1, initial=np.inf) < near
        if not matched.any():
            break
        s, form = observed.s[matched], forms[gap[matched].argmin(axis=1)]
        # The weight 1 / s^2 makes equal errors of ln s count equally.
        free_numbers, _, rank, _ = np.linalg.lstsq(form / s[:, None] ** 2, np.ones_like(s))
        found = np.tensordot(free_numbers, free, 1)
        if rank < len(free) or np.linalg.eigvalsh(found).min() <= 0:
            break
        metric = found
    to_primitive = np.linalg.inv(group.cell)
    edges = np.linalg.cholesky(to_primitive.T @ np.linalg.inv(metric) @ to_primitive)
    return analogue._replace(crystal=replace(crystal, lattice=group.cell.T @ edges))


def _strong_reflections(
    crystal: Material, s_max: float, wavelength: float
) -> Integer[np.ndarray, "m 3"]:
    """Return one of each set of equivalent reflections, without absent and weak ones."""
    (lines,) = _lines([crystal], s_max, wavelength)
    s = lines[lines[:, 1] > WEAK * lines[:, 1].max(initial=0), 0]
    orbits = unique_reflections(crystal.lattice, s_max, space_group(crystal.space_group).laue)
    return orbits.hkl[np.abs(orbits.s[:, None] - s).min(axis=1, initial=np.inf) < 1e-6]


def _judged(
    analogues: Sequence[IsostructuralMatch], observed: _Observed
) -> list[IsostructuralMatch]:
    """Return isostructural crystals with their merit."""
    target = _over_two_theta(observed.s, observed.squared, observed)
    lines = _lines([each.crystal for each in analogues], observed.span[1], observed.wavelength)
    return [
        each._replace(merit=float(_over_two_theta(s, squared, observed) @ target))
        for each, (s, squared) in zip(analogues, (columns.T for columns in lines), strict=True)
    ]


def _over_two_theta(
    s: Float[np.ndarray, " k"], squared: Float[np.ndarray, " k"], observed: _Observed
) -> Profile:
    """Return amplitudes over two-theta in the measured range, normalised to unit length."""
    first, last = two_theta(np.array(observed.span), observed.wavelength)
    inside = (s >= observed.span[0]) & (s <= observed.span[1])
    steps = np.rint((two_theta(s[inside], observed.wavelength) - first) / STEP).astype(int)
    # |F| / s, as in profiles over ln s, balances few strong lines against many weak ones.
    height = np.sqrt(squared[inside]) / s[inside]
    smooth = scipy.ndimage.gaussian_filter1d(
        np.bincount(steps, height, round((last - first) / STEP) + 2), WIDTH, mode="constant"
    )
    return smooth / max(np.linalg.norm(smooth), 1e-30)


def _canonical(analogues: Iterable[IsostructuralMatch]) -> Iterator[IsostructuralMatch]:
    """Yield crystals in the canonical cell of their elements, each crystal once."""
    seen = set()
    for each in analogues:
        with suppress(ValueError):  # atoms coincide in a cell that became too small
            crystal = canonical_cell(each.crystal)
            if (identity := crystal_identity(crystal)) not in seen:
                seen.add(identity)
                yield each._replace(crystal=crystal)


def _lines(
    crystals: Sequence[Material], s_max: float, wavelength: float
) -> list[Float[np.ndarray, "_ 2"]]:
    """Return the lines of crystals with the anomalous dispersion of their elements."""
    return reflections_of(
        [_atoms(crystal) for crystal in crystals],
        s_max=s_max,
        wavelength=wavelength,
        anomalous=True,
        laue=[space_group(crystal.space_group).laue for crystal in crystals],
    )


def _atoms(crystal: Material) -> Crystal:
    return Crystal.of(crystal.lattice, crystal.numbers, crystal.frac_coords)
