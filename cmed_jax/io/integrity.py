"""Integrity of files: checksums, and what is said of damage."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree, UInt32


class Damaged(ValueError):
    """A checkpoint cannot be read, or does not hold what was saved."""


@jax.jit
def checksum(tree: PyTree) -> UInt32[Array, ""]:
    """Return a sum of all words of a tree's arrays, each times an odd number of its own.

    A word that changes alone always changes the sum, modulo 2^32. Integers sum to the same in any
    order, so that it does not depend on the devices.
    """
    total = jnp.uint32(0)
    for leaf in jax.tree.leaves(tree):
        words = leaf.view(f"uint{8 * leaf.dtype.itemsize}").ravel().astype(jnp.uint32)
        odd = 2 * jnp.arange(words.size, dtype=jnp.uint32) + 1
        total = 31 * total + jnp.sum(odd * words, dtype=jnp.uint32)
    return total


def set_aside(path: Path) -> None:
    """Rename a damaged file or folder, so that it stands in nobody's way."""
    aside = path.with_suffix(".damaged")
    shutil.rmtree(aside, ignore_errors=True)  # an earlier one of the same step
    path.rename(aside)
