"""Cells of exact densities, found from lines of pymatgen, against the cells of the structures."""

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.material import Material
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import electron_density
from cmed_jax.powder.indexing import Shift, quadratic_forms
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.solution.cell_search import (
    LATTICE_TYPES,
    density_reflections,
    find_cell,
    lattice_types_of,
    symmetry_of,
)

CU = 1.54184
CRYSTALS = {
    "cubic P": (
        "Pm-3m",
        Lattice.cubic(3.905),
        ["Sr", "Ti", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]],
    ),
    "cubic I": ("Im-3m", Lattice.cubic(3.165), ["W"], [[0] * 3]),
    "cubic F": ("Fm-3m", Lattice.cubic(5.463), ["Ca", "F"], [[0] * 3, [0.25] * 3]),
    "hexagonal P": (
        "P-3m1",
        Lattice.hexagonal(3.148, 4.775),
        ["Mg", "O"],
        [[0, 0, 0], [1 / 3, 2 / 3, 0.22]],
    ),
    "hexagonal R": (
        "R-3c",
        Lattice.hexagonal(4.759, 12.993),
        ["Al", "O"],
        [[0, 0, 0.3522], [0.3064, 0, 0.25]],
    ),
}  # fmt: skip


def density_and_lines(name, zero=0.0):
    """The density in its canonical cell, and lines of pymatgen with errors of position and area."""
    structure = Structure.from_spacegroup(*CRYSTALS[name])
    numbers = np.array([site.specie.Z for site in structure])
    group = structure.get_space_group_info()[1]
    given = Material("one", structure.lattice.matrix, numbers, structure.frac_coords, group)
    crystal = canonical_cell(given)
    atoms = Crystal.of(crystal.lattice, crystal.numbers, crystal.frac_coords)
    pattern = XRDCalculator(wavelength=CU).get_pattern(structure, two_theta_range=(15, 110))
    rng = np.random.default_rng(0)
    strong = pattern.y > 1
    angle = pattern.x[strong] + zero + rng.normal(0, 0.01, strong.sum())
    area = pattern.y[strong] * rng.uniform(0.8, 1.25, strong.sum())
    return electron_density(atoms), crystal, MeasuredLines(angle, area, 15.0, 110.0, CU)


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_cell_of_an_exact_density_is_found_among_all_lattice_types(name):
    density, crystal, lines = density_and_lines(name, zero=0.08)
    best, *others = find_cell(density, lines)
    lattice = CRYSTALS[name][1]
    assert best.lattice_type == name
    np.testing.assert_allclose(best.parameters, lattice.parameters, rtol=2e-3)
    assert np.linalg.det(best.lattice) == pytest.approx(np.linalg.det(crystal.lattice), rel=5e-3)
    assert best.shift.zero == pytest.approx(0.08, abs=0.03)
    assert best.merit > 0.9
    assert all(other.merit < best.merit for other in others if other.lattice_type == name)


def test_a_known_shift_and_lattice_type_are_taken():
    """The shift is beyond those that are tried."""
    density, _, lines = density_and_lines("cubic F", zero=0.5)
    found = find_cell(density, lines._replace(shift=Shift(0.48)), ("cubic F",))
    assert {cell.lattice_type for cell in found} == {"cubic F"}
    assert found[0].parameters[0] == pytest.approx(5.463, rel=5e-3)


def test_lines_of_another_crystal_agree_worse():
    density, _, own = density_and_lines("hexagonal R")
    _, _, other = density_and_lines("cubic P")
    types = ("hexagonal R",)
    (wrong, *_), (right, *_) = (find_cell(density, lines, types) for lines in (other, own))
    assert wrong.merit < 0.9 * right.merit


@pytest.mark.parametrize("name", CRYSTALS)
def test_a_density_has_the_symmetry_of_its_own_lattice(name):
    density, *_ = density_and_lines(name)
    assert symmetry_of(density, name) > 0.999
    if name.startswith("hexagonal"):
        assert all(symmetry_of(density, other) < 0.97 for other in LATTICE_TYPES if other != name)


@pytest.mark.parametrize("name", CRYSTALS)
def test_reflections_of_a_density_are_those_of_the_conventional_cell(name):
    """Only lines that pymatgen has, by its indices, carry intensity."""
    density, *_ = density_and_lines(name)
    found = density_reflections(density, name)
    strong = found.forms[found.squared > 1e-3 * found.squared.max()]
    structure = Structure.from_spacegroup(*CRYSTALS[name])
    pattern = XRDCalculator(wavelength=0.5).get_pattern(structure, two_theta_range=(0, 60))
    hkl = [np.array(each["hkl"]) for line in pattern.hkls for each in line]
    indices = np.array([each[[0, 1, -1]] for each in hkl])
    known = quadratic_forms("cubic" if "cubic" in name else "hexagonal", indices)
    low = strong[strong.sum(axis=1) < 30]
    assert len(low) > 3
    assert {tuple(form) for form in low} <= {tuple(form) for form in known}


def test_space_groups_tell_their_lattice_types():
    assert lattice_types_of([225, 229]) == ("cubic I", "cubic F")
    assert lattice_types_of([166, 164, 194]) == ("hexagonal P", "hexagonal R")
    assert lattice_types_of([14, 62, 139]) == ()
