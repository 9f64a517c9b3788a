"""The configurations of the networks, by name."""

from cmed_jax.model.base import BaseConfig
from cmed_jax.model.published import PublishedConfig

NetworkConfig = BaseConfig | PublishedConfig
KINDS = {"base": BaseConfig, "published": PublishedConfig}
