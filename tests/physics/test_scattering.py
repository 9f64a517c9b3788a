"""Structure factors against gemmi and a float64 sum, their derivatives against differences."""

from functools import partial

import gemmi
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from pymatgen.core import Lattice

from cmed_jax.physics.crystal import Crystal, stack
from cmed_jax.physics.form_factors import dispersion
from cmed_jax.physics.host_factors import squared_factors
from cmed_jax.physics.reflections import MUCH, half_sphere, reflections, reflections_of
from cmed_jax.physics.scattering import cos_sin, squared_structure_factors

S_MAX = 2.0
CUBIC = 4.0 * np.eye(3)
ORIGIN = np.zeros((1, 3))


def test_cosine_and_sine_are_those_of_numpy():
    turns = np.concatenate([np.linspace(-3, 3, 1001), [1e3 + 1 / 3, 0.25, 0.5, -0.5, 1e-12]])
    with jax.enable_x64(True):
        cosine, sine = cos_sin(jnp.asarray(turns))
    angle = 2 * np.pi * np.asarray(turns - np.rint(turns), np.longdouble)
    np.testing.assert_allclose(cosine, np.cos(angle).astype(float), atol=2e-14)
    np.testing.assert_allclose(sine, np.sin(angle).astype(float), atol=2e-14)


def test_structure_factors_are_those_of_gemmi(crystal):
    gemmi.IT92_normalize()  # f(0) = Z, as here
    small = gemmi.SmallStructure()
    lattice = Lattice(crystal.lattice)
    small.cell = gemmi.UnitCell(*lattice.abc, *lattice.angles)
    for number, position in zip(crystal.numbers.tolist(), crystal.frac_coords, strict=True):
        small.add_site(site(number, position))
    assert_equal_to_gemmi(small, crystal)


def test_structure_factors_are_those_of_gemmi_expanding_a_space_group():
    small = gemmi.SmallStructure()  # quartz
    small.cell = gemmi.UnitCell(4.913, 4.913, 5.405, 90, 90, 120)
    small.spacegroup_hm = "P 31 2 1"
    small.determine_and_set_spacegroup("S.H2")
    small.add_site(site(14, [0.470, 0, 1 / 3]))
    small.add_site(site(8, [0.414, 0.268, 0.453]))
    small.setup_cell_images()
    atoms = small.get_all_unit_cell_sites()
    assert len(atoms) == 9
    numbers = np.array([atom.element.atomic_number for atom in atoms])
    coords = np.array([atom.fract.tolist() for atom in atoms])
    gemmi.IT92_normalize()
    small.change_occupancies_to_crystallographic()  # silicon lies on a twofold axis
    lattice = np.array(small.cell.orth.mat.tolist()).T
    assert_equal_to_gemmi(small, (lattice, numbers, coords))


def site(number, position):
    atom = gemmi.SmallStructure.Site()
    atom.element = gemmi.Element(number)
    atom.fract = gemmi.Fractional(*position)
    return atom


def assert_equal_to_gemmi(small, crystal):
    s, hkl = half_sphere(crystal[0], S_MAX)
    calculator = gemmi.StructureFactorCalculatorX(small.cell)
    expected = [calculator.calculate_sf_from_small_structure(small, h) for h in hkl.tolist()]
    with jax.enable_x64(True):
        found = squared_structure_factors(Crystal.of(*crystal), hkl)
    np.testing.assert_allclose(found[0], s, rtol=1e-12)
    electrons = crystal[1].sum()
    np.testing.assert_allclose(  # gemmi's form factors are float32
        np.sqrt(found[1]), np.abs(expected), atol=1e-6 * electrons
    )


