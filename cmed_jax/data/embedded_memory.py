"""The embedded crystals as a network recalls them, with their reflections read from a file.

The reflections of 11,383 crystals take minutes to compute, and 2 MB to keep. The Fourier series of
the few that are recalled are computed when they are asked for.

`python -m cmed_jax.data.embedded_memory` writes the file anew, after a change of the embedded
crystals, of the harmonics, or of the physics.
"""

from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Integer

from cmed_jax.crystal.composition import composition_vector
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.memory import Memory
from cmed_jax.data.records import make_records

FILE = Path(__file__).with_name("embedded_reflections.npz")
LEVELS = 255
"""The number of steps to which the roots of amplitudes are rounded, up to the largest one."""
CHUNK = 512
"""The number of crystals computed at once, which bounds the memory."""


@cache
def embedded_memory() -> Memory:
    """Return the embedded crystals as a memory, in the order of their source."""
    crystals = _crystals()
    with np.load(FILE) as stored:
        rows, lattice, roots = stored["rows"], stored["lattice"], stored["roots"]
    used = [crystals[row] for row in rows]
    amplitude = (roots.astype(np.float32) / LEVELS) ** 2
    amplitude /= np.sqrt(np.mean(amplitude**2, axis=1, keepdims=True))
    composition = np.stack([composition_vector(each.numbers) for each in used])

    def series_of(wanted: Integer[np.ndarray, " r"]) -> Float[np.ndarray, "r t"]:
        return np.stack([_record_series(used[row]) for row in wanted])

    return Memory(lattice, amplitude, composition, series_of)


def _record_series(crystal: Material) -> Float[np.ndarray, " t"]:
    (record,) = make_records([crystal])
    assert isinstance(record, dict)  # it had a record when the file was written
    return record["series"]


def _crystals() -> list[Material]:
    return [each for each in open_source() if isinstance(each, Material)]


def write() -> None:
    """Write the file of the embedded crystals' reflections."""
    crystals, rows, lattice, roots = _crystals(), [], [], []
    for first in range(0, len(crystals), CHUNK):
        part = crystals[first : first + CHUNK]
        for row, record in enumerate(make_records(part), first):
            if isinstance(record, dict):
                root = np.sqrt(record["amplitude"].astype(np.float32))
                rows.append(row)
                lattice.append(record["lattice"].astype(np.float32))
                roots.append(np.rint(LEVELS * root / root.max()).astype(np.uint8))
    np.savez_compressed(
        FILE, rows=np.array(rows, np.int32), lattice=np.stack(lattice), roots=np.stack(roots)
    )


if __name__ == "__main__":
    write()
