"""Standard cells and Wyckoff letters, against spglib and International Tables."""

import itertools
from collections import defaultdict

import gemmi
import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import SYMBOLS
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.search.solved import SolvedStructure
from cmed_jax.search.standard_cell import standard_cell

EXACT = 1e-4
NEAR = np.array(list(itertools.product(range(-2, 3), repeat=3)))
STANDARD = {
    kind.number: hall
    for hall in range(530, 0, -1)
    if (kind := spglib.get_spacegroup_type(hall)).choice in ("", "2", "H", "b", "b1")
}
"""The Hall number of the standard setting: unique axis b, origin choice 2, hexagonal axes."""


@pytest.fixture(scope="module")
def crystals():
    """Every hundredth embedded crystal in its canonical cell."""
    return [canonical_cell(each) for each in itertools.islice(open_source(), 0, None, 100)]


def canonical(group, lattice, elements, coords):
    found = Structure.from_spacegroup(group, lattice, elements, coords)
    numbers = np.array([site.specie.Z for site in found])
    return canonical_cell(Material("known", found.lattice.matrix, numbers, found.frac_coords))


def solved(crystal):
    return SolvedStructure(crystal, 0.0, 0.0, 0, 0.0, 0.0, 0.0)


def operations(number):
    found = spglib.get_symmetry_from_database(STANDARD[number])
    return found["rotations"], found["translations"]


def kept(number, point):
    """Return the operations, with their lattice translations, that keep a point."""
    rotations, shifts = operations(number)
    gaps = point - rotations @ point - shifts
    same = (np.abs(gaps - np.rint(gaps)) < 1e-3).all(axis=1)
    return rotations[same], shifts[same] + np.rint(gaps[same])


def share_a_position(number, one, other):
    """Return whether points have conjugate site symmetries (International Tables A, 1.4.4)."""
    rotations, shifts = kept(number, one)
    if len(rotations) != len(kept(number, other)[0]):
        return False
    every, moves = operations(number)
    images = (((every @ other + moves) % 1)[:, None] + NEAR).reshape(-1, 3)
    moved = images @ rotations.mT + shifts[:, None]
    return bool((np.abs(moved - images) < 2e-3).all(axis=(0, 2)).any())


def test_letters_go_with_coordinates(crystals):
    """A letter depends on the origin: each site lies where spglib has a site of that letter."""
    examples = defaultdict(dict)
    for crystal in crystals:
        cell = crystal.lattice, crystal.frac_coords, crystal.numbers
        found = spglib.get_symmetry_dataset(cell, EXACT, hall_number=STANDARD[crystal.space_group])
        assert found.number == crystal.space_group
        coords = crystal.frac_coords @ found.transformation_matrix.T + found.origin_shift
        examples[found.number] |= dict(zip(found.wyckoffs, coords, strict=True))
    compared = 0
    for crystal in crystals:
        found = standard_cell(crystal)
        for site in found.sites:
            example = examples[found.space_group].get(site.letter)
            if example is not None:
                assert share_a_position(found.space_group, np.array(site.coords), example), crystal
                compared += 1
    assert compared > 2 * len(crystals)


def test_sites_fill_the_cell(crystals):
    for crystal in crystals:
        found = standard_cell(crystal)
        rotations, shifts = operations(found.space_group)
        for site in found.sites:
            images = (rotations @ site.coords + shifts)[:, None] - found.coords
            images -= np.rint(images)
            same = (np.abs(images) < 1e-4).all(axis=-1)
            assert same.any(axis=1).all()  # the atoms obey the operations of the tables
            reached = np.flatnonzero(same.any(axis=0))
            assert len(reached) == site.multiplicity
            assert {SYMBOLS[each] for each in found.numbers[reached]} == {site.element}
        assert sum(site.multiplicity for site in found.sites) == len(found.numbers)


@pytest.mark.parametrize(
    ("crystal", "tables"),
    [
        (
            canonical(
                "F-43m", Lattice.cubic(6.4), ["Sc", "Au", "Sn"], [[0] * 3, [0.25] * 3, [0.5] * 3]
            ),
            {"a": (0, 0, 0), "b": (1 / 2,) * 3, "c": (1 / 4,) * 3, "d": (3 / 4,) * 3},
        ),
        (
            canonical(
                "P6_3/mmc",
                Lattice.hexagonal(5.35, 4.32),
                ["Mn", "Ge"],
                [[0.838, 0.676, 0.25], [1 / 3, 2 / 3, 0.25]],
            ),
            {"c": (1 / 3, 2 / 3, 1 / 4), "d": (1 / 3, 2 / 3, 3 / 4)},
        ),
    ],
    ids=["ScSnAu", "Mn3Ge"],
)
def test_special_sites_are_those_of_the_tables(crystal, tables):
    found = standard_cell(crystal)
    listed = [site for site in found.sites if site.letter in tables]
    assert listed
    for site in listed:
        assert share_a_position(found.space_group, np.array(site.coords), tables[site.letter])


def test_cell_sites_and_cif_have_the_reported_space_group():
    """A perovskite with atoms 0.005 angstrom off their places is tetragonal everywhere."""
    coords = [[0, 0, 0], [0.5, 0.5, 0.5012], [0.5, 0.5, -0.001], [0.5, 0, 0.4991]]
    given = Structure.from_spacegroup(
        "P4mm", Lattice.tetragonal(4.0, 4.003), ["Ca", "Ti", "O", "O"], coords
    )
    numbers = np.array([site.specie.Z for site in given])
    crystal = Material("distorted", given.lattice.matrix, numbers, given.frac_coords)
    found = solved(canonical_cell(crystal, 1e-3))
    assert found.space_group == 99
    assert sorted(site.letter for site in found.sites) == ["a", "b", "b", "c"]
    assert found.cell[2] == pytest.approx(4.003)
    read = gemmi.make_small_structure_from_block(gemmi.cif.read_string(found.cif()).sole_block())
    assert read.spacegroup.number == 99


def test_the_cif_has_the_cell_and_the_origin_of_the_sites(crystals):
    for crystal in crystals[::4]:
        found = solved(crystal)
        block = gemmi.cif.read_string(found.cif()).sole_block()
        read = gemmi.make_small_structure_from_block(block)
        assert read.spacegroup.number == found.space_group
        assert read.cell.parameters == pytest.approx(tuple(found.cell), abs=1e-4)
        atoms = [(each.type_symbol, each.fract.tolist()) for each in read.get_all_unit_cell_sites()]
        assert len(atoms) == len(found.structure)
        for site in found.sites:
            own = np.array([coords for element, coords in atoms if element == site.element])
            gaps = own - site.coords
            assert np.abs(gaps - np.rint(gaps)).max(axis=1).min() < 1e-4
