"""The structure types that come with pymatgen."""

import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.structure_types import structure_type_of, structure_types


def test_a_type_has_the_space_group_of_its_label_by_spglib():
    """The label of AFLOW names the prototype, the Pearson symbol, the space group and the sites."""
    types = {each.material_id.split()[0]: each for each in structure_types()}
    assert len(types) > 250
    for label in ("ABC3_hR10_167_a_b_e", "A2BC4_cF56_227_d_a_e", "A4BC_tI24_141_h_b_a"):
        crystal = types[label]
        cell = (crystal.lattice, crystal.frac_coords, crystal.numbers)
        found = spglib.get_symmetry_dataset(cell, symprec=0.01)
        assert found.number == int(label.split("_")[2])


def test_types_of_high_pressure_are_left_out():
    """Lithium above 38 GPa has half of the volume of an atom of lithium."""
    lithium = [each for each in structure_types() if each.formula == "Li"]
    assert all(each.volume / len(each.numbers) > 15 for each in lithium)


MAGNESIA = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0] * 3, [0.5] * 3]
)
SMITHSONITE = Structure.from_spacegroup(
    "R-3c",
    Lattice.hexagonal(4.65, 15.02),
    ["Zn", "C", "O"],
    [[0, 0, 0], [0, 0, 0.25], [0.277, 0, 0.25]],
)
UNNAMED = Structure(Lattice.orthorhombic(3, 4, 6), ["Zn", "O"], [[0] * 3, [0.3] * 3])


@pytest.mark.parametrize(
    ("structure", "name"),
    [
        (MAGNESIA, "NaCl type (Halite, Rock Salt, B1)"),
        (SMITHSONITE, "CaCO3 type (Calcite, G0_1)"),
        (UNNAMED, None),
    ],
    ids=["rock salt", "calcite", "of no type"],
)
def test_a_structure_is_named_after_its_type_with_other_elements(structure, name):
    numbers = np.array([site.specie.Z for site in structure])
    crystal = Material("a", structure.lattice.matrix, numbers, structure.frac_coords)
    found = structure_type_of(canonical_cell(crystal))
    assert (None if found is None else found.name) == name
