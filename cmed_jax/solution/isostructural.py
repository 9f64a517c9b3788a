"""Isostructural crystals: known crystals with the elements of the composition, fitted to lines.

Every known crystal of the same anonymous formula is a prototype. The elements replace those of the
prototype in every way that keeps the amounts, and the cell is fitted to the measured lines
(`cmed_jax.solution.prototype_fit`), or is taken from the lattices that the lines are indexed with
(`cmed_jax.solution.indexed_prototypes`). `cmed_jax.solution.substitution` does this for the
patterns of a dataset, which are complete and exact. Here the lines were measured over a part of the
range, and each axis changes separately.

The best crystals get coordinates that are fitted to the intensities, since those of the prototype
are only nearly right. They are ranked by the agreement of the amplitudes of their lines with the
measured ones, by their relative volume, and by the distances of their atoms. The volume is needed
because ions with equally many electrons, as in KCl, look like one kind of atom. Another type of
crystal then explains their lines as well, in a volume that is too small for them.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.atomic_volumes import KnownVolumes, relative_volume
from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.lattice import cell_parameters
from cmed_jax.crystal.material import Material, Refusal, crystal_system
from cmed_jax.crystal.solid_solutions import UNSHARED, Shares, shared_crystal
from cmed_jax.crystal.symmetry import lattice_type_of, space_group
from cmed_jax.physics.density import GRID, electron_density
from cmed_jax.powder.indexing import UNSHIFTED
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import Prepared
from cmed_jax.search.known import distance_misfit, fitted_coordinates
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.standard_cell import EXACT_SYMPREC
from cmed_jax.solution.calculated import CalculatedPattern, calculate_crystal_pattern
from cmed_jax.solution.cell_ranking import CellCandidate, agreement, ranking_penalty
from cmed_jax.solution.indexed_prototypes import Bases, in_lattices
from cmed_jax.solution.prototype_fit import (
    Observed,
    fitted,
    lines_of_crystals,
    merits,
    refined_cell,
)
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
IN_LATTICES = 240
"""The largest number of crystals that are compared in indexed lattices, the least strained ones."""
WELL = 0.95
"""The merit of a crystal in an indexed lattice above which no other crystals are stretched."""
REFINED = 24
"""The largest number of crystals with refined cells."""
MISFIT = 0.03
"""The merit that unusual distances between all nearest neighbours outweigh."""
FITTED = 12
"""The largest number of crystals with fitted coordinates."""
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
        misfit: how unusual the nearest neighbours of its atoms are, 0 to 1; 0 before the fit of the
            coordinates.
        fitted: whether its coordinates were fitted, and are not those of the known crystal.
    """

    crystal: Material
    prototype: str
    merit: float
    calculated: CalculatedPattern | None = None
    shares: Shares = UNSHARED
    volumes: KnownVolumes = KnownVolumes()
    misfit: float = 0.0
    fitted: bool = False

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
        crystal = self.crystal
        return self.volumes.relative(crystal.volume, crystal.composition, len(crystal.numbers))

    @property
    def is_known(self) -> bool:
        """Whether the known crystal is of the composition itself."""
        return self.volumes.of_type is not None

    @property
    def rwp(self) -> float:
        """The Rwp of the pattern calculated from it; infinite before the comparison."""
        return np.inf if self.calculated is None else self.calculated.rwp

    def cell(self, lines: MeasuredLines) -> CellCandidate:
        """Return its cell, scored by the agreement of its lines with the measured ones."""
        lines = lines.up_to(FARTHEST)
        (calculated,) = lines_of_crystals(
            [self.crystal], Observed.of(lines).span[1], lines.wavelength
        )
        return CellCandidate(
            lattice_type_of(self.crystal.space_group),
            self.parameters,
            self.crystal.lattice,
            agreement(calculated, lines),
            lines.shift or UNSHIFTED,
            self.name,
            self.relative_volume,
        )

    def density(self, shape: tuple[int, int, int] = GRID) -> Float[np.ndarray, "a b c"]:
        """Return the density of independent atoms (`cmed_jax.physics.electron_density`)."""
        return electron_density(shared_crystal(self.crystal, self.shares), shape=shape)


