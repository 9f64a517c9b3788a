"""The restoration of a trained network, from a run or a release."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
from flax import nnx
from jaxtyping import PyTree

from cmed_jax.config import Config
from cmed_jax.data.domain import TrainingDomain, load_domain
from cmed_jax.io import released
from cmed_jax.io.integrity import checksum
from cmed_jax.io.run import run_folder
from cmed_jax.mixture.gate import FILE as GATE
from cmed_jax.mixture.gate import Gate, load_gate
from cmed_jax.model.network import Network


class Restored(NamedTuple):
    """A trained network, the configuration of its run, and its training domain.

    If a gate was trained for the network, its predictions are mixed with refined crystals
    (`cmed_jax.mixture`).
    """

    config: Config
    network: Network
    domain: TrainingDomain | None = None
    gate: Gate | None = None


def restore(model: str | Path, *, alone: bool = False) -> Restored:
    """Return a network with its configuration.

    Args:
        model: a run's folder (its best checkpoint is used), a checkpoint inside it, the name of a
            network that comes with the package, or the folder of a released network.
        alone: whether the gate is left out, and not even checked.

    Raises:
        FileNotFoundError: if there is no such network.
        Damaged: if a file of the network is not as it was written.
        ValueError: if the gate is damaged, of an earlier version, or was trained for another
            network.

    Example:
        >>> restored = restore("cubic")
        >>> type(restored.network).__name__
        'Base'
    """
    folder = released.find(model)
    if folder is None:
        # Imported only for runs, as a released network needs neither Orbax nor Grain.
        from cmed_jax.training.checkpoint import find_checkpoint, load_model, read_config

        found = find_checkpoint(model)
        folder, values, load = run_folder(found), read_config(found), partial(load_model, found)
    else:
        values, load = released.read_config(folder), partial(released.load_weights, folder)
    config = Config.from_json(values)
    abstract = nnx.eval_shape(lambda: config.network.build(nnx.Rngs(0)))
    graph, *trees = nnx.split(abstract, nnx.Param, ...)
    network = nnx.merge(graph, *load(*map(_on_one_device, trees)))
    gate = None
    if not alone and (folder / GATE).exists():  # the program of a checksum takes a while to compile
        gate = load_gate(folder, checksum(nnx.state(network)))
    return Restored(config, network, load_domain(folder), gate)


def _on_one_device(tree: PyTree) -> PyTree:
    """Return the shapes of a tree, to be loaded onto the first device."""
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)
