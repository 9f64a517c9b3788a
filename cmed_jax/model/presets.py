"""The configurations of the networks, by the names that runs keep of them."""

from cmed_jax.model.base import BaseConfig
from cmed_jax.model.published import PublishedConfig

NetworkConfig = BaseConfig | PublishedConfig
# Another number stands for other layers: the weights of one do not fit into another.
KINDS = {"base-2": BaseConfig, "published": PublishedConfig}
