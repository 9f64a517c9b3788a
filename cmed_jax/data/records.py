"""Conversion of materials to records of the dataset."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.canonical import CellChange, canonical_description, with_space_group
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.symmetry import space_group
from cmed_jax.data.encoding import encode_density
from cmed_jax.physics.amplitudes import amplitudes_of_lines
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import B_FACTOR, GRID, electron_density, truncation
from cmed_jax.physics.log_series import series_of
from cmed_jax.physics.patterns import MO_K_ALPHA, published_pattern
from cmed_jax.physics.reflections import FRIEDEL, reflections_of
from cmed_jax.physics.regrid import resample

Record = dict[str, Any]
"""The stored features of a material, by the names of `cmed_jax.data.schema.FEATURES`."""

Made = TypeVar("Made")

S_MAX = 2 / MO_K_ALPHA
"""The largest s = 1/d of the reflections, 1/angstrom, at two-theta = 180 degrees."""
MAX_VOLUME = 5000.0
"""The largest volume of a cell, angstrom^3, with 470,000 reflections.

The largest cell of the benchmark has 3,422.
"""
MAX_EDGES = 50_000.0
"""The largest product of the edges of a cell, angstrom^3; it bounds the indices h, k, l tried."""
MIN_VOLUME_PER_ATOM = 1.0
"""The smallest volume per atom, angstrom^3; in the densest crystals it is above 3."""
MIN_DISTANCE = 0.5
"""The smallest distance of two atoms, angstrom; a hydrogen molecule has 0.74.

Closer atoms are one atom that is listed twice.
"""

COARSE = 0.01
"""The share of a structure factor beyond the grid's modes above which a density ripples visibly."""


@dataclass(frozen=True)
class Recipe:
    """The options for making a record of a material.

    Attributes:
        density: "iam" for independent atoms, "chgcar" for the density from the source.
        cell: "canonical" for the canonical primitive cell, "as_given" for that of the source.
        b_factor: isotropic Debye-Waller factor of the independent atoms, angstrom^2.
        max_atoms: largest number of atoms in the cell; larger materials are refused.
    """

    density: Literal["iam", "chgcar"] = "iam"
    cell: Literal["canonical", "as_given"] = "canonical"
    b_factor: float = B_FACTOR
    max_atoms: int = 200

    @classmethod
    def of(cls, identity: Mapping[str, Any]) -> "Recipe":
        """Return the recipe in the identity of a dataset."""
        return cls(**{field.name: identity[field.name] for field in fields(cls)})


def density_of(
    crystal: Material, recipe: Recipe = Recipe(), shape: tuple[int, int, int] = GRID
) -> Float[np.ndarray, "na nb nc"]:
    """Return the density of a crystal in the cell of its record, e/angstrom^3.

    Args:
        crystal: crystal in any cell.
        recipe: options for making a record.
        shape: number of points along a, b, c; a density from the source has the grid of records.

    Raises:
        ValueError: the crystal cannot be used; the message is the reason.
    """
    described, atoms = _describe(crystal, recipe)
    return _density(described, atoms, recipe, shape)


def make_record(material: Material, recipe: Recipe = Recipe()) -> Record:
    """Return the record of a material.

    Raises:
        ValueError: the material cannot be used; the message is the reason.
    """
    (record,) = make_records([material], recipe)
    if isinstance(record, Refusal):
        raise ValueError(record.reason)
    return record


def make_records(
    materials: Iterable[Material | Refusal], recipe: Recipe = Recipe()
) -> list[Record | Refusal]:
    """Return the record of each material, or a refusal with the reason.

    The physics of all materials is computed at once, in a fraction of the time of single
    computations.

    Args:
        materials: materials from a source; those refused already stay refused.
        recipe: options for making a record.
    """
    described = [_refusing(_describe, material, recipe) for material in materials]
    usable = [pair for pair in described if not isinstance(pair, Refusal)]
    crystals = [crystal for _, crystal in usable]
    laue = [_laue(material, recipe) for material, _ in usable]
    lines = reflections_of(crystals, s_max=S_MAX, table="pymatgen", laue=laue, threads=1)
    records = (
        _refusing(_record, material, crystal, each, recipe)
        for (material, crystal), each in zip(usable, lines, strict=True)
    )
    return [pair if isinstance(pair, Refusal) else next(records) for pair in described]


def is_coarse(record: Record, recipe: Recipe) -> bool:
    """Return whether the grid leaves out more of an independent-atom density than `COARSE`.

    In such long cells the density ripples about zero between the atoms, and its maxima are too low.
    """
    if recipe.density != "iam":
        return False
    species = record["species"].astype(int)
    return truncation(record["lattice"], species, GRID, recipe.b_factor) > COARSE


