import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from cmed_jax.crystal.composition import (
    Knowledge,
    amounts_of,
    anonymous_formula,
    atomic_number,
    composition_vector,
    parse_composition,
)


@pytest.mark.parametrize("formula", ["NaCl", "Ca(OH)2", "Fe0.9Ni0.1", "K3Fe(CN)6", "U"])
def test_formulas_give_the_atom_fractions_of_pymatgen(formula):
    vector, knowledge = parse_composition(formula)
    reference = Composition(formula).fractional_composition
    assert knowledge == Knowledge.FULL
    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector[[e.Z for e in reference]], list(reference.values()), 1e-6)
    np.testing.assert_allclose(vector.sum(), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("formula", "plain"),
    [
        ("CuSO4·5H2O", "CuSO4(H2O)5"),
        ("CuSO₄ • 5 H₂O", "CuSO4(H2O)5"),
        ("CaSO4·½H2O", "Ca2S2O8H2O"),
        ("CaSO4*0.5H2O", "Ca2S2O8H2O"),
        ("CuSO4 5H2O", "CuSO4(H2O)5"),
        ("CuSO4 5 H2O", "CuSO4(H2O)5"),
        ("CaSO4 · 0.5 H2O", "Ca2S2O8H2O"),
        ("Ca(OH)2 0.5 H2O", "Ca2(OH)4H2O"),
        ("Na2CO3 10 H₂O", "Na2CO3(H2O)10"),
        ("Na2CO3·10 H2O", "Na2CO3(H2O)10"),
        ("Ca(OH)2 H2O", "CaO2H2H2O"),
        ("Al2O3 2SiO2", "Al2O3Si2O4"),
        ("CaSO4·1/2H2O", "Ca2S2O8H2O"),
        ("Li[Ni1/3Mn1/3Co1/3]O2", "Li3NiMnCoO6"),
        ("Fe 2 O 3", "Fe2O3"),
        ("3CaO·Al2O3·6H2O", "Ca3Al2O6(H2O)6"),
        ("Al₂O₃", "Al2O3"),
        ("La1.85Sr0.15CuO4", "La37Sr3Cu20O80"),
    ],
)
def test_adducts_are_the_sum_of_their_parts(formula, plain):
    """The sum is calculated by hand, and its fractions by pymatgen."""
    vector, knowledge = parse_composition(formula)
    reference = Composition(plain).fractional_composition
    assert knowledge == Knowledge.FULL
    np.testing.assert_allclose(vector[[e.Z for e in reference]], list(reference.values()), 1e-6)


@pytest.mark.parametrize(
    ("formula", "oxygen"),
    [("YBa2Cu3O6.93", 6.93), ("WO2.5(OH)0.5", 3.0), ("SrTiO2.9N0.1", 2.9), ("2NaO", 2.0)],
)
def test_a_decimal_amount_of_oxygen_is_no_adduct(formula, oxygen):
    assert amounts_of(formula)["O"] == pytest.approx(oxygen)


@pytest.mark.parametrize(
    "unit", ["Na2O", "H2O", "Li2S", "Fe3C", "NaCl", "Mg3N2", "La2CuO4", "K2PtCl6", "D2O", "Al2MgO"]
)
@pytest.mark.parametrize("number", ["2", "1.5", "3", "6"])
def test_a_number_of_formula_units_changes_nothing(unit, number):
    np.testing.assert_allclose(
        parse_composition(number + unit)[0], parse_composition(unit)[0], rtol=1e-6
    )


@given(
    parts=st.lists(
        st.tuples(st.integers(1, 12), st.sampled_from(["NaCl", "H2O", "Ca(OH)2", "U"])), min_size=1
    ),
    dot=st.sampled_from("·•*⋅"),
)
def test_any_adduct_has_the_atoms_of_its_parts(parts, dot):
    atoms = sum((number * Composition(formula) for number, formula in parts), Composition())
    found, _ = parse_composition(dot.join(f"{number}{formula}" for number, formula in parts))
    np.testing.assert_allclose(found, parse_composition(atoms.get_el_amt_dict())[0], rtol=1e-6)


def test_elements_may_be_parted_by_commas():
    for written in (["Na,Cl"], ["Na,", "Cl"], ["Na, Cl"]):
        np.testing.assert_array_equal(
            parse_composition(written)[0], parse_composition(["Na", "Cl"])[0]
        )


@given(st.lists(st.integers(1, 118), min_size=1, max_size=40))
def test_atoms_and_amounts_give_the_same_vector(numbers):
    from cmed_jax.crystal.composition import SYMBOLS

    amounts = {SYMBOLS[z]: numbers.count(z) for z in set(numbers)}
    vector, _ = parse_composition(amounts)
    np.testing.assert_allclose(composition_vector(np.array(numbers)), vector, rtol=1e-6)


