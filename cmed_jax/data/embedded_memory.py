"""The embedded crystals as a network recalls them, with their low reflections read from a file.

The reflections of 11,383 crystals take minutes to compute. A file therefore holds those of low
|h|^2, by which crystals are found. The records of the few that are recalled are made when they are
asked for.

`python -m cmed_jax.data.embedded_memory` writes the file anew, after a change of the embedded
crystals, of the harmonics, or of the physics.
"""

from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.memory import RECALLED, Memory, Recalled
from cmed_jax.data.query import Query
from cmed_jax.data.records import Record, make_records
from cmed_jax.physics.harmonics import harmonics

FILE = Path(__file__).with_name("embedded_reflections.npz")
LOW = 24
"""The largest |h|^2 of the reflections in the file."""
LEVELS = 255
"""The number of steps to which the roots of amplitudes are rounded, up to the largest one."""
CHUNK = 512
"""The number of crystals computed at once, which bounds the memory."""


def recall_embedded(query: Query) -> Recalled:
    """Return the embedded crystals that resemble each query most (`cmed_jax.data.memory`)."""
    crystals, memory = _memory()
    low = np.arange(len(harmonics())) < len(harmonics(LOW))
    asked = query._replace(observed=np.asarray(query.observed) * low)
    places, present = memory.nearest(asked, RECALLED)
    which, inverse = np.unique(places, return_inverse=True)
    records = [_record(crystals[place]) for place in which]
    lattice, amplitude, composition, series = (
        np.stack([record[name] for record in records]).astype(np.float32)[
            inverse.reshape(places.shape)
        ]
        for name in ("lattice", "amplitude", "composition", "series")
    )
    return Recalled(lattice, amplitude, composition, series, present.astype(np.float32))


@cache
def _memory() -> tuple[list[Material], Memory]:
    """Return the crystals in the file, and the memory of their low reflections."""
    crystals = _crystals()
    with np.load(FILE) as stored:
        rows, lattice, roots = stored["rows"], stored["lattice"], stored["roots"]
    used = [crystals[row] for row in rows]
    amplitude = np.zeros((len(rows), len(harmonics())), np.float32)
    amplitude[:, : roots.shape[1]] = (roots.astype(np.float32) / LEVELS) ** 2
    composition = np.stack([each.composition for each in used])
    return used, Memory(lattice, amplitude, composition)


@lru_cache(maxsize=256)
def _record(crystal: Material) -> Record:
    (record,) = make_records([crystal])
    assert isinstance(record, dict)  # it had a record when the file was written
    return record


def _crystals() -> list[Material]:
    return [each for each in open_source() if isinstance(each, Material)]


def write() -> None:
    """Write the file of the embedded crystals' low reflections."""
    crystals = _crystals()
    rows, lattice, roots = [], [], []
    for first in range(0, len(crystals), CHUNK):
        for row, record in enumerate(make_records(crystals[first : first + CHUNK]), first):
            if isinstance(record, dict):
                root = np.sqrt(record["amplitude"].astype(np.float32))[: len(harmonics(LOW))]
                rows.append(row)
                lattice.append(record["lattice"].astype(np.float32))
                roots.append(np.rint(LEVELS * root / max(root.max(), 1e-6)).astype(np.uint8))
    np.savez_compressed(
        FILE, rows=np.array(rows, np.int32), lattice=np.stack(lattice), roots=np.stack(roots)
    )


if __name__ == "__main__":
    write()
