"""Augmentation of training examples: a disturbed measurement, and a partly hidden composition.

The pattern is the stored one with shift and noise as in the article, or a new one measured from the
crystal's lines under conditions drawn at random (`cmed_jax.physics.artefacts`). Networks that read
reflections are given amplitudes with the errors of a laboratory
(`cmed_jax.physics.amplitude_errors`), and a part of the known crystals.

Every function treats one example and is mapped over a batch. All randomness comes from its key.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.physics.amplitude_errors import AmplitudeErrors, measured_amplitudes
from cmed_jax.physics.amplitudes import Amplitudes
from cmed_jax.physics.artefact_ranges import Artefacts
from cmed_jax.physics.artefacts import measured
from cmed_jax.physics.instrument import Lines

FORGOTTEN = ((0.0, 0.4), (0.3, 0.3), (0.8, 0.15), (1.0, 0.15))
"""Shares of the recalled crystals that are withheld in training, and how often each is drawn."""


@dataclass(frozen=True)
class AugmentationConfig:
    """The perturbation of examples; the defaults are those of the article.

    Attributes:
        artefacts: conditions under which new patterns are measured in each step: laboratory,
            synchrotron or nanocrystal; published keeps the stored pattern, with shift and noise.
        errors: errors of a laboratory on the amplitudes that a network reads; None for none.
        stored: share of examples that keep their stored pattern, or amplitudes, in spite of
            artefacts or errors.
        shift: largest shift of the stored pattern in either direction, bins.
        noise: standard deviation of the noise on the stored pattern and on the composition;
            negative values become zero.
        full: share of examples with the full composition.
        no_ratios: share of examples with the elements only.
        missing_element: share of examples with all elements but one.
        none: share of examples without any composition.
    """

    artefacts: Artefacts | None = None
    errors: AmplitudeErrors | None = None
    stored: float = 0.0
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
        if not 0 <= self.stored <= 1:
            raise ValueError(f"stored is {self.stored}: give a share between 0 and 1")
        if self.shift < 0 or self.noise < 0:
            raise ValueError(
                f"shift is {self.shift} and noise {self.noise}: neither can be negative"
            )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "AugmentationConfig":
        """Return the configuration from its fields as JSON values."""
        read = dict(values)
        kinds: dict[str, type[Artefacts] | type[AmplitudeErrors]] = {
            "artefacts": Artefacts,
            "errors": AmplitudeErrors,
        }
        for name, kind in kinds.items():
            if (ranges := values.get(name)) is not None:
                lists: dict[str, Any] = {
                    k: tuple(v) if isinstance(v, list) else v for k, v in ranges.items()
                }
                read[name] = kind(**lists)
        return cls(**read)

    @property
    def shares(self) -> tuple[float, float, float, float]:
        """The shares of the kinds of knowledge, in the order of `Knowledge`."""
        return (self.full, self.no_ratios, self.missing_element, self.none)


def augment(
    key: PRNGKeyArray,
    pattern: Float[Array, "1024"],
    lines: Lines | None,
    composition: Float[Array, "119"],
    config: AugmentationConfig,
) -> tuple[Float[Array, "1024"], Float[Array, "1024"], Float[Array, "119"], Integer[Array, ""]]:
    """Return an augmented pattern, its coverage, the known composition, and the kind of knowledge.

    Args:
        key: random key.
        pattern: stored pattern, strongest 1.
        lines: lines of the crystal, used to measure a new pattern if `config.artefacts` are given.
        composition: full composition.
        config: configuration of the augmentation.
    """
    shift, noise, measurement, kind, hiding, blur = jax.random.split(key, 6)
    bins = jax.random.randint(shift, (), -config.shift, config.shift + 1)
    disturbed = shift_bins(pattern, bins)
    disturbed += config.noise * jax.random.normal(noise, pattern.shape)
    pattern, coverage = jax.nn.relu(disturbed), jnp.ones_like(pattern)
    if config.artefacts is not None and lines is not None:
        chance, conditions = jax.random.split(measurement)
        fresh = measured(conditions, lines, config.artefacts)
        as_stored = jax.random.uniform(chance) < config.stored
        pattern, coverage = (
            jnp.where(as_stored, whole, part)
            for whole, part in zip((pattern, coverage), fresh, strict=True)
        )
    composition, knowledge = partly_known(kind, hiding, blur, composition, config)
    return pattern, coverage, composition, knowledge


def augment_reflections(
    key: PRNGKeyArray,
    lattice: Float[Array, "3 3"],
    amplitudes: Amplitudes,
    composition: Float[Array, "119"],
    config: AugmentationConfig,
) -> tuple[Float[Array, "3 3"], Amplitudes, Float[Array, "119"], Integer[Array, ""]]:
    """Return a measured cell and amplitudes, the known composition, and the kind of knowledge.

    Args:
        key: random key.
        lattice: rows a, b, c, angstrom.
        amplitudes: amplitudes of the record.
        composition: full composition.
        config: configuration of the augmentation.
    """
    chance, noise, kind, hiding, blur = jax.random.split(key, 5)
    if config.errors is not None:
        as_stored = jax.random.uniform(chance) < config.stored
        cell, fresh = measured_amplitudes(noise, lattice, amplitudes, config.errors)
        lattice, amplitudes = jax.tree.map(
            lambda stored, drawn: jnp.where(as_stored, stored, drawn),
            (lattice, amplitudes),
            (cell, fresh),
        )
    return lattice, amplitudes, *partly_known(kind, hiding, blur, composition, config)


def partly_known(
    kind: PRNGKeyArray,
    hiding: PRNGKeyArray,
    blur: PRNGKeyArray,
    composition: Float[Array, "119"],
    config: AugmentationConfig,
) -> tuple[Float[Array, "119"], Integer[Array, ""]]:
    """Return the known part of a composition, blurred, and the kind of knowledge that is drawn."""
    knowledge = jax.random.choice(kind, len(Knowledge), p=jnp.asarray(config.shares))
    composition = hide(hiding, composition, knowledge)
    blurred = composition + config.noise * jax.random.normal(blur, composition.shape)
    return jax.nn.relu(blurred), knowledge


def forgotten(key: PRNGKeyArray, present: Float[Array, " k"]) -> Float[Array, " k"]:
    """Return which of the recalled crystals remain: all, most, few or none of them."""
    which, each = jax.random.split(key)
    rates, shares = (jnp.asarray(column) for column in zip(*FORGOTTEN, strict=True))
    rate = jax.random.choice(which, rates, p=shares)
    return present * (jax.random.uniform(each, present.shape) >= rate)


def shift_bins(pattern: Float[Array, " n"], bins: Integer[Array, ""]) -> Float[Array, " n"]:
    """Return the pattern shifted to higher angles by `bins`, filled with zeros."""
    index = jnp.arange(pattern.size)
    source = index - bins
    inside = (source >= 0) & (source < pattern.size)
    return jnp.where(inside, pattern[jnp.clip(source, 0, pattern.size - 1)], 0.0)


def hide(
    key: PRNGKeyArray, composition: Float[Array, "119"], knowledge: Integer[Array, ""]
) -> Float[Array, "119"]:
    """Return the part of a full composition that a kind of knowledge includes.

    The four kinds leave the fractions, ones for all elements, ones for all elements but one drawn
    at random, and zeros.
    """
    present = (composition > 0).astype(composition.dtype)
    # The Gumbel trick draws one of the elements present, all with the same probability.
    chance = jnp.where(present > 0, jax.random.gumbel(key, present.shape), -jnp.inf)
    without_one = present.at[jnp.argmax(chance)].set(0.0)
    left = jnp.stack([composition, present, without_one, jnp.zeros_like(composition)])
    return left[knowledge]
