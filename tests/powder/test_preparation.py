"""The steps from a measured pattern to the network, compared with simulations of known parts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.io.pattern import pattern_of_columns
from cmed_jax.physics.artefact_ranges import LABORATORY
from cmed_jax.physics.artefacts import background, central_conditions, expected, measure
from cmed_jax.physics.grids import Grid
from cmed_jax.physics.instrument import Lines
from cmed_jax.physics.patterns import powder_lines, published_pattern
from cmed_jax.physics.reflections import reflections
from cmed_jax.physics.simulation import crystal_of
from cmed_jax.powder.noise import noise_of
from cmed_jax.powder.preparation import Preparation, prepare

CU = 1.541837
ZERO = 0.06

# One program, instead of one for every operation.
intensities = jax.jit(
    lambda lines, conditions, grid: expected(lines, conditions, grid)[0], static_argnums=2
)


@pytest.fixture(scope="module")
def lines():
    """Return the lines of fluorite up to the limit of the instrument."""
    fluorite = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.463), ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]]
    )
    return reflections(crystal_of(fluorite), s_max=1.2)


@pytest.fixture(scope="module")
def simulated(lines):
    """Return the angles, counts and background of a laboratory diffractometer."""
    conditions = central_conditions(
        dataclasses.replace(LABORATORY, zero=(ZERO, ZERO), b_factor=(0.0, 0.0))
    )
    conditions = conditions._replace(start=jnp.array(15.0), stop=jnp.array(130.0))
    grid = Grid(15.0, 130.0, 5750, wavelength=CU)
    both = Lines(*map(jnp.asarray, lines.T))
    level = background(conditions, jnp.asarray(grid.edges), grid)
    total = intensities(both, conditions, grid)
    without = conditions._replace(background=jnp.zeros(4), hump=conditions.hump.at[0].set(0.0))
    share = float((total - intensities(both, without, grid)).sum() / level.sum())
    scale = 1e6
    counts = np.random.default_rng(0).poisson(scale * np.asarray(total, float))
    return grid.centres, counts.astype(float), scale * share * np.asarray(level, float), conditions


@pytest.fixture(scope="module")
def measured(simulated):
    angle, counts, *_ = simulated
    return pattern_of_columns(angle, counts, "CuKa")


@pytest.fixture(scope="module")
def prepared(measured):
    return prepare(measured)


def test_lines_and_their_intensities_are_found(prepared, lines):
    angle, strength = powder_lines(lines, CU)
    inside = (angle > 15) & (angle < 130) & (strength > 0.02)
    strong = prepared.peaks.area > 0.02 * prepared.peaks.area.max()
    np.testing.assert_allclose(prepared.peaks.s[strong], lines[: len(angle), 0][inside], rtol=5e-5)
    area = prepared.peaks.area[strong] / prepared.peaks.area.max()
    known = strength[inside] / strength[inside].max()
    np.testing.assert_allclose(area, known, rtol=0.1)


def test_the_background_is_the_simulated_one(prepared, simulated):
    level = simulated[2]
    assert np.abs(prepared.background - level).mean() < 0.25 * level.mean()
    np.testing.assert_array_equal(prepared.net, prepared.measured.intensity - prepared.background)


def test_the_zero_shift_is_found_and_said(prepared):
    assert prepared.shift.zero == pytest.approx(ZERO, abs=0.01)
    said = f"a zero shift of {prepared.shift.zero:.3f} degrees"
    assert any(said in warning for warning in prepared.warnings)


def test_where_the_lines_show_no_zero_shift_none_is_said_to_be_corrected():
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )
    lines = XRDCalculator(wavelength=CU).get_pattern(salt, two_theta_range=(15, 130))
    warnings = prepare(pattern_of_columns(lines.x, lines.y, CU)).warnings
    assert "the positions of the lines show no zero shift" in warnings
    assert not any("is corrected" in each for each in warnings)


def test_a_network_of_sticks_is_shown_the_strongest_bins_of_the_record(prepared, lines):
    record = published_pattern(lines)
    strong = np.flatnonzero((record > 0.05) & (prepared.coverage > 0))
    near = [prepared.pattern[bin - 1 : bin + 2].max() for bin in strong]
    np.testing.assert_allclose(near, record[strong], rtol=0.12)
    assert np.count_nonzero(prepared.pattern > 0.01) <= len(prepared.peaks.s)


def test_a_network_of_measurements_is_shown_what_training_shows(measured, simulated, lines):
    """The background is kept; the shift, which is within those of training, is corrected."""
    conditions = simulated[3]
    straight = conditions._replace(
        instrument=conditions.instrument._replace(zero=jnp.array(0.0)), counts=jnp.array(1e9)
    )
    shown = prepare(measured, as_measured=True)
    rendered, coverage = measure(jax.random.key(0), Lines(*map(jnp.asarray, lines.T)), straight)
    assert np.abs(shown.coverage - coverage).sum() <= 1
    assert np.abs(shown.pattern - rendered).mean() < 2e-3
    np.testing.assert_allclose(shown.pattern, rendered, atol=0.05)


def test_every_step_can_be_left(measured):
    plain = prepare(measured, Preparation("none", doublet=False, smoothing=False, shift=False))
    assert not plain.background.any()
    assert len(plain.radiation.wavelengths) == 1
    assert plain.shift is None
    assert plain.warnings == ()


@pytest.mark.parametrize(
    ("wavelength", "said"),
    [(1.54184, "is the mean of Cu K-alpha 1 and 2"), (1.5406, "the lines show Cu K-alpha 2")],
)
def test_the_doublet_is_modelled_where_one_wavelength_is_given(simulated, wavelength, said):
    angle, counts, *_ = simulated
    found = prepare(pattern_of_columns(angle, counts, wavelength))
    assert len(found.radiation.wavelengths) == 2
    assert any(said in warning for warning in found.warnings)


def test_one_wavelength_stays_one_where_the_lines_show_no_second(lines):
    only = central_conditions(
        dataclasses.replace(LABORATORY, anodes=(), wavelength=(1.54056, 1.54056))
    )
    grid = Grid(15.0, 130.0, 5750, wavelength=1.54056)
    total = intensities(Lines(*map(jnp.asarray, lines.T)), only, grid)
    counts = np.random.default_rng(0).poisson(1e6 * np.asarray(total, float)).astype(float)
    found = prepare(pattern_of_columns(grid.centres, counts, 1.54056))
    assert len(found.radiation.wavelengths) == 1


def test_a_list_of_peaks_is_taken_as_it_is(lines):
    angle, strength = powder_lines(lines, CU)
    found = prepare(pattern_of_columns(angle[:9], strength[:9], "CuKa"))
    assert not found.measured.is_profile
    np.testing.assert_array_equal(found.peaks.area, strength[:9])
    assert np.isnan(found.peaks.width).all()
    assert found.shift.zero == pytest.approx(0, abs=0.01)


def test_a_polarised_beam_is_shown_as_one_that_is_not(lines):
    """Lines across the polarisation lack the factor (1 + cos^2 2theta) / 2."""
    angle, strength = powder_lines(lines, CU)
    polarised = strength / (1 + np.cos(np.radians(angle)) ** 2)
    options = Preparation(shift=False, monochromator=90.0)
    found = prepare(pattern_of_columns(angle, polarised, "CuKa"), options)
    plain = prepare(pattern_of_columns(angle, strength, "CuKa"), Preparation(shift=False))
    np.testing.assert_allclose(found.pattern, plain.pattern, rtol=1e-6)


@pytest.mark.parametrize("bad", [-1.0, 90.1, np.nan])
def test_no_such_monochromator(bad):
    with pytest.raises(ValueError, match=f"monochromator is {bad}: give two-theta"):
        Preparation(monochromator=bad)


def test_a_list_of_peaks_has_no_negative_intensity():
    with pytest.raises(ValueError, match=r"intensity -2\.0 \(number 2\) is negative"):
        prepare(pattern_of_columns(np.array([20.0, 30]), np.array([1.0, -2.0]), "CuKa"))


def test_a_profile_without_peaks_is_an_error():
    angle = np.arange(10, 60, 0.02)
    with pytest.raises(ValueError, match="no peak stands out"):
        prepare(pattern_of_columns(angle, np.full_like(angle, 7.0), "CuKa"))


def test_a_file_without_deviations_has_the_noise_of_its_counts(measured):
    """A file may state zeros, which are no deviations; single zeros are raised to the least."""
    zeros = np.zeros_like(measured.intensity)
    np.testing.assert_array_equal(
        noise_of(dataclasses.replace(measured, sigma=zeros)), noise_of(measured)
    )
    sigma = np.sqrt(measured.intensity)
    sigma[::7] = 0
    sigma[measured.intensity.argmax()] = 100.0
    found = noise_of(dataclasses.replace(measured, sigma=sigma))
    np.testing.assert_array_equal(found[sigma > 0], sigma[sigma > 0])
    assert found[sigma == 0] == pytest.approx(1e-4 * measured.intensity.max())


@pytest.mark.parametrize(("share", "said"), [(12.0, "12 times"), (0.02, "0.02 times")])
def test_deviations_far_from_the_scatter_of_the_points_are_not_used(measured, share, said):
    wrong = dataclasses.replace(measured, sigma=share * noise_of(measured))
    np.testing.assert_array_equal(noise_of(wrong), noise_of(measured))
    assert any(said in warning for warning in prepare(wrong).warnings)