def match_pattern(
    prepared: Prepared,
    composition: Float[np.ndarray, "119"],
    known: Iterable[Material | Refusal],
    most: int = 5,
    shares: Shares = UNSHARED,
    lattices: Sequence[Float[np.ndarray, "3 3"]] = (),
) -> tuple[IsostructuralMatch, ...]:
    """Return the known crystals that explain a measured pattern best, compared with it.

    Args:
        prepared: the prepared pattern.
        composition: the full atom fractions.
        known: the known crystals in any cells.
        most: the largest number of crystals to return (`find_isostructural`).
        shares: the elements that share the sites of the parent in a solid solution.
        lattices: the primitive cells that the lines are indexed with, rows in angstrom.
    """
    found = find_isostructural(MeasuredLines.of(prepared), composition, known, most, lattices)
    return tuple(
        each._replace(
            calculated=calculate_crystal_pattern(each.crystal, prepared, shares), shares=shares
        )
        for each in found
    )


def find_isostructural(
    lines: MeasuredLines,
    composition: Float[np.ndarray, "119"],
    known: Iterable[Material | Refusal],
    most: int = 5,
    lattices: Sequence[Float[np.ndarray, "3 3"]] = (),
) -> list[IsostructuralMatch]:
    """Return the known crystals that explain measured lines best, the best first.

    The cell of a known crystal is an indexed lattice, or its own one, scaled and stretched. Where a
    crystal in an indexed lattice explains the lines well, others are not stretched.

    Args:
        lines: the measured lines.
        composition: the full atom fractions.
        known: the known crystals in any cells.
        most: the largest number of crystals to return; the best one of the composition itself is
            among them if there is room for a second one.
        lattices: the primitive cells that the lines are indexed with, rows in angstrom.
    """
    lines = lines.up_to(FARTHEST)
    if not len(lines.angle):
        return []
    observed, known = Observed.of(lines), list(known)
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
    seen = ObservedLines.of_measured(lines)
    judged = _refined(_in_lattices(trials, lattices, observed), seen, observed)
    if judged and judged[0].merit > WELL:
        trials = [trial for trial in trials if trial.is_known]
    judged += _refined(_stretched(trials, observed), seen, observed)
    # Of crystals that became the same one, that of the composition itself is kept.
    found = _best_first(_canonical(sorted(judged, key=lambda each: not each.is_known)))
    listed, beyond = found[:most], _first(found[most:], 0)
    if beyond and not any(each.is_known for each in listed):
        listed = [*found[: max(most - 1, 1)], beyond[0]]
    return listed


def _first(matches: Sequence[IsostructuralMatch], number: int) -> list[IsostructuralMatch]:
    """Return the first matches, and known crystals of the composition itself beyond them."""
    return [each for i, each in enumerate(matches) if i < number or each.is_known]


def _in_lattices(
    trials: Sequence[IsostructuralMatch],
    lattices: Sequence[Float[np.ndarray, "3 3"]],
    observed: Observed,
) -> list[IsostructuralMatch]:
    """Return the least strained crystals in indexed lattices, the best first."""
    bases = [Bases.of(lattice) for lattice in lattices]
    found = [
        (each.strain, trial._replace(crystal=each.crystal))
        for trial in trials
        for each in in_lattices(trial.crystal, bases)
    ]
    found.sort(key=lambda each: each[0])
    return _judged([trial for _, trial in found[:IN_LATTICES]], observed)


def _stretched(
    trials: Sequence[IsostructuralMatch], observed: Observed
) -> list[IsostructuralMatch]:
    """Return crystals that were scaled to the lines and stretched along their axes, best first."""
    fixed, main, free = (
        [trial for trial in trials if _free_axes(trial.crystal) == count] for count in (1, 2, 3)
    )
    likely = _first(_scaled(free, NO_AXIS, observed), STRETCHED)
    scaled = [
        *_scaled(fixed, NO_AXIS, observed),
        *_scaled(main, MAIN_AXIS, observed),
        *_scaled(likely, ALL_AXES, observed),
    ]
    return _best_first(scaled)


