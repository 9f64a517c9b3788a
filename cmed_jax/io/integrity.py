"""Checksums, and the treatment of damaged files."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree, Shaped, UInt32


class Damaged(ValueError):
    """The error of a checkpoint or released file that is unreadable or differs from the saved."""


def checksum(tree: PyTree) -> int:
    """Return the sum of all words of a tree's arrays, each multiplied by its own odd number.

    A change of a single word always changes the sum, modulo 2^32. The sum of integers does not
    depend on their order, so the checksum does not depend on the devices.
    """
    total = 0
    for part in jax.device_get([_checksum_of(leaf) for leaf in jax.tree.leaves(tree)]):
        total = (31 * total + int(part)) % 2**32
    return total


@jax.jit
def _checksum_of(array: Shaped[Array | np.ndarray, "..."]) -> UInt32[Array, ""]:
    """Return the part of an array, by a program that all arrays of its shape share."""
    words = array.view(f"uint{8 * array.dtype.itemsize}").ravel().astype(jnp.uint32)
    odd = 2 * jnp.arange(words.size, dtype=jnp.uint32) + 1
    return jnp.sum(odd * words, dtype=jnp.uint32)


def set_aside(path: Path) -> None:
    """Rename a damaged file or folder with the suffix .damaged, which frees its name."""
    aside = path.with_suffix(".damaged")
    shutil.rmtree(aside, ignore_errors=True)  # an earlier damaged file of the same step
    path.rename(aside)
