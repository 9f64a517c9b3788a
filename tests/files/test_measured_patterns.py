"""Measured patterns: reduced to peaks, brought to the network's grid."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.material import Material
from cmed_jax.data.records import make_record
from cmed_jax.files.patterns import (
    check_grid_pattern,
    find_peaks,
    to_network_grid,
)
from cmed_jax.physics.artefacts import LABORATORY, expected, measure, middle
from cmed_jax.physics.grids import Grid
from cmed_jax.physics.instrument import Lines

CU, MO = 1.54184, 0.71073
BINS = 1024
numbers = st.floats(0, 1e6).map(lambda x: round(x, 4))


@pytest.fixture(scope="module")
def salt():
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], sites)


@pytest.fixture(scope="module")
def copper_lines(salt):
    lines = XRDCalculator(wavelength=CU).get_pattern(salt, scaled=False, two_theta_range=(0, 179))
    return lines.x, lines.y


def record_pattern(structure):
    material = Material(
        "salt",
        structure.lattice.matrix,
        np.array([site.specie.Z for site in structure]),
        structure.frac_coords,
        space_group=225,
    )
    return np.asarray(make_record(material)["pattern"]).reshape(BINS)


def test_lines_of_copper_land_where_molybdenum_has_them(salt, copper_lines):
    """Peaks from pymatgen for Cu K-alpha, beside the record's pattern for Mo K-alpha."""
    found, coverage, warnings = to_network_grid(*copper_lines, CU)
    last = 2 * np.degrees(np.arcsin(MO / CU * np.sin(np.radians(copper_lines[0][-1]) / 2)))
    seen = np.arange(BINS) <= int(BINS * last / 180)
    expected = np.where(seen, record_pattern(salt), 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32
    assert "54." in warnings[0]
    assert "read as empty" in warnings[0]
    np.testing.assert_array_equal(coverage, (np.arange(BINS) + 0.5) * 180 / BINS < last)


def test_the_order_and_the_unit_of_peaks_do_not_matter(copper_lines):
    angle, intensity = copper_lines
    order = np.random.default_rng(0).permutation(len(angle))
    found, *_ = to_network_grid(angle[order], 1e4 * intensity[order], CU)
    np.testing.assert_allclose(found, to_network_grid(angle, intensity, CU)[0], rtol=1e-6)


def test_peaks_of_molybdenum_stay_where_they_are():
    angle = np.array([10.0, 37.5, 120.3, 179.0])
    intensity = np.array([5.0, 10.0, 1.0, 2.0])
    found, _, warnings = to_network_grid(angle, intensity, MO)
    bins = (BINS * angle / 180).astype(int)
    np.testing.assert_allclose(found[bins], intensity / 10, rtol=1e-5)
    assert np.count_nonzero(found) == 4
    assert warnings == []


def test_what_lies_beyond_molybdenum_is_left_out():
    """Silver sees lines of smaller d than molybdenum can."""
    found, *_ = to_network_grid(np.array([20.0, 170.0]), np.array([1.0, 5.0]), 0.560885)
    assert np.count_nonzero(found) == 1


def pseudo_voigt(angle, centre, width, mixing=0.5):
    """Of area 1: Gaussian and Lorentzian of one width at half maximum."""
    x = (angle - centre) / width
    gaussian = 2 * np.sqrt(np.log(2) / np.pi) * np.exp(-4 * np.log(2) * x**2)
    lorentzian = 2 / np.pi / (1 + 4 * x**2)
    return ((1 - mixing) * gaussian + mixing * lorentzian) / width


def profile(positions, areas, step, seed=0):
    """Counts over a falling background with a hump, peaks that widen with the angle."""
    angle = np.arange(10, 120, step)
    background = 200 + 400 * np.exp(-angle / 20) + 100 * np.exp(-(((angle - 25) / 6) ** 2))
    widths = 0.1 + 0.001 * np.asarray(positions)
    peaks = sum(a * pseudo_voigt(angle, *p) for a, *p in zip(areas, positions, widths, strict=True))
    return angle, np.random.default_rng(seed).poisson(background + peaks).astype(float)


@pytest.mark.parametrize("step", [0.01, 0.0167113, 0.03])
def test_peaks_are_found_over_background_and_noise(step):
    positions = np.array([21.37, 28.44, 47.31, 56.12, 76.38, 94.95])
    areas = np.array([600.0, 4000.0, 2500.0, 1300.0, 500.0, 250.0])
    angle, area = find_peaks(*profile(positions, areas, step))
    assert len(angle) == len(positions)
    np.testing.assert_allclose(angle, positions, atol=0.03)
    np.testing.assert_allclose(area / area.max(), areas / areas.max(), rtol=0.2)


@pytest.mark.parametrize("digits", [5, 2])
def test_a_profile_is_read_as_its_peaks(copper_lines, digits):
    """Angles of a step of 0.0167 degrees that a file rounds to two digits are a profile as well."""
    position, area = (column[:8] for column in copper_lines)
    angle, counts = profile(position, 4000 * area / area.max(), 0.0167)
    found, *_ = to_network_grid(angle.round(digits), counts, CU)
    expected, *_ = to_network_grid(position, area, CU)
    for line in np.flatnonzero(expected > 0.05):
        assert found[line - 1 : line + 2].max() == pytest.approx(expected[line], rel=0.2)
    assert np.count_nonzero(found) <= 10


def test_many_peaks_are_not_a_profile():
    rng = np.random.default_rng(0)
    angle = np.sort(rng.uniform(5, 179, 400))
    found, *_ = to_network_grid(angle, rng.uniform(1, 2, 400), MO)
    assert np.count_nonzero(found) == len(np.unique((BINS * angle / 180).astype(int)))


def test_a_profile_without_peaks_is_an_error():
    angle = np.arange(10, 60, 0.02)
    with pytest.raises(ValueError, match="no peak stands out"):
        to_network_grid(angle, np.full_like(angle, 7.0), CU)


@pytest.mark.parametrize(
    ("angle", "intensity", "message"),
    [
        ([], [], "the pattern is empty"),
        ([10.0, 20.0], [1.0], r"shape \(2,\) and intensity \(1,\)"),
        ([[10.0]], [[1.0]], r"shape \(1, 1\)"),
        ([10.0, 20.0], [1.0, -2.5], r"intensity -2.5 \(number 2\) is negative"),
        ([10.0, 20.0], [float("nan"), 1.0], r"intensity nan \(number 1\)"),
        ([10.0, 20.0], [1.0, float("inf")], "intensity inf"),
        ([10.0, 20.0], [0.0, 0.0], "holds no intensity"),
        ([0.0, 20.0], [1.0, 1.0], "two_theta 0.0 is not between 0 and 180"),
        ([10.0, 180.5], [1.0, 1.0], "two_theta 180.5 is not"),
        ([10.0, float("nan")], [1.0, 1.0], "two_theta nan is not"),
    ],
)
def test_unusable_columns_are_answered_with_the_value(angle, intensity, message):
    with pytest.raises(ValueError, match=message):
        to_network_grid(np.array(angle), np.array(intensity), CU)


def test_a_wavelength_that_leaves_nothing_is_an_error():
    with pytest.raises(ValueError, match=r"wavelength 0\.2 angstrom puts all .*\(d > 0\.355"):
        to_network_grid(np.array([60.0, 90.0]), np.ones(2), 0.2)


def test_only_empty_lines_within_reach_are_an_error():
    with pytest.raises(ValueError, match=r"wavelength 0\.560885 angstrom puts all"):
        to_network_grid(np.array([20.0, 170.0]), np.array([0.0, 5.0]), 0.560885)


def test_a_pattern_on_the_grid_is_scaled_to_its_strongest_bin():
    pattern = np.zeros(BINS)
    pattern[[3, 500]] = 2.0, 50.0
    found = check_grid_pattern(pattern)
    np.testing.assert_allclose(found, pattern / 50, rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (np.ones(1000), r"shape \(1000,\) is not on the network's grid: give 1024 bins"),
        (np.ones((1, BINS)), r"shape \(1, 1024\)"),
        (np.zeros(BINS), "holds no intensity"),
        (np.full(BINS, np.nan), "intensity nan"),
        (-np.ones(BINS), r"intensity -1\.0"),
    ],
)
def test_a_pattern_that_is_not_on_the_grid_is_an_error(pattern, message):
    with pytest.raises(ValueError, match=message):
        check_grid_pattern(pattern)


def test_a_network_of_measurements_is_shown_the_profile_as_training_renders_it():
    """A file of evenly spaced points, and the same conditions rendered on the network's grid."""
    lines = Lines(jnp.array([0.31, 0.355, 0.502, 0.614]), jnp.array([20.0, 90.0, 60.0, 17.0]))
    conditions = middle(dataclasses.replace(LABORATORY, counts=(1e9, 1e9)))
    start, stop = float(conditions.start), float(conditions.stop)
    points = Grid(start, stop, 8000, wavelength=CU)
    counts, _ = expected(lines, conditions, points)
    found, coverage, warnings = to_network_grid(
        points.centres, np.asarray(counts), CU, as_measured=True
    )
    rendered, measured = measure(jax.random.key(0), lines, conditions)
    assert warnings == []
    assert np.abs(coverage - measured).sum() <= 1
    np.testing.assert_allclose(found, rendered, atol=5e-3)


def test_peaks_stay_sticks_for_every_network(copper_lines):
    one, other = (to_network_grid(*copper_lines, CU, as_measured=flag)[0] for flag in (True, False))
    np.testing.assert_array_equal(one, other)
