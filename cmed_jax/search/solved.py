"""The final structures of a search: symmetrised, without duplicates, and with probabilities.

A structure is often found in a subgroup of its space group, because the assignments of the subgroup
come first. The symmetry of each structure is therefore determined again. The higher symmetry is
taken where it explains the lines as well. Several descriptions of one structure count as one.
"""

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.atomic_volumes import relative_volume
from cmed_jax.crystal.canonical import SYMPREC, canonical_cell
from cmed_jax.crystal.composition import SYMBOLS, alike_elements, faint_elements
from cmed_jax.crystal.lattice import cell_parameters
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.solid_solutions import UNSHARED, Shares
from cmed_jax.crystal.structure_types import structure_type_of
from cmed_jax.search.descent import residuals, structure_factors
from cmed_jax.search.hydrogen import Placed, with_hydrogen
from cmed_jax.search.observed import Groups, ObservedLines
from cmed_jax.search.reflection_model import HYDROGEN, orbits_of, reflection_model
from cmed_jax.search.score import Scored
from cmed_jax.search.separations import atoms_of
from cmed_jax.search.settings import Setting
from cmed_jax.search.standard_cell import EXACT_SYMPREC, Site, StandardCell, standard_cell
from cmed_jax.search.wyckoff import wyckoff

if TYPE_CHECKING:
    from pymatgen.core import Structure

SEARCH = "the search"
"""The origin, and the id, of a structure that was found without a known crystal."""
CLOSEST = 1.2
"""A distance that close packing does not reach, in edges of a cube of the volume of an atom."""
Verdict = Literal["found", "likely", "not found"]
"""The verdict of the search on its first structure."""

COMPARED = 20
"""The number of structures of the search that are compared with each other, the best first."""
GIVEN = 5
"""The largest number of different structures that are returned."""
AS_WELL, AS_WELL_EXACTLY = 1.25, 0.01
"""The factor by which a higher symmetry may raise the residual, and the value to which it may."""
FOUND, LIKELY, LIKELY_ALONE = 0.12, 0.2, 0.25
"""The residuals R below which a structure is found, is likely, and is likely if no other is near.

They, and `HALF` and `WIDTH`, were chosen on 39 measured patterns of known structures. How often
they are right on others stands in docs/cells_and_structures.md.
"""
FEW_LINES, ENOUGH_LINES = 4, 8
"""The numbers of lines below which a structure is not likely, and not found.

Many structures explain a few lines.
"""
APART = 1.3
"""The least ratio of the score of the next different structure to that of a found one."""
HALF, WIDTH = 0.27, 0.045
"""The residual at which every second structure is right, and the width of the change."""
ALONE = 0.75
"""The share of its probability that a structure keeps if another one equals it.

It keeps no more if two of its elements scatter alike, or if one hardly scatters.
"""


