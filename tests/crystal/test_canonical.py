from dataclasses import replace

import numpy as np
import pytest
import spglib
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.canonical import canonical_cell, canonical_description, with_space_group
from cmed_jax.crystal.composition import SYMBOLS
from cmed_jax.crystal.material import CRYSTAL_SYSTEMS, Material
from cmed_jax.crystal.symmetry import _holohedry, normalizer, space_group

HALL = {spglib.get_spacegroup_type(h).number: h for h in range(530, 0, -1)}
"""The first Hall number of each space group: the setting that spglib standardises to."""

# Euclidean normalizers of a general metric, as indices (International Tables A, table 3.5.2).
INDICES = {
    1: 2, 2: 8, 14: 8, 15: 4, 19: 16, 33: 8, 62: 8, 99: 4, 139: 2, 141: 2,
    160: 2, 166: 2, 186: 2, 194: 2, 198: 8, 205: 2, 216: 8, 221: 2, 225: 2, 227: 2, 229: 1, 230: 1,
}  # fmt: skip


def structure(material):
    species = [SYMBOLS[z] for z in material.numbers]
    return Structure(Lattice(material.lattice), species, material.frac_coords)


def from_structure(crystal, material_id="x"):
    numbers = np.array([site.specie.Z for site in crystal])
    return Material(material_id, crystal.lattice.matrix, numbers, crystal.frac_coords)


def disguise(material, rng, sizes=(1, 2, 3)):
    """Return the crystal in another cell: a supercell, rotated, with another origin and order."""
    while True:
        scaling = rng.integers(-2, 3, (3, 3))
        if round(np.linalg.det(scaling)) in sizes:
            break
    crystal = structure(material).make_supercell(scaling, to_unit_cell=False, in_place=False)
    rotation = np.linalg.qr(rng.normal(size=(3, 3))).Q
    rotation *= np.linalg.det(rotation)
    order = rng.permutation(len(crystal))
    return replace(
        material,
        lattice=crystal.lattice.matrix @ rotation,
        numbers=np.array([site.specie.Z for site in crystal])[order],
        frac_coords=(crystal.frac_coords + rng.random(3))[order],
    )


def operation(rotation, translation):
    """Return a symmetry operation as a key, modulo the lattice."""
    steps = np.rint(24 * translation).astype(int) % 24
    return np.rint(rotation).astype(int).tobytes(), steps.tobytes()


def gaps(one, other):
    difference = one - other
    return np.abs(difference - np.rint(difference))


def assert_same(one, other, atol=1e-4):
    assert one.space_group == other.space_group
    np.testing.assert_allclose(one.lattice, other.lattice, atol=2 * atol)
    np.testing.assert_array_equal(one.numbers, other.numbers)
    assert gaps(one.frac_coords, other.frac_coords).max() < atol


def test_one_crystal_has_one_description(sample):
    rng = np.random.default_rng(1)
    for material in sample:
        assert_same(canonical_cell(material), canonical_cell(disguise(material, rng)))


def test_crystals_near_the_tolerance_have_one_description(embedded):
    """spglib describes these crystals differently in different cells."""
    rng = np.random.default_rng(2)
    for number in (16861, 684560, 849073, 1014160, 1100873, 1179656):
        material = embedded[f"mp-{number}"]
        assert_same(canonical_cell(material), canonical_cell(disguise(material, rng)), atol=1e-3)


def test_the_canonical_cell_is_its_own(sample):
    for material in sample:
        canonical = canonical_cell(material)
        assert_same(canonical, canonical_cell(canonical), atol=1e-6)


def test_it_is_the_same_crystal(sample):
    matcher = StructureMatcher(primitive_cell=True, scale=False)
    for material in sample:
        canonical = canonical_cell(material)
        assert canonical.formula == material.formula
        assert canonical.space_group == material.space_group
        assert matcher.fit(structure(material), structure(canonical))


def test_the_powder_pattern_stays(sample):
    calculator = XRDCalculator("CuKa")
    for material in sample[::4]:
        before, after = (
            calculator.get_pattern(structure(m), two_theta_range=(5, 60))
            for m in (material, canonical_cell(material))
        )
        np.testing.assert_allclose(lines_at(before.x, before), lines_at(before.x, after), atol=2e-3)


