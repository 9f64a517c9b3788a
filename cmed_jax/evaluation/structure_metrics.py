"""Metrics of a candidate that depend on the crystal structure of the material.

Every candidate has these metrics, by name:

cosine, rwp
    agreement of the pattern calculated from the candidate in the true cell with the pattern of the
    record (`cmed_jax.evaluation.consistency`). In practice a user must first find that cell. They
    exist only for densities of independent atoms: a density of valence electrons does not
    correspond to the pattern.
nmae_at_atoms, nmae_between
    normalised mean absolute error within 0.75 angstrom of an atom, and beyond 1.2 angstrom of all
    atoms.
"""

from collections.abc import Sequence
from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from cmed_jax.crystal.material import Material
from cmed_jax.data.examples import Examples
from cmed_jax.evaluation.consistency import self_consistency
from cmed_jax.physics.cell import reciprocal_lattice


class StructureMetrics:
    """A function that returns the structure metrics of candidates for the materials of a split."""

    def __init__(
        self, examples: Examples, crystals: Sequence[Material], b_factor: float | None = None
    ):
        """Prepare the metrics for the crystals of a split.

        Args:
            examples: the split.
            crystals: the crystals of the same materials, in their order.
            b_factor: the isotropic B of the densities, angstrom^2; None where the densities are not
                those of independent atoms, so that no pattern can be calculated from them.

        Raises:
            ValueError: if the crystals are not those of the examples.
        """
        if [crystal.material_id for crystal in crystals] != examples.material_id.tolist():
            raise ValueError(
                f"{len(crystals)} structures are not those of the {len(examples)} examples; "
                "load both from one split of one dataset"
            )
        self._examples, self._crystals, self._b_factor = examples, crystals, b_factor
        self._regions = cache(self._find_regions)  # every generator is scored in the same cells

    def __call__(
        self,
        rows: Integer[np.ndarray, " b"],
        truths: Float[np.ndarray, "b na nb nc"],
        candidates: Float[Array | np.ndarray, "b k na nb nc"],
    ) -> dict[str, Float[np.ndarray, "b k"]]:
        """Return every metric of every candidate."""
        found = [
            self._metrics(row, truth, answers)
            for row, truth, answers in zip(rows.tolist(), truths, candidates, strict=True)
        ]
        return {name: np.stack([metrics[name] for metrics in found]) for name in found[0]}

    def _metrics(
        self,
        row: int,
        truth: Float[np.ndarray, "na nb nc"],
        candidates: Float[Array | np.ndarray, "k na nb nc"],
    ) -> dict[str, Float[np.ndarray, " k"]]:
        at_atoms, between = self._regions(row)
        answers = np.asarray(candidates)
        errors = {
            "nmae_at_atoms": nmae_where(at_atoms, truth, answers),
            "nmae_between": nmae_where(between, truth, answers),
        }
        if self._b_factor is None:
            return errors
        pattern, lattice = self._examples.pattern[row], self._crystals[row].lattice
        agreement = self_consistency(jnp.asarray(candidates), pattern, lattice, self._b_factor)
        return agreement._asdict() | errors

    def _find_regions(
        self, row: int
    ) -> tuple[Bool[np.ndarray, "na nb nc"], Bool[np.ndarray, "na nb nc"]]:
        crystal, shape = self._crystals[row], self._examples.density.shape[1:]
        return within(crystal, NEAR_ATOMS, shape), ~within(crystal, INTERSTITIAL, shape)


NEAR_ATOMS = 0.75
"""The largest distance from an atom of the voxels that are at it, angstrom."""

INTERSTITIAL = 1.2
"""The smallest distance from every atom of the voxels that are between atoms, angstrom."""


def within(crystal: Material, radius: float, shape: tuple[int, ...]) -> Bool[np.ndarray, "a b c"]:
    """Return which points i/n of the cell have an atom within a radius (angstrom)."""
    near = np.zeros(shape, bool)
    # Planes of lattice points are 1 / |a*| apart: the sphere reaches this far along each axis.
    reach = radius * np.linalg.norm(reciprocal_lattice(crystal.lattice), axis=1)
    for position in crystal.frac_coords:
        low = np.ceil((position - reach) * shape).astype(int)
        high = np.floor((position + reach) * shape).astype(int)
        points = [np.arange(i, j + 1) for i, j in zip(low, high, strict=True)]
        h, k, ell = np.ix_(*(i / n - x for i, n, x in zip(points, shape, position, strict=True)))
        squared = sum((h * a + k * b + ell * c) ** 2 for a, b, c in crystal.lattice.T)
        voxels = np.argwhere(squared <= radius**2) + low
        near[tuple((voxels % shape).T)] = True
    return near


def nmae_where(
    mask: Bool[np.ndarray, "a b c"],
    truth: Float[np.ndarray, "a b c"],
    predictions: Float[Array | np.ndarray, "k a b c"],
) -> Float[np.ndarray, " k"]:
    """Return mean |prediction - truth| / mean |truth| over some voxels; 0 where there are none.

    The magnitude of a truth that is zero at these voxels is taken as 1.
    """
    errors = np.abs(np.asarray(predictions)[:, mask] - truth[mask]).sum(axis=1, dtype=float)
    magnitude = np.abs(truth[mask]).sum(dtype=float)
    return errors / (magnitude if magnitude > 0 else max(mask.sum(), 1))
