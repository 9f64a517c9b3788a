"""The pattern calculated from a density, against one simulated from its crystal."""

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.material import Material
from cmed_jax.io.pattern import pattern_of_columns
from cmed_jax.physics import Instrument, simulate_pattern
from cmed_jax.physics.density import electron_density
from cmed_jax.physics.simulation import crystal_of
from cmed_jax.powder.indexing import Shift
from cmed_jax.powder.preparation import Preparation, prepare
from cmed_jax.prediction.assessment import Explanation
from cmed_jax.solution.calculated import calculate_crystal_pattern, calculate_pattern

SITES = [[0, 0, 0], [0.25, 0.25, 0.25]]
FLUORITE = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.463), ["Ca", "F"], SITES)
PRIMITIVE = FLUORITE.get_primitive_structure()
ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.463), ["Ca", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]]
).get_primitive_structure()


@pytest.fixture(scope="module")
def prepared():
    drawn = simulate_pattern(FLUORITE, "CuKa", start=15.0, stop=110.0, step=0.02)
    counts = np.random.default_rng(0).poisson(50 * drawn.intensity + 40).astype(float)
    return prepare(pattern_of_columns(drawn.two_theta, counts, "CuKa"))


def density(structure):
    return electron_density(crystal_of(structure))


def test_the_density_of_the_crystal_implies_its_pattern(prepared):
    calculated = calculate_pattern(density(PRIMITIVE), PRIMITIVE.lattice.matrix, prepared)
    assert calculated.cosine > 0.995
    assert calculated.rwp < 0.25
    np.testing.assert_array_equal(calculated.two_theta, prepared.measured.two_theta)
    measured = prepared.measured.intensity
    assert np.abs(calculated.intensity - measured).max() < 0.1 * measured.max()


@pytest.mark.parametrize("unit", [1.0, 0.02])
def test_of_few_counts_the_true_pattern_leaves_the_noise(unit):
    drawn = simulate_pattern(FLUORITE, "CuKa", start=15.0, stop=110.0, step=0.02)
    counts = unit * np.random.default_rng(0).poisson(0.6 * drawn.intensity + 8)
    prepared = prepare(pattern_of_columns(drawn.two_theta, counts, "CuKa"))
    true, wrong = (
        calculate_pattern(density(each), each.lattice.matrix, prepared)
        for each in (PRIMITIVE, ROCK_SALT)
    )
    assert true.noise == wrong.noise
    assert true.rwp > 0.5
    found = [Explanation("", each.rwp, 1.0, noise=each.noise).misfit for each in (true, wrong)]
    assert found[0] < 0.3 < 0.6 < found[1]


def test_its_lines_have_the_measured_areas(prepared):
    calculated = calculate_pattern(density(PRIMITIVE), PRIMITIVE.lattice.matrix, prepared)
    angle, area = calculated.lines.T
    for position, known in zip(prepared.peaks.two_theta, prepared.peaks.area, strict=True):
        together = area[np.abs(angle - position) < 0.1].sum()
        assert together == pytest.approx(known, rel=0.1, abs=0.02 * area.max())


def test_a_polarised_beam_is_implied_as_it_is_measured():
    device = Instrument(np.array([0.8]), np.ones(1), w=0.01, monochromator=90.0)
    drawn = simulate_pattern(FLUORITE, start=5.0, stop=60.0, instrument=device)
    measured = pattern_of_columns(drawn.lines[:, 1], drawn.lines[:, 2], 0.8)
    plain, corrected = (
        calculate_pattern(
            density(PRIMITIVE), PRIMITIVE.lattice.matrix, prepare(measured, options)
        ).rwp
        for options in (Preparation(), Preparation(monochromator=90.0))
    )
    assert corrected < 1e-3 < 0.1 < plain


