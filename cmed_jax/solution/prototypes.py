"""Prototypes: known crystals in which other elements are put on the sites."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Float, Integer, Shaped

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import Knowledge, anonymous_formula
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.data.examples import Examples
from cmed_jax.data.records import MAX_EDGES, Recipe
from cmed_jax.solution.profiles import (
    Profile,
    fit_scales,
    lines_of,
    profile_of_lines,
    profile_of_pattern,
)
from cmed_jax.solution.site_assignments import partial_site_assignments

TRIED_OF_KIND = 3
"""The largest number of prototypes tried among those that differ only in elements and size."""

ALIKE = 0.02
"""The rounding step of coordinates, and of the edges of cells of unit volume.

Values that round to the same multiple count as alike.
"""

SAME_COMPOSITION = 1e-4
"""The difference of atom fractions below which two compositions are the same."""
_CANONICAL: WeakKeyDictionary[Material, Material | None] = WeakKeyDictionary()
"""The canonical cells of the materials that are in use; many patterns have the same prototypes."""
_BIAS = 0.5 + 1 / 24
"""The offset of that rounding.

It keeps the boundaries away from multiples of 1/24, which are the coordinates of many atoms.
"""

NONE = np.zeros(0, int)
"""The rows of no prototype: the default of the prototypes that are passed over."""


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Training crystals, and the data needed to choose among them.

    Attributes:
        crystals: the crystals.
        formulas: the anonymous formula of each crystal.
        elements: the number of elements of each crystal.
        profiles: the pattern of each crystal over ln s, of unit length.
        kinds: the kind of each crystal, equal where crystals differ only in elements and size.
        recipe: the dataset's recipe for the density of a crystal.
    """

    crystals: Sequence[Material]
    formulas: Shaped[np.ndarray, " n"]
    elements: Integer[np.ndarray, " n"]
    profiles: Float[np.ndarray, "n m"]
    kinds: Sequence[Hashable]
    recipe: Recipe

    @classmethod
    def of(cls, training: Examples, crystals: Sequence[Material], recipe: Recipe) -> "Prototypes":
        """Prepare the crystals of a training split.

        Raises:
            ValueError: if the crystals are not those of the training split, row by row.
        """
        if [crystal.material_id for crystal in crystals] != training.material_id.tolist():
            raise ValueError(
                f"{len(crystals)} structures are not those of the {len(training)} training "
                "examples; load both from one split of one dataset"
            )
        profiles = [profile_of_pattern(pattern) for pattern in training.pattern]
        return cls._of(crystals, profiles, recipe)

    @classmethod
    def of_crystals(cls, crystals: Sequence[Material], recipe: Recipe) -> "Prototypes":
        """Prepare any crystals in their canonical cells, with simulated patterns.

        Raises:
            ValueError: if there are no crystals.
        """
        if not crystals:
            raise ValueError("there are no crystals to begin from; give at least one")
        profiles = [profile_of_lines(*lines.T) for lines in lines_of(crystals)]
        return cls._of(crystals, profiles, recipe)

    @classmethod
    def _of(
        cls, crystals: Sequence[Material], profiles: Sequence[Profile], recipe: Recipe
    ) -> "Prototypes":
        compositions = [crystal.composition for crystal in crystals]
        return cls(
            crystals,
            np.array([crystal.anonymous_formula for crystal in crystals]),
            np.count_nonzero(compositions, axis=1),
            np.stack(profiles),
            [crystal_kind(crystal) for crystal in crystals],
            recipe,
        )

    def substituted(
        self,
        composition: Float[np.ndarray, "119"],
        target: Profile,
        knowledge: Knowledge = Knowledge.FULL,
        without: Integer[np.ndarray, " w"] = NONE,
    ) -> Iterator[Material]:
        """Yield the prototypes with the elements of a composition, the best agreement first.

        The crystals are in their canonical cells.

        Args:
            composition: the known part of the composition.
            target: the profile of the given pattern.
            knowledge: how much of the composition is known.
            without: the rows of prototypes that are passed over.
        """
        rows = np.setdiff1d(self._rows(composition, knowledge), without)
        scales, agreements = fit_scales(self.profiles[rows], target)
        tried: Counter[Hashable] = Counter()
        for i in np.argsort(-agreements, kind="stable"):
            kind = self.kinds[rows[i]]
            if tried[kind] == TRIED_OF_KIND:
                continue
            tried[kind] += 1
            crystal = self.crystals[rows[i]]
            scaled = replace(crystal, lattice=crystal.lattice * scales[i])
            ways = partial_site_assignments(crystal.numbers, composition, knowledge)
            yield from _distinct(replace(scaled, numbers=numbers) for numbers in ways)

    def _rows(
        self, composition: Float[np.ndarray, "119"], knowledge: Knowledge
    ) -> Integer[np.ndarray, " k"]:
        """Return the rows of the prototypes that agree with the known part of a composition."""
        if knowledge == Knowledge.FULL:
            return np.flatnonzero(self.formulas == anonymous_formula(composition))
        if knowledge == Knowledge.NONE:
            return np.arange(len(self.crystals))
        number = np.count_nonzero(composition) + (knowledge == Knowledge.MISSING_ELEMENT)
        return np.flatnonzero(self.elements == number)


