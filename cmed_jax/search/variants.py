"""Variants of a structure that explains the lines nearly: distortions, and exchanged elements.

Many structures differ from one of higher symmetry by small displacements of their atoms. The search
tries the higher symmetry first, for it has fewer free coordinates, and finds the arrangement. Its
distortions belong to subgroups of the space group with the same lattice. In each of these the atoms
are displaced a little and their coordinates are fitted again. Subgroups that would let the cell
change its shape are left out, for the lines show no such change.

A first fit may take elements for each other, since they scatter nearly alike, or since the
arrangement is not exact yet. They are exchanged.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import STEPS
from cmed_jax.search.descent import USUAL_B, Fits, descend
from cmed_jax.search.description import Described, describe, search_space, with_fitted
from cmed_jax.search.observed import ObservedLines
from cmed_jax.search.order import LEAST_SHARE, LINES_PER_FREE, MOST_FREE, SearchSpace
from cmed_jax.search.reflection_model import orbits_of
from cmed_jax.search.score import Scored, scored
from cmed_jax.search.separations import atoms_of
from cmed_jax.search.solved import SolvedStructure
from cmed_jax.search.standard_cell import EXACT_SYMPREC
from cmed_jax.search.subgroups import free_metric, maximal_subgroups
from cmed_jax.search.wyckoff import Wyckoff, wyckoff

DISPLACEMENTS = (0.05, 0.15, 0.3)
"""The root mean squares of the displacements along each free coordinate, angstrom."""
STARTS = 6
"""The number of starts with displacements of each size."""
ROUNDS = ((4.0, 6), (0.0, 12))
"""The damping B (angstrom^2) and the number of steps of each round of the descents."""
SHOWN = 0.04
"""The displacement that shows which symmetry is left, angstrom."""
EXACT = 0.005
"""The tolerance of that symmetry, angstrom."""
GAIN = 0.93
"""The share of the score of a structure that a variant of it must come below to be better."""
MOST_EXCHANGES = 60
"""The largest number of pairs of orbits whose elements are exchanged."""


def distortions(
    structure: SolvedStructure, lines: ObservedLines, rng: np.random.Generator
) -> Iterator[SolvedStructure | None]:
    """Yield the best distortion in each subgroup; None where it gains too little.

    Args:
        structure: a structure that explains the lines nearly.
        lines: the measured lines.
        rng: the source of the displacements.
    """
    group = wyckoff(structure.material.space_group or 1)
    for kept in maximal_subgroups(group.number):
        if free_metric(group.rotations[kept]) == free_metric(group.rotations):
            yield _distorted(structure, group, kept, lines, rng)


def exchanges(
    structure: SolvedStructure, lines: ObservedLines, rng: np.random.Generator
) -> Iterator[SolvedStructure | None]:
    """Yield a structure with the elements of two orbits exchanged; None where atoms do not fit.

    Pairs of orbits of as many atoms are tried, up to `MOST_EXCHANGES`. What explains the lines as
    well as the structure itself shows what the lines leave open.

    Args:
        structure: a structure that explains the lines nearly.
        lines: the measured lines.
        rng: the source of the displacements.
    """
    material = structure.material
    described = describe(material)
    if described.assignment.free > MOST_FREE:
        return
    space = search_space(material, described, lines)
    for each in itertools.islice(_exchanged(described), MOST_EXCHANGES):
        best = _best(each, space, _displacements(each, material.lattice, rng))
        yield None if best is None else _solved(structure, material, each, best)


def _distorted(
    structure: SolvedStructure,
    group: Wyckoff,
    kept: Integer[np.ndarray, " k"],
    lines: ObservedLines,
    rng: np.random.Generator,
) -> SolvedStructure | None:
    """Return the best distortion of a structure in one subgroup; None where it gains too little."""
    try:
        lower = canonical_cell(_displaced(structure.material, group, kept, rng), EXACT)
    except ValueError:
        return None
    if lower.space_group == group.number or len(lower.numbers) != len(structure.material.numbers):
        return None
    described, before = describe(lower), describe(structure.material).assignment.free
    if not before < described.assignment.free <= MOST_FREE:
        return None
    starts = _displacements(described, lower.lattice, rng)
    best = _best(described, search_space(lower, described, lines), starts)
    if best is None or best.score > GAIN * structure.score:
        return None
    return _solved(structure, lower, described, best)


def _exchanged(described: Described) -> Iterator[Described]:
    """Yield descriptions in which two orbits of as many atoms have exchanged their elements."""
    positions, orbits = described.group.positions, described.orbits
    for one, other in itertools.combinations(range(len(orbits)), 2):
        first, second = orbits[one], orbits[other]
        sizes = {positions[each.place].multiplicity for each in (first, second)}
        if first.element == second.element or len(sizes) > 1:
            continue
        changed = list(orbits)
        changed[one] = first._replace(element=second.element)
        changed[other] = second._replace(element=first.element)
        yield described.with_orbits(changed)


def _displacements(
    described: Described, lattice: Float[np.ndarray, "3 3"], rng: np.random.Generator
) -> Float[np.ndarray, "k p"]:
    """Return starts without and with displacements of several sizes."""
    if not len(described.free):
        return described.free[None]
    atoms = atoms_of(described.group, orbits_of(described.assignment.places))
    moves = np.einsum("nip,ij->npj", atoms.linear[atoms.first], lattice)
    length = np.linalg.norm(moves, axis=-1).max(axis=0)  # angstrom for each free coordinate
    size = np.append(0.0, np.repeat(DISPLACEMENTS, STARTS))[:, None] / length
    return described.free + size * rng.standard_normal(size.shape)


def _solved(
    structure: SolvedStructure, crystal: Material, described: Described, best: Scored
) -> SolvedStructure | None:
    """Return a fitted variant of a structure in its canonical cell; None if it has none."""
    try:
        fitted = with_fitted(crystal, described, best.free.astype(float))
        found = SolvedStructure.of(canonical_cell(fitted, EXACT_SYMPREC), best, structure.origin)
    except ValueError:
        return None
    return replace(found, lacks_hydrogen=structure.lacks_hydrogen, outside=structure.outside)


def _best(
    described: Described, space: SearchSpace, starts: Float[np.ndarray, "k p"]
) -> Scored | None:
    """Return the best fit from some starts; None where atoms are too near, or lines too few."""
    assignment, orbits = described.assignment, orbits_of(described.assignment.places)
    if len(space.model.target) < LINES_PER_FREE * assignment.free:
        return None
    usual = np.full(len(starts), USUAL_B, np.float32)
    fits = Fits(starts.astype(np.float32), usual, usual)
    for damping, steps in ROUNDS:
        fits = descend(space.model, orbits, fits, steps, damping)
    atoms = atoms_of(space.model.group, orbits)
    fits = fits.at(space.separations.worst(atoms, fits.free) >= LEAST_SHARE)
    return scored(space.model, space.separations, assignment, fits)


def _displaced(
    material: Material, group: Wyckoff, kept: Integer[np.ndarray, " k"], rng: np.random.Generator
) -> Material:
    """Return a crystal with displacements that have the symmetry of a subgroup."""
    coords = material.frac_coords - group.origin
    drawn = rng.standard_normal(coords.shape) @ np.linalg.inv(material.lattice)
    moved = np.zeros_like(coords)
    for rotation, shift in zip(group.rotations[kept], group.translations[kept], strict=True):
        image = _nearest(coords @ rotation.T + shift / STEPS, coords)
        moved[image] += drawn @ rotation.T
    length = np.sqrt(np.mean(((moved @ material.lattice) ** 2).sum(axis=1)))
    moved *= SHOWN / max(float(length), SHOWN)
    return replace(material, frac_coords=material.frac_coords + moved)


def _nearest(
    images: Float[np.ndarray, "n 3"], coords: Float[np.ndarray, "n 3"]
) -> Integer[np.ndarray, " n"]:
    """Return the atom that each image coincides with, modulo the lattice."""
    gaps = images[:, None] - coords
    return np.abs(gaps - np.rint(gaps)).max(axis=-1).argmin(axis=1)
