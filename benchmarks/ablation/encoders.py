"""Encoders, which read the pattern, and the treatment of the latent.

`Base` reads the roots of the 1,024 intensities with one linear layer, and its latent is random in
training.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Integer

from cmed_jax.model.base import Base, BaseConfig
from cmed_jax.model.network import Latent
from cmed_jax.physics.scattering import cos_sin

DECADES = 4
"""The range of the logarithms: intensities above 10^-DECADES of the strongest are distinct."""
PEAKS = 64
"""The number of the strongest peaks of a pattern that are read as a set."""
TOKEN = 128
"""The number of features of a peak."""
WAVES = 32
"""The number of wavelengths that encode a peak's place: 2, 4, 6, ... bins to many hundreds."""


class Intensities(Base):
    """An encoder that reads the intensities unchanged."""

    def encode(
        self,
        pattern: Float[Array, "b 1024"],
        composition: Float[Array, "b 119"],
        knowledge: Integer[Array, " b"],
        coverage: Float[Array, "b 1024"],
    ) -> Latent:
        """Return the latent; `Base` takes the root of the square."""
        return super().encode(pattern**2, composition, knowledge, coverage)


class Logarithms(Base):
    """An encoder that reads the logarithms of intensities, 0 for none and 1 for the strongest."""

    def encode(
        self,
        pattern: Float[Array, "b 1024"],
        composition: Float[Array, "b 119"],
        knowledge: Integer[Array, " b"],
        coverage: Float[Array, "b 1024"],
    ) -> Latent:
        """Return the latent; `Base` takes the root of the square."""
        most = 10.0**DECADES
        logarithm = jnp.log1p(most * pattern) / jnp.log1p(most)
        return super().encode(logarithm**2, composition, knowledge, coverage)


class Deterministic(Base):
    """An encoder that adds nothing random to the latent; meant for a `kl_weight` of 0."""

    def encode(
        self,
        pattern: Float[Array, "b 1024"],
        composition: Float[Array, "b 119"],
        knowledge: Integer[Array, " b"],
        coverage: Float[Array, "b 1024"],
    ) -> Latent:
        """Return the latent without a deviation."""
        mean, _ = super().encode(pattern, composition, knowledge, coverage)
        return Latent(mean, jnp.zeros_like(mean))


class Convolutional(Base):
    """An encoder that reads the profile by two convolutions before the linear layer."""

    def __init__(self, config: BaseConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.pattern = Convolutions(config.width, rngs)


class WithPeaks(Base):
    """An encoder that reads the strongest peaks as a set, in addition to the profile."""

    def __init__(self, config: BaseConfig, rngs: nnx.Rngs):
        super().__init__(config, rngs)
        self.pattern = ProfileAndPeaks(self.pattern, config.width, rngs)


class Convolutions(nnx.Module):
    """Convolutions from the roots of 1,024 intensities to 256 and 64 places, then a layer."""

    def __init__(self, width: int, rngs: nnx.Rngs):
        self.first = nnx.Conv(1, 32, kernel_size=9, strides=4, rngs=rngs)
        self.second = nnx.Conv(32, 64, kernel_size=9, strides=4, rngs=rngs)
        self.last = nnx.Linear(64 * 64, width, rngs=rngs)

    def __call__(self, root: Float[Array, "b 1024"]) -> Float[Array, "b width"]:
        """Return the features of each pattern."""
        x = nnx.gelu(self.second(nnx.gelu(self.first(root[:, :, None]))))
        return self.last(x.reshape(len(x), -1))


class ProfileAndPeaks(nnx.Module):
    """The linear layer of the profile, plus a mean over peaks after attention between them."""

    def __init__(self, profile: nnx.Linear, width: int, rngs: nnx.Rngs):
        self.profile = profile
        self.token = nnx.Linear(2 * WAVES + 1, TOKEN, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, TOKEN, decode=False, rngs=rngs)
        self.inner = nnx.Linear(TOKEN, 2 * TOKEN, rngs=rngs)
        self.outer = nnx.Linear(2 * TOKEN, width, rngs=rngs)

    def __call__(self, root: Float[Array, "b 1024"]) -> Float[Array, "b width"]:
        """Return the features of each pattern."""
        height, place = strongest_peaks(root)
        lengths = jnp.geomspace(2.0, 2 * root.shape[1], WAVES)
        told = [height[..., None], *cos_sin(place[..., None] / lengths)]
        tokens = self.token(jnp.concatenate(told, axis=-1))
        tokens = tokens + self.attention(tokens, mask=(height > 0)[:, None, None, :])
        weights = height / jnp.maximum(height.sum(axis=1, keepdims=True), 1e-6)
        peaks = jnp.einsum("bp,bpf->bf", weights, nnx.gelu(self.inner(tokens)))
        return self.profile(root) + self.outer(peaks)


def strongest_peaks(
    pattern: Float[Array, "b n"],
) -> tuple[Float[Array, "b k"], Integer[Array, "b k"]]:
    """Return heights and bins of the strongest local maxima, the highest first, padded with 0."""
    left, right = (jnp.roll(pattern, shift, axis=1) for shift in (1, -1))
    summits = jnp.where((pattern > left) & (pattern >= right), pattern, 0.0)
    return jax.lax.top_k(summits, PEAKS)
