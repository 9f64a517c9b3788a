"""Volumes of crystals from their compositions, against cells of the literature."""

import numpy as np
import pytest

from cmed_jax.crystal.atomic_volumes import relative_volume, volume_of_atom
from cmed_jax.crystal.composition import composition_vector, parse_composition

LITERATURE = {
    "NaCl": 5.640**3 / 8,
    "KBr": 6.600**3 / 8,
    "MgO": 4.212**3 / 8,
    "CaF2": 5.463**3 / 12,
    "SrTiO3": 3.905**3 / 5,
    "MgAl2O4": 8.083**3 / 56,
    "ZnS": 5.409**3 / 8,
    "GaAs": 5.653**3 / 8,
    "Cu": 3.615**3 / 4,
    "Fe": 2.866**3 / 2,
    "Pb": 4.950**3 / 4,
    "Ni3Al": 3.572**3 / 4,
}
"""The volumes per atom, angstrom^3, from edges of cubic cells."""


@pytest.mark.parametrize("formula", LITERATURE)
def test_atoms_take_up_what_they_do_in_crystals_of_the_literature(formula):
    composition, _ = parse_composition(formula)
    assert volume_of_atom(composition) == pytest.approx(LITERATURE[formula], rel=0.25)
    assert relative_volume(30 * LITERATURE[formula], composition, 30) == pytest.approx(1, rel=0.25)


def test_a_cation_takes_up_less_than_the_atom_of_a_metal():
    """Sodium takes 39.5 angstrom^3 an atom as a metal, and a few as an ion."""
    alone, salt, amalgam = (volume_of_atom(parse_composition(x)[0]) for x in ("Na", "NaF", "NaHg"))
    fluorine = volume_of_atom(parse_composition("F")[0])
    mercury = volume_of_atom(parse_composition("Hg")[0])
    assert 2 * salt - fluorine < alone == pytest.approx(2 * amalgam - mercury)


def test_the_volume_is_that_of_the_mixture():
    mixed = volume_of_atom(composition_vector(np.array([29, 29, 29, 79])))
    copper, gold = (volume_of_atom(parse_composition(x)[0]) for x in ("Cu", "Au"))
    assert mixed == pytest.approx((3 * copper + gold) / 4, rel=1e-6)


@pytest.mark.parametrize("composition", ["NaAt", None])
def test_what_is_not_known_has_no_volume_and_the_usual_room(composition):
    told, _ = parse_composition(composition)
    assert volume_of_atom(told) is None
    assert relative_volume(100.0, told, 2) == 1
