"""The interface of all networks of this package: one encoding per crystal, one value per voxel.

    query, recalled crystals         -> encode ->     latent (a Gaussian)
    a latent                         -> condition ->  conditioning vector, shared by all voxels
    conditioning vector, coordinate  -> decode ->     one number

`decode` is written for a single crystal and a single coordinate; `values` maps it over both. The
number is in the *target space* in which the network is trained; `to_density` converts it to
e/angstrom^3.
"""

import abc
import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key

from cmed_jax.data.memory import Recalled
from cmed_jax.data.query import Query
from cmed_jax.model.standards import Standards

CHUNK = 5000
"""The largest number of coordinates of a full grid that are decoded at once."""
QUERIES = 48 * CHUNK
"""The largest number of voxel queries decoded at once; it bounds the memory of a prediction."""


class Latent(NamedTuple):
    """A diagonal Gaussian for each crystal; its mean is the plain prediction."""

    mean: Float[Array, "b latent"]
    deviation: Float[Array, "b latent"]


class Block(nnx.Module, abc.ABC):
    """A part of a network that is recomputed in the backward pass if `remat` is true.

    Only its input is then kept in memory, at the price of some time.
    """

    remat = False

    @abc.abstractmethod
    def inside(self, x: Array) -> Array:
        """Return the output for an input."""

    def __call__(self, x: Array) -> Array:
        inside = type(self).inside
        return nnx.remat(inside)(self, x) if self.remat else inside(self, x)


class Network(nnx.Module, abc.ABC):
    """The interface of every preset. Arrays are float32; b counts crystals, p voxel queries.

    A network that `reads_reflections` is given amplitudes on integer h and known crystals, others
    the published pattern.
    """

    reads_reflections = False

    def learn_standards(self, standards: Standards) -> None:
        """Take over the units of a training split, before the first step; by default not at all.

        Networks that read reflections are given them.
        """

    @abc.abstractmethod
    def encode(self, query: Query, recalled: Recalled | None) -> Latent:
        """Encode queries, with the known crystals that resemble each of them, if there are any."""

    @abc.abstractmethod
    def condition(self, latent: Float[Array, "b latent"]) -> Float[Array, "b c"]:
        """Return each crystal's conditioning vector."""

    @abc.abstractmethod
    def decode(self, conditioning: Float[Array, " c"], coordinate: Float[Array, "3"]) -> Array:
        """Return the value at one fractional coordinate, a scalar in target space."""

    @abc.abstractmethod
    def reconstruction_loss(
        self,
        conditioning: Float[Array, "b c"],
        coordinates: Float[Array, "*b p 3"],
        density: Float[Array, "b p"],
    ) -> Float[Array, " b"]:
        """Return the loss of each crystal against its densities at coordinates, e/angstrom^3.

        Crystals share the coordinates (p 3), or each has its own (b p 3).
        """

    @abc.abstractmethod
    def latent_loss(self, latent: Latent) -> Float[Array, " b"]:
        """Return the weighted divergence of each latent from the standard normal."""

    @abc.abstractmethod
    def to_density(self, values: Float[Array, "*p"]) -> Float[Array, "*p"]:
        """Return densities, e/angstrom^3, from values in target space."""

    def values(
        self, conditioning: Float[Array, "b c"], coordinates: Float[Array, "*b p 3"]
    ) -> Float[Array, "b p"]:
        """Decode coordinates, which are shared by all crystals (p 3) or differ for each (b p 3)."""
        over_voxels = jax.vmap(self.decode, in_axes=(None, 0))
        own = 0 if coordinates.ndim == 3 else None
        return jax.vmap(over_voxels, in_axes=(0, own))(conditioning, coordinates)


def check_kl_weight(weight: float) -> None:
    """Raise ValueError where the weight of the latent's divergence is not a number from 0 on."""
    if not 0 <= weight < math.inf:
        raise ValueError(f"kl_weight is {weight}: give 0 or a positive number")


@partial(jax.jit, static_argnames=("shape",))
@jax.default_matmul_precision("float32")
def density_on_grid(
    network: Network, latent: Float[Array, "b latent"], shape: tuple[int, int, int]
) -> Float[Array, "b x y z"]:
    """Return the density of each latent on a full grid i/n, e/angstrom^3, in bounded memory.

    The computation is in float32 on every device; GPUs and TPUs round products by default.
    """
    conditioning = network.condition(latent)
    points = grid_coordinates(shape)
    size = min(CHUNK, len(points), max(1, QUERIES // len(latent)))
    filled = np.resize(points, (-(-len(points) // size), size, 3))  # the last chunk repeats some
    # Of a single chunk the compiler would compute all waves itself, which takes it seconds.
    filled = jax.lax.optimization_barrier(jnp.asarray(filled))
    graph, state = nnx.split(network)  # a module must not cross into the loop's trace

    def chunk(coordinates: Float[Array, "p 3"]) -> Float[Array, "b p"]:
        return nnx.merge(graph, state, copy=True).values(conditioning, coordinates)

    values = jnp.moveaxis(jax.lax.map(chunk, filled), 0, 1).reshape(len(latent), -1)
    return network.to_density(values[:, : len(points)]).reshape(-1, *shape)


def grid_coordinates(shape: tuple[int, int, int]) -> Float[np.ndarray, "p 3"]:
    """Return the fractional coordinates i/n of a grid's points, float32, last axis fastest."""
    axes = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
    return np.stack(axes, axis=-1).reshape(-1, 3).astype(np.float32)


@partial(jax.jit, static_argnames=("shape", "samples"))
@jax.default_matmul_precision("float32")
def predict(
    network: Network,
    query: Query,
    recalled: Recalled | None = None,
    *,
    shape: tuple[int, int, int],
    samples: int = 0,
    keys: Key[Array, " b"],
) -> Float[Array, "b k x y z"]:
    """Return candidates for each crystal: from the latent mean, then `samples` drawn with its key.

    The candidates are k = 1 + samples densities in e/angstrom^3 on a grid of `shape`. They are
    computed in float32 on every device. The network must be in evaluation mode (`network.eval()`).
    """
    mean, deviation = network.encode(query, recalled)
    latents = mean[:, None]
    if samples:
        shape_of_each = (samples, mean.shape[1])
        noise = jax.vmap(lambda key: jax.random.normal(key, shape_of_each))(keys)
        drawn = mean[:, None] + noise * deviation[:, None]
        latents = jnp.concatenate([latents, drawn], axis=1)
    densities = density_on_grid(network, latents.reshape(-1, mean.shape[1]), shape)
    return densities.reshape(*latents.shape[:2], *shape)
