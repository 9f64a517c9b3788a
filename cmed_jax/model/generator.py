"""A trained network as a generator of candidates."""

from zlib import crc32

import jax
import numpy as np
from jaxtyping import UInt32

from cmed_jax.data.memory import Recall
from cmed_jax.data.query import Densities, Generator, Query, no_lines
from cmed_jax.model.network import Network, predict
from cmed_jax.model.observed_lines import with_observed_lines


def network_generator(
    network: Network,
    shape: tuple[int, int, int],
    *,
    memory: Recall | None = None,
    samples: int = 0,
    seed: int = 0,
    b_factor: float | None = None,
) -> Generator:
    """Return a generator of candidates: the density of the latent mean, then `samples` samples.

    The candidates of a query are a pure function of it and do not depend on other queries.

    Args:
        network: the network.
        shape: number of points of the densities along a, b, c.
        memory: the function that recalls known crystals for queries; None for none.
        samples: number of samples besides the plain candidate.
        seed: seed of the samples.
        b_factor: isotropic B of the densities that the network was trained on, angstrom^2: the
            observed lines of queries are imposed on densities that agree with them
            (`cmed_jax.model.observed_lines`). None leaves the densities as the network decodes
            them.
    """
    network.eval()
    fold_in = jax.vmap(jax.random.fold_in, in_axes=(None, 0))

    def generator(query: Query) -> Densities:
        keys = fold_in(jax.random.key(seed), query_seeds(query))
        recalled = None if memory is None else memory(query)
        read = query._replace(lines=no_lines(len(keys)))  # their number would compile a program
        found = predict(network, read, recalled, shape=shape, samples=samples, keys=keys)
        return found if b_factor is None else with_observed_lines(query, found, b_factor)

    return generator


def query_seeds(query: Query) -> UInt32[np.ndarray, " b"]:
    """Return a seed for each query, determined by what networks read of it alone."""
    read = (column for name, column in query._asdict().items() if name != "lines")
    columns = [np.ascontiguousarray(column, np.float32) for column in read]
    rows = zip(*columns, strict=True)
    return np.array([crc32(b"".join(part.tobytes() for part in row)) for row in rows], np.uint32)
