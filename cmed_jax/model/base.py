"""`base` and `demo`: our own network, which predicts the Fourier series of a density's logarithm.

Where it leaves the published network, and why:

* The coordinate enters as integer harmonics cos(2 pi h.x), sin(2 pi h.x) instead of random
  frequencies, so that the density is periodic by construction.
* The decoder is the sum of these harmonics with the conditioning vector as coefficients: no layers,
  no batch statistics. What depends on the coordinate is computed once for all crystals, and what
  depends on the crystal once for all voxels, so that a query costs one product of two vectors
  instead of 5 million multiplications.
* It is trained on log(1 + density / 10), e/angstrom^3. The raw density is ruled by the heaviest
  atoms, while similarity is judged relative to the range, where empty space must be right to about
  1 %; the logarithm is also smoother, so that fewer harmonics carry it. An error counts by its
  size, a small one by its square, whose slope does not jump where a value passes the truth.
* It is told which parts of the composition are known (`Knowledge`), and which parts of the pattern
  were measured. What was not enters through weights that begin at zero, so that a network which has
  only seen whole patterns takes no notice.
* Layers are normalised over features, not over the batch, so that a prediction does not depend on
  its neighbours in the batch, and deviations of the latent are positive.
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
"""Parts of the pattern of which the network is told how much was measured."""
UNIT = 10.0
"""Typical density of a light atom, e/angstrom^3: below it the target is about linear."""
SMALL = 0.03
"""Errors of the logarithm below it count by their square."""


@dataclass(frozen=True)
class BaseConfig:
    """The size of the network and the weight of its latent loss.

    Attributes:
        width: features of the trunk that reads pattern and composition.
        blocks: residual blocks of the trunk.
        latent: dimensions of the latent.
        hidden: features from which the Fourier coefficients are drawn.
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
        """Return the network; it has no batch statistics to share over an axis."""
        del axis_name
        return Base(self, rngs)


class Base(Network):
    """Pattern and composition to the Fourier coefficients of log(1 + density / 10)."""

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
        """Return the latent; the root of the pattern lets weak lines be seen beside strong ones."""
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
        # as much as one weight. Larger steps overshoot, and the hidden features die of it.
        return self.coefficients(hidden / hidden.shape[1])

    def decode(self, conditioning: Float[Array, " c"], coordinate: Float[Array, "3"]) -> Array:
        """Return log(1 + density / 10) at a coordinate; negative values stand for zero."""
        # Phases of many turns: their rounding does not belong to what may be computed roughly.
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
        """Return the mean of Huber's loss of the logarithm, in units in which it is |error|."""
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
    """x + two linear layers of its normalised self; it begins as the identity."""

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
