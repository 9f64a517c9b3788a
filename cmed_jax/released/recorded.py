"""Recorded predictions: by them a released network is seen to predict what it did when released.

The patterns are those that the records of three embedded crystals hold, and the network answers
alone: known crystals would answer for it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.records import make_record
from cmed_jax.physics.cell import cell_volume
from cmed_jax.physics.density import GRID
from cmed_jax.prediction import Restored, restore_and_predict

RECIPES: tuple[dict[str, Any], ...] = (
    {"material_id": "mp-22862", "composition": "NaCl"},
    {"material_id": "mp-149", "composition": None},  # silicon, of which nothing is told
    {"material_id": "mp-34202", "composition": ["Bi", "Te"]},  # Bi2Te3, trigonal
)
VOXELS = 48
TOLERANCE = 1e-3
"""Largest difference that machines make, as a share of the largest density."""


def record(restored: Restored) -> list[dict[str, Any]]:
    """Return three predictions: recipe, the density at some voxels, its maximum, the electrons."""
    voxels = np.random.default_rng(0).integers(0, GRID, (VOXELS, len(GRID))).tolist()
    return [recipe | _predicted(restored, recipe | {"voxels": voxels}) for recipe in RECIPES]


def largest_difference(restored: Restored, recorded: Sequence[dict[str, Any]]) -> float:
    """Return the largest difference of a network's predictions from recorded ones.

    Of densities as a share of the recorded maximum, of electrons as a share of theirs.
    """
    return max(_difference(_predicted(restored, before), before) for before in recorded)


def _predicted(restored: Restored, recipe: dict[str, Any]) -> dict[str, Any]:
    record = make_record(_embedded(recipe["material_id"]))
    pattern, composition = record["pattern"][0], recipe["composition"]
    density = restore_and_predict(restored, pattern, composition, analogues=0).density
    return {
        "electrons": float(density.mean(dtype=float) * cell_volume(record["lattice"])),
        "maximum": float(density.max()),
        "voxels": recipe["voxels"],
        "density": density[*np.transpose(recipe["voxels"])].tolist(),
    }


def _difference(found: dict[str, Any], before: dict[str, Any]) -> float:
    change = np.abs(np.subtract(found["density"], before["density"])).max() / before["maximum"]
    return max(float(change), abs(found["electrons"] / before["electrons"] - 1))


def _embedded(material_id: str) -> Material:
    found = (each for each in open_source() if each.material_id == material_id)
    return next(each for each in found if isinstance(each, Material))
