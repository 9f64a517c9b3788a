"""Cell parameters and primitive lattices, compared with those of pymatgen and spglib."""

import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.lattice import cell_parameters, primitive_lattice
from cmed_jax.crystal.material import Material

TRICLINIC = (4.1, 5.3, 6.7, 81.0, 97.0, 112.0)
CRYSTALS = [
    pytest.param("Pnma", (5.1, 6.2, 7.3, 90.0, 90.0, 90.0), "P", id="P"),
    pytest.param("Amm2", (4.1, 5.2, 6.9, 90.0, 90.0, 90.0), "A", id="A"),
    pytest.param("Cmcm", (4.1, 9.2, 6.9, 90.0, 90.0, 90.0), "C", id="C orthorhombic"),
    pytest.param("C2/m", (9.1, 4.2, 6.9, 90.0, 104.0, 90.0), "C", id="C monoclinic"),
    pytest.param("I4/mmm", (4.1, 4.1, 9.9, 90.0, 90.0, 90.0), "I", id="I"),
    pytest.param("Fmmm", (5.1, 7.2, 9.3, 90.0, 90.0, 90.0), "F", id="F orthorhombic"),
    pytest.param("Fm-3m", (5.64, 5.64, 5.64, 90.0, 90.0, 90.0), "F", id="F"),
    pytest.param("R-3m", (4.1, 4.1, 14.2, 90.0, 90.0, 120.0), "R", id="R"),
]


def crystal(group, cell):
    """Return a crystal of one atom on a special position and another on a general one."""
    sites = [[0.0, 0.25, 0.1] if group in ("Pnma", "Cmcm") else [0, 0, 0], [0.13, 0.29, 0.41]]
    return Structure.from_spacegroup(group, Lattice.from_parameters(*cell), ["Ba", "O"], sites)


@pytest.mark.parametrize(("group", "cell", "centring"), CRYSTALS)
def test_the_primitive_lattice_is_spglibs_and_the_canonical_one(group, cell, centring):
    known = crystal(group, cell)
    numbers = np.array(known.atomic_numbers)
    atoms = (known.lattice.matrix, known.frac_coords, numbers)
    assert spglib.get_symmetry_dataset(atoms).international[0] == centring
    lattice = primitive_lattice(cell, centring)
    expected = spglib.standardize_cell(atoms, to_primitive=True)[0]
    np.testing.assert_allclose(lattice, expected, atol=1e-5)
    material = Material("x", known.lattice.matrix, numbers, known.frac_coords)
    np.testing.assert_allclose(lattice, canonical_cell(material).lattice, atol=1e-5)


def test_rock_salt_is_rhombohedral():
    found = Lattice(primitive_lattice((5.64, 5.64, 5.64, 90, 90, 90), "F"))
    np.testing.assert_allclose(found.abc, 5.64 / np.sqrt(2))
    np.testing.assert_allclose(found.angles, 60)
    assert found.volume == pytest.approx(5.64**3 / 4)


def test_a_primitive_cell_has_its_parameters_and_a_along_x():
    lattice = primitive_lattice(np.array(TRICLINIC))
    expected = Lattice.from_parameters(*TRICLINIC, vesta=True)
    np.testing.assert_allclose(lattice, expected.matrix, atol=1e-12)
    np.testing.assert_allclose(cell_parameters(lattice), TRICLINIC)


def test_parameters_do_not_depend_on_how_the_cell_lies():
    lattice = Lattice.from_parameters(*TRICLINIC).matrix
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3))).Q
    np.testing.assert_allclose(cell_parameters(lattice @ rotation), TRICLINIC)


SALT = (5.64, 5.64, 5.64, 90.0, 90.0, 90.0)


@pytest.mark.parametrize(
    ("cell", "centring", "message"),
    [
        (SALT[:3], "P", r"\[5\.64, 5\.64, 5\.64\] is not six numbers"),
        ((*SALT[:5], np.nan), "P", "nan.* is not six numbers"),
        ((-5.64, *SALT[1:]), "P", r"-5\.64.* a length that is not positive"),
        ((0.0, *SALT[1:]), "P", "a length that is not positive"),
        ((*SALT[:5], 180.0), "P", "an angle that is not between 0 and 180"),
        ((*SALT[:5], -90.0), "P", "an angle that is not between 0 and 180"),
        ((*SALT[:3], 30.0, 40.0, 80.0), "P", "encloses no volume: each angle must be less"),
        ((*SALT[:3], 120.0, 120.0, 120.0), "P", "encloses no volume"),
        ((*SALT[:3], 130.0, 120.0, 115.0), "P", "encloses no volume"),
        ((*SALT[:3], *[np.pi / 2] * 3), "P", "encloses no volume"),
        (
            (4.0, 4.0, 4.0, 60.0, 60.0, 60.0),
            "F",
            r"90, 90, 90 degrees, not \[60\.0, 60\.0, 60\.0\]",
        ),
        ((*SALT[:3], 90.0, 90.0, 104.0), "C", "angles of 90, any, 90 degrees"),
        (SALT, "H", "unknown centring 'H': give one of P, A, C, I, F, R"),
        (SALT, "R", "angles of 90, 90, 120 degrees"),
        ((4.0, 5.0, 14.0, 90.0, 90.0, 120.0), "R", r"where a = b, not \[4\.0, 5\.0\]"),
    ],
)
def test_a_cell_that_is_none_is_answered_with_what_is_wrong(cell, centring, message):
    with pytest.raises(ValueError, match=message):
        primitive_lattice(cell, centring)
