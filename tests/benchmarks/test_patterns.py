"""Patterns of a folder with a manifest, plain and compressed."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from benchmarks.patterns import WAVELENGTH, known_patterns, listed_patterns
from cmed_jax.crystal.bravais import same_lattice

SALT = Path("examples/halite.xy").read_bytes()
ROWS = """\
file,formula,space_group,wavelength_A,cell,mp_id
salt.xy,NaCl,225,1.5406,5.64 5.64 5.64 90 90 90,
packed.xy.gz,NaCl,225,,5.64 5.64 5.64 90 90 90,mp-1
unknown.xy,NaCl,225,,,
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "manifest.csv").write_text(ROWS, encoding="utf-8")
    (tmp_path / "salt.xy").write_bytes(SALT)
    (tmp_path / "packed.xy.gz").write_bytes(gzip.compress(SALT))
    return tmp_path


def test_a_manifest_lists_what_is_known_of_each_pattern(folder):
    plain, packed, unknown = listed_patterns(folder)
    assert (plain.formula, plain.space_group, plain.wavelength) == ("NaCl", 225, 1.5406)
    assert (packed.wavelength, packed.mp_id) == (WAVELENGTH, "mp-1")
    np.testing.assert_array_equal(plain.load().intensity, packed.load().intensity)
    assert plain.load("CoKa").radiation.mean == pytest.approx(1.79026, abs=1e-4)
    assert same_lattice(plain.lattice, 2.82 * (1 - np.eye(3)))
    with pytest.raises(ValueError, match=r"no cell for unknown\.xy"):
        _ = unknown.lattice


def test_known_patterns_are_those_with_a_cell(folder):
    names = [each.name for each in known_patterns(folder, None)]
    assert names == ["salt.xy", "packed.xy.gz"]
