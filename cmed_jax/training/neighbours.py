"""The neighbours of training crystals: the other crystals that each recalls in training.

Every crystal is compared with every other one, which takes minutes for a hundred thousand. A run
therefore keeps what was found.
"""

import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Array, Int32

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.examples import CompactExamples
from cmed_jax.data.memory import Memory
from cmed_jax.data.query import Query
from cmed_jax.io.atomic import atomic_write
from cmed_jax.training.hosts import is_primary

FILE = "neighbours.npz"
"""The file of a run that holds the neighbours of its training crystals."""
DAMAGES = (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile)
"""What NumPy and zipfile raise for a file that is missing or damaged."""

Neighbours = Int32[Array | np.ndarray, "n 2 k"]
"""Rows of the most similar other crystals of each crystal, the best first; -1 pads.

The first list compares the ratios of the composition as well, the second does not.
"""


def neighbours_of(examples: CompactExamples, recalled: int) -> Neighbours:
    """Return the `recalled` nearest other crystals of each crystal of a split."""
    memory, rows = Memory.of(examples), np.arange(len(examples), dtype=np.int32)
    nothing, found = np.zeros((len(rows), 0)), []
    for knowledge in (Knowledge.FULL, Knowledge.NONE):
        kind = np.full(len(rows), knowledge)
        query = Query(
            nothing, examples.composition, kind, nothing,
            examples.lattice, examples.amplitude, examples.observed, nothing,
        )  # fmt: skip
        nearest, present = memory.nearest(query, recalled, without=list(rows[:, None]))
        found.append(np.where(present, nearest, -1).astype(np.int32))
    return np.stack(found, axis=1)


def kept_materials(kept: Path) -> set[str] | None:
    """Return the ids of the training crystals in a file of neighbours; None where it has none."""
    with suppress(*DAMAGES), kept.open("rb") as opened, np.load(opened) as file:
        return set(file["material_id"].tolist())
    return None


def kept_neighbours(
    examples: CompactExamples, recalled: int, kept: Path | None = None
) -> Neighbours:
    """Return the neighbours of a split from a file, which is written where it does not hold them.

    A file that is damaged only costs the time to find the neighbours again.

    Args:
        examples: the split.
        recalled: number of neighbours of each crystal.
        kept: the file; None for none. The first process of a run writes it.
    """
    if kept is not None:
        with suppress(*DAMAGES), kept.open("rb") as opened, np.load(opened) as file:
            if np.array_equal(file["material_id"], examples.material_id):
                return file["neighbours"]
    found = neighbours_of(examples, recalled)
    if kept is not None and is_primary():
        with atomic_write(kept) as partial, partial.open("wb") as file:
            np.savez(file, material_id=examples.material_id, neighbours=found)
    return found
