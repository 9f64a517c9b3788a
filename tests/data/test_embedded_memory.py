"""The file of the embedded crystals' reflections against records made afresh."""

import numpy as np

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.embedded_memory import FILE, LEVELS, recall_embedded
from cmed_jax.data.examples import Examples
from cmed_jax.data.query import full_query
from cmed_jax.data.records import Recipe, make_records

PLACES = [0, 117, 5000, 11000]


def embedded():
    return [each for each in open_source() if isinstance(each, Material)]


def test_the_file_holds_the_reflections_of_the_embedded_crystals():
    crystals = embedded()
    with np.load(FILE) as stored:
        rows, lattice, roots = (stored[name][PLACES] for name in ("rows", "lattice", "roots"))
    records = make_records([crystals[row] for row in rows])
    for record, cell, root in zip(records, lattice, roots, strict=True):
        expected = np.sqrt(record["amplitude"].astype(float))[: len(root)]
        np.testing.assert_allclose(root / LEVELS, expected / expected.max(), atol=1.1 / LEVELS)
        np.testing.assert_allclose(cell, record["lattice"], rtol=1e-6, atol=1e-6)


def test_a_crystal_recalls_itself_first():
    crystals = embedded()
    some = Examples.of_crystals([crystals[place] for place in PLACES], Recipe())
    recalled = recall_embedded(full_query(some))
    np.testing.assert_array_equal(recalled.present, 1)
    np.testing.assert_array_equal(recalled.series[:, 0], some.series.astype(np.float32))
