"""Materials shared by the tests of `cmed_jax.crystal`."""

import json

import numpy as np
import pytest

from cmed_jax.crystal.material import CRYSTAL_SYSTEMS
from cmed_jax.crystal.sources import open_source


@pytest.fixture(scope="session")
def embedded():
    return {material.material_id: material for material in open_source()}


@pytest.fixture(scope="session")
def sample(embedded):
    """Eight small embedded materials of each crystal system, drawn once for all."""
    rng = np.random.default_rng(20240511)
    drawn = []
    for system in CRYSTAL_SYSTEMS:
        small = [m for m in embedded.values() if m.crystal_system == system]
        small = [m for m in small if len(m.numbers) <= 24]
        drawn += [small[i] for i in rng.choice(len(small), 8, replace=False)]
    return drawn


@pytest.fixture
def jsonl(tmp_path):
    """Write rows (dicts, or text as it is) as JSON lines and return the path."""

    def write(rows, name="rows.jsonl"):
        path = tmp_path / name
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        path.write_text("".join(line + "\n" for line in lines))
        return path

    return write