def _refusing(
    make: Callable[..., Made], material: Material | Refusal, *arguments: Any
) -> Made | Refusal:
    """Return the result of `make` for a material, or a refusal with the reason."""
    if isinstance(material, Refusal):
        return material
    try:
        return make(material, *arguments)
    except ValueError as error:
        return Refusal(material.material_id, str(error))


def _describe(material: Material, recipe: Recipe) -> tuple[Material, Crystal]:
    """Return the material in the cell of its record, with the source's density if required.

    Raises:
        ValueError: the material cannot be used; the message is the reason.
    """
    _check_geometry(material)
    described, change = (
        canonical_description(material)
        if recipe.cell == "canonical"
        else (with_space_group(material), CellChange(np.eye(3, dtype=int), np.zeros(3)))
    )
    _check_size(described, recipe.max_atoms)
    crystal = Crystal.of(described.lattice, described.numbers, described.frac_coords)
    if recipe.density == "chgcar":
        described = replace(described, density=_carried_density(material, described, change))
    return described, crystal


def _laue(material: Material, recipe: Recipe) -> Integer[np.ndarray, "p 3 3"]:
    """Return the Laue class of a described material; it is exact only in the canonical cell."""
    return space_group(material.space_group).laue if recipe.cell == "canonical" else FRIEDEL


def _carried_density(
    material: Material, described: Material, change: CellChange
) -> Float[np.ndarray, "50 50 50"]:
    if material.density is None:
        raise ValueError("there is no density to take over: build with density iam")
    # The canonical cell is idealised: the volume may differ slightly, but the electrons are kept.
    old_volume = material.volume / abs(np.linalg.det(change.matrix))
    return resample(material.density, GRID, *change) * (old_volume / described.volume)


def _density(
    material: Material, atoms: Crystal, recipe: Recipe, shape: tuple[int, int, int] = GRID
) -> Float[np.ndarray, "na nb nc"]:
    """Return the density of a described material, e/angstrom^3."""
    if recipe.density == "iam":
        return electron_density(atoms, shape=shape, b_factor=recipe.b_factor)
    assert material.density is not None  # _describe has refused the material otherwise
    return material.density


def _record(
    material: Material, atoms: Crystal, lines: Float[np.ndarray, "m 2"], recipe: Recipe
) -> Record:
    density = _density(material, atoms, recipe)
    stored, scale = encode_density(density)
    read = amplitudes_of_lines(material.lattice, *lines.T, span=(0.0, S_MAX))
    return {
        "material_id": material.material_id,
        "formula": material.formula,
        "crystal_system": material.crystal_system,
        "space_group": material.space_group,
        "lattice": material.lattice,
        "species": material.numbers.astype(np.uint8),
        "frac_coords": material.frac_coords,
        "reflections": lines,
        "pattern": published_pattern(lines)[None],
        "amplitude": read.amplitude.astype(np.float16),
        "composition": material.composition,
        "density": stored,
        "series": series_of(density).astype(np.float16),
        "density_scale": scale,
        "density_kind": recipe.density,
    }


def _check_geometry(material: Material) -> None:
    if not (np.isfinite(material.lattice).all() and np.isfinite(material.frac_coords).all()):
        raise ValueError("the structure holds numbers that are not finite")
    atoms = len(material.numbers)
    if material.volume < MIN_VOLUME_PER_ATOM * atoms:
        raise ValueError(f"a cell of {material.volume:.3g} angstrom^3 cannot hold {atoms} atoms")
    gaps = material.frac_coords[:, None] - material.frac_coords
    distances = np.linalg.norm((gaps - np.rint(gaps)) @ material.lattice, axis=-1)
    if (nearest := distances[np.triu_indices(atoms, 1)].min(initial=np.inf)) < MIN_DISTANCE:
        raise ValueError(f"two atoms are {nearest:.3g} angstrom apart")


def _check_size(crystal: Material, max_atoms: int) -> None:
    if len(crystal.numbers) > max_atoms:
        raise ValueError(f"{len(crystal.numbers)} atoms in the cell are more than {max_atoms}")
    if crystal.volume > MAX_VOLUME:
        raise ValueError(
            f"a cell of {crystal.volume:.0f} angstrom^3 has too many reflections: "
            f"the limit is {MAX_VOLUME:.0f}"
        )
    if (edges := np.prod(np.linalg.norm(crystal.lattice, axis=1))) > MAX_EDGES:
        raise ValueError(
            f"the cell is too oblique: the product of its edges is {edges:.0f} angstrom^3, the "
            f"limit {MAX_EDGES:.0f}; its canonical cell is not"
        )
