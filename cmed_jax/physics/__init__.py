"""Powder diffraction and electron density of crystals: batched, jitted, differentiable.

The public names below suffice for most uses; the modules hold their building blocks.
"""

from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import density_at, electron_density, structure_factors
from cmed_jax.physics.grids import Grid
from cmed_jax.physics.instrument import Instrument, Lines, Sample, radiation
from cmed_jax.physics.reflections import half_sphere, reflections, reflections_of
from cmed_jax.physics.regrid import resample
from cmed_jax.physics.rendering import render
from cmed_jax.physics.simulation import powder_pattern, simulate_pattern

__all__ = [
    "Crystal",
    "Grid",
    "Instrument",
    "Lines",
    "Sample",
    "density_at",
    "electron_density",
    "half_sphere",
    "powder_pattern",
    "radiation",
    "reflections",
    "reflections_of",
    "render",
    "resample",
    "simulate_pattern",
    "structure_factors",
]
