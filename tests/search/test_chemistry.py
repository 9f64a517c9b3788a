"""Distances and contents of cells, against those of well-known crystals."""

import numpy as np
import pytest

from cmed_jax.crystal.bravais import bravais
from cmed_jax.crystal.cell_contents import formula_unit
from cmed_jax.crystal.composition import atomic_number, parse_composition
from cmed_jax.crystal.lattice import primitive_lattice
from cmed_jax.search.chemistry import least_distances, neighbour_misfit
from cmed_jax.search.formula_units import contents
from cmed_jax.search.settings import settings
from cmed_jax.search.usage import group_cost, position_costs
from cmed_jax.search.wyckoff import wyckoff

BONDS = {
    ("Na", "Cl"): 2.82,
    ("Ca", "F"): 2.37,
    ("C", "O"): 1.28,
    ("O", "H"): 0.98,
    ("Si", "O"): 1.61,
}
"""The lengths in rock salt, fluorite, calcite, brucite and quartz, angstrom."""


@pytest.mark.parametrize(("pair", "length"), BONDS.items())
def test_bonds_are_allowed_and_half_of_them_is_not(pair, length):
    least = least_distances(np.array([atomic_number(symbol) for symbol in pair]))
    np.testing.assert_array_equal(least, least.T)
    assert length / 2 < least[0, 1] < length


@pytest.mark.parametrize(("pair", "length"), BONDS.items())
def test_a_bond_is_more_usual_than_one_of_half_its_length_again(pair, length):
    second, first = map(atomic_number, pair)
    assert neighbour_misfit(first, second, length) < 0.5
    assert neighbour_misfit(first, second, length) < neighbour_misfit(first, second, 1.5 * length)


@pytest.mark.parametrize(
    ("formula", "cell", "number", "units"),
    [
        ("NaCl", (5.64, 5.64, 5.64, 90, 90, 90), 225, 1),
        ("CaCO3", (4.99, 4.99, 17.06, 90, 90, 120), 167, 2),
        ("Fe3O4", (8.396, 8.396, 8.396, 90, 90, 90), 227, 2),
        ("FeSO4·7H2O", (14.07, 6.5, 11.04, 90, 105.6, 90), 14, 4),
    ],
)
def test_the_usual_volume_tells_the_formula_units(formula, cell, number, units):
    composition = parse_composition(formula)[0]
    setting = next(x for x in settings(bravais(primitive_lattice(cell))) if x.number == number)
    found = contents(setting, composition, composition)
    atoms = [sum(each.counts) for each in found]
    unit = formula_unit(composition).sum()
    assert units * unit in atoms[:2]
    assert not any(count % unit for count in atoms)


def test_a_formula_unit_of_too_many_atoms_is_refused():
    composition = parse_composition("H211Li223C227N229O233F239Na241Mg251")[0]
    setting = settings(bravais(5.0 * np.eye(3)))[0]
    with pytest.raises(ValueError, match="give a formula with smaller whole numbers"):
        contents(setting, composition, composition)


def test_the_number_of_atoms_may_be_given():
    composition = parse_composition("NaCl")[0]
    cubic = settings(bravais(primitive_lattice((5.64, 5.64, 5.64, 90, 90, 90))))
    setting = next(one for one in cubic if one.number == 225)
    (only,) = contents(setting, composition, composition, 8)
    assert only.counts == (1, 1)


def test_rock_salt_is_a_usual_group_and_its_sites_are_usual():
    assert group_cost(225, range(195, 231)) < group_cost(209, range(195, 231))
    costs = position_costs(wyckoff(225))
    multiplicities = [each.multiplicity for each in wyckoff(225).positions]
    assert costs[multiplicities.index(1)] < costs[multiplicities.index(48)]


@pytest.mark.parametrize(
    ("counts", "bonded"), [((1, 7), True), ((1, 3), True), ((1, 1), False), ((4, 4), False)]
)
def test_more_halogens_than_a_metal_oxidises_are_bonded_to_each_other(counts, bonded):
    """As in NaCl7 and NaCl3; the bond of Cl2 has 1.99 angstrom."""
    sodium, chlorine = (atomic_number(symbol) for symbol in ("Na", "Cl"))
    least = least_distances(np.array([sodium, chlorine]), counts)
    assert (least[1, 1] < 1.99) == bonded
    np.testing.assert_array_equal(least[0], least_distances(np.array([sodium, chlorine]))[0])