def squared_sum(crystal, hkl, *, occupancies, b_factor, wavelength):
    """The definition of |F|^2 in complex float64, the mean of h and -h."""
    total = 0
    for sign in (1, -1):
        amplitude = 0
        q = np.sum((hkl @ np.linalg.inv(crystal.lattice).T) ** 2, axis=1) / 4
        for z, x, o in zip(crystal.numbers.tolist(), crystal.frac_coords, occupancies, strict=True):
            fit = gemmi.Element(z).it92
            f = fit.c + sum(a * np.exp(-b * q) for a, b in zip(fit.a, fit.b, strict=True))
            f *= z / (sum(fit.a) + fit.c)
            real, imaginary = gemmi.cromer_liberman(z, 12398.4197386209 / wavelength)
            wave = np.exp(2j * np.pi * sign * (hkl @ x) - b_factor * q)
            amplitude = amplitude + o * (f + real + 1j * imaginary) * wave
        total = total + np.abs(amplitude) ** 2 / 2
    return total


def test_occupancy_dispersion_and_displacement_enter_as_defined(crystal):
    occupancies = np.linspace(0.3, 1, len(crystal.numbers))
    hkl = half_sphere(crystal.lattice, S_MAX).hkl
    expected = squared_sum(crystal, hkl, occupancies=occupancies, b_factor=0.7, wavelength=1.2)
    ours = Crystal.of(*crystal, occupancies)
    with jax.enable_x64(True):
        added = dispersion(ours.species, 1.2)
        found = squared_structure_factors(ours, hkl, 0.7, added)[1]
    np.testing.assert_allclose(found, expected, atol=1e-7 * expected.max())


def test_the_factors_of_the_host_are_as_defined(crystal):
    occupancies = np.linspace(0.3, 1, len(crystal.numbers))
    s, hkl = half_sphere(crystal.lattice, S_MAX)
    asked = {"b_factor": 0.7, "wavelength": 1.2}
    expected = squared_sum(crystal, hkl, occupancies=occupancies, **asked)
    found = squared_factors(Crystal.of(*crystal, occupancies), hkl, s, table="it92", **asked)
    np.testing.assert_allclose(found, expected, atol=1e-7 * expected.max())


@pytest.mark.parametrize("table", ["it92", "pymatgen"])
def test_the_lines_are_the_same_on_host_and_device(crystal, table, monkeypatch):
    atoms = Crystal.of(*crystal)
    monkeypatch.setitem(MUCH, "cpu", np.inf)
    expected = reflections(atoms, s_max=S_MAX, table=table)
    monkeypatch.setitem(MUCH, "cpu", 0.0)
    found = reflections(atoms, s_max=S_MAX, table=table)
    np.testing.assert_allclose(found[:, 0], expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found[:, 1], expected[:, 1], atol=1e-12 * expected[:, 1].max())


def test_friedel_pairs_of_an_anomalous_scatterer_are_averaged():
    # Zinc blende without a centre: |F(111)| and |F(-1 -1 -1)| differ by the dispersion alone.
    zns = (np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * 2.7, np.array([30, 16]))
    crystal = Crystal.of(*zns, np.array([[0, 0, 0], [0.25, 0.25, 0.25]]))
    at_edge = reflections(crystal, wavelength=1.28, s_max=1.0, anomalous=True)
    normal = reflections(crystal, s_max=1.0)
    np.testing.assert_allclose(at_edge[:, 0], normal[:, 0])
    assert np.all(np.abs(at_edge[:, 1] / normal[:, 1] - 1) > 0.01)


def test_two_elements_on_one_site_scatter_as_their_mean():
    alone = [Crystal.of(CUBIC, np.array([z]), ORIGIN) for z in (26, 27)]
    mixed = Crystal.of(CUBIC, np.array([26, 27]), np.zeros((2, 3)), np.array([0.25, 0.75]))
    f = [np.sqrt(reflections(crystal, s_max=1.0)[:, 1]) for crystal in (*alone, mixed)]
    np.testing.assert_allclose(f[2], 0.25 * f[0] + 0.75 * f[1], rtol=1e-12)


def test_a_displacement_factor_weakens_lines_as_debye_and_waller_say():
    crystal = Crystal.of(CUBIC, np.array([26]), ORIGIN)
    at_rest, moving = (reflections(crystal, s_max=1.5, b_factor=b) for b in (0.0, 1.3))
    np.testing.assert_allclose(
        moving[:, 1] / at_rest[:, 1], np.exp(-1.3 * at_rest[:, 0] ** 2 / 2), rtol=1e-12
    )