def _best_first(analogues: Iterable[IsostructuralMatch]) -> list[IsostructuralMatch]:
    return sorted(
        analogues,
        key=lambda each: (
            ranking_penalty(lattice_type_of(each.crystal.space_group), each.relative_volume)
            + MISFIT * each.misfit
            - each.merit
        ),
    )


def _free_axes(crystal: Material) -> int:
    """Return the number of free lengths in the cell of a crystal."""
    system = crystal_system(crystal.space_group)
    return {"cubic": 1, "tetragonal": 2, "trigonal": 2, "hexagonal": 2}.get(system, 3)


def _with_usual_volume(crystal: Material) -> Material:
    """Return a crystal in a cell of usual volume, the start of its scaling."""
    spare = relative_volume(crystal.volume, crystal.composition, len(crystal.numbers))
    return replace(crystal, lattice=crystal.lattice / np.cbrt(spare))


def _scaled(
    trials: Sequence[IsostructuralMatch], changes: Float[np.ndarray, "c 3"], observed: Observed
) -> list[IsostructuralMatch]:
    """Return crystals in the shape and size that agree best with the lines, the best first."""
    found = fitted([trial.crystal for trial in trials], changes, observed)
    return _best_first(
        trial._replace(crystal=each.crystal, merit=each.merit)
        for trial, each in zip(trials, found, strict=True)
    )


def _judged(matches: Sequence[IsostructuralMatch], observed: Observed) -> list[IsostructuralMatch]:
    """Return crystals with their merit, the best first."""
    found = merits([each.crystal for each in matches], observed)
    return _best_first(
        each._replace(merit=merit) for each, merit in zip(matches, found, strict=True)
    )


def _refined(
    likely: Sequence[IsostructuralMatch], seen: ObservedLines, observed: Observed
) -> list[IsostructuralMatch]:
    """Return the first crystals with refined cells and fitted coordinates, the best first."""
    refined = [
        each._replace(crystal=refined_cell(each.crystal, observed))
        for each in _first(likely, REFINED)
    ]
    judged = list(_once(_judged(refined, observed)))
    return _with_coordinates(_first(judged, FITTED), seen, observed)


def _once(matches: Iterable[IsostructuralMatch]) -> Iterator[IsostructuralMatch]:
    """Yield the first of those that became the same crystal, beside the known ones.

    In a cubic lattice, many tetragonal prototypes become one cubic crystal.
    """
    seen = set()
    for each in matches:
        with suppress(ValueError):  # atoms coincide in a cell that became too small
            identity = each.is_known, crystal_identity(canonical_cell(each.crystal))
            if identity not in seen:
                seen.add(identity)
                yield each


def _with_coordinates(
    matches: Sequence[IsostructuralMatch], seen: ObservedLines, observed: Observed
) -> list[IsostructuralMatch]:
    """Return crystals with coordinates fitted where that gains much, the best first."""
    found = []
    for each in matches:
        with suppress(ValueError):  # no line is where the cell allows one
            crystal = fitted_coordinates(each.crystal, seen)
            each = each._replace(crystal=crystal, fitted=crystal is not each.crystal)
        found.append(each._replace(misfit=distance_misfit(each.crystal)))
    return _judged(found, observed)


def _canonical(analogues: Iterable[IsostructuralMatch]) -> Iterator[IsostructuralMatch]:
    """Yield crystals in the canonical cell of their elements, each crystal once.

    Two crystals are one where they are alike within the tolerance of known crystals. The crystals
    themselves were refined, so that small splittings of their cells are kept.
    """
    seen = set()
    for each in analogues:
        with suppress(ValueError):  # atoms coincide in a cell that became too small
            if (identity := crystal_identity(canonical_cell(each.crystal))) not in seen:
                seen.add(identity)
                yield each._replace(crystal=canonical_cell(each.crystal, EXACT_SYMPREC))