def canonical_crystals(materials: Iterable[Material | Refusal]) -> Iterator[Material]:
    """Yield the materials that can serve as prototypes, in their canonical cells."""
    for material in materials:
        if isinstance(material, Refusal):
            continue
        if material not in _CANONICAL:
            _CANONICAL[material] = _canonical_or_none(material)
        if (crystal := _CANONICAL[material]) is not None:
            yield crystal


def _canonical_or_none(material: Material) -> Material | None:
    """Return a material in its canonical cell; None where it cannot serve as a prototype."""
    try:
        crystal = canonical_cell(material)
    except ValueError:  # atoms coincide
        return None
    too_oblique = np.prod(np.linalg.norm(crystal.lattice, axis=1)) > MAX_EDGES
    return None if too_oblique else crystal


def distinct_prototypes(
    known: Iterable[Material | Refusal], composition: Float[np.ndarray, "119"]
) -> Iterator[Material]:
    """Yield prototypes of a formula type, which differ in more than elements and size.

    Those of the composition itself come first.
    """
    formula = anonymous_formula(composition)
    alike = [
        material
        for material in known
        if not isinstance(material, Refusal) and material.anonymous_formula == formula
    ]
    alike.sort(key=lambda each: own_volume(each, composition) is None)
    seen = set()
    for crystal in canonical_crystals(alike):
        if (kind := crystal_kind(crystal)) not in seen:
            seen.add(kind)
            yield crystal


def known_volumes(
    known: Iterable[Material | Refusal], composition: Float[np.ndarray, "119"]
) -> tuple[float, ...]:
    """Return the mean volume of an atom, angstrom^3, in each known crystal of a composition."""
    found = (own_volume(each, composition) for each in known if not isinstance(each, Refusal))
    return tuple(each for each in found if each is not None)


def own_volume(crystal: Material, composition: Float[np.ndarray, "119"]) -> float | None:
    """Return the mean volume of an atom in a crystal of the composition itself; None of others."""
    difference = np.abs(crystal.composition - composition / composition.sum())
    if difference.max() > SAME_COMPOSITION:
        return None
    return crystal.volume / len(crystal.numbers)


def _distinct(crystals: Iterable[Material]) -> Iterator[Material]:
    """Yield the canonical cells of crystals, each crystal once."""
    seen = set()
    for each in crystals:
        with suppress(ValueError):  # the cell became so small that atoms coincide
            crystal = canonical_cell(each)
            if (identity := crystal_identity(crystal)) not in seen:
                seen.add(identity)
                yield crystal


def crystal_kind(crystal: Material) -> Hashable:
    """Return a key that is equal for crystals that differ only in elements and size.

    The crystals are in their canonical cells.
    """
    _, first, place = np.unique(crystal.numbers, return_index=True, return_inverse=True)
    labels = np.argsort(np.argsort(first))[place]  # elements by their first atom
    cell = crystal.lattice / np.cbrt(crystal.volume)
    geometry = (_multiples(array).tobytes() for array in (cell, crystal.frac_coords))
    return (crystal.space_group, labels.tobytes(), *geometry)


def crystal_identity(crystal: Material) -> Hashable:
    """Return a key that is equal for crystals that differ only in size.

    The crystals are in their canonical cells.
    """
    return crystal_kind(crystal), crystal.numbers.tobytes()


def _multiples(values: Float[np.ndarray, "n 3"]) -> Integer[np.ndarray, "n 3"]:
    return np.floor(values / ALIKE + _BIAS).astype(int)


def prototypes_of(
    known: Iterable[Material | Refusal], formula: str | None, recipe: Recipe
) -> Prototypes | None:
    """Return known crystals as prototypes; None where there is none.

    Args:
        known: crystals in any cells.
        formula: the anonymous formula of the crystals to take, such as "AB2"; None takes all.
        recipe: the recipe for the density of a crystal.
    """
    usable = (material for material in known if isinstance(material, Material))
    alike = (material for material in usable if formula in (None, material.anonymous_formula))
    crystals = list(canonical_crystals(alike))
    return Prototypes.of_crystals(crystals, recipe) if crystals else None
