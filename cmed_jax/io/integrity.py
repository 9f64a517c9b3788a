"""Checksums, and the treatment of damaged files."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree, UInt32


class Damaged(ValueError):
    """The error of a checkpoint or released file that is unreadable or differs from the saved."""


@jax.jit
def checksum(tree: PyTree) -> UInt32[Array, ""]:
    """Return the sum of all words of a tree's arrays, each multiplied by its own odd number.

    A change of a single word always changes the sum, modulo 2^32. The sum of integers does not
    depend on their order, so the checksum does not depend on the devices.
    """
    total = jnp.uint32(0)
    for leaf in jax.tree.leaves(tree):
        words = leaf.view(f"uint{8 * leaf.dtype.itemsize}").ravel().astype(jnp.uint32)
        odd = 2 * jnp.arange(words.size, dtype=jnp.uint32) + 1
        total = 31 * total + jnp.sum(odd * words, dtype=jnp.uint32)
    return total


def set_aside(path: Path) -> None:
    """Rename a damaged file or folder with the suffix .damaged, which frees its name."""
    aside = path.with_suffix(".damaged")
    shutil.rmtree(aside, ignore_errors=True)  # an earlier damaged file of the same step
    path.rename(aside)
