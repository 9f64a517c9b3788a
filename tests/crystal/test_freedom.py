"""Free parameters under symmetry, compared with tables of space groups and with moved atoms."""

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.freedom import free_metrics, free_shifts
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import space_group

# Space group, lattice, element: coordinates; free coordinates by the site symmetries of
# International Tables A, one less for each polar axis.
CRYSTALS = {
    "rock salt": ("Fm-3m", Lattice.cubic(5.6), {"Na": (0, 0, 0), "Cl": (0.5, 0.5, 0.5)}, 0),
    "pyrite": ("Pa-3", Lattice.cubic(5.42), {"Fe": (0, 0, 0), "S": (0.385, 0.385, 0.385)}, 1),
    "rutile": ("P4_2/mnm", Lattice.tetragonal(4.6, 2.96), {"Ti": (0, 0, 0), "O": (0.3, 0.3, 0)}, 1),
    "quartz": (
        "P3_221",
        Lattice.hexagonal(4.91, 5.4),
        {"Si": (0.47, 0, 2 / 3), "O": (0.41, 0.27, 0.79)},
        4,
    ),
    "corundum": (
        "R-3c",
        Lattice.hexagonal(4.76, 12.99),
        {"Al": (0, 0, 0.352), "O": (0.306, 0, 0.25)},
        2,
    ),
    "wurtzite": (
        "P6_3mc",
        Lattice.hexagonal(3.82, 6.26),
        {"Zn": (1 / 3, 2 / 3, 0), "S": (1 / 3, 2 / 3, 0.375)},
        1,
    ),
    "ilmenite": (
        "R-3",
        Lattice.hexagonal(5.06, 13.9),
        {"Mg": (0, 0, 0.355), "Ti": (0, 0, 0.145), "O": (0.315, 0.021, 0.246)},
        5,
    ),
}


def crystal(name):
    group, lattice, sites, _ = CRYSTALS[name]
    structure = Structure.from_spacegroup(group, lattice, list(sites), list(sites.values()))
    numbers = np.array([site.specie.Z for site in structure])
    material = Material(name, structure.lattice.matrix, numbers, structure.frac_coords)
    return canonical_cell(material)


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_free_coordinates_are_those_of_the_sites(name):
    found = crystal(name)
    assert free_shifts(found).shape == (CRYSTALS[name][3], len(found.numbers), 3)


@pytest.mark.parametrize("name", [name for name, row in CRYSTALS.items() if row[3]])
def test_a_free_shift_keeps_the_space_group_and_moves_atoms(name):
    found = crystal(name)
    shifts = free_shifts(found)
    mixed = np.tensordot(np.random.default_rng(0).normal(size=len(shifts)), shifts, 1)
    moved = replace(found, frac_coords=found.frac_coords + 0.03 * mixed / np.abs(mixed).max())
    structure = Structure(moved.lattice, moved.numbers, moved.frac_coords)
    analyzer = SpacegroupAnalyzer(structure, symprec=1e-4)
    assert analyzer.get_space_group_number() == found.space_group
    original = Structure(found.lattice, found.numbers, found.frac_coords)
    assert np.abs(structure.distance_matrix - original.distance_matrix).max() > 0.01


@pytest.mark.parametrize(
    ("number", "free"), [(1, 6), (14, 4), (62, 3), (136, 2), (166, 2), (194, 2), (225, 1)]
)
def test_the_free_metrics_are_those_of_the_crystal_system(number, free):
    group = space_group(number)
    metrics = free_metrics(group)
    assert len(metrics) == free
    for rotation in group.rotations:
        np.testing.assert_allclose(rotation @ metrics @ rotation.T, metrics, atol=1e-12)
