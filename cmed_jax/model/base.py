"""`base` and `demo`: our own network, which predicts the Fourier series of a density's logarithm.

It differs from the published network in these points:

* The coordinate enters as integer harmonics cos(2 pi h.x), sin(2 pi h.x) instead of random
  frequencies. The density is therefore periodic by construction.
* The decoder is the sum of these harmonics with the conditioning vector as coefficients, without
  layers or batch statistics. The harmonics are computed once for all crystals, and the coefficients
  once for all voxels. A query costs one product of two vectors instead of 5 million
  multiplications.
* The training target is log(1 + density / 10), with the density in e/angstrom^3. The heaviest atoms
  dominate the raw density, but similarity is measured relative to the range, where empty space must
  be right to about 1 %. The logarithm is also smoother and needs fewer harmonics. The loss is
  linear in large errors and quadratic in small ones, so that its slope does not jump at zero.
* The inputs include which parts of the composition are known (`Knowledge`), and which parts of the
  pattern were measured. Unmeasured parts enter through weights that begin at zero, so they have no
  effect in a network trained on whole patterns only.
* Layers are normalised over features, not over the batch. A prediction does not depend on the other
  members of its batch. Deviations of the latent are positive.
"""

from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Integer

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.model.network import Block, Latent, Network
from cmed_jax.physics.scattering import cos_sin

SEGMENTS = 64
"""The number of parts of the pattern for which the measured share is an input."""
UNIT = 10.0
"""The typical density of a light atom, e/angstrom^3; below it the target is about linear."""
SMALL = 0.03
"""The error of the logarithm below which the loss is quadratic."""


@dataclass(frozen=True)
class BaseConfig:
    """The size of the network and the weight of its latent loss.

    Attributes:
        width: number of features of the trunk that encodes pattern and composition.
        blocks: number of residual blocks of the trunk.
        latent: number of dimensions of the latent.
        hidden: number of features from which the Fourier coefficients are computed.
        harmonics: largest |h|^2 of the Fourier series.
        kl_weight: weight of the latent's divergence from the standard normal.
    """

    width: int = 1280
    blocks: int = 3
    latent: int = 512
    hidden: int = 1024
    harmonics: int = 60
    kl_weight: float = 1e-4

    def __post_init__(self):
        for name in ("width", "blocks", "latent", "hidden", "harmonics"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1")

    def build(self, rngs: nnx.Rngs, axis_name: str | None = None) -> "Base":
        """Return the network; `axis_name` is unused, as there are no batch statistics."""
        del axis_name
        return Base(self, rngs)


class Base(Network):
    """The network from pattern and composition to Fourier coefficients of log(1 + density / 10)."""

    def __init__(self, config: BaseConfig, rngs: nnx.Rngs):
        width = config.width
        self.config = config
        self.pattern = nnx.Linear(1024, width, rngs=rngs)
        self.composition = nnx.Linear(119 + len(Knowledge), width, rngs=rngs)
        self.blocks = nnx.List([ResidualBlock(width, rngs) for _ in range(config.blocks)])
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.mean = nnx.Linear(width, config.latent, rngs=rngs)
        self.deviation = nnx.Linear(width, config.latent, rngs=rngs)
        terms = 1 + 2 * len(harmonics(config.harmonics))
        self.hidden = nnx.Linear(config.latent, config.hidden, rngs=rngs)
        self.coefficients = nnx.Linear(
            config.hidden,
            terms,
            kernel_init=nnx.initializers.variance_scaling(1.0, "fan_out", "normal"),
            rngs=rngs,
        )
        self.unmeasured = nnx.Linear(
            SEGMENTS, width, use_bias=False, kernel_init=nnx.initializers.zeros_init(), rngs=rngs
        )

    def encode(
        self,
        pattern: Float[Array, "b 1024"],
        composition: Float[Array, "b 119"],
        knowledge: Integer[Array, " b"],
        coverage: Float[Array, "b 1024"],
    ) -> Latent:
        """Return the latent; the square root of the pattern emphasises weak lines."""
        known = jax.nn.one_hot(knowledge, len(Knowledge))
        told = jnp.concatenate([composition, known], axis=1)
        missing = 1 - coverage.reshape(len(coverage), SEGMENTS, -1).mean(axis=2)
        x = self.pattern(jnp.sqrt(pattern)) + self.composition(told) + self.unmeasured(missing)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return Latent(self.mean(x), 0.1 * jax.nn.softplus(self.deviation(x)))

    def condition(self, latent: Float[Array, "b latent"]) -> Float[Array, "b c"]:
        """Return the Fourier coefficients."""
        hidden = nnx.gelu(self.hidden(latent))
        # The mean over features, not their sum: a step of Adam then changes a coefficient by about
        # as much as one weight. Larger steps overshoot, after which hidden features stay at zero.
        return self.coefficients(hidden / hidden.shape[1])

    def decode(self, conditioning: Float[Array, " c"], coordinate: Float[Array, "3"]) -> Array:
        """Return log(1 + density / 10) at a coordinate; negative values stand for zero."""
        # Phases of many turns need full precision, also where products are rounded.
        turns = jnp.matmul(harmonics(self.config.harmonics), coordinate, precision="highest")
        return conditioning @ jnp.concatenate([jnp.ones(1), *cos_sin(turns)])

    def target(self, density: Float[Array, "b p"]) -> Float[Array, "b p"]:
        """Return log(1 + density / 10) of densities in e/angstrom^3."""
        return jnp.log1p(jax.nn.relu(density) / UNIT)

    def reconstruction_loss(
        self,
        conditioning: Float[Array, "b c"],
        values: Float[Array, "b p"],
        density: Float[Array, "b p"],
        maximum: Float[Array, " b"],
    ) -> Float[Array, " b"]:
        """Return the mean Huber loss of the logarithm, scaled to |error| for large errors."""
        loss = optax.losses.huber_loss(values, self.target(density), delta=SMALL)
        return jnp.mean(loss, axis=1) / SMALL

    def latent_loss(self, latent: Latent) -> Float[Array, " b"]:
        """Return the Kullback-Leibler divergence per dimension times its weight."""
        mean, variance = latent.mean**2, latent.deviation**2
        terms = 0.5 * (mean + variance - 1 - jnp.log(variance + 1e-12))
        return self.config.kl_weight * jnp.mean(terms, axis=1)

    def to_density(
        self, conditioning: Float[Array, "b c"], values: Float[Array, "b p"]
    ) -> Float[Array, "b p"]:
        """Return 10 (exp(value) - 1), e/angstrom^3."""
        return UNIT * jnp.expm1(jax.nn.relu(values))


class ResidualBlock(Block):
    """A residual block, x plus two linear layers of the normalised x; initially the identity."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.inner = nnx.Linear(width, width, rngs=rngs)
        self.outer = nnx.Linear(width, width, kernel_init=nnx.initializers.zeros_init(), rngs=rngs)

    def inside(self, x: Float[Array, "b width"]) -> Float[Array, "b width"]:
        return x + self.outer(nnx.gelu(self.inner(self.norm(x))))


@lru_cache
def harmonics(limit: int) -> Float[np.ndarray, "h 3"]:
    """Return one of each pair +-h of integer vectors with 0 < |h|^2 <= limit, as float32."""
    reach = range(-int(limit**0.5), int(limit**0.5) + 1)
    vectors = [
        (h, k, m)
        for h in reach
        for k in reach
        for m in reach
        if (h, k, m) > (0, 0, 0) and h * h + k * k + m * m <= limit
    ]
    return np.asarray(vectors, np.float32)