@dataclass(frozen=True, eq=False)
class SolvedStructure:
    """A structure that explains powder lines.

    Attributes:
        material: the crystal in its canonical primitive cell, with its space group.
        residual: R = sqrt(1 - cos^2) between the roots of measured and calculated intensities; 0 is
            perfect.
        raised_residual: the residual, raised for the fitted free coordinates: R sqrt(N / (N - 2.5
            P)) for P of them and N resolved groups of lines. The verdict of the search depends on
            it.
        free_coordinates: the number of free coordinates that were fitted.
        b_factor: the overall displacement factor, angstrom^2.
        misfit: the misfit of its nearest-neighbour distances, 0 (usual) to 1 (unusual).
        score: the score that ranks structures, small ones first.
        probability: the probability that the structure is right, fitted to measured patterns of
            known structures.
        origin: where it comes from: the search, or the known crystal whose elements were replaced.
        shares: the elements that share its sites in a solid solution.
        rwp: the Rwp of the whole pattern that is calculated from it; None where there is none to
            compare with.
        lacks_hydrogen: whether the structure is without the hydrogen atoms of the formula, for
            which no places were found.
        outside: the share of the measured intensity where its cell has no line.
    """

    material: Material
    residual: float
    raised_residual: float
    free_coordinates: int
    b_factor: float
    misfit: float
    score: float
    probability: float = 0.0
    origin: str = SEARCH
    shares: Shares = field(default_factory=lambda: UNSHARED)
    rwp: float | None = None
    lacks_hydrogen: bool = False
    outside: float = 0.0

    @classmethod
    def of(
        cls, material: Material, scored: Scored, origin: str = SEARCH, shares: Shares = UNSHARED
    ) -> "SolvedStructure":
        """Return a structure with the figures of its best fit.

        Args:
            material: the crystal in its canonical primitive cell.
            scored: its best fit.
            origin: where it comes from.
            shares: the elements that share its sites in a solid solution.
        """
        return cls(
            material,
            scored.residual,
            scored.raised,
            scored.assignment.free,
            scored.b_factor,
            scored.misfit,
            scored.score,
            origin=origin,
            shares=shares,
        )

    @property
    def disagreement(self) -> float:
        """The raised residual, with the lines outside its cell counted in.

        The squared cosine with the amplitudes of all lines is smaller by the share of the intensity
        that the cell explains. The probability depends on it.
        """
        residual = min(self.raised_residual, 1.0)
        return float(np.sqrt(1 - (1 - residual**2) * (1 - self.outside)))

    @property
    def formula(self) -> str:
        """The reduced formula, with fractions in a solid solution, such as "K0.5Rb0.5Cl"."""
        from pymatgen.core import Composition

        if not self.shares:
            return self.material.formula
        written = []
        for element, amount in Composition(self.material.formula).items():
            filled = self.shares.get(element.Z, {element.Z: 1.0})
            written += [(SYMBOLS[each], share * amount) for each, share in filled.items()]
        return "".join(each if count == 1 else f"{each}{count:g}" for each, count in written)

    @property
    def space_group(self) -> int:
        """The number of the space group."""
        return self._standard.space_group

    @property
    def relative_volume(self) -> float:
        """The volume of the cell over the usual volume of its atoms."""
        material = self.material
        return relative_volume(material.volume, material.composition, len(material.numbers))

    @cached_property
    def structure(self) -> "Structure":
        """The structure of pymatgen in the standard conventional cell."""
        from pymatgen.core import Lattice, Structure

        cell = self._standard
        filled = [self.shares.get(number, {number: 1.0}) for number in cell.numbers.tolist()]
        species = [{SYMBOLS[each]: share for each, share in site.items()} for site in filled]
        return Structure(Lattice(cell.lattice), species, cell.coords)

    @cached_property
    def structure_type(self) -> str | None:
        """The name of its structure type; None where the library has none."""
        found = structure_type_of(self.material)
        return None if found is None else found.name

    @cached_property
    def shortest_distance(self) -> tuple[str, float]:
        """The elements of the nearest atoms, such as "Cl-Na", and their distance in angstrom."""
        material = self.material
        # No packing keeps all atoms farther apart than the closest one of spheres.
        reach = CLOSEST * np.cbrt(material.volume / len(material.numbers))
        first, second, _, distance = material.structure.get_neighbor_list(reach)
        nearest = distance.argmin()
        pair = sorted(SYMBOLS[material.numbers[each[nearest]]] for each in (first, second))
        return "-".join(pair), float(distance[nearest])

    def cif(self) -> str:
        """Return the structure as a CIF, in the conventional cell of its space group."""
        from pymatgen.io.cif import CifWriter

        tolerance = self._standard.tolerance
        # The cell is the standard one already; refined again, it would get another origin.
        return str(CifWriter(self.structure, symprec=tolerance, refine_struct=False))

    @property
    def cell(self) -> Float[np.ndarray, "6"]:
        """The edges in angstrom and the angles in degrees of the standard conventional cell."""
        return cell_parameters(self._standard.lattice)

    @property
    def sites(self) -> tuple[Site, ...]:
        """The orbits of atoms with their Wyckoff letters, in the standard conventional cell."""
        return self._standard.sites

    @cached_property
    def _standard(self) -> StandardCell:
        """The material in its standard conventional cell."""
        return standard_cell(self.material)


def solved_structures(
    best: Sequence[Scored],
    hydrogen: Sequence[int],
    lines: ObservedLines,
    groups: Groups,
    end: float = math.inf,
) -> Iterator[SolvedStructure]:
    """Yield structures of a search with their hydrogen atoms, in their highest symmetry.

    The best `COMPARED` are yielded, without probabilities. Several may be one structure. Once the
    time is over, all but the first one are left as the search found them, without hydrogen: they
    are still the rivals of the first one.

    Args:
        best: the structures that the search found, the best first.
        hydrogen: the number of hydrogen atoms in the primitive cell of each structure.
        lines: the measured lines.
        groups: the groups of the measured lines.
        end: when the time is over, as `time.monotonic` counts it.
    """
    for number, (each, count) in enumerate(zip(best[:COMPARED], hydrogen[:COMPARED], strict=True)):
        if number and time.monotonic() > end:
            material = _material(each, 0)
        else:
            material = _higher(_material(each, count), each, lines, groups)
        lacking = count > 0 and HYDROGEN not in material.numbers
        found = SolvedStructure.of(material, each)
        yield replace(found, lacks_hydrogen=lacking, outside=groups.outside)


def as_found(best: Sequence[Scored], groups: Groups) -> list[SolvedStructure]:
    """Return structures as a search found them, without hydrogen, in the symmetry of the search."""
    found = (SolvedStructure.of(_material(each, 0), each) for each in best)
    return [replace(each, outside=groups.outside) for each in found]


