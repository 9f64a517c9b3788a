"""Superlattices: their number and symmetry, and the lattices that have room for a formula."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from cmed_jax.crystal.composition import composition_vector
from cmed_jax.search.superlattices import hermite_forms, superlattices, with_room

CUBE = 4.0 * np.eye(3)
FACES = 2.6 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])


def symmetry(lattice):
    """The symbol of the space group of one atom at each point of a lattice, by spglib."""
    return SpacegroupAnalyzer(
        Structure(Lattice(lattice), ["Po"], [[0, 0, 0]])
    ).get_space_group_symbol()


@pytest.mark.parametrize(("index", "number"), [(1, 1), (2, 7), (3, 13), (4, 35), (5, 31), (6, 91)])
def test_there_are_as_many_superlattices_as_theory_says(index, number):
    """The numbers are those of Hart and Forcade, Phys. Rev. B 77, 224115 (2008)."""
    forms = list(hermite_forms(index))
    assert len({form.tobytes() for form in forms}) == len(forms) == number
    assert {round(np.linalg.det(form)) for form in forms} == {index}


@pytest.mark.parametrize(
    ("lattice", "index", "symbols"),
    [
        (CUBE, 2, ["Fm-3m"]),
        (CUBE, 4, ["Im-3m"]),
        (FACES, 2, ["P4/mmm"]),
        (FACES, 4, ["Pm-3m"]),
        (4.0 * np.diag([1, 1, 1.4]), 3, ["P4/mmm"]),
    ],
)
def test_the_most_symmetric_ones_are_kept(lattice, index, symbols):
    found = superlattices(lattice, index)
    assert [symmetry(each) for each in found] == symbols
    for each in found:
        assert abs(np.linalg.det(each)) == pytest.approx(index * abs(np.linalg.det(lattice)))
        inside = each @ np.linalg.inv(lattice)
        np.testing.assert_allclose(inside, np.rint(inside), atol=1e-9)


def test_a_lattice_without_room_for_a_formula_unit_is_replaced():
    """Atoms of CsCl would fill a cube of half the volume in turn, as in a random alloy."""
    rock_salt = 5.64 / 2 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]])
    half = 5.64 / 2 * np.eye(3)
    formula = composition_vector(np.array([11, 17]))
    whole, larger, largest = with_room([rock_salt, half, 2 * rock_salt], formula)
    np.testing.assert_array_equal(whole, rock_salt)
    np.testing.assert_array_equal(largest, 2 * rock_salt)
    assert symmetry(larger) == "Fm-3m"
    assert abs(np.linalg.det(larger)) == pytest.approx(5.64**3 / 4)
    (tiny,) = with_room([half / 4], formula)  # the search refuses it with a sentence
    np.testing.assert_array_equal(tiny, half / 4)
