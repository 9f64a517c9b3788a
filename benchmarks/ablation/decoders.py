"""Decoders, which define the conditioning vector (`coefficients`) and its value at a coordinate.

`Base` sums a Fourier series. Quantities that depend on the coordinate alone are computed once for
all crystals, because `values` maps over crystals last, and they share their voxels.
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
"""The width of the perceptron of FiLM, which is evaluated for each crystal and voxel."""
BASIS = 1024
"""The number of functions that all crystals share."""
BAND = 27
"""The largest |h|^2 of the harmonics read by perceptrons: the mean of the random frequencies'."""


class LargeSteps(Base):
    """A decoder with coefficients that are sums over features, by the root of their number.

    The features are hidden ones, and `Base` takes their mean instead. A step of Adam changes the
    sums more than the mean by that root. All arms were built like this at first.
    """

    def condition(self, latent: Float[Array, "b latent"]) -> Float[Array, "b c"]:
        """Return the conditioning vector."""
        hidden = nnx.gelu(self.hidden(latent))
        return self.coefficients(hidden / jnp.sqrt(hidden.shape[1]))


class Straight(Base):
    """A decoder with coefficients that are linear in the latent, without hidden features."""

    def __init__(self, config: BaseConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        del self.hidden
        self.coefficients = weights(config.latent, 1 + 2 * len(harmonics(config.harmonics)), rngs)

    def condition(self, latent: Float[Array, "b latent"]) -> Float[Array, "b c"]:
        """Return the Fourier coefficients."""
        return self.coefficients(latent / latent.shape[1])


class Film(LargeSteps):
    """The published decoder's idea: random Fourier features, FiLM, a perceptron; not periodic.

    FiLM scales and shifts the encoded position by functions of the latent. The perceptron reads the
    result at its beginning and again in its middle. It is narrower than the published one, of which
    a step takes a minute on two cores, and has no batch statistics.
    """

    def __init__(self, config: BaseConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        (features,) = jax.eval_shape(self.features, jnp.zeros(3)).shape
        self.coefficients = nnx.Linear(config.hidden, 2 * FILM, rngs=rngs)
        self.position = Perceptron((features, 512, FILM), rngs)
        self.first = Perceptron((FILM, FILM, FILM), rngs)
        self.second = Perceptron((2 * FILM, FILM, 1), rngs)

    def features(self, coordinate: Float[Array, "3"]) -> Float[Array, " f"]:
        """Return the features of the coordinate that the perceptron reads."""
        return jnp.concatenate(cos_sin(jnp.asarray(random_frequencies()) @ (coordinate - 0.5)))

    def decode(self, conditioning: Float[Array, " c"], coordinate: Float[Array, "3"]) -> Array:
        """Return the value at a coordinate."""
        scale, bias = jnp.split(conditioning, 2)
        film = (1 + scale) * self.position(self.features(coordinate)) + bias
        return self.second(jnp.concatenate([nnx.relu(self.first(film)), film]))[0]


class PeriodicFilm(Film):
    """The same decoder with integer harmonics of about the same band, so that it is periodic."""

    def features(self, coordinate: Float[Array, "3"]) -> Float[Array, " f"]:
        """Return the features of the coordinate that the perceptron reads."""
        return waves(coordinate)


class SharedBasis(LargeSteps):
    """A perceptron of functions of the coordinate, which the latent weights."""

    def __init__(self, config: BaseConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.coefficients = weights(config.hidden, BASIS, rngs)
        self.basis = Perceptron((2 * len(harmonics(BAND)), 512, 512, BASIS), rngs)

    def decode(self, conditioning: Float[Array, " c"], coordinate: Float[Array, "3"]) -> Array:
        """Return the value at a coordinate."""
        return conditioning @ self.basis(waves(coordinate))


class Threefold(LargeSteps):
    """A decoder for cubic crystals only: a series of functions with a threefold axis along [111].

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
    """Return the layer of the coefficients of some terms, initialised like that of `Base`."""
    small = nnx.initializers.variance_scaling(1.0, "fan_out", "normal")
    return nnx.Linear(features, terms, kernel_init=small, rngs=rngs)


def waves(coordinate: Float[Array, "3"]) -> Float[Array, " f"]:
    """Return cos and sin of the harmonics of the band at a coordinate."""
    return jnp.concatenate(cos_sin(jnp.asarray(harmonics(BAND)) @ coordinate))


@lru_cache
def random_frequencies() -> Float[np.ndarray, "128 3"]:
    """Return random frequencies like the published ones: normal, of deviation 3."""
    return np.random.default_rng(0).normal(0.0, 3.0, (128, 3)).astype(np.float32)


@lru_cache
def turned(limit: int) -> Float[np.ndarray, "h 3"]:
    """Return one harmonic of each orbit under cyclic permutations and inversion, as float32."""
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    for h in harmonics(limit).astype(int):
        images = [tuple(int(x) for x in sign * np.roll(h, s)) for s in range(3) for sign in (1, -1)]
        found.setdefault(max(images), max(images))
    return np.asarray(list(found), np.float32)
