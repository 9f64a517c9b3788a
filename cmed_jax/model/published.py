"""`published`: the network of CrystalNet, layer by layer.

Guo et al., npj Computational Materials 2024, doi:10.1038/s41524-024-01401-8. The network consists
of two variational encoders (pattern, composition), FiLM of random Fourier features of the
coordinate, and a multilayer perceptron with two skips. It has 14,775,187 parameters and is trained
on the density itself.

It differs from the published code in one point without effect on the result: the FiLM networks run
once per crystal instead of once per voxel. The Fourier frequencies are drawn with another
generator.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from cmed_jax.data.memory import Recalled
from cmed_jax.data.query import Query
from cmed_jax.model.network import Block, Latent, Network, check_kl_weight

HALF = 512
"""The width of one branch's latent, of the position encoding and of the decoder."""
AXES = ("crystal", "voxel")
"""The axes of the decoder's batch statistics: all voxel queries of all crystals."""


@dataclass(frozen=True)
class PublishedConfig:
    """The only option of the published network: the weight of its latent loss (0.05).

    Attributes:
        kl_weight: weight of the latent's divergence from the standard normal.
    """

    reads_reflections: ClassVar[Literal[False]] = False
    batch_statistics: ClassVar[Literal[True]] = True

    kl_weight: float = 0.05

    def __post_init__(self):
        check_kl_weight(self.kl_weight)

    def build(self, rngs: nnx.Rngs, axis_name: str | None = None) -> "Published":
        """Return the network; batch statistics are shared over `axis_name` if pmap binds it."""
        return Published(self, rngs, axis_name)


class Published(Network):
    """CrystalNet. It reads bins, and ignores the knowledge of the composition and the coverage."""

    def __init__(self, config: PublishedConfig, rngs: nnx.Rngs, axis_name: str | None = None):
        self.kl_weight = config.kl_weight
        # This is slower than E[x^2] - E[x]^2, which loses digits in float32.
        norm = partial(
            nnx.BatchNorm, momentum=0.9, use_fast_variance=False, axis_name=axis_name, rngs=rngs
        )
        self.pattern_mean = PatternEncoder(norm, rngs)
        self.pattern_deviation = PatternEncoder(norm, rngs)
        self.composition_mean = CompositionEncoder(norm, rngs)
        self.composition_deviation = CompositionEncoder(norm, rngs)
        self.film_scale = FilmNetwork(norm, rngs)
        self.film_bias = FilmNetwork(norm, rngs)
        everywhere = (*AXES, axis_name) if axis_name else AXES
        self.decoder = Decoder(partial(norm, axis_name=everywhere), rngs)

    def encode(self, query: Query, recalled: Recalled | None) -> Latent:
        """Return the concatenated latents of both branches (512 each); deviations are signed."""
        del recalled
        pattern, composition = jnp.asarray(query.pattern), jnp.asarray(query.composition)
        mean = [self.pattern_mean(pattern), self.composition_mean(composition)]
        deviation = [self.pattern_deviation(pattern), self.composition_deviation(composition)]
        return Latent(jnp.concatenate(mean, axis=1), jnp.concatenate(deviation, axis=1))

    def condition(self, latent: Float[Array, "b c"]) -> Float[Array, "b c"]:
        """Return the scale (512) and the bias (512) that FiLM applies to the position."""
        return jnp.concatenate([self.film_scale(latent), self.film_bias(latent)], axis=1)

    def decode(self, conditioning: Float[Array, " c"], coordinate: Float[Array, "3"]) -> Array:
        """Return the density at a coordinate, e/angstrom^3."""
        return self.decoder(conditioning, coordinate)

    def values(
        self, conditioning: Float[Array, "b c"], coordinates: Float[Array, "*b p 3"]
    ) -> Float[Array, "b p"]:
        """Map `decode` over named axes, which the decoder's batch statistics need."""
        crystals, voxels = AXES
        shared = nnx.StateAxes([(..., None)])
        over_voxels = nnx.vmap(Decoder.__call__, in_axes=(shared, None, 0), axis_name=voxels)
        own = 0 if coordinates.ndim == 3 else None
        over_all = nnx.vmap(over_voxels, in_axes=(shared, 0, own), axis_name=crystals)
        return over_all(self.decoder, conditioning, coordinates)

    def reconstruction_loss(
        self,
        conditioning: Float[Array, "b c"],
        coordinates: Float[Array, "*b p 3"],
        density: Float[Array, "b p"],
    ) -> Float[Array, " b"]:
        """Return the mean absolute error, e/angstrom^3."""
        return jnp.mean(jnp.abs(self.values(conditioning, coordinates) - density), axis=1)

    def latent_loss(self, latent: Latent) -> Float[Array, " b"]:
        """Return the published divergence, summed over the two branches, times its weight.

        The divergence of a branch is -mean(1 + log(s^2 + 1e-4) - m^2 - s^2).
        """
        mean, square = latent.mean**2, latent.deviation**2
        terms = -(1 + jnp.log(square + 1e-4) - mean - square)
        return self.kl_weight * jnp.sum(terms, axis=1) / HALF

    def to_density(self, values: Float[Array, "*p"]) -> Float[Array, "*p"]:
        """Return the values: the target is the density itself."""
        return values


