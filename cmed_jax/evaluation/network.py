"""A trained network as a generator of candidates."""

import jax

from cmed_jax.evaluation.protocol import Densities, Generator, Query
from cmed_jax.model.network import Network, predict


def network_generator(
    network: Network, shape: tuple[int, int, int], *, samples: int = 0, seed: int = 0
) -> Generator:
    """Return a generator whose candidates are the latent mean's density and then `samples`.

    It is a pure function: the same queries are answered with the same samples.
    """
    network.eval()

    def generator(query: Query) -> Densities:
        return predict(network, *query, shape=shape, samples=samples, key=jax.random.key(seed))

    return generator
