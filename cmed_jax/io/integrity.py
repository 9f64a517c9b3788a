"""Checksums, and the treatment of damaged files."""

import shutil
from functools import partial
from pathlib import Path
from types import ModuleType

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
    parts = [_sum_of_words(leaf) for leaf in jax.tree.leaves(tree)]
    total = 0
    for part in jax.device_get(parts):
        total = (31 * total + int(part)) % 2**32
    return total


def _sum_of_words(array: Shaped[Array | np.ndarray, "..."]) -> UInt32[Array, ""] | np.uint32:
    """Return the part of an array.

    NumPy sums what the host holds, since a program has to be compiled for each shape first.
    Elsewhere a program sums where the array lies, whole or in the parts of several processes.
    """
    if isinstance(array, np.ndarray) or _is_on_host(array):
        return _sum(np, np.asarray(array))
    return _sum_on_devices(array)


def _is_on_host(array: Array) -> bool:
    return array.is_fully_addressable and all(each.platform == "cpu" for each in array.devices())


def _sum(xp: ModuleType, array: Shaped[Array | np.ndarray, "..."]) -> UInt32[Array, ""] | np.uint32:
    words = array.view(f"uint{8 * array.dtype.itemsize}").ravel().astype(xp.uint32)
    odd = 2 * xp.arange(words.size, dtype=xp.uint32) + 1
    return xp.sum(odd * words, dtype=xp.uint32)


_sum_on_devices = jax.jit(partial(_sum, jnp))


def set_aside(path: Path) -> None:
    """Rename a damaged file or folder with the suffix .damaged, which frees its name."""
    aside = path.with_suffix(".damaged")
    shutil.rmtree(aside, ignore_errors=True)  # an earlier damaged file of the same step
    path.rename(aside)
