from dataclasses import replace

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Composition, Lattice, Structure

from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.encoding import decode_density
from cmed_jax.data.records import S_MAX, Recipe, is_coarse, make_record, make_records
from cmed_jax.data.schema import FEATURES
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.physics.reflections import reflections

AS_GIVEN = Recipe(cell="as_given")
OBLIQUE = 5.64 * np.array([[1.0, 0.0, 0.0], [20.0, 1.0, 0.0], [0.0, 20.0, 1.0]])


def material(crystal, **changes):
    numbers = np.array([site.specie.Z for site in crystal])
    given = Material("x", crystal.lattice.matrix, numbers, crystal.frac_coords)
    return replace(given, **changes)


@pytest.fixture(scope="module")
def halite():
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Cl", "Na"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


@pytest.fixture(scope="module")
def wurtzite():
    sites = [[1 / 3, 2 / 3, 0.38], [1 / 3, 2 / 3, 0]]
    return Structure.from_spacegroup("P6_3mc", Lattice.hexagonal(3.25, 5.21), ["O", "Zn"], sites)


def density(record):
    return decode_density(record["density"], record["density_scale"])


def test_a_record_has_the_features_of_the_schema(halite):
    record = make_record(material(halite))
    assert set(record) == set(FEATURES)
    FEATURES.encode_example(record)


def test_a_record_describes_the_canonical_cell(halite):
    record = make_record(material(halite))
    assert (record["formula"], record["space_group"]) == ("NaCl", 225)
    assert (record["crystal_system"], record["density_kind"]) == ("cubic", "iam")
    np.testing.assert_array_equal(record["species"], [11, 17])
    np.testing.assert_allclose(record["frac_coords"], [[0] * 3, [0.5] * 3], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(record["lattice"], axis=1), 5.64 / np.sqrt(2))
    composition = Composition("NaCl")
    for element in composition:
        fraction = composition.get_atomic_fraction(element)
        assert record["composition"][element.Z] == pytest.approx(fraction)


def test_the_pattern_is_that_of_pymatgen(wurtzite):
    (pattern,) = make_record(material(wurtzite))["pattern"]
    lines = XRDCalculator("MoKa").get_pattern(wurtzite, two_theta_range=(0, 180), scaled=False)
    expected = np.zeros(1024)
    np.maximum.at(expected, (1024 * lines.x / 180).astype(int), lines.y)
    np.testing.assert_allclose(pattern, expected / expected.max(), atol=2e-5)


def test_the_series_is_that_of_the_density(wurtzite):
    record = make_record(material(wurtzite))
    logarithm = np.log1p(np.maximum(density(record), 0) / 10)
    factors = np.fft.fftn(logarithm) / logarithm.size
    each = factors[tuple(harmonics().T)]
    expected = np.concatenate([[factors[0, 0, 0].real], 2 * each.real, -2 * each.imag])
    np.testing.assert_allclose(record["series"], expected, atol=2e-3 * np.abs(expected).max())


def test_the_amplitudes_are_those_of_the_lines(halite):
    """Reflections 111 and 200 of the conventional cell, whose intensities differ by the factors."""
    record = make_record(material(halite))
    amplitude = {
        tuple(h): a for h, a in zip(harmonics().tolist(), record["amplitude"], strict=True)
    }
    # In the primitive cell 111 is h of the form 001, and 200 of the form 011.
    lines = record["reflections"]
    ratio = np.sqrt(lines[0, 1] / 8) / np.sqrt(lines[1, 1] / 6)
    lengths = np.linalg.norm(harmonics() @ np.linalg.inv(record["lattice"]).T, axis=1)
    first, second = (
        {amplitude[tuple(h)] for h in harmonics()[np.isclose(lengths, s)].tolist()}
        for s in lines[:2, 0]
    )
    assert len(first) == len(second) == 1
    assert first.pop() / second.pop() == pytest.approx(ratio, rel=2e-3)
    assert np.mean(np.square(record["amplitude"], dtype=float)) == pytest.approx(1, rel=1e-2)


def test_the_density_holds_the_electrons(wurtzite):
    record = make_record(material(wurtzite))
    volume = abs(np.linalg.det(record["lattice"]))
    assert density(record).mean() * volume == pytest.approx(2 * (30 + 8), rel=1e-3)


def test_a_larger_b_factor_blurs(halite):
    sharp, blurred = (make_record(material(halite), Recipe(b_factor=b)) for b in (2.0, 6.0))
    assert sharp["density_scale"] > 1.5 * blurred["density_scale"]


def test_the_cell_can_be_kept_as_given(halite):
    record = make_record(material(halite), AS_GIVEN)
    assert len(record["species"]) == 8
    assert record["space_group"] == 225
    np.testing.assert_allclose(record["lattice"], 5.64 * np.eye(3), atol=1e-12)
    canonical = make_record(material(halite))
    np.testing.assert_allclose(record["pattern"], canonical["pattern"], atol=1e-6)


def gaussians(crystal, shape):
    """A smooth periodic density with the number of electrons as its integral over the cell."""
    axes = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
    total = np.zeros(shape)
    for site in crystal:
        phases = (np.cos(2 * np.pi * (x - c)) for x, c in zip(axes, site.frac_coords, strict=True))
        bump = np.exp(6 * sum(phases))
        total += site.specie.Z * bump / bump.mean()
    return total / crystal.volume


