"""The file of the embedded crystals' reflections against records made afresh."""

import numpy as np

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.embedded_memory import FILE, embedded_memory
from cmed_jax.data.records import make_records

ROWS = [0, 117, 5000, 11000]


def test_the_file_holds_the_reflections_of_the_embedded_crystals():
    memory = embedded_memory()
    crystals = [each for each in open_source() if isinstance(each, Material)]
    with np.load(FILE) as stored:
        used = stored["rows"][ROWS]
    for row, record in zip(ROWS, make_records([crystals[row] for row in used]), strict=True):
        stored = record["amplitude"].astype(float)
        # The root is rounded to a step of 1/255 of the largest one.
        step = np.sqrt(stored.max()) / 255
        np.testing.assert_allclose(np.sqrt(memory.amplitude[row]), np.sqrt(stored), atol=step)
        np.testing.assert_allclose(memory.lattice[row], record["lattice"], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(memory.composition[row], record["composition"])
        np.testing.assert_array_equal(memory.series_of(np.array([row]))[0], record["series"])
