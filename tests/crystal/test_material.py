import numpy as np
import pytest
from pymatgen.symmetry.groups import SpaceGroup

from cmed_jax.crystal.material import Material, crystal_system


@pytest.mark.parametrize("number", [1, 2, 3, 15, 16, 74, 75, 142, 143, 167, 168, 194, 195, 230])
def test_crystal_systems_are_those_of_pymatgen(number):
    assert crystal_system(number) == SpaceGroup.from_int_number(number).crystal_system


@pytest.mark.parametrize("number", [None, 0, 231])
def test_no_space_group_has_no_crystal_system(number):
    with pytest.raises(ValueError, match=f"space group {number} is not a number"):
        crystal_system(number)


def test_formula_is_reduced():
    numbers = np.array([17, 11, 17, 11])
    material = Material("halite", 4 * np.eye(3), numbers, np.arange(12.0).reshape(4, 3) / 12, 225)
    assert (material.formula, material.crystal_system) == ("NaCl", "cubic")
    assert material.volume == pytest.approx(64)
