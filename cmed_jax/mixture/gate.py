"""The gate, which weighs the densities of several experts for one query.

In a mixture of experts (Jacobs, Jordan, Nowlan and Hinton, Neural Computation 3, 79, 1991) each
expert predicts a density, and the gate weighs the densities by features that need no truth. For
each expert the gate combines its own features with the mean of the hidden features of all experts,
so that neither their order nor their number matters.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from cmed_jax.io.atomic import atomic_write

FILE = "gate.npz"
NETWORK, SPREAD = "network", "spread"
"""The keys of the file: the checksum of the network, and the factor of the deviation."""
WIDTH = 64


class Gate(nnx.Module):
    """A perceptron that all experts share, with the mean over the experts as a second input.

    `spread` is not trained with it, but fitted afterwards. It is the factor by which the deviation
    calculated from the experts must grow to match that of the truth.
    """

    def __init__(self, features: int, rngs: nnx.Rngs):
        self.inner = nnx.Linear(features, WIDTH, rngs=rngs)
        self.joint = nnx.Linear(2 * WIDTH, WIDTH, rngs=rngs)
        self.score = nnx.Linear(WIDTH, 1, kernel_init=nnx.initializers.zeros_init(), rngs=rngs)
        self.spread = nnx.Variable(jnp.ones(()))

    def __call__(
        self, features: Float[Array, "k f"], present: Bool[Array, " k"]
    ) -> Float[Array, " k"]:
        """Return the experts' weights, which sum to 1; absent experts have weight 0."""
        own = nnx.gelu(self.inner(features))
        mean = jnp.mean(own, axis=0, where=present[:, None], keepdims=True)
        joint = jnp.concatenate([own, jnp.broadcast_to(mean, own.shape)], axis=1)
        scores = self.score(nnx.gelu(self.joint(joint)))[:, 0]
        return jax.nn.softmax(scores, where=present)


def weighted_density(
    densities: Float[Array | np.ndarray, " k *grid"], weights: Float[Array | np.ndarray, " k"]
) -> Float[Array, "*grid"]:
    """Return the square of the weighted mean of the roots of densities, e/angstrom^3.

    The root gives more weight to the space between the atoms, which dominates the similarity.
    """
    roots = jnp.sqrt(jax.nn.relu(densities))
    return jnp.tensordot(weights, roots, 1, precision="highest") ** 2


def save_gate(folder: Path, gate: Gate, network: int) -> None:
    """Write a gate into a folder, whole or not at all.

    Args:
        folder: the folder of the network that the gate was trained for.
        gate: the gate with its spread.
        network: the checksum of that network (`cmed_jax.io.integrity.checksum`).
    """
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(nnx.state(gate)))
    arrays = {_name(path): np.asarray(leaf) for path, leaf in leaves}
    with atomic_write(folder / FILE) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays | {NETWORK: np.uint32(network)})


def load_gate(folder: Path, network: int) -> Gate | None:
    """Return the gate of a folder; None where it has none.

    Args:
        folder: the folder of the network.
        network: the checksum of the network.

    Raises:
        ValueError: the file is damaged, of an earlier version, or of another network.
    """
    path = folder / FILE
    if not path.exists():
        return None
    with _damage_named(path), path.open("rb") as file, np.load(file) as opened:
        arrays = dict(opened)
    again = f"run python -m cmed_jax.train_gate {folder} again, or remove that file"
    if not {NETWORK, SPREAD} <= arrays.keys():
        raise ValueError(f"{path} does not say its network and its spread: {again}")
    if arrays[NETWORK] != network:
        raise ValueError(f"{path} was trained for a network of other weights: {again}")
    with _damage_named(path):
        return _gate_of(arrays)


def _gate_of(arrays: Mapping[str, np.ndarray]) -> Gate:
    """Return the gate with the weights and the spread of a file."""
    gate = Gate(len(arrays["inner/kernel"]), nnx.Rngs(0))
    state = jax.tree_util.tree_map_with_path(
        lambda where, leaf: jnp.asarray(arrays[_name(where)]).reshape(leaf.shape),
        nnx.to_pure_dict(nnx.state(gate)),
    )
    nnx.update(gate, state)
    return gate


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn errors of reading a file into a `ValueError` that names the file."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is damaged ({error!r}): train the gate again") from error


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")
