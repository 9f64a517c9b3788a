"""Reciprocal lattices against pymatgen, and invalid crystals."""

import numpy as np
import pytest
from pymatgen.core import Lattice

from cmed_jax.physics.cell import cell_volume, check_atoms, reciprocal_lattice


def test_the_reciprocal_lattice_is_that_of_pymatgen(crystal):
    lattice = Lattice(crystal.lattice)
    expected = lattice.reciprocal_lattice_crystallographic
    np.testing.assert_allclose(reciprocal_lattice(crystal.lattice), expected.matrix, atol=1e-14)
    assert cell_volume(crystal.lattice) == pytest.approx(lattice.volume)


def test_a_left_handed_cell_is_a_cell(crystal):
    mirrored = crystal.lattice * [1, 1, -1]
    assert cell_volume(mirrored) == pytest.approx(cell_volume(crystal.lattice))
    np.testing.assert_allclose(reciprocal_lattice(mirrored) @ mirrored.T, np.eye(3), atol=1e-14)


@pytest.mark.parametrize("angle", [0.0, 1e-5])
def test_a_flat_cell_is_refused(angle):
    flat = np.array([[5, 0, 0], [0, 5, 0], [5, 0, 5 * np.sin(np.radians(angle))]])
    with pytest.raises(ValueError, match="spans no volume"):
        reciprocal_lattice(flat)


def test_atoms_need_one_position_each():
    with pytest.raises(ValueError, match=r"2 atoms need as many rows x, y, z, not shape \(1, 3\)"):
        check_atoms(np.array([11, 17]), np.zeros((1, 3)), np.ones(2))
