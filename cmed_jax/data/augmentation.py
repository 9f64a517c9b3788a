"""What training does to an example: artefacts on the pattern, knowledge taken from the composition.

Every function treats one example and is mapped over a batch; all that is random comes from its key.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from cmed_jax.crystal.composition import Knowledge


@dataclass(frozen=True)
class AugmentationConfig:
    """How examples are disturbed; the defaults are those of the article.

    Attributes:
        shift: the pattern moves by up to this many bins either way.
        noise: standard deviation of the noise on pattern and composition; negatives become zero.
        full: share of examples whose composition is given in full.
        no_ratios: share told the elements only.
        missing_element: share told the elements but one.
        none: share told nothing.
    """

    shift: int = 3
    noise: float = 1e-3
    full: float = 1.0
    no_ratios: float = 0.0
    missing_element: float = 0.0
    none: float = 0.0

    def __post_init__(self):
        shares = self.shares
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(
                f"the shares of full, no_ratios, missing_element and none are {shares}: "
                "give numbers of at least 0 that sum to 1"
            )
        if self.shift < 0 or self.noise < 0:
            raise ValueError(
                f"shift is {self.shift} and noise {self.noise}: neither can be negative"
            )

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """Shares of the kinds of knowledge, in the order of `Knowledge`."""
        return (self.full, self.no_ratios, self.missing_element, self.none)


def augment(
    key: PRNGKeyArray,
    pattern: Float[Array, "1024"],
    composition: Float[Array, "119"],
    config: AugmentationConfig,
) -> tuple[Float[Array, "1024"], Float[Array, "119"], Integer[Array, ""]]:
    """Return a disturbed pattern, what is left of the composition, and the kind of knowledge."""
    shift, noise, kind, hiding, blur = jax.random.split(key, 5)
    pattern = shift_bins(pattern, jax.random.randint(shift, (), -config.shift, config.shift + 1))
    pattern = jax.nn.relu(pattern + config.noise * jax.random.normal(noise, pattern.shape))
    knowledge = jax.random.choice(kind, len(Knowledge), p=jnp.asarray(config.shares))
    composition = hide(hiding, composition, knowledge)
    disturbed = composition + config.noise * jax.random.normal(blur, composition.shape)
    return pattern, jax.nn.relu(disturbed), knowledge


def shift_bins(pattern: Float[Array, "n"], bins: Integer[Array, ""]) -> Float[Array, "n"]:
    """Return the pattern moved to higher angles by `bins`; zeros follow."""
    index = jnp.arange(pattern.size)
    source = index - bins
    inside = (source >= 0) & (source < pattern.size)
    return jnp.where(inside, pattern[jnp.clip(source, 0, pattern.size - 1)], 0.0)


def hide(
    key: PRNGKeyArray, composition: Float[Array, "119"], knowledge: Integer[Array, ""]
) -> Float[Array, "119"]:
    """Return what a kind of knowledge leaves of a full composition.

    The fractions; ones for the elements; ones for all elements but one drawn at random; zeros.
    """
    present = (composition > 0).astype(composition.dtype)
    # The Gumbel trick draws one of the elements present, each with the same chance.
    chance = jnp.where(present > 0, jax.random.gumbel(key, present.shape), -jnp.inf)
    without_one = present.at[jnp.argmax(chance)].set(0.0)
    left = jnp.stack([composition, present, without_one, jnp.zeros_like(composition)])
    return left[knowledge]
