"""Bravais lattices and reduced cells, compared with pymatgen's and gemmi's."""

import gemmi
import numpy as np
import pytest
from pymatgen.core import Lattice

from cmed_jax.crystal.bravais import bravais, reduced_cell, same_lattice
from cmed_jax.crystal.lattice import lattice_points
from cmed_jax.crystal.symmetry import centring_of

CELLS = [
    (3.1, 4.2, 5.3, 71.0, 82.0, 93.0),
    (2.9, 6.1, 6.2, 90.0, 104.0, 90.0),
    (4.0, 4.0, 4.0, 60.0, 60.0, 60.0),
    (3.0, 9.0, 11.0, 40.0, 75.0, 80.0),
]
OTHER_BASES = [
    np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]]),
    np.array([[1, 2, 3], [0, 1, 4], [0, 0, 1]]),
    np.array([[2, 1, 0], [1, 1, 0], [5, -3, 1]]),
]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("basis", OTHER_BASES)
def test_a_lattice_is_the_same_in_every_basis(cell, basis):
    lattice = Lattice.from_parameters(*cell)
    other = basis @ lattice.matrix
    assert same_lattice(lattice.matrix, other, 1e-9)
    assert not same_lattice(lattice.matrix, 2 * other)
    assert not same_lattice(lattice.matrix, np.diag([2, 1, 1]) @ other)
    niggli = lattice.get_niggli_reduced_lattice()
    reduced = Lattice(reduced_cell(other))
    assert sorted(reduced.abc) == pytest.approx(sorted(niggli.abc))


def test_the_conventional_cell_of_a_primitive_one():
    found = bravais(Lattice.from_parameters(4, 4, 4, 60, 60, 60).matrix)
    assert (found.system, found.centring) == ("cubic", "F")
    np.testing.assert_allclose(Lattice(found.conventional).abc, 4 * np.sqrt(2))


def test_every_space_group_has_its_centring_and_lattice_points():
    for number in range(1, 231):
        known = gemmi.find_spacegroup_by_number(number)
        assert centring_of(number) == known.centring_type()
        assert lattice_points(centring_of(number)) == len(known.operations().cen_ops)


@pytest.mark.parametrize("number", [None, 0, 231])
def test_no_such_space_group_has_a_centring(number):
    with pytest.raises(ValueError, match="space group"):
        centring_of(number)
