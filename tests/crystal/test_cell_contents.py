"""Formula units and their electrons, compared with pymatgen."""

import numpy as np
import pytest
from pymatgen.core import Composition

from cmed_jax.crystal.atomic_volumes import volume_of_atom
from cmed_jax.crystal.cell_contents import (
    electrons,
    formula_unit,
    formula_units,
    relative_cell_volume,
)
from cmed_jax.crystal.composition import parse_composition

FORMULAS = ["NaCl", "Ca10P6O26H2", "Y3Al5O12", "Al2S3H36O30", "C60H", "C60H20", "Y", "Al397O3"]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_unit_is_the_reduced_formula(formula):
    unit = formula_unit(parse_composition(formula)[0])
    reduced = Composition(Composition(formula).get_integer_formula_and_factor()[0])
    assert {int(z): int(unit[z]) for z in np.flatnonzero(unit)} == {
        element.Z: round(amount) for element, amount in reduced.items()
    }


@pytest.mark.parametrize("formula", ["C60H", "C40H56O5"])
def test_a_large_formula_unit_keeps_its_electrons(formula):
    composition = parse_composition(formula)[0]
    atoms = Composition(formula).num_atoms
    lattice = np.cbrt(atoms * volume_of_atom(composition)) * np.eye(3)
    assert formula_units(lattice, composition) == pytest.approx(1)
    assert electrons(lattice, composition) == Composition(formula).total_electrons


def test_ratios_that_were_rounded_are_those_of_a_small_unit():
    unit = formula_unit(parse_composition("Ca0.333Sr0.667TiO3")[0])
    assert unit[[20, 38, 22, 8]].tolist() == [1, 2, 3, 9]


@pytest.mark.parametrize(
    "formula", ["Na0.1314K0.2718Rb0.577Cl", "H211Li223C227N229O233F239Na241Mg251", None]
)
def test_ratios_of_no_unit_are_unknown(formula):
    composition = parse_composition(formula)[0] if formula else np.zeros(119, np.float32)
    assert formula_unit(composition) is None
    assert formula_units(5 * np.eye(3), composition) is None
    assert electrons(5 * np.eye(3), composition) is None
    assert relative_cell_volume(5 * np.eye(3), composition) == 1
