"""`base` and `demo`: our own network, from reflections to the Fourier series of a density.

It differs from the published network in these points:

* It reads amplitudes on integer h of a cell instead of bins of an angle. Crystals of one structure
  type then look alike, whatever their size.
* It has an answer of its own, and recalls known crystals whose reflections are similar
  (`cmed_jax.data.memory`). It weighs their series against its own answer. Every step trains both:
  beside known crystals alone, which are right most of the time, an answer of its own would hardly
  be learned.
* The coordinate enters as integer harmonics cos(2 pi h.x), sin(2 pi h.x) instead of random
  frequencies. The density is therefore periodic by construction. The decoder is the sum of these
  harmonics with the conditioning vector as coefficients, without layers or batch statistics. A
  query costs one product of two vectors instead of 5 million multiplications.
* The target is the logarithm of the density (`cmed_jax.physics.log_series`). The loss is linear in
  large errors and quadratic in small ones, so that its slope does not jump at zero.
* What it reads and writes is in units of the training split (`cmed_jax.model.standards`).
* The inputs include which parts of the composition are known (`Knowledge`), and which harmonics
  were observed.
* Layers are normalised over features, not over the batch. A prediction does not depend on the other
  members of its batch. Deviations of the latent are positive.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.memory import Likeness, Recalled, likeness, unit_metric
from cmed_jax.data.query import Query
from cmed_jax.model.network import Block, Latent, Network, check_kl_weight
from cmed_jax.model.standards import Standards
from cmed_jax.physics.harmonics import LIMIT, harmonics
from cmed_jax.physics.log_series import basis, density_of_logarithm, logarithm, part_of

SMALL = 0.03
"""The error of the logarithm below which the loss is quadratic."""
STEP = 0.3
"""The standard deviations of a coefficient by which an output of 1 changes it."""
SOFT = 0.05
"""The deviation added to those of inputs, which bounds the weight of rare values."""


@dataclass(frozen=True)
class BaseConfig:
    """The size of the network and the weight of its latent loss.

    Attributes:
        width: number of features of the trunk that encodes reflections and composition.
        blocks: number of residual blocks of the trunk.
        hidden: number of features from which the Fourier coefficients are computed.
        harmonics: largest |h|^2 of the predicted series, at most 60.
        recalled: number of known crystals that are recalled; 0 for none.
        kl_weight: weight of the latent's divergence from the standard normal.
    """

    reads_reflections: ClassVar[Literal[True]] = True
    batch_statistics: ClassVar[Literal[False]] = False

    width: int = 768
    blocks: int = 3
    hidden: int = 1024
    harmonics: int = LIMIT
    recalled: int = 6
    kl_weight: float = 1e-4

    def __post_init__(self):
        for name in ("width", "blocks", "hidden", "harmonics"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1")
        if self.harmonics > LIMIT:
            raise ValueError(f"harmonics is {self.harmonics}: records hold them up to {LIMIT}")
        if self.recalled < 0:
            raise ValueError(f"recalled is {self.recalled}: give 0 or more")
        check_kl_weight(self.kl_weight)

    def build(self, rngs: nnx.Rngs, axis_name: str | None = None) -> "Base":
        """Return the network; `axis_name` is unused, as there are no batch statistics."""
        del axis_name
        return Base(self, rngs)


class Standard(nnx.Variable):
    """A number of the training split that is kept with the weights and not trained."""


class Base(Network):
    """The network from reflections, composition and recalled crystals to a Fourier series."""

    reads_reflections = True

    def __init__(self, config: BaseConfig, rngs: nnx.Rngs):
        width, read, terms = (
            config.width,
            len(harmonics()),
            1 + 2 * len(harmonics(config.harmonics)),
        )
        zeros, scaled = nnx.initializers.zeros_init(), nnx.initializers.variance_scaling
        self.config = config
        self.reflections = nnx.Linear(2 * read + 10, width, rngs=rngs)
        self.unobserved = nnx.Linear(read + 1, width, kernel_init=zeros, use_bias=False, rngs=rngs)
        self.composition = nnx.Linear(
            119 + len(Knowledge), width, kernel_init=scaled(9.0, "fan_in", "normal"), rngs=rngs
        )
        self.blocks = nnx.List([ResidualBlock(width, rngs) for _ in range(config.blocks)])
        # Without a scale of its own, so that the means of the latent stay those of a normal one.
        self.norm = nnx.LayerNorm(width, use_scale=False, use_bias=False, rngs=rngs)
        self.deviation = nnx.Linear(width, width, rngs=rngs)
        self.hidden = nnx.Linear(width, config.hidden, rngs=rngs)
        self.coefficients = nnx.Linear(config.hidden, terms, kernel_init=zeros, rngs=rngs)
        self.judge = nnx.Linear(6, 32, rngs=rngs)
        self.verdict = nnx.Linear(32, 1, kernel_init=scaled(0.01, "fan_in", "normal"), rngs=rngs)
        self.nobody = nnx.Param(jnp.full(1, -4.0, jnp.float32))
        self.apart = nnx.Linear(
            terms, width, kernel_init=scaled(0.1, "fan_in", "normal"), rngs=rngs
        )
        self.weighing = ResidualBlock(width, rngs)
        self.weighed = nnx.LayerNorm(width, rngs=rngs)
        self.trust = nnx.Linear(
            width, terms, kernel_init=zeros, bias_init=nnx.initializers.constant(2.0), rngs=rngs
        )
        self.correction = nnx.Linear(width, terms, kernel_init=zeros, rngs=rngs)
        self.standards = nnx.data(
            jax.tree.map(lambda each: Standard(jnp.asarray(each)), Standards.neutral(read, terms))
        )

    def learn_standards(self, standards: Standards) -> None:
        """Take over the units of a training split, before the first step."""
        for mine, given in zip(self.standards, standards, strict=True):
            mine[...] = jnp.asarray(given)

    def encode(self, query: Query, recalled: Recalled | None) -> Latent:
        """Return the latent: features of the trunk, the recalled series, and the weight of none.

        Only the features have a deviation.
        """
        standards = Standards(*(each[...] for each in self.standards))
        known = jax.nn.one_hot(query.knowledge, len(Knowledge))
        knowledge = jnp.concatenate([query.composition, known], axis=1)
        missing = jnp.concatenate([1 - query.observed, 1 - _has_cell(query)], axis=1)
        x = self.reflections(_features(query, standards)) + self.unobserved(missing)
        x += self.composition(knowledge)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        spread = 0.1 * jax.nn.softplus(self.deviation(x) - 2.0)
        recollection = jnp.concatenate(self._recollection(query, recalled), axis=1)
        return Latent(
            jnp.concatenate([x, recollection], axis=1),
            jnp.concatenate([spread, jnp.zeros_like(recollection)], axis=1),
        )

    def _recollection(
        self, query: Query, recalled: Recalled | None
    ) -> tuple[Float[Array, "b t"], Float[Array, "b 1"]]:
        """Return the weighted sum of the recalled series, and the weight that is left."""
        if recalled is None or not self.config.recalled:
            crystals, terms = query.lattice.shape[0], self.coefficients.out_features
            return jnp.zeros((crystals, terms)), jnp.ones((crystals, 1))
        recalled = Recalled(*(each[:, : self.config.recalled] for each in recalled))
        alike = likeness(query, recalled.lattice, recalled.amplitude, recalled.composition)
        present = recalled.present > 0
        scores = jnp.where(present, self._scores(query, alike, present), -1e9)
        nobody = jnp.broadcast_to(self.nobody[...], (scores.shape[0], 1))
        weights = jax.nn.softmax(jnp.concatenate([nobody, scores], axis=1), axis=1)
        series = part_of(recalled.series, self.config.harmonics)
        return jnp.einsum("bk,bkt->bt", weights[:, 1:], series), weights[:, :1]

    def _scores(
        self, query: Query, alike: Likeness, present: Bool[Array | np.ndarray, "b k"]
    ) -> Float[Array, "b k"]:
        full = jnp.asarray(query.knowledge == Knowledge.FULL, jnp.float32)[:, None]
        seen = query.observed.mean(axis=1, keepdims=True)
        sharp = jnp.log1p(-jnp.minimum(alike.reflections, 0.99999))
        shape = alike.reflections.shape
        inputs = jnp.stack(
            [
                10 * alike.reflections,
                10 * alike.metric,
                10 * alike.ratios,
                alike.elements,
                sharp,
                jnp.broadcast_to(full + seen, shape),
            ],
            axis=-1,
        )
        learned = self.verdict(nnx.gelu(self.judge(inputs)))[..., 0]
        # Where learning begins: the most similar reflections, and the same ratios.
        best = jnp.where(present, alike.reflections, 0.0).max(axis=1, keepdims=True)
        behind = alike.reflections - best
        return learned + 20 * behind - 20 * alike.ratios

    def condition(self, latent: Float[Array, "b latent"]) -> Float[Array, "b c"]:
        """Return the Fourier coefficients of the answer, then those of the network's own answer.

        They are the same where no known crystal is recalled.
        """
        x, series, nobody = jnp.split(latent, [self.config.width, latent.shape[1] - 1], axis=1)
        mean, deviation = self.standards.series[...]
        own = mean + STEP * deviation * self.coefficients(nnx.gelu(self.hidden(x)))
        apart = series - (1 - nobody) * own
        y = self.weighed(self.weighing(x + self.apart(apart / deviation)))
        change = nnx.sigmoid(self.trust(y)) * apart
        change += (1 - nobody) * STEP * deviation * self.correction(y)
        return jnp.concatenate([own + change, own], axis=1)

    def decode(self, conditioning: Float[Array, " c"], coordinate: Float[Array, "3"]) -> Array:
        """Return log(1 + density / 10) at a coordinate; negative values stand for zero."""
        terms = basis(coordinate, self.config.harmonics)
        return conditioning[: len(terms)] @ terms

    def reconstruction_loss(
        self,
        conditioning: Float[Array, "b c"],
        coordinates: Float[Array, "*b p 3"],
        density: Float[Array, "b p"],
    ) -> Float[Array, " b"]:
        """Return the Huber losses of both answers, scaled to |error| for large errors."""
        truth = logarithm(density)
        values = (self.values(each, coordinates) for each in jnp.split(conditioning, 2, axis=1))
        losses = sum(optax.losses.huber_loss(each, truth, delta=SMALL) for each in values)
        return jnp.mean(losses, axis=1) / SMALL

    def latent_loss(self, latent: Latent) -> Float[Array, " b"]:
        """Return the divergence of the deviations per dimension times its weight.

        The means are normalised, so their part of the Kullback-Leibler divergence is constant.
        """
        variance = latent.deviation[:, : self.config.width] ** 2
        terms = 0.5 * (variance - 1 - jnp.log(variance + 1e-12))
        return self.config.kl_weight * jnp.mean(terms, axis=1)

    def to_density(self, values: Float[Array, "*p"]) -> Float[Array, "*p"]:
        """Return 10 (exp(value) - 1), e/angstrom^3."""
        return density_of_logarithm(values)


def _has_cell(query: Query) -> Float[Array, "b 1"]:
    return jnp.any(query.lattice != 0, axis=(1, 2)).astype(jnp.float32)[:, None]


def _features(query: Query, standards: Standards) -> Float[Array, "b f"]:
    """Return the standardised roots and amplitudes, 0 where unobserved, and those of the cell."""
    observed = query.observed
    # The scale of a measurement is free: that of the training split, over what was observed.
    expected = jnp.sum(observed * standards.power, axis=1, keepdims=True)
    power = jnp.sum(observed * jnp.square(query.amplitude), axis=1, keepdims=True)
    amplitude = query.amplitude * jnp.sqrt(expected / jnp.maximum(power, 1e-6))
    root = jnp.sqrt(amplitude)
    cell = _has_cell(query)
    volume = jnp.abs(jnp.linalg.det(query.lattice + (1 - cell)[..., None] * jnp.eye(3)))
    metric = unit_metric(query.lattice).reshape(query.lattice.shape[0], 9)
    return jnp.concatenate(
        [
            observed * _standardised(root, standards.root),
            observed * _standardised(amplitude, standards.amplitude),
            cell * _standardised(metric, standards.metric),
            cell * _standardised(jnp.log(volume)[:, None], standards.volume[:, None]),
        ],
        axis=1,
    )


def _standardised(
    values: Float[Array | np.ndarray, "b f"], units: Float[Array | np.ndarray, "2 f"]
) -> Float[Array, "b f"]:
    return (jnp.asarray(values) - units[0]) / (units[1] + SOFT)


class ResidualBlock(Block):
    """A residual block, x plus two linear layers of the normalised x; initially the identity."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.inner = nnx.Linear(width, width, rngs=rngs)
        self.outer = nnx.Linear(width, width, kernel_init=nnx.initializers.zeros_init(), rngs=rngs)

    def inside(self, x: Float[Array, "b width"]) -> Float[Array, "b width"]:
        return x + self.outer(nnx.gelu(self.inner(self.norm(x))))