def test_a_given_density_is_carried_to_the_canonical_cell(halite):
    given = material(halite, density=gaussians(halite, (60, 48, 54)))
    record = make_record(given, Recipe(density="chgcar"))
    assert record["density_kind"] == "chgcar"
    rho = density(record)
    volume = abs(np.linalg.det(record["lattice"]))
    assert rho.mean() * volume == pytest.approx(28, rel=1e-3)
    sodium, chlorine = rho[0, 0, 0], rho[25, 25, 25]
    assert rho.max() == pytest.approx(chlorine)
    assert chlorine / sodium == pytest.approx(17 / 11, rel=0.02)


def test_a_density_follows_a_shifted_supercell(wurtzite):
    supercell = wurtzite.make_supercell([2, 1, 1], in_place=False)
    supercell.translate_sites(range(len(supercell)), [0.1, 0.2, 0.3])
    iam = make_record(material(wurtzite), Recipe(b_factor=12.0))
    fine = make_record(material(supercell), Recipe(cell="as_given", b_factor=12.0))
    given = material(supercell, density=density(fine).astype(float))
    carried = make_record(given, Recipe(density="chgcar"))
    np.testing.assert_allclose(carried["frac_coords"], iam["frac_coords"], atol=1e-6)
    np.testing.assert_allclose(density(carried), density(iam), atol=0.02 * density(iam).max())


def test_records_do_not_depend_on_their_company(halite, wurtzite):
    """The records are equal apart from the rounding of sums over batches of another shape."""
    crystals = [material(halite), material(wurtzite), material(halite.get_primitive_structure())]
    for together, crystal in zip(make_records(crystals), crystals, strict=True):
        alone = make_record(crystal)
        for name in ("material_id", "formula", "space_group", "species", "frac_coords"):
            np.testing.assert_array_equal(together[name], alone[name])
        np.testing.assert_allclose(together["reflections"], alone["reflections"], rtol=1e-9)
        np.testing.assert_allclose(together["pattern"], alone["pattern"], atol=1e-6)
        np.testing.assert_allclose(
            density(together), density(alone), atol=2e-3 * density(alone).max()
        )


def test_symmetry_takes_no_line_away():
    """One embedded crystal of each system is compared with the sum over the whole sphere."""
    materials = {material.crystal_system: material for material in open_source()}
    assert len(materials) == 7
    for record in make_records(materials.values()):
        crystal = Crystal.of(record["lattice"], record["species"], record["frac_coords"])
        expected = reflections(crystal, s_max=S_MAX, table="pymatgen")
        np.testing.assert_allclose(record["reflections"][:, 0], expected[:, 0], rtol=1e-12)
        intensity = record["reflections"][:, 1]
        np.testing.assert_allclose(
            intensity, expected[:, 1], rtol=1e-7, atol=1e-12 * intensity.max()
        )


def test_a_bad_material_is_refused_alone(halite, wurtzite):
    twice = material(halite, material_id="twice", frac_coords=np.zeros((8, 3)))
    unread = Refusal("unread", "line 3 is no JSON")
    first, second, third, fourth = make_records(
        [material(halite), twice, unread, material(wurtzite)]
    )
    assert (first["formula"], fourth["formula"]) == ("NaCl", "ZnO")
    assert second == Refusal("twice", "two atoms are 0 angstrom apart")
    assert third == unread


def test_of_nothing_usable_there_are_refusals_alone(halite):
    assert make_records([]) == []
    (refusal,) = make_records([material(halite)], Recipe(max_atoms=1))
    assert refusal == Refusal("x", "2 atoms in the cell are more than 1")


def test_there_is_no_chgcar_record_without_a_density(halite):
    with pytest.raises(ValueError, match="no density to take over"):
        make_record(material(halite), Recipe(density="chgcar"))


@pytest.mark.parametrize(
    ("changes", "recipe", "reason"),
    [
        ({"numbers": np.full(8, 112)}, Recipe(), "Cn has no tabulated X-ray form factor"),
        ({}, Recipe(cell="as_given", max_atoms=7), "8 atoms in the cell are more than 7"),
        ({"lattice": 30 * np.eye(3)}, Recipe(cell="as_given"), "cell of 27000 angstrom"),
        ({"lattice": OBLIQUE}, AS_GIVEN, "the cell is too oblique"),
        ({"lattice": 1e-3 * np.eye(3)}, Recipe(), "cannot hold 8 atoms"),
        ({"lattice": np.diag([5.64, 5.64, 0.0])}, Recipe(), "cannot hold 8 atoms"),
        ({"lattice": np.full((3, 3), np.nan)}, Recipe(), "not finite"),
        ({"frac_coords": np.full((8, 3), np.nan)}, Recipe(), "not finite"),
        ({"frac_coords": np.zeros((8, 3))}, AS_GIVEN, "two atoms are 0 angstrom apart"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(halite, changes, recipe, reason):
    with pytest.raises(ValueError, match=reason):
        make_record(material(halite, **changes), recipe)


def test_a_density_on_a_long_axis_is_coarse():
    # At the mode 25 of 20 angstrom f exp(-B s^2 / 4) / Z is about 0.1, of 5 angstrom under 1e-4.
    short, long = (
        make_record(Material("id", np.diag([4.0, 4.0, c]), np.array([26]), np.zeros((1, 3))))
        for c in (5.0, 20.0)
    )
    assert is_coarse(long, Recipe())
    assert not is_coarse(short, Recipe())
    assert not is_coarse(long, Recipe(density="chgcar"))  # the recipe of the density is not known
    assert not is_coarse(long, Recipe(b_factor=12.0))