def test_one_further_element_may_be_unknown():
    vector, knowledge = parse_composition(["Na", "?"])
    assert knowledge == Knowledge.MISSING_ELEMENT
    assert np.flatnonzero(vector).tolist() == [11]


@pytest.mark.parametrize("elements", [["Na", "?", "?"], ["?"]])
def test_more_than_one_unknown_element_is_refused(elements):
    with pytest.raises(ValueError, match=r"give|name one"):
        parse_composition(elements)


def test_elements_alone_are_ones():
    vector, knowledge = parse_composition(["Na", "Cl"])
    assert knowledge == Knowledge.NO_RATIOS
    assert np.flatnonzero(vector).tolist() == [11, 17]
    assert vector.max() == 1


def test_nothing_known_is_zero():
    vector, knowledge = parse_composition(None)
    assert knowledge == Knowledge.NONE
    assert not vector.any()


def test_deuterium_is_hydrogen():
    np.testing.assert_array_equal(parse_composition("D2O")[0], parse_composition("H2O")[0])
    assert atomic_number("D") == 1


@pytest.mark.parametrize(
    ("composition", "message"),
    [
        ("Xq2O", "Xq"),
        ("NaCl)", r"NaCl\)"),
        ("CuSO4.5H2O", r"has a dot on the line before water.*write a hydrate as CuSO4·5H2O"),
        ("CaSO4.0.5H2O", "has a dot on the line before water"),
        ("CuSO4.5 H2O", "has a dot on the line before water"),
        ("Na2CO3.10 H2O", "has a dot on the line before water"),
        ("FeCl3.6 H₂O", "has a dot on the line before water"),
        ("3Al2O3.2SiO2", r"has a dot on the line before an oxide.*write an adduct as 3Al2O3·2SiO2"),
        ("SrO2.5TiO", "before an oxide.* or in one compound oxygen last"),
        ("12CaO.7Al2O3", "has a dot on the line before an oxide"),
        ("CaCO3.3MgCO3", "has a dot on the line before an oxide"),
        ("70Cu30Zn", "has numbers before its elements: write them behind, such as Cu70Zn30"),
        ("1La6B", "has numbers before its elements"),
        ("0.4Mg0.6O", "has numbers before its elements"),
        ("18Cr10Ni72Fe", "has numbers before its elements"),
        ("33.3Al66.7Ni", "has numbers before its elements"),
        ("Na+Cl-", r"cannot be read at 'Na\+Cl-': write .* without charges"),
        ("NaCl·", "cannot be read at ''"),
        ("CaSO4·xH2O", "cannot be read at 'xH2O'"),
        ("Na1e5Cl", "cannot be read"),
        ("Fe2 3", "has the numbers '2 3' beside each other"),
        ("Fe2/O3", "cannot be read"),
        ("nacl", "cannot be read"),
        ("", "empty"),
        ({}, "empty"),
        ({"Na": 0}, "empty"),
        ({"Na": -1}, "amount -1 of Na"),
        ({"Na": float("nan")}, "amount nan of Na"),
        ({"Na": float("inf")}, "amount inf of Na"),
        ({"Na": 10**400}, "amount 1000.* of Na"),
        ("Na9999999999Cl", "amount .* of Na"),
        (300 * "Na", "the formula has 600 characters"),
        ({"Sodium": 1}, "unknown element 'Sodium'"),
        (["Na", "na"], "unknown element 'na'"),
        ([], "empty"),
    ],
)
def test_bad_compositions_are_named(composition, message):
    with pytest.raises(ValueError, match=message):
        parse_composition(composition)


@pytest.mark.parametrize("formula", ["NaCl", "AlNi3", "U", "K3Fe(CN)6", "Ca5P3O13H", "Fe97Ni100"])
def test_anonymous_formulas_are_those_of_pymatgen(formula):
    vector, _ = parse_composition(formula)
    assert anonymous_formula(vector) == Composition(formula).anonymized_formula


@given(st.lists(st.integers(1, 118), min_size=1, max_size=200))
def test_anonymous_formulas_count_atoms(numbers):
    elements, counts = np.unique(numbers, return_counts=True)
    reduced = np.sort(counts) // np.gcd.reduce(counts)
    formula = anonymous_formula(composition_vector(np.array(numbers)))
    found = [int(count or 1) for count in re.split("[A-Za-z]", formula)[1:]]
    assert found == reduced[: len(found)].tolist()
    assert len(found) == min(len(elements), 52)


def test_what_is_not_known_has_no_formula():
    assert anonymous_formula(np.zeros(119, np.float32)) == ""