def lines_at(angles, pattern):
    """Return the share of the intensity near each angle; rounding in sources may split lines."""
    close = np.abs(angles[:, None] - pattern.x) < 0.05
    return close @ pattern.y / pattern.y.sum()


def test_it_obeys_its_space_group_exactly(sample):
    for material in sample:
        canonical = canonical_cell(material)
        cell = (canonical.lattice, canonical.frac_coords, canonical.numbers)
        assert spglib.get_symmetry_dataset(cell, symprec=1e-5).number == canonical.space_group


def test_the_space_group_is_the_one_that_spglib_finds(sample):
    """The atoms lie on their sites; near the tolerance the two space groups may differ."""
    for material in map(canonical_cell, sample):
        rng = np.random.default_rng(6)
        found = with_space_group(disguise(material, rng))
        cell = (found.lattice, found.frac_coords, found.numbers)
        assert spglib.get_symmetry_dataset(cell, symprec=0.1).number == found.space_group


def test_the_space_group_holds_within_the_tolerance(embedded):
    """By itself moyo halves its tolerance for these, to P1 and Pm, or doubles it."""
    for material_id, group in [("mp-1091390", 11), ("mp-998560", 8), ("mp-696867", 12)]:
        assert with_space_group(embedded[material_id]).space_group == group


def test_coordinates_lie_in_the_cell(sample):
    for material in sample:
        coords = canonical_cell(material).frac_coords
        assert (coords >= 0).all()
        assert (coords < 1 - 1e-6).all()


def test_the_most_electropositive_element_lies_at_the_origin_of_rock_salt():
    for metal, other, a in [("Na", "Cl", 5.64), ("Li", "F", 4.03), ("Mg", "O", 4.21)]:
        crystal = Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(a), [other, metal], [[0, 0, 0], [0.5, 0.5, 0.5]]
        )
        canonical = canonical_cell(from_structure(crystal))
        assert SYMBOLS[canonical.numbers[0]] == metal
        np.testing.assert_allclose(canonical.frac_coords, [[0, 0, 0], [0.5] * 3], atol=1e-9)


def test_a_half_heusler_has_one_description_from_all_its_origins():
    def crystal(origin):
        sites = np.array([[0, 0, 0], [0.25] * 3, [0.5] * 3]) + origin
        return Structure.from_spacegroup("F-43m", Lattice.cubic(5.9), ["Ti", "Ni", "Sn"], sites)

    reference = canonical_cell(from_structure(crystal(0)))
    for origin in (0.25, 0.5, 0.75):
        assert_same(canonical_cell(from_structure(crystal(origin))), reference, atol=1e-9)


def mirrored(material):
    return replace(material, frac_coords=-material.frac_coords)


def test_the_mirror_image_has_the_same_description(sample):
    chiral = [m for m in sample if m.space_group in (1, 4, 5, 19)]
    assert chiral
    for material in chiral:
        assert_same(canonical_cell(mirrored(material)), canonical_cell(material))


@pytest.mark.parametrize("number", [76, 91, 92, 144, 151, 152, 169, 171, 178, 180, 212])
def test_enantiomorphic_groups_share_a_description(number):
    """The second group of each pair is the one that spglib finds for the mirror image."""
    general = [[0.11, 0.23, 0.37], [0.29, 0.05, 0.13]]
    lattice = Lattice.cubic(9.0) if number > 195 else Lattice.tetragonal(7.0, 10.0)
    lattice = Lattice.hexagonal(7.0, 10.0) if 143 <= number <= 194 else lattice
    crystal = Structure.from_spacegroup(number, lattice, ["Na", "Cl"], general)
    material = from_structure(crystal)
    image = mirrored(material)
    cell = (image.lattice, image.frac_coords, image.numbers)
    assert spglib.get_symmetry_dataset(cell, symprec=0.01).number > number
    assert with_space_group(image).space_group > number
    assert canonical_cell(image).space_group == number
    assert_same(canonical_cell(image), canonical_cell(material))
    canonical, change = canonical_description(image)
    moved = image.frac_coords @ change.matrix.T + change.shift
    assert gaps(moved[:, None], canonical.frac_coords).max(axis=-1).min(axis=1).max() < 1e-6