def _convolution(
    x: Float[Array, "b length into"], kernel: Float[Array, "k into out"], *_: Any, **options: Any
) -> Float[Array, "b length out"]:
    """Return the convolution of `nnx.Conv`, padded with zeros to the same length.

    On TPUs it is a product of matrices. Their compiler takes five times as long for a convolution
    of few channels, and the network has sixty-six of these with their gradients. On CPUs the
    convolution takes half the time of the product.
    """
    return _same_length(options["precision"], x, kernel)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _same_length(precision: jax.lax.PrecisionLike, x: Array, kernel: Array) -> Array:
    return jax.lax.platform_dependent(
        x,
        kernel,
        tpu=partial(as_product, precision=precision),
        default=partial(as_convolution, precision=precision),
    )


def _forward(precision: jax.lax.PrecisionLike, x: Array, kernel: Array) -> tuple[Array, Any]:
    return _same_length(precision, x, kernel), (x, kernel)


def _backward(precision: jax.lax.PrecisionLike, factors: Any, slope: Array) -> tuple[Array, Array]:
    def way(function: Callable[..., Array]) -> Callable[..., tuple[Array, Array]]:
        return lambda slope, *factors: jax.vjp(partial(function, precision=precision), *factors)[1](
            slope
        )

    # The gradient of a choice would be a choice in the program; each platform has its own instead.
    return jax.lax.platform_dependent(
        slope, *factors, tpu=way(as_product), default=way(as_convolution)
    )


_same_length.defvjp(_forward, _backward)


def as_convolution(
    x: Float[Array, "b length into"],
    kernel: Float[Array, "k into out"],
    precision: jax.lax.PrecisionLike = None,
) -> Float[Array, "b length out"]:
    """Return the convolution of `as_product` as XLA's own operation."""
    layout = ("NWC", "WIO", "NWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (1,), "SAME", dimension_numbers=layout, precision=precision
    )


