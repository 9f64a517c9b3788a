"""Volumes of crystals from their compositions, against cells of the literature."""

import numpy as np
import pytest

from cmed_jax.crystal.atomic_volumes import (
    KnownVolumes,
    nearest_relative_volume,
    plausible_volumes,
    relative_volume,
    usual_relative_volume,
    usual_volumes,
    volume_of_atom,
)
from cmed_jax.crystal.composition import composition_vector, parse_composition
from cmed_jax.physics.patterns import RADIATIONS
from cmed_jax.prediction.assessment import LARGEST_VOLUME, SMALLEST_VOLUME

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
def test_what_is_not_known_has_no_volume_and_the_usual_volume(composition):
    fractions, _ = parse_composition(composition)
    assert volume_of_atom(fractions) is None
    assert relative_volume(100.0, fractions, 2) == 1


OPEN = {
    "Si": 20.02,
    "Ge": 22.64,
    "K": 75.7,
    "Li": 21.6,
    "Cs": 115.0,
    "Yb": 41.3,
    "W": 15.85,
    "Ag": 17.05,
    "C10H8": 10.0,
    "CO2": 14.8,
}
"""Volumes per atom, angstrom^3, of open structures, soft metals, and molecules."""
ALLOTROPES = {"C": (5.67, 8.80), "Sn": (27.05, 34.1), "P": (18.98, 28.3)}
"""Volumes per atom of diamond and graphite, white and grey tin, black and white phosphorus."""


@pytest.mark.parametrize("formula", OPEN)
def test_open_structures_and_soft_metals_take_up_what_is_usual(formula):
    composition, _ = parse_composition(formula)
    assert usual_relative_volume(8 * OPEN[formula], composition, 8) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("formula", [*OPEN, "NaCl", "GaAs", "Fe", "Ni3Al"])
@pytest.mark.parametrize("anode", ["CrKa", "FeKa", "CoKa", "MoKa", "AgKa"])
def test_a_wrong_anode_leaves_no_usual_volume(formula, anode):
    composition, _ = parse_composition(formula)
    volume = (OPEN | LITERATURE)[formula]
    scaled = volume * (RADIATIONS[anode] / RADIATIONS["CuKa"]) ** 3
    assert not SMALLEST_VOLUME <= usual_relative_volume(scaled, composition, 1) <= LARGEST_VOLUME


@pytest.mark.parametrize(("element", "volume"), [(e, v) for e in ALLOTROPES for v in ALLOTROPES[e]])
def test_every_allotrope_is_usual(element, volume):
    composition, _ = parse_composition(element)
    assert SMALLEST_VOLUME <= usual_relative_volume(volume, composition, 1) <= LARGEST_VOLUME


@pytest.mark.parametrize("formula", ["NaCl", "MgO", "GaAs", "Ni3Al", "SrTiO3"])
def test_where_the_table_knows_the_bonding_it_alone_tells(formula):
    composition, _ = parse_composition(formula)
    assert usual_volumes(composition) == (volume_of_atom(composition),)
    assert usual_relative_volume(100.0, composition, 4) == relative_volume(100.0, composition, 4)


def test_known_crystals_tell_the_usual_volume_of_a_compound():
    composition, _ = parse_composition("Al2O3")
    known = (8.5, 9.0)
    assert plausible_volumes(composition, known) == known
    assert usual_volumes(composition, known) == known
    assert usual_relative_volume(30 * 8.7, composition, 30, known) == 1
    assert usual_relative_volume(30 * 13.5, composition, 30, known) == pytest.approx(1.5)
    assert usual_relative_volume(30 * 4.25, composition, 30, known) == pytest.approx(0.5)
    assert nearest_relative_volume(5 * 8.5 * 1.1, composition, 5, known[:1]) == pytest.approx(1.1)


def test_known_crystals_of_strange_volume_do_not_tell_it():
    """Calculated without magnetic moments, MnS of the type of rock salt is too small by a third."""
    composition, _ = parse_composition("MnS")
    estimated = usual_volumes(composition)
    assert plausible_volumes(composition, (13.2, 16.1, 40.0)) == (16.1,)
    assert usual_volumes(composition, (13.2, 16.1, 40.0)) == (16.1,)
    assert set(usual_volumes(composition, (13.2,))) == {13.2, *estimated}
    assert usual_relative_volume(8 * 17.98, composition, 8, (13.2,)) == pytest.approx(1, abs=0.1)


def test_a_structure_type_in_which_the_compound_is_known_has_its_own_usual_volume():
    composition, _ = parse_composition("Al2O3")
    known = KnownVolumes((8.5, 9.5), 8.5)
    assert known.are_usual(composition)
    assert known.relative(30 * 9.35, composition, 30) == pytest.approx(1.1)
    assert known._replace(of_type=None).relative(30 * 9.35, composition, 30) == 1
    strange = KnownVolumes((8.5, 3.0), 3.0)  # of such a calculation nothing is expected
    assert strange.relative(30 * 8.5, composition, 30) == 1
    assert not KnownVolumes((3.0,), 3.0).are_usual(composition)
    assert not KnownVolumes().are_usual(composition)


def test_known_crystals_of_elements_add_to_the_usual_volumes():
    """Diamond may be asked about where graphite alone is known."""
    composition, _ = parse_composition("C")
    assert not plausible_volumes(composition, (8.8,))
    assert set(usual_volumes(composition, (8.8,))) == {*usual_volumes(composition), 8.8}
    for volume in ALLOTROPES["C"]:
        assert SMALLEST_VOLUME < usual_relative_volume(volume, composition, 1, (8.8,)) < 1.35


def test_a_known_crystal_tells_the_volume_of_elements_that_the_table_lacks():
    composition, _ = parse_composition("NaAt")
    assert usual_relative_volume(60.0, composition, 2, (20.0,)) == pytest.approx(1.5)


def test_of_whole_formula_units_the_nearest_number_is_taken():
    composition, _ = parse_composition("NaCl")
    unit = 2 * volume_of_atom(composition)
    for units in (1, 2, 4):
        assert nearest_relative_volume(1.1 * units * unit, composition, 2) == pytest.approx(
            1.1, rel=0.1
        )
    assert nearest_relative_volume(0.3 * unit, composition, 2) == pytest.approx(0.3)
    assert nearest_relative_volume(100.0, parse_composition("NaAt")[0], 2) == 1


@pytest.mark.parametrize("composition", ["NaAt", None])
def test_without_volumes_any_volume_is_usual(composition):
    assert usual_relative_volume(1.0, parse_composition(composition)[0], 3) == 1