def test_a_distorted_crystal_does_not_show_which_cell_it_came_in():
    crystal = Structure.from_spacegroup(
        "I4_1/a", Lattice.tetragonal(5.1, 11.3), ["Ca", "W", "O"],
        [[0, 0.25, 0.625], [0, 0.25, 0.125], [0.15, 0.07, 0.211]],
    )  # fmt: skip
    rng = np.random.default_rng(3)
    distorted = crystal.frac_coords + rng.normal(scale=1e-3, size=crystal.frac_coords.shape)
    material = with_space_group(replace(from_structure(crystal), frac_coords=distorted))
    assert material.space_group == 88
    assert_same(canonical_cell(material), canonical_cell(disguise(material, rng)), atol=1e-6)


def test_the_change_of_cell_carries_the_atoms(sample):
    rng = np.random.default_rng(4)
    for material in sample:
        disguised = disguise(material, rng, sizes=(2,))
        canonical, change = canonical_description(disguised)
        volumes = disguised.volume / canonical.volume
        assert abs(abs(np.linalg.det(change.matrix)) - volumes) < 0.02 * volumes
        moved = disguised.frac_coords @ change.matrix.T + change.shift
        distances = np.linalg.norm(
            gaps(moved[:, None], canonical.frac_coords) @ canonical.lattice, axis=-1
        )
        nearest = distances.argmin(axis=1)
        np.testing.assert_array_equal(canonical.numbers[nearest], disguised.numbers)


@pytest.mark.parametrize("number", range(1, 231))
def test_space_groups_have_the_operations_of_spglib(number):
    cell, rotations, translations, _ = space_group(number)
    centred = spglib.get_symmetry_from_database(HALL[number])
    ours = {
        operation(cell @ w @ np.linalg.inv(cell), cell @ t / 24)
        for w, t in zip(rotations, translations, strict=True)
    }
    theirs = {
        operation(w, t) for w, t in zip(centred["rotations"], centred["translations"], strict=True)
    }
    assert ours <= theirs
    assert len(theirs) == len(ours) / np.linalg.det(cell)


@pytest.mark.parametrize(("number", "index"), INDICES.items())
def test_normalizers_have_the_indices_of_international_tables(number, index):
    assert len(normalizer(number).rotations) == index


@pytest.mark.parametrize("number", [1, 5, 9, 19, 43, 88, 109, 146, 159, 167, 198, 220, 227, 230])
def test_normalizers_map_the_space_group_onto_itself(number):
    _, rotations, translations, _ = space_group(number)
    group = {(w.tobytes(), tuple(t % 24)) for w, t in zip(rotations, translations, strict=True)}
    normal = normalizer(number)
    for rotation, origin in zip(normal.rotations, normal.translations, strict=True):
        inverse = np.rint(np.linalg.inv(rotation)).astype(int)
        for w, t in zip(rotations, translations, strict=True):
            image = rotation @ w @ inverse
            moved = rotation @ t + 24 * (origin - image @ origin)
            assert (image.tobytes(), tuple(np.rint(moved).astype(int) % 24)) in group


@pytest.mark.parametrize("number", range(1, 231, 7))
def test_polar_shifts_are_an_integral_projection_on_what_is_invariant(number):
    rotations = space_group(number).rotations
    polar = normalizer(number).polar
    invariant = rotations.mean(axis=0)
    np.testing.assert_array_equal(polar @ polar, polar)
    np.testing.assert_allclose(polar @ invariant, invariant, atol=1e-12)
    np.testing.assert_allclose(invariant @ polar, polar, atol=1e-12)


def test_holohedries_have_their_orders():
    orders = [2, 4, 8, 16, 12, 24, 48]
    numbers = [2, 10, 47, 123, 166, 191, 225]
    found = [len(_holohedry(space_group(number).rotations)) for number in numbers]
    assert found == orders
    assert len(CRYSTAL_SYSTEMS) == len(orders)


def test_coinciding_atoms_have_no_symmetry():
    twice = Material("x", 4 * np.eye(3), np.array([11, 11]), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="moyo finds no symmetry"):
        canonical_cell(twice)


def test_a_structure_without_atoms_has_no_symmetry():
    empty = Material("x", 4 * np.eye(3), np.zeros(0, int), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="holds no atom"):
        canonical_cell(empty)


def test_numbers_that_are_not_finite_are_refused():
    broken = Material("x", 4 * np.eye(3), np.array([11]), np.full((1, 3), np.nan))
    with pytest.raises(ValueError, match="not finite"):
        with_space_group(broken)
