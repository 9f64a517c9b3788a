"""The structure types that come with pymatgen."""

import spglib

from cmed_jax.crystal.structure_types import structure_types


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
