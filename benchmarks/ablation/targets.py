"""Targets, which define the learned quantity, and losses, which weight its errors.

`Base` learns log(1 + density / 10) under Huber's loss.
"""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cmed_jax.data.batches import CELLS
from cmed_jax.model.base import UNIT, Base, BaseConfig

SCALE_WEIGHT = 0.1
"""The weight of the error in the logarithm of the maximum."""
SLOPES = 0.5
"""The weight of the error in differences between neighbours."""


class Raw(Base):
    """A network that learns the density itself, in units of 10 e/angstrom^3."""

    def target(self, density: Float[Array, "b p"]) -> Float[Array, "b p"]:
        """Return density / 10."""
        return density / UNIT

    def to_density(
        self, conditioning: Float[Array, "b c"], values: Float[Array, "b p"]
    ) -> Float[Array, "b p"]:
        """Return 10 * value."""
        return UNIT * nnx.relu(values)


class Scaled(Base):
    """A network that learns density / maximum, and the maximum separately.

    The logarithm of the maximum comes first in the conditioning vector.
    """

    def __init__(self, config: BaseConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.log_maximum = nnx.Linear(config.latent, 1, rngs=rngs)

    def condition(self, latent: Float[Array, "b latent"]) -> Float[Array, "b c"]:
        """Return the logarithm of the maximum (e/angstrom^3), and the input of the decoder."""
        return jnp.concatenate([self.log_maximum(latent), super().condition(latent)], axis=1)

    def decode(self, conditioning: Float[Array, " c"], coordinate: Float[Array, "3"]) -> Array:
        """Return the value at a coordinate."""
        return super().decode(conditioning[1:], coordinate)

    def target(self, density: Float[Array, "b p"]) -> Float[Array, "b p"]:
        """Return the density relative to its maximum, unchanged."""
        return density

    def reconstruction_loss(
        self,
        conditioning: Float[Array, "b c"],
        values: Float[Array, "b p"],
        density: Float[Array, "b p"],
        maximum: Float[Array, " b"],
    ) -> Float[Array, " b"]:
        """Return the error of the relative density, and that of the maximum's logarithm."""
        scaled = density / maximum[:, None]
        shape = super().reconstruction_loss(conditioning, values, scaled, maximum)
        return shape + SCALE_WEIGHT * jnp.abs(conditioning[:, 0] - jnp.log(maximum))

    def to_density(
        self, conditioning: Float[Array, "b c"], values: Float[Array, "b p"]
    ) -> Float[Array, "b p"]:
        """Return maximum * value."""
        return jnp.exp(conditioning[:, :1]) * nnx.relu(values)


class Root(Scaled):
    """A network that learns sqrt(density / maximum), and the maximum separately."""

    def target(self, density: Float[Array, "b p"]) -> Float[Array, "b p"]:
        """Return the root of a density relative to its maximum."""
        return jnp.sqrt(nnx.relu(density))

    def to_density(
        self, conditioning: Float[Array, "b c"], values: Float[Array, "b p"]
    ) -> Float[Array, "b p"]:
        """Return maximum * value^2."""
        return super().to_density(conditioning, nnx.relu(values) ** 2)


class Sizes(Base):
    """A network trained on the mean absolute error."""

    def reconstruction_loss(
        self,
        conditioning: Float[Array, "b c"],
        values: Float[Array, "b p"],
        density: Float[Array, "b p"],
        maximum: Float[Array, " b"],
    ) -> Float[Array, " b"]:
        """Return the mean absolute error of the target."""
        return jnp.mean(jnp.abs(values - self.target(density)), axis=1)


class Squares(Base):
    """A network trained on the mean squared error."""

    def reconstruction_loss(
        self,
        conditioning: Float[Array, "b c"],
        values: Float[Array, "b p"],
        density: Float[Array, "b p"],
        maximum: Float[Array, " b"],
    ) -> Float[Array, " b"]:
        """Return the mean squared error of the target."""
        return jnp.mean((values - self.target(density)) ** 2, axis=1)


class Slopes(Base):
    """A network with a loss that adds the error in differences of neighbours to that of `Base`.

    Neighbours are voxels of adjoining boxes (`draw_voxels`), a tenth of the edge apart on average.
    """

    def reconstruction_loss(
        self,
        conditioning: Float[Array, "b c"],
        values: Float[Array, "b p"],
        density: Float[Array, "b p"],
        maximum: Float[Array, " b"],
    ) -> Float[Array, " b"]:
        """Return the loss of the target, and the mean absolute error of its differences."""
        error = (values - self.target(density)).reshape(-1, CELLS, CELLS, CELLS)
        slopes = jnp.stack([error - jnp.roll(error, 1, axis) for axis in (1, 2, 3)])
        plain = super().reconstruction_loss(conditioning, values, density, maximum)
        return plain + SLOPES * jnp.mean(jnp.abs(slopes), axis=(0, 2, 3, 4))
