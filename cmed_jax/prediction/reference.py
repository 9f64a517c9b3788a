"""Recorded predictions, which show that a released network still predicts what it did at release.

The patterns and cells are those of the records of embedded crystals. Three densities are predicted
by the network alone, because known crystals would replace its prediction. Where there is a gate, a
fourth one is predicted by the network together with crystals refined from a few named prototypes.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.crystal.lattice import cell_parameters
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.examples import example_of
from cmed_jax.data.query import Query, no_lines
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
    {"material_id": "mp-149", "composition": None},  # silicon, with no composition given
    {"material_id": "mp-34202", "composition": ["Bi", "Te"]},  # Bi2Te3, trigonal
)
MIXED: dict[str, Any] = {
    "material_id": "mp-34202",  # Bi2Te3
    "templates": ["mp-541837", "mp-1201"],
}
"""The recipe of a prediction with refined crystals; its prototypes are embedded crystals."""
VOXELS = 48
OF_MIXTURE = 8
"""The number of voxels that are recorded of the mixture."""
TOLERANCE = 1e-3
"""The largest difference between machines, as a share of the largest density."""


def record(restored: Restored) -> list[dict[str, Any]]:
    """Return the predictions: the recipe, the density at some voxels, its maximum, the electrons.

    Where there is a gate, the last prediction is a mixture, with the weights of its experts.
    """
    voxels = np.random.default_rng(0).integers(0, GRID, (VOXELS, len(GRID))).tolist()
    asked = [recipe | {"voxels": voxels} for recipe in RECIPES]
    if restored.gate is not None:
        asked.append(MIXED | {"voxels": voxels[:OF_MIXTURE]})
    return [recipe | _predicted(restored, recipe) for recipe in asked]


def largest_difference(restored: Restored, recorded: Sequence[dict[str, Any]]) -> float:
    """Return the largest difference of a network's predictions from recorded ones.

    Differences of densities are shares of the recorded maximum, and those of electrons shares of
    the recorded electrons. Differences of weights are absolute.
    """
    return max(_difference(_predicted(restored, before), before) for before in recorded)


def _predicted(restored: Restored, recipe: dict[str, Any]) -> dict[str, Any]:
    (crystal,) = _embedded(recipe["material_id"])
    record = make_record(crystal)
    if restored.gate is not None and "templates" in recipe:
        found = _mixture(restored.network, restored.gate, record, recipe["templates"])
        density, weights = found.densities[0], [each.weight for each in found.experts]
    else:
        pattern, composition = record["pattern"][0], recipe["composition"]
        cell = tuple(cell_parameters(record["lattice"]).tolist())
        density = restore_and_predict(
            restored, pattern, composition, cell=cell, analogues=0
        ).density
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
    """Return the mixture of the network and some crystals for a record with known composition."""
    recipe, everything = Recipe(), np.ones_like(record["pattern"][0])
    known = Prototypes.of_crystals(list(canonical_crystals(_embedded(*prototypes))), recipe)
    asked = record["pattern"][0], record["composition"], Knowledge.FULL, everything
    example = example_of(record)
    reflections = (np.float32(example[name]) for name in ("lattice", "amplitude", "observed"))
    query = Query(*(*(np.asarray(each)[None] for each in (*asked, *reflections)), no_lines(1)))
    own = np.asarray(network_generator(network, GRID)(query))[0]
    found = solve(known, *asked)
    return combine(gate, own, found, recipe, Knowledge.FULL, everything, [0])


@cache
def _embedded(*material_ids: str) -> list[Material]:
    """Return the embedded crystals with these ids; finding them takes a pass over all."""
    found = (each for each in open_source() if isinstance(each, Material))
    return [each for each in found if each.material_id in material_ids]