def different(
    structures: Iterable[SolvedStructure], lines: ObservedLines, most: int = GIVEN
) -> list[SolvedStructure]:
    """Return the first different ones of some structures, with their probabilities.

    The structures exclude each other. What the likeliest one leaves of the probability is shared
    among the others in proportion to how well they agree.

    Args:
        structures: the structures, the best first.
        lines: the measured lines.
        most: the largest number that is returned.
    """
    found = list(itertools.islice(_distinct(structures), most))
    judged = [_judged(each, found, lines) for each in found]
    if not judged:
        return []
    best = max(judged, key=lambda each: each.probability)
    rivals = sum(each.probability for each in judged if each is not best)
    share = min(1.0, (1 - best.probability) / max(rivals, 1e-9))
    return [
        each if each is best else replace(each, probability=share * each.probability)
        for each in judged
    ]


def verdict(structures: Sequence[SolvedStructure], lines: ObservedLines) -> Verdict:
    """Return the verdict of the search: how far the first of several structures can be trusted."""
    if not structures:
        return "not found"
    residual = structures[0].raised_residual / lines.expected_error
    alone = _lead(structures[0], structures) >= APART
    material = structures[0].material
    # The lines hardly tell whether elements that scatter alike are in each other's places, nor
    # where hydrogen is. Other elements that hardly scatter lower the probability alone.
    hidden = structures[0].lacks_hydrogen or HYDROGEN in material.numbers
    distinct = not alike_elements(material.composition) and not hidden
    if len(lines.s) < FEW_LINES:
        return "not found"
    if residual < FOUND and alone and distinct and len(lines.s) >= ENOUGH_LINES:
        return "found"
    return "likely" if residual < (LIKELY_ALONE if alone else LIKELY) else "not found"


def _judged(
    each: SolvedStructure, different: Sequence[SolvedStructure], lines: ObservedLines
) -> SolvedStructure:
    """Return a structure with its probability."""
    residual = each.disagreement / lines.expected_error
    agreement = 1 / (1 + np.exp(np.clip((residual - HALF) / WIDTH, -50, 50)))
    agreement *= min(1.0, len(lines.s) / ENOUGH_LINES)
    lead = float(np.clip((_lead(each, different) - 1) / (APART - 1), 0, 1))
    first = each is min(different, key=lambda other: other.score)
    share = ALONE + (1 - ALONE) * lead if first else 1 - ALONE
    composition = each.material.composition
    faint = bool(faint_elements(composition)) or each.lacks_hydrogen
    share *= ALONE ** (len(alike_elements(composition)) + faint)
    return replace(each, probability=float(agreement * share))


def _lead(each: SolvedStructure, different: Sequence[SolvedStructure]) -> float:
    """Return the smallest score of the other structures over the score of a structure."""
    others = (other.score for other in different if other is not each)
    return min(others, default=np.inf) / max(each.score, 1e-6)


def _distinct(structures: Iterable[SolvedStructure]) -> Iterator[SolvedStructure]:
    """Yield structures that differ from all previous ones."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher, seen = StructureMatcher(), list["Structure"]()
    for each in structures:
        if not any(matcher.fit(each.structure, other) for other in seen):
            seen.append(each.structure)
            yield each


def _material(each: Scored, hydrogen: int) -> Material:
    """Return a structure with its hydrogen atoms, or without them where they do not fit."""
    model = each.model
    atoms = atoms_of(model.group, orbits_of(each.assignment.places))
    coords = atoms.coords(each.free[None].astype(float))[0]
    placed = Placed(np.array(model.numbers)[atoms.element], coords)
    if hydrogen:
        whole = with_hydrogen(model.group, model.setting.lattice, placed, hydrogen)
        placed = placed if whole is None else whole
    return Material(SEARCH, model.setting.lattice, placed.numbers, placed.coords)


def _higher(plain: Material, each: Scored, lines: ObservedLines, groups: Groups) -> Material:
    """Return a structure in the highest symmetry that explains the lines equally well."""
    limit = max(AS_WELL * each.residual, AS_WELL_EXACTLY)
    for tolerance in (SYMPREC, SYMPREC / 3, EXACT_SYMPREC):
        try:
            material = canonical_cell(plain, tolerance)
        except ValueError:
            continue
        if _residual(material, each.b_factor, lines, groups) <= limit:
            return material
    return plain


def _residual(material: Material, b_factor: float, lines: ObservedLines, groups: Groups) -> float:
    """Return R of a structure, calculated without its symmetry."""
    setting = Setting(1, np.eye(3, dtype=int), material.lattice)
    numbers, element = np.unique(material.numbers, return_inverse=True)
    model = reflection_model(setting, numbers.tolist(), lines, groups)
    general = len(wyckoff(1).positions) - 1
    orbits = [(int(each), general) for each in element]
    free = material.frac_coords.reshape(1, -1).astype(np.float32)
    factors = structure_factors(model, orbits, free)
    squared = residuals(model, factors, np.full(1, b_factor, np.float32))[0]
    return float(np.sqrt(max(float(squared), 0.0)))
