"""Solid solutions: the parent that is sought, and the elements at its sites."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Lattice, Structure

from cmed_jax.crystal.composition import SYMBOLS, anonymous_formula, parse_composition
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.solid_solutions import shared_crystal, shared_sites
from cmed_jax.physics.reflections import reflections


def parent_of(formula):
    shared = shared_sites(formula)
    atoms = {SYMBOLS[z]: float(shared.parent[z]) for z in np.flatnonzero(shared.parent)}
    return Composition({each: round(1e6 * amount) for each, amount in atoms.items()})


@pytest.mark.parametrize(
    ("formula", "parent"),
    [
        ("Cu0.7Zn0.3", "Cu"),
        ("Cu70Zn30", "Cu"),
        ("Ni80Cr20", "Ni"),
        ("Si0.8Ge0.2", "Si"),
        ("Cu0,7Zn0,3", "Cu"),
        ("CoCrFeMnNi", "Co"),
        ("La0.7Sr0.3MnO3", "LaMnO3"),
        ("La2/3 Sr1/3 Mn O3", "LaMnO3"),
        ("Sr0.5 Ba0.5 Ti O3", "SrTiO3"),
        ("(La0.7Sr0.3)MnO3", "LaMnO3"),
        ("La0.67Sr0.33MnO3", "LaMnO3"),
        ("La0.7Ca0.2Sr0.1MnO3", "LaMnO3"),
        ("La0.7Sr0.3Mn0.5Co0.5O3", "LaMnO3"),
        ("PbZr0.52Ti0.48O3", "PbZrO3"),
        ("K0.5Na0.5NbO3", "KNbO3"),
        ("Ba0.6K0.4Fe2As2", "BaFe2As2"),
        ("Fe0.95O", "FeO"),
        ("Fe1.05O", "FeO"),
        ("Cu1.8S", "Cu2S"),
        ("Na0.7CoO2", "NaCoO2"),
        ("YBa2Cu3O6.93", "YBa2Cu3O7"),
        ("Ce0.9Gd0.1O1.95", "CeO2"),
        ("Zr0.92Y0.08O1.96", "ZrO2"),
        ("Al2Cr0.02O3", "Al2O3"),
        ({"Mg": 0.9, "Fe": 0.1, "O": 1}, "MgO"),
    ],
)
def test_the_parent_has_one_element_a_site(formula, parent):
    expected = Composition(parent).fractional_composition
    assert parent_of(formula).fractional_composition.almost_equals(expected, rtol=1e-4)
    assert anonymous_formula(shared_sites(formula).parent) == Composition(parent).anonymized_formula
    assert "crystals of" in shared_sites(formula).sentence


@pytest.mark.parametrize(
    "formula",
    [
        *("NaCl", "Al12Mg17", "CaSO4·0.5H2O", "CaSO4·½H2O", "Cu0.75Au0.25", "Cu0.5O0.5"),
        *("Ga0.5As0.5", "Ni50Ti50", "Fe0.4O0.6", "Fe2O3", "C60", "Cu0.5", {"Na": 2, "Cl": 2}),
        *("KD1.96H0.04PO4", "FeO1.5", "NbO2.5", "1/2Na2O", "Ni40Al60", "Cr40Si60"),
    ],
)
def test_compounds_have_no_parent(formula):
    assert shared_sites(formula) is None


@given(share=st.integers(1, 99), metals=st.permutations(["Fe", "Mg", "Ni", "Co"]))
def test_shares_are_those_of_the_formula(share, metals):
    first, second, *_ = metals
    formula = f"{first}{share / 100:g}{second}{1 - share / 100:.2f}O"
    shared = shared_sites(formula)
    (filled,) = [each for each in shared.shares.values() if len(each) == 2]
    assert sum(filled.values()) == pytest.approx(1)
    assert sorted(filled.values()) == pytest.approx(sorted((share / 100, 1 - share / 100)))
    whole, _ = parse_composition(formula)
    own = whole @ np.arange(119) / (shared.parent @ np.arange(119))
    assert shared.electrons == pytest.approx(own, rel=1e-5)


def test_shared_sites_scatter_with_the_mean_of_their_elements():
    """In a primitive cell of one atom |F| is the mean form factor of the pure crystals."""
    lattice = Lattice.cubic(3.0).matrix
    amplitude = {}
    for number in (29, 30):
        material = Material("a", lattice, np.array([number]), np.zeros((1, 3)))
        amplitude[number] = np.sqrt(reflections(shared_crystal(material), s_max=0.9)[:, 1])
    mixed = Material("a", lattice, np.array([29]), np.zeros((1, 3)))
    crystal = shared_crystal(mixed, {29: {29: 0.7, 30: 0.3}})
    found = np.sqrt(reflections(crystal, s_max=0.9)[:, 1])
    np.testing.assert_allclose(found, 0.7 * amplitude[29] + 0.3 * amplitude[30], rtol=1e-6)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("Fe(III)2O3", "Fe2O3"),
        ("FeIII2O3", "Fe2O3"),
        ("FeⅢ2O3", "Fe2O3"),
        ("Fe(II)Fe(III)2O4", "Fe3O4"),
        ("Fe(II,III)3O4", "Fe3O4"),
        ("Fe2(III)O3", "Fe2O3"),
        ("Pb(IV)O2", "PbO2"),
        ("Cr(VI)O3", "CrO3"),
        ("Mn(VII)2O7", "Mn2O7"),
        ("Ti(IV)O2", "TiO2"),
        ("CuI", "CuI"),
        ("PbI2", "PbI2"),
        ("VI3", "VI3"),
        ("KVO3", "KVO3"),
        ("InI", "InI"),
    ],
)
def test_oxidation_numbers_are_no_iodine(written, plain):
    found, expected = (parse_composition(each)[0] for each in (written, plain))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("written", ["Cu(I)2O", "Cu2(I)O", "V(V)2O5", "TiIVO2"])
def test_an_oxidation_number_that_may_be_an_element_is_refused(written):
    with pytest.raises(ValueError, match="an oxidation number or elements: write it without"):
        parse_composition(written)


def test_a_structure_of_the_shares_has_the_formula():
    """The CIF of an isostructural crystal has the formula by pymatgen, with mixed sites."""
    shared = shared_sites("La0.7Sr0.3MnO3")
    species = [
        {SYMBOLS[each]: share for each, share in shared.shares.get(z, {z: 1.0}).items()}
        for z in (57, 25, 8, 8, 8)
    ]
    sites = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
    structure = Structure(Lattice.cubic(3.876), species, sites)
    assert structure.composition.almost_equals(Composition("La0.7Sr0.3MnO3"))
