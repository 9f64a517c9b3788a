"""Decoders: what the conditioning vector holds (`coefficients`), and what it means at a coordinate.

`Base` sums a Fourier series. What a decoder computes from the coordinate alone is computed once for
all crystals, because `values` maps it over crystals last, and they share their voxels.
"""

from functools import lru_cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from cmed_jax.model.base import Base, BaseConfig, harmonics
from cmed_jax.physics.scattering import cos_sin

FILM = 64
"""Width of the perceptron of FiLM, whose cost is per crystal and voxel."""
BASIS = 1024
"""Functions that all crystals share."""
BAND = 27
"""Largest |h|^2 of the harmonics that perceptrons read: the mean of the random frequencies'."""


class LargeSteps(Base):
    """Coefficients are sums over hidden features by the root of their number, instead of means.

    A step of Adam changes them by so much more. All arms were so at first.
    """

    def condition(self, latent: Float[Array, "b latent"]) -> Float[Array, "b c"]:
        """Return the conditioning vector."""
        hidden = nnx.gelu(self.hidden(latent))
        return self.coefficients(hidden / jnp.sqrt(hidden.shape[1]))


class Straight(Base):
    """Coefficients are linear in the latent: no hidden features lie between."""

    def __init__(self, config: BaseConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        del self.hidden
        self.coefficients = weights(config.latent, 1 + 2 * len(harmonics(config.harmonics)), rngs)

    def condition(self, latent: Float[Array, "b latent"]) -> Float[Array, "b c"]:
        """Return the Fourier coefficients."""
        return self.coefficients(latent / latent.shape[1])


class Film(LargeSteps):
    """The published decoder's idea: random Fourier features, FiLM, a perceptron; not periodic.

    FiLM scales and shifts the encoded position by what the latent gives, and the perceptron reads
    the result at its beginning and again in its middle. Narrower than the published one, of which
    a step takes a minute on two cores, and without batch statistics.
    """

    def __init__(self, config: BaseConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        (features,) = jax.eval_shape(self.features, jnp.zeros(3)).shape
        self.coefficients = nnx.Linear(config.hidden, 2 * FILM, rngs=rngs)
        self.position = Perceptron((features, 512, FILM), rngs)
        self.first = Perceptron((FILM, FILM, FILM), rngs)
        self.second = Perceptron((2 * FILM, FILM, 1), rngs)

    def features(self, coordinate: Float[Array, "3"]) -> Float[Array, " f"]:
        """Return the coordinate as the perceptron is told it."""
        return jnp.concatenate(cos_sin(jnp.asarray(random_frequencies()) @ (coordinate - 0.5)))

    def decode(self, conditioning: Float[Array, " c"], coordinate: Float[Array, "3"]) -> Array:
        """Return the value at a coordinate."""
        scale, bias = jnp.split(conditioning, 2)
        film = (1 + scale) * self.position(self.features(coordinate)) + bias
        return self.second(jnp.concatenate([nnx.relu(self.first(film)), film]))[0]


class PeriodicFilm(Film):
    """The same from integer harmonics of about the same band, so that it is periodic."""

    def features(self, coordinate: Float[Array, "3"]) -> Float[Array, " f"]:
        """Return the coordinate as the perceptron is told it."""
        return waves(coordinate)


class SharedBasis(LargeSteps):
    """A perceptron gives functions of the coordinate for all crystals; the latent weighs them."""

    def __init__(self, config: BaseConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.coefficients = weights(config.hidden, BASIS, rngs)
        self.basis = Perceptron((2 * len(harmonics(BAND)), 512, 512, BASIS), rngs)

    def decode(self, conditioning: Float[Array, " c"], coordinate: Float[Array, "3"]) -> Array:
        """Return the value at a coordinate."""
        return conditioning @ self.basis(waves(coordinate))


class Threefold(LargeSteps):
    """Of cubic crystals only: the series of functions with a threefold axis along [111].

    In the standard primitive cell of a cubic crystal the density at x, y, z is that at y, z, x.
    """

    def __init__(self, config: BaseConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.coefficients = weights(config.hidden, 1 + 2 * len(turned(config.harmonics)), rngs)

    def decode(self, conditioning: Float[Array, " c"], coordinate: Float[Array, "3"]) -> Array:
        """Return the value at a coordinate."""
        images = jnp.stack([jnp.roll(coordinate, shift) for shift in range(3)])
        cosine, sine = cos_sin(images @ jnp.asarray(turned(self.config.harmonics)).T)
        terms = jnp.concatenate([jnp.ones(1), jnp.sum(cosine, axis=0), jnp.sum(sine, axis=0)])
        return conditioning @ terms


class Perceptron(nnx.Module):
    """Linear layers with a ReLU between them."""

    def __init__(self, widths: tuple[int, ...], rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(*pair, rngs=rngs) for pair in pairwise(widths)])

    def __call__(self, x: Float[Array, " a"]) -> Float[Array, " b"]:
        """Return the last layer's output."""
        for layer in self.layers[:-1]:
            x = nnx.relu(layer(x))
        return self.layers[-1](x)


def weights(features: int, terms: int, rngs: nnx.Rngs) -> nnx.Linear:
    """Return the layer that gives the coefficients of some terms, begun as that of `Base`."""
    small = nnx.initializers.variance_scaling(1.0, "fan_out", "normal")
    return nnx.Linear(features, terms, kernel_init=small, rngs=rngs)


def waves(coordinate: Float[Array, "3"]) -> Float[Array, " f"]:
    """Return cos and sin of the harmonics of the band at a coordinate."""
    return jnp.concatenate(cos_sin(jnp.asarray(harmonics(BAND)) @ coordinate))


@lru_cache
def random_frequencies() -> Float[np.ndarray, "128 3"]:
    """Return the published kind of frequencies: normal, of deviation 3."""
    return np.random.default_rng(0).normal(0.0, 3.0, (128, 3)).astype(np.float32)


@lru_cache
def turned(limit: int) -> Float[np.ndarray, "h 3"]:
    """Return one harmonic of all that cyclic permutations and inversion make of it, as float32."""
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    for h in harmonics(limit).astype(int):
        images = [tuple(int(x) for x in sign * np.roll(h, s)) for s in range(3) for sign in (1, -1)]
        found.setdefault(max(images), max(images))
    return np.asarray(list(found), np.float32)
