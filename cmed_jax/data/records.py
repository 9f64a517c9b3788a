"""From a material to the record of the dataset."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.canonical import CellChange, canonical_description, with_space_group
from cmed_jax.crystal.composition import composition_vector
from cmed_jax.crystal.material import Material
from cmed_jax.data.schema import encode_density
from cmed_jax.physics.density import B_FACTOR, GRID, electron_density
from cmed_jax.physics.patterns import MO_K_ALPHA, published_pattern
from cmed_jax.physics.reflections import reflections
from cmed_jax.physics.regrid import resample

S_MAX = 2 / MO_K_ALPHA
"""Largest s = 1/d of the reflections, 1/angstrom: two-theta = 180 degrees."""
MAX_VOLUME = 5000.0
"""Largest cell, angstrom^3. It has 470,000 reflections; the benchmark's largest has 3,422."""
MIN_VOLUME_PER_ATOM = 1.0
"""Smallest volume an atom, angstrom^3; that of the densest crystals is above 3."""
MIN_DISTANCE = 0.5
"""Atoms closer than this (angstrom) are the same atom given twice; a hydrogen molecule has 0.74."""


@dataclass(frozen=True)
class Recipe:
    """How a material becomes a record.

    Attributes:
        density: "iam" for independent atoms, "chgcar" for the density that the source holds.
        cell: "canonical" for the canonical primitive cell, "as_given" for the source's.
        b_factor: isotropic Debye-Waller factor of the independent atoms, angstrom^2.
        max_atoms: materials with more atoms in the cell are refused.
    """

    density: Literal["iam", "chgcar"] = "iam"
    cell: Literal["canonical", "as_given"] = "canonical"
    b_factor: float = B_FACTOR
    max_atoms: int = 200


def make_record(material: Material, recipe: Recipe = Recipe()) -> dict[str, Any]:
    """Return the record of a material, by the names of `cmed_jax.data.schema.FEATURES`.

    Raises:
        ValueError: the material cannot be used; the message is the reason.
    """
    _check_geometry(material)
    crystal, change = _describe(material, recipe)
    _check_size(crystal, recipe.max_atoms)
    lines = reflections(crystal.lattice, crystal.numbers, crystal.frac_coords, s_max=S_MAX)
    density, scale = encode_density(_density(material, crystal, change, recipe))
    return {
        "material_id": crystal.material_id,
        "formula": crystal.formula,
        "crystal_system": crystal.crystal_system,
        "space_group": crystal.space_group,
        "lattice": crystal.lattice,
        "species": crystal.numbers.astype(np.uint8),
        "frac_coords": crystal.frac_coords,
        "reflections": lines,
        "pattern": published_pattern(lines)[None],
        "composition": composition_vector(crystal.numbers),
        "density": density,
        "density_scale": scale,
        "density_kind": recipe.density,
    }


def _describe(material: Material, recipe: Recipe) -> tuple[Material, CellChange]:
    if recipe.cell == "canonical":
        return canonical_description(material)
    return with_space_group(material), CellChange(np.eye(3, dtype=int), np.zeros(3))


def _density(
    material: Material, crystal: Material, change: CellChange, recipe: Recipe
) -> Float[np.ndarray, "50 50 50"]:
    if recipe.density == "iam":
        return electron_density(
            crystal.lattice, crystal.numbers, crystal.frac_coords, b_factor=recipe.b_factor
        )
    if material.density is None:
        raise ValueError("there is no density to take over: build with density iam")
    # The canonical cell is idealised: the electrons are kept, in a volume that may differ a little.
    old_volume = material.volume / abs(np.linalg.det(change.matrix))
    return resample(material.density, GRID, *change) * (old_volume / crystal.volume)


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
