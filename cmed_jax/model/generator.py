"""A trained network as a generator of candidates."""

from zlib import crc32

import jax
import numpy as np
from jaxtyping import UInt32

from cmed_jax.data.query import Densities, Generator, Query
from cmed_jax.model.network import Network, predict


def network_generator(
    network: Network, shape: tuple[int, int, int], *, samples: int = 0, seed: int = 0
) -> Generator:
    """Return a generator whose candidates are the latent mean's density and then `samples`.

    It is a pure function of each query: what else is asked beside it changes nothing.
    """
    network.eval()
    fold_in = jax.vmap(jax.random.fold_in, in_axes=(None, 0))

    def generator(query: Query) -> Densities:
        keys = fold_in(jax.random.key(seed), query_seeds(query))
        return predict(network, *query, shape=shape, samples=samples, keys=keys)

    return generator


def query_seeds(query: Query) -> UInt32[np.ndarray, " b"]:
    """Return a number for each query to draw with, which what is asked decides alone."""
    columns = [np.ascontiguousarray(column, np.float32) for column in query]
    rows = zip(*columns, strict=True)
    return np.array([crc32(b"".join(part.tobytes() for part in row)) for row in rows], np.uint32)
