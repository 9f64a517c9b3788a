"""Errors of a laboratory, drawn on the amplitudes of one crystal.

The errors follow the order in which they are made. Texture changes the strengths of reflections,
vibrations weaken those of high s, and lines nearer than the resolution share their intensity.
Counting and impurities add noise, the range cuts, and the cell is known to a tenth of a percent.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from cmed_jax.physics.amplitudes import Amplitudes
from cmed_jax.physics.cell import reciprocal_axes
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.physics.texture import march_dollase

Range = tuple[float, float]


@dataclass(frozen=True)
class AmplitudeErrors:
    """The ranges from which the errors of each measurement are drawn.

    Attributes:
        start: smallest s that is measured, 1/angstrom, drawn evenly.
        stop: largest s, 1/angstrom, drawn evenly in its logarithm; 1.25 is 150 degrees of Cu
            K-alpha.
        resolution: distance in s below which lines are one, 1/angstrom, drawn evenly in its
            logarithm.
        b_factor: isotropic B that the form factors lack, angstrom^2, drawn evenly.
        march: standard deviation of the logarithm of March's parameter.
        relative: standard deviation of an intensity's relative error.
        floor: standard deviation of the error of all intensities, in units of the strongest, drawn
            evenly in its logarithm.
        foreign: number of harmonics that an impurity strengthens.
        foreign_strength: largest intensity added to them, in units of the strongest.
        cell: standard deviation of the relative error of the edges.
    """

    start: Range = (0.0, 0.15)
    stop: Range = (0.7, 2.0)
    resolution: Range = (1e-4, 6e-3)
    b_factor: Range = (0.0, 1.0)
    march: float = 0.15
    relative: float = 0.05
    floor: Range = (1e-4, 5e-3)
    foreign: int = 2
    foreign_strength: float = 0.03
    cell: float = 1e-3


def measured_amplitudes(
    key: PRNGKeyArray,
    lattice: Float[Array, "3 3"],
    ideal: Amplitudes,
    errors: AmplitudeErrors,
) -> tuple[Float[Array, "3 3"], Amplitudes]:
    """Return a crystal's cell and amplitudes as a laboratory would measure them.

    Args:
        key: random key.
        lattice: rows a, b, c, angstrom.
        ideal: the amplitudes without errors.
        errors: the ranges of the errors.
    """
    names = ("start", "stop", "resolution", "b", "march", "axis", "relative", "floor", "cell")
    keys = dict(zip((*names, "size", "where", "strength"), jax.random.split(key, 12), strict=True))

    def even(name: str, span: Range) -> Float[Array, ""]:
        return jax.random.uniform(keys[name], minval=span[0], maxval=span[1])

    def even_logarithm(name: str, span: Range) -> Float[Array, ""]:
        return jnp.exp(even(name, (math.log(span[0]), math.log(span[1]))))

    vectors = jnp.matmul(
        jnp.asarray(harmonics(), jnp.float32), reciprocal_axes(lattice), precision="highest"
    )
    s = jnp.linalg.norm(vectors, axis=1)
    axis = jax.random.normal(keys["axis"], (3,))
    cosine = vectors @ (axis / jnp.linalg.norm(axis)) / s
    r = jnp.exp(errors.march * jax.random.normal(keys["march"]))
    intensity = jnp.square(ideal.amplitude) * march_dollase(jnp.square(cosine), r)
    intensity *= jnp.exp(-even("b", errors.b_factor) * jnp.square(s) / 2)
    intensity = _shared(s, intensity, even_logarithm("resolution", errors.resolution))

    strongest = intensity.max()
    where = jax.random.randint(keys["where"], (errors.foreign,), 0, len(s))
    strength = jax.random.uniform(keys["strength"], (errors.foreign,)) * errors.foreign_strength
    intensity = intensity.at[where].add(strength * strongest)
    intensity *= 1 + errors.relative * jax.random.normal(keys["relative"], s.shape)
    floor = even_logarithm("floor", errors.floor) * strongest
    intensity = jax.nn.relu(intensity + floor * jax.random.normal(keys["size"], s.shape))

    inside = (s >= even("start", errors.start)) & (s <= even_logarithm("stop", errors.stop))
    observed = ideal.observed * inside
    intensity *= observed
    mean = intensity.sum() / jnp.maximum(observed.sum(), 1)
    amplitude = jnp.sqrt(intensity / jnp.where(mean > 0, mean, 1.0))
    edges = 1 + errors.cell * jax.random.normal(keys["cell"], (3, 1))
    return lattice * edges, Amplitudes(amplitude, observed)


def _shared(
    s: Float[Array, " h"], intensity: Float[Array, " h"], resolution: Float[Array, ""]
) -> Float[Array, " h"]:
    """Return the mean intensity of the reflections that are one line at a resolution."""
    order = jnp.argsort(s)
    starts = jnp.diff(s[order], prepend=-jnp.inf) > resolution
    group = jnp.zeros(len(s), jnp.int32).at[order].set(jnp.cumsum(starts) - 1)
    total = jnp.zeros_like(s).at[group].add(intensity)
    members = jnp.zeros_like(s).at[group].add(1.0)
    return (total / jnp.maximum(members, 1))[group]
