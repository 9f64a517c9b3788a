"""Small networks that need no training: one that reads reflections, and one that reads patterns."""

import jax
import jax.numpy as jnp
from flax import nnx

from cmed_jax.model import published
from cmed_jax.model.base import BaseConfig
from cmed_jax.model.network import Latent, Network
from cmed_jax.physics.log_series import basis

TINY = BaseConfig(width=16, blocks=1, hidden=16, harmonics=3, recalled=2)
"""Its series has 27 terms: 26 integer vectors in pairs up to |h|^2 = 3, and the mean."""

FEATURES = 16
TERMS = 27
LATENT = FEATURES + TERMS + 1


def random_network(config=TINY):
    """Build a network with random numbers in the layers that are zero before the first step."""
    network = config.build(nnx.Rngs(0))
    for number, layer in enumerate((network.coefficients, network.trust, network.unobserved)):
        shape = layer.kernel.shape
        layer.kernel[...] = 0.3 * jax.random.normal(jax.random.key(number), shape)
    return network


class PatternReader(Network):
    """A network of a few weights in place of the published one, which takes long to compile."""

    def __init__(self, rngs):
        self.pattern = nnx.Linear(1024, 8, rngs=rngs)
        self.composition = nnx.Linear(119, 8, rngs=rngs)
        self.out = nnx.Linear(8, 7, rngs=rngs)

    def encode(self, query, recalled):
        mean = self.pattern(query.pattern) + self.composition(query.composition)
        return Latent(mean, jnp.full_like(mean, 0.1))

    def condition(self, latent):
        return self.out(latent)

    def decode(self, conditioning, coordinate):
        return conditioning @ basis(coordinate, 1)

    def reconstruction_loss(self, conditioning, coordinates, density):
        values = self.values(conditioning, coordinates)
        return jnp.mean(jnp.square(values - jnp.log1p(density)), axis=1)

    def latent_loss(self, latent):
        return 1e-3 * jnp.mean(jnp.square(latent.mean), axis=1)

    def to_density(self, values):
        return nnx.relu(values)


class ShortEncoder(nnx.Module):
    """A stand-in for the published pattern encoder, which takes long to compile."""

    def __init__(self, norm, rngs):
        self.out = nnx.Linear(1024, published.HALF, rngs=rngs)
        self.norm = norm(published.HALF)

    def __call__(self, pattern):
        return self.norm(self.out(pattern))


def shorten_published(patch):
    """Make the published network narrow, and its parts one layer each: it takes long to compile."""
    build = published.Perceptron.__init__

    def build_last(self, into, widths, *rest):
        build(self, into, widths[-1:], *rest)

    patch.setattr(published, "HALF", 16)
    patch.setattr(published, "PatternEncoder", ShortEncoder)
    patch.setattr(published.Perceptron, "__init__", build_last)