def test_crystals_of_every_size_share_a_batch(sample):
    atoms = [crystal for system in sample.values() for crystal in system]
    crystals = [Crystal.of(*crystal) for crystal in atoms]
    together = reflections_of(crystals, s_max=1.5)
    for crystal, lines in zip(atoms, together, strict=True):
        hkl = half_sphere(crystal.lattice, 1.5).hkl
        with jax.enable_x64(True):
            squared = squared_structure_factors(Crystal.of(*crystal), hkl)[1]
        assert lines[:, 1].sum() == pytest.approx(2 * np.asarray(squared).sum(), rel=1e-9)


def test_single_precision_is_good_to_a_ten_thousandth(sample):
    crystals = [Crystal.of(*crystal) for system in sample.values() for crystal in system]
    exact = reflections_of(crystals, s_max=S_MAX)
    single = reflections_of(crystals, s_max=S_MAX, dtype=np.float32)
    for lines, rounded in zip(exact, single, strict=True):
        strong = lines[lines[:, 1] > 1e-4 * lines[:, 1].max()]
        nearest = np.abs(rounded[:, 0] - strong[:, :1]).argmin(axis=1)
        np.testing.assert_allclose(rounded[nearest, 0], strong[:, 0], rtol=1e-6)
        np.testing.assert_allclose(rounded[nearest, 1], strong[:, 1], atol=1e-4 * lines[:, 1].max())


def test_padding_changes_nothing(crystal):
    ours = Crystal.of(*crystal)
    hkl = half_sphere(crystal.lattice, S_MAX).hkl
    many = Crystal.of(CUBIC, np.arange(1, 19), np.random.default_rng(0).random((18, 3)))
    larger = stack([ours, many])
    with jax.enable_x64(True):
        expected = squared_structure_factors(ours, hkl)
        padded = squared_structure_factors(jax.tree.map(lambda x: x[0], larger), hkl)
    for one, other in zip(expected, padded, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-10, atol=1e-9)


@jax.jit
def weighted_sum(crystal, hkl, b_factor, added):
    weight = np.random.default_rng(0).random((2, len(hkl)))
    s, squared = squared_structure_factors(crystal, hkl, b_factor, added)
    return jnp.sum(weight[0] * s) + jnp.sum(weight[1] * squared)


def test_derivatives_are_those_of_finite_differences(padded):
    hkl = half_sphere(padded.lattice, 1.2).hkl[:100]  # each crystal has as many
    added = dispersion(padded.species, 1.5)

    def total(lattice, occupancy, frac_coords, b_factor, added):
        other = Crystal(lattice, padded.species, occupancy, frac_coords)
        return weighted_sum(other, hkl, b_factor, added)

    arguments = (padded.lattice, padded.occupancy, padded.frac_coords, np.array(0.5), added)
    with jax.enable_x64(True):
        jax.test_util.check_grads(total, arguments, order=1, modes=["rev"], eps=1e-5, rtol=1e-5)


HARD = {
    "coincident atoms": np.array([[0.1, 0.2, 0.3]] * 2),
    "an absence": np.array([[0, 0, 0], [0.5, 0.5, 0.5]]),
    "symmetry": np.zeros((2, 3)),
}


@jax.jit
@partial(jax.grad, argnums=(0, 1, 2))
def slopes(lattice, frac_coords, b_factor, crystal, hkl):
    other = crystal._replace(lattice=lattice, frac_coords=frac_coords)
    return sum(map(jnp.sum, squared_structure_factors(other, hkl, b_factor)))


@pytest.mark.parametrize("coords", HARD.values(), ids=HARD)
def test_derivatives_are_finite_where_intensity_or_distance_vanishes(coords):
    numbers = np.array([26, 26])
    hkl = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 1], [2, 0, 0]])  # the first is padding

    with jax.enable_x64(True):
        crystal = Crystal.of(CUBIC, numbers, coords)
        floats = slopes(crystal.lattice, crystal.frac_coords, 0.0, crystal, hkl)
    assert all(np.isfinite(part).all() for part in floats)