def as_product(
    x: Float[Array, "b length into"],
    kernel: Float[Array, "k into out"],
    precision: jax.lax.PrecisionLike = None,
) -> Float[Array, "b length out"]:
    """Return a convolution as the product of a kernel and the neighbours of every place.

    Args:
        x: the input; zeros stand beyond its ends.
        kernel: the kernel, of odd length k.
        precision: the precision of the product.
    """
    size, into, out = kernel.shape
    padded = jnp.pad(x, ((0, 0), (size // 2, size // 2), (0, 0)))
    length = x.shape[1]
    near = jnp.concatenate([padded[:, i : i + length] for i in range(size)], axis=-1)
    return jnp.matmul(near, kernel.reshape(size * into, out), precision=precision)


class ConvolutionBlock(nnx.Module):
    """A convolution without bias, LayerNorm over length and channels, and ReLU."""

    def __init__(self, length: int, into: int, out: int, kernel: int, rngs: nnx.Rngs):
        self.convolution = nnx.Conv(
            into, out, (kernel,), use_bias=False, conv_general_dilated=_convolution, rngs=rngs
        )
        self.norm = nnx.LayerNorm(length * out, epsilon=1e-5, rngs=rngs)

    def __call__(self, x: Float[Array, "b length into"]) -> Float[Array, "b length out"]:
        x = self.convolution(x)
        return nnx.relu(self.norm(x.reshape(len(x), -1)).reshape(x.shape))


class DenseBlock(Block):
    """Four convolutions with all earlier outputs as input; each adds 8 channels."""

    def __init__(self, length: int, channels: int, rngs: nnx.Rngs):
        self.blocks = nnx.List(
            [ConvolutionBlock(length, channels + 8 * i, 8, 3, rngs) for i in range(4)]
        )

    def inside(self, x: Float[Array, "b length into"]) -> Float[Array, "b length out"]:
        for block in self.blocks:
            x = jnp.concatenate([x, block(x)], axis=-1)
        return x


class PatternEncoder(nnx.Module):
    """A small DenseNet over the 1,024 bins."""

    def __init__(self, norm: partial, rngs: nnx.Rngs):
        self.stem = ConvolutionBlock(1024, 1, 8, 3, rngs)
        self.first = DenseBlock(1024, 8, rngs)
        self.transition = ConvolutionBlock(1024, 40, 16, 1, rngs)
        self.second = DenseBlock(512, 16, rngs)
        self.squeeze = nnx.Conv(48, 1, (1,), conv_general_dilated=_convolution, rngs=rngs)
        self.out = nnx.Linear(512, HALF, rngs=rngs)
        self.norm = norm(HALF)

    def __call__(self, pattern: Float[Array, "b 1024"]) -> Float[Array, "b half"]:
        x = self.transition(self.first(self.stem(pattern[..., None])))
        x = nnx.avg_pool(x, (2,), (2,))
        return self.norm(self.out(self.squeeze(self.second(x))[..., 0]))


class CompositionEncoder(nnx.Module):
    """Three linear layers with batch statistics."""

    def __init__(self, norm: partial, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(n, HALF, rngs=rngs) for n in (119, HALF, HALF)])
        self.norms = nnx.List([norm(HALF) for _ in self.layers])

    def __call__(self, composition: Float[Array, "b 119"]) -> Float[Array, "b half"]:
        x = self.norms[0](self.layers[0](composition))
        for layer, norm in zip(self.layers[1:], self.norms[1:], strict=True):
            x = norm(layer(nnx.relu(x)))
        return x


class Perceptron(Block):
    """Linear layers of one output width, each with batch statistics and a ReLU."""

    def __init__(self, into: int, widths: tuple[int, ...], norm: partial, rngs: nnx.Rngs):
        pairs = zip((into, *widths), widths, strict=False)
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs) for a, b in pairs])
        self.norms = nnx.List([norm(width) for width in widths])

    def inside(self, x: Float[Array, "*b into"]) -> Float[Array, "*b out"]:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = nnx.relu(norm(layer(x)))
        return x


class FilmNetwork(Perceptron):
    """One half of FiLM; its output is non-negative, as published."""

    def __init__(self, norm: partial, rngs: nnx.Rngs):
        super().__init__(2 * HALF, (1024, 1024, 1024, HALF), norm, rngs)


class Decoder(nnx.Module):
    """The function from one conditioning vector and one coordinate to one density."""

    def __init__(self, norm: partial, rngs: nnx.Rngs):
        self.position = Perceptron(256, (HALF,), norm, rngs)
        self.position_out = nnx.Linear(HALF, HALF, rngs=rngs)
        self.trunk = Perceptron(HALF, (HALF,) * 4, norm, rngs)
        self.skips = nnx.List([Perceptron(2 * HALF, (HALF,) * 4, norm, rngs) for _ in range(3)])
        self.out = nnx.Linear(HALF, 1, rngs=rngs)

    def __call__(self, conditioning: Float[Array, " c"], coordinate: Float[Array, "3"]) -> Array:
        turns = jnp.matmul(_frequencies(), coordinate - 0.5, precision="highest")
        phase = 2 * jnp.pi * turns
        position = self.position(jnp.concatenate([jnp.sin(phase), jnp.cos(phase)]))
        scale, bias = jnp.split(conditioning, 2)
        first = scale * self.position_out(position) + bias
        x = self.trunk(first)
        for skip in self.skips:
            x = skip(jnp.concatenate([x, first]))
        return self.out(x)[0]


@lru_cache
def _frequencies() -> Float[np.ndarray, "128 3"]:
    return np.random.default_rng(0).normal(0.0, 3.0, (128, 3)).astype(np.float32)