@pytest.mark.parametrize("wavelength", [1.3, 1.54184])
def test_a_crystal_implies_what_its_density_does_and_its_dispersion(wavelength):
    """Near its edge, 1.283 angstrom, zinc scatters like fewer electrons; gemmi is the reference."""
    blende = Structure.from_spacegroup("F-43m", Lattice.cubic(5.41), ["Zn", "S"], SITES)
    cell = blende.get_primitive_structure()
    truth = lines_of_gemmi(blende, wavelength)
    prepared = prepare(pattern_of_columns(*truth, wavelength), Preparation(shift=False))
    without = calculate_pattern(density(cell), cell.lattice.matrix, prepared)
    numbers = np.array(cell.atomic_numbers)
    crystal = Material("blende", cell.lattice.matrix, numbers, cell.frac_coords)
    found = calculate_crystal_pattern(crystal, prepared)
    assert found.rwp < 0.01 < without.rwp
    np.testing.assert_allclose(found.intensity, truth[1], atol=0.01 * truth[1].max())


def lines_of_gemmi(structure, wavelength):
    """Return two-theta and area of lines below 1.2 of 1/d, of structure factors with dispersion."""
    energy = gemmi.hc / wavelength
    n = np.arange(-9, 10)
    hkl = np.stack(np.meshgrid(n, n, n), axis=-1).reshape(-1, 3)
    s = np.sqrt((hkl**2).sum(axis=1)) / structure.lattice.a
    hkl, s = hkl[(s > 0) & (s < 1.2)], s[(s > 0) & (s < 1.2)]
    amplitude = 0
    for site in structure:
        element = gemmi.Element(site.specie.symbol)
        factor = np.array([element.it92.calculate_sf(x) for x in s**2 / 4])
        real, imaginary = gemmi.cromer_liberman(element.atomic_number, energy)
        wave = np.exp(2j * np.pi * hkl @ site.frac_coords)
        amplitude = amplitude + (factor + real + 1j * imaginary) * wave
    shells, line = np.unique(np.round(s, 6), return_inverse=True)
    squared = np.bincount(line, np.abs(amplitude) ** 2)
    theta = np.arcsin(shells * wavelength / 2)
    area = squared * (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    strong = area > 1e-4 * area.max()
    return np.degrees(2 * theta[strong]), area[strong]


def test_points_weigh_by_the_standard_deviations_of_the_file(prepared):
    """The file joins two ranges that were counted for different times, as rates."""
    measured = prepared.measured
    time = np.where(measured.two_theta < 60, 0.1, 4.0)
    sigma = np.sqrt(np.maximum(measured.intensity, 1) / time)
    merged = replace(prepared, measured=replace(measured, sigma=sigma))
    calculated = calculate_pattern(density(PRIMITIVE), PRIMITIVE.lattice.matrix, merged)
    left = measured.intensity - calculated.intensity
    weight = 1 / np.maximum(sigma**2, 0.01 * sigma[measured.intensity.argmax()] ** 2)
    expected = np.sqrt((weight @ left**2) / (weight @ prepared.net**2))
    assert calculated.rwp == pytest.approx(expected, rel=1e-9)
    assert (
        calculated.rwp
        != calculate_pattern(density(PRIMITIVE), PRIMITIVE.lattice.matrix, prepared).rwp
    )
    unknown = replace(prepared, measured=replace(measured, sigma=np.zeros_like(sigma)))
    assert calculate_pattern(density(PRIMITIVE), PRIMITIVE.lattice.matrix, unknown).rwp < 0.25


@pytest.mark.parametrize("wrong", ["density", "cell", "shift"])
def test_what_is_wrong_shows(prepared, wrong):
    lattice, shift = PRIMITIVE.lattice.matrix, None
    structure = ROCK_SALT if wrong == "density" else PRIMITIVE
    if wrong == "cell":
        lattice = 1.01 * lattice
    if wrong == "shift":
        shift = Shift(0.3)
    calculated = calculate_pattern(density(structure), lattice, prepared, shift)
    assert calculated.cosine < 0.8
    assert 0.6 < calculated.rwp <= 1


def test_a_list_of_peaks_is_compared_as_well():
    drawn = simulate_pattern(FLUORITE, 1.54184, start=15.0, stop=110.0)
    prepared = prepare(pattern_of_columns(drawn.lines[:, 1], drawn.lines[:, 2], 1.54184))
    calculated = calculate_pattern(density(PRIMITIVE), PRIMITIVE.lattice.matrix, prepared)
    assert calculated.cosine > 0.99
    np.testing.assert_allclose(calculated.intensity, drawn.lines[:, 2], atol=3)
