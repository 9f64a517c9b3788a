"""Recorded predictions: by them a released network is seen to predict what it did when released.

The patterns are those that the records of embedded crystals hold. Of three the network answers
alone: known crystals would answer for it. Of a fourth, where there is a gate, it answers beside
crystals that are refined from a few others, which are named.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.query import Query
from cmed_jax.data.records import Recipe, Record, make_record
from cmed_jax.mixture.experts import Mixture, combine
from cmed_jax.mixture.gate import Gate
from cmed_jax.model.generator import network_generator
from cmed_jax.model.network import Network
from cmed_jax.physics.cell import cell_volume
from cmed_jax.physics.density import GRID
from cmed_jax.prediction.predict import restore_and_predict
from cmed_jax.prediction.restore import Restored
from cmed_jax.solution.prototypes import Prototypes, canonical_crystals
from cmed_jax.solution.solve import solve

RECIPES: tuple[dict[str, Any], ...] = (
    {"material_id": "mp-22862", "composition": "NaCl"},
    {"material_id": "mp-149", "composition": None},  # silicon, of which nothing is told
    {"material_id": "mp-34202", "composition": ["Bi", "Te"]},  # Bi2Te3, trigonal
)
MIXED: dict[str, Any] = {
    "material_id": "mp-34202",  # Bi2Te3
    "templates": ["mp-541837", "mp-1201"],
}
"""A question that refined crystals help to answer; the templates are embedded ones."""
VOXELS = 48
OF_MIXTURE = 8
"""Voxels that are kept of the mixture."""
TOLERANCE = 1e-3
"""Largest difference that machines make, as a share of the largest density."""


def record(restored: Restored) -> list[dict[str, Any]]:
    """Return the predictions: recipe, the density at some voxels, its maximum, the electrons.

    Where there is a gate a mixture is the last, with the experts' weights.
    """
    voxels = np.random.default_rng(0).integers(0, GRID, (VOXELS, len(GRID))).tolist()
    asked = [recipe | {"voxels": voxels} for recipe in RECIPES]
    if restored.gate is not None:
        asked.append(MIXED | {"voxels": voxels[:OF_MIXTURE]})
    return [recipe | _predicted(restored, recipe) for recipe in asked]


def largest_difference(restored: Restored, recorded: Sequence[dict[str, Any]]) -> float:
    """Return the largest difference of a network's predictions from recorded ones.

    Of densities as a share of the recorded maximum, of electrons as a share of theirs, of weights
    as they are.
    """
    return max(_difference(_predicted(restored, before), before) for before in recorded)


def _predicted(restored: Restored, recipe: dict[str, Any]) -> dict[str, Any]:
    (crystal,) = _embedded([recipe["material_id"]])
    record = make_record(crystal)
    if restored.gate is not None and "templates" in recipe:
        found = _mixture(restored.network, restored.gate, record, recipe["templates"])
        density, weights = found.densities[0], [each.weight for each in found.experts]
    else:
        pattern, composition = record["pattern"][0], recipe["composition"]
        density = restore_and_predict(restored, pattern, composition, analogues=0).density
        weights = [1.0]
    return {
        "weights": weights,
        "electrons": float(density.mean(dtype=float) * cell_volume(record["lattice"])),
        "maximum": float(density.max()),
        "voxels": recipe["voxels"],
        "density": density[*np.transpose(recipe["voxels"])].tolist(),
    }


def _difference(found: dict[str, Any], before: dict[str, Any]) -> float:
    change = np.abs(np.subtract(found["density"], before["density"])).max() / before["maximum"]
    weights = np.abs(np.subtract(found["weights"], before["weights"])).max()
    return max(float(change), float(weights), abs(found["electrons"] / before["electrons"] - 1))


def _mixture(network: Network, gate: Gate, record: Record, prototypes: Sequence[str]) -> Mixture:
    """Return the answer to all that is known of a record, from the network and some crystals."""
    recipe, everything = Recipe(), np.ones_like(record["pattern"][0])
    known = Prototypes.of_crystals(list(canonical_crystals(_embedded(prototypes))), recipe)
    told = record["pattern"][0], record["composition"], Knowledge.FULL, everything
    query = Query(*(np.asarray(each)[None] for each in told))
    own = np.asarray(network_generator(network, GRID)(query))[0]
    found = solve(known, *told)
    return combine(gate, own, found, recipe, Knowledge.FULL, everything, [0])


def _embedded(material_ids: Sequence[str]) -> list[Material]:
    """Return some of the embedded crystals."""
    found = (each for each in open_source() if isinstance(each, Material))
    return [each for each in found if each.material_id in material_ids]
