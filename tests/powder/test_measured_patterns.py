"""Measured patterns on the network's grid: lines as sticks, profiles bin by bin."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.material import Material
from cmed_jax.data.records import make_record
from cmed_jax.io.pattern import load_pattern, pattern_of_columns
from cmed_jax.io.steps import is_profile
from cmed_jax.physics.artefact_ranges import LABORATORY
from cmed_jax.physics.artefacts import central_conditions, expected, measure
from cmed_jax.physics.grids import Grid
from cmed_jax.physics.instrument import Lines
from cmed_jax.powder.network_grid import (
    check_grid_pattern,
    coverage_of,
    profile_on_network_grid,
    sticks_on_network_grid,
)
from cmed_jax.powder.preparation import Preparation, prepare

CU, MO = 1.54184, 0.71073
BINS = 1024


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
    """Peaks from pymatgen for Cu K-alpha are compared with the record's pattern for Mo K-alpha."""
    found = sticks_on_network_grid(*copper_lines, CU)
    last = 2 * np.degrees(np.arcsin(MO / CU * np.sin(np.radians(copper_lines[0][-1]) / 2)))
    seen = np.arange(BINS) <= int(BINS * last / 180)
    expected = np.where(seen, record_pattern(salt), 0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == np.float32
    covered = coverage_of(pattern_of_columns(*copper_lines, CU), CU)
    np.testing.assert_array_equal(covered, (np.arange(BINS) + 0.5) * 180 / BINS < last)


def test_the_unit_of_peaks_does_not_matter(copper_lines):
    angle, intensity = copper_lines
    found = sticks_on_network_grid(angle, 1e4 * intensity, CU)
    np.testing.assert_allclose(found, sticks_on_network_grid(angle, intensity, CU), rtol=1e-6)


def test_peaks_of_molybdenum_stay_where_they_are():
    angle = np.array([10.0, 37.5, 120.3, 179.0])
    intensity = np.array([5.0, 10.0, 1.0, 2.0])
    found = sticks_on_network_grid(angle, intensity, MO)
    bins = (BINS * angle / 180).astype(int)
    np.testing.assert_allclose(found[bins], intensity / 10, rtol=1e-5)
    assert np.count_nonzero(found) == 4


def test_what_lies_beyond_molybdenum_is_left_out():
    """Silver radiation shows lines of smaller d than molybdenum can."""
    found = sticks_on_network_grid(np.array([20.0, 170.0]), np.array([1.0, 5.0]), 0.560885)
    assert np.count_nonzero(found) == 1


@pytest.mark.parametrize(
    ("angle", "intensity", "message"),
    [
        ([], [], "the pattern is empty"),
        ([10.0, 20.0], [1.0], r"shape \(2,\) and intensity \(1,\)"),
        ([[10.0]], [[1.0]], r"shape \(1, 1\)"),
        ([10.0, 20.0], [float("nan"), 1.0], r"intensity nan \(point 1\)"),
        ([10.0, 20.0], [1.0, float("inf")], "intensity inf"),
        ([10.0, 20.0], [0.0, 0.0], "holds no intensity"),
        ([0.0, 20.0], [1.0, 1.0], "two-theta 0.0 .* is not between 0 and 180"),
        ([10.0, 180.5], [1.0, 1.0], "two-theta 180.5 .* is not"),
        ([10.0, float("nan")], [1.0, 1.0], "two-theta nan .* is not"),
    ],
)
def test_unusable_columns_are_answered_with_the_value(angle, intensity, message):
    with pytest.raises(ValueError, match=message):
        pattern_of_columns(np.array(angle), np.array(intensity), CU)


def test_columns_come_in_any_order(copper_lines):
    angle, intensity = copper_lines
    order = np.random.default_rng(0).permutation(len(angle))
    found = pattern_of_columns(angle[order], intensity[order], "CuKa")
    np.testing.assert_array_equal(found.two_theta, np.sort(angle))
    np.testing.assert_array_equal(found.intensity, intensity)
    assert found.radiation.mean == pytest.approx(CU, abs=1e-4)
    assert found.path is None


STEPS = np.arange(25, 60, 0.004)
CENTRES, AREAS = np.array([27.4, 31.7, 45.4, 53.9, 56.5]), np.array([9, 100, 60, 3, 17.0])


def counted(angle):
    """Return counts of Gaussian lines of the FWHM 0.1 degrees and a background."""
    gaussians = np.exp(-4 * np.log(2) * ((angle[:, None] - CENTRES) / 0.1) ** 2)
    return np.random.default_rng(0).poisson(50 + 200 * gaussians @ AREAS).astype(float)


@pytest.mark.parametrize(
    ("angle", "note"),
    [
        (np.round(STEPS, 2), "points of the same angle are averaged: of 8750, 3501 are left"),
        (np.repeat(STEPS[::5], 2), "points of the same angle are averaged: of 3500, 1750 are left"),
        (25 + 35 * np.linspace(0, 1, 2501) ** 3, "the steps are uneven: .* of 0.014 degrees"),
        (np.sort(np.random.default_rng(1).uniform(25, 60, 3000)), "the steps are uneven"),
    ],
    ids=["rounded", "doubled", "widening", "random"],
)
def test_a_profile_at_any_angles_has_its_lines(angle, note):
    true = STEPS if len(angle) == len(STEPS) else angle
    found = pattern_of_columns(angle, counted(true), "CuKa1")
    assert is_profile(found.two_theta)
    assert re.match(note, found.notes[0])
    peaks = prepare(found, Preparation(shift=False)).peaks
    strong = peaks.area > 0.02 * peaks.area.max()
    np.testing.assert_allclose(peaks.two_theta[strong], CENTRES, rtol=0, atol=0.01)
    np.testing.assert_allclose(
        peaks.area[strong] / peaks.area.max(), AREAS / 100, rtol=0.05, atol=5e-3
    )


def test_a_short_profile_of_even_steps_is_none_of_lines():
    angle = np.round(np.linspace(20, 80, 151), 2)
    lines = np.exp(-(((angle[:, None] - [31.7, 45.5, 66.2]) / 0.7) ** 2)) @ [2000, 900, 300]
    found = pattern_of_columns(angle, 50 + lines, "CuKa1")
    assert found.kind == "profile"
    peaks = prepare(found, Preparation(shift=False)).peaks
    np.testing.assert_allclose(peaks.two_theta, [31.7, 45.5, 66.2], rtol=0, atol=0.05)


def test_a_profile_too_short_to_prepare_is_refused():
    with pytest.raises(ValueError, match="30 evenly spaced points are a profile too short"):
        pattern_of_columns(np.linspace(20, 80, 30), np.ones(30), CU)


@pytest.mark.parametrize("lines", [12, 40, 150])
def test_lines_at_uneven_distances_are_peaks(lines):
    angle = 2 * np.degrees(np.arcsin(CU / 2 * np.sqrt(np.linspace(0.02, 1.2, lines))))
    assert pattern_of_columns(angle, np.arange(1.0, lines + 1), CU).kind == "peaks"


@pytest.mark.parametrize(
    "angle",
    [
        np.r_[np.arange(20, 40, 0.01), np.arange(40, 60, 0.02)],
        np.r_[np.arange(20, 30, 0.02), np.arange(35, 60, 0.02)],
    ],
    ids=["two steps", "gap"],
)
def test_uneven_steps_of_ranges_are_made_even_and_said(angle):
    found = pattern_of_columns(angle, 100 + angle, CU)
    steps = np.diff(found.two_theta)
    np.testing.assert_allclose(steps, steps[0])
    assert steps[0] == pytest.approx(np.median(np.diff(angle)), rel=1e-3)
    np.testing.assert_allclose(found.intensity, 100 + found.two_theta)
    assert "the steps are uneven" in found.notes[0]


def test_steps_that_are_only_printed_unevenly_are_kept():
    angle = np.round(np.arange(20, 60, 0.0167), 2)
    found = pattern_of_columns(angle, 100 + angle, CU)
    np.testing.assert_array_equal(found.two_theta, angle)


def test_standard_deviations_of_points_of_one_angle_are_those_of_their_mean(tmp_path):
    lines = (f"{a:.2f} {n} 3 " for a, n in zip(STEPS[::5], counted(STEPS[::5]), strict=True))
    path = tmp_path / "twice.xye"
    path.write_text("\n".join(line for line in lines for _ in range(2)))
    np.testing.assert_allclose(load_pattern(path, "CuKa").sigma, 3 / np.sqrt(2))


@pytest.mark.parametrize("decimals", [2, 6])
@pytest.mark.parametrize("doublet", [False, True])
def test_the_lines_of_a_large_cell_are_no_profile(decimals, doublet):
    """The file lists thousands of lines from pymatgen, in the format of programs."""
    cell = Lattice.from_parameters(9.1, 10.3, 11.7, 84, 97, 103)
    sites = np.random.default_rng(0).random((12, 3))
    lines = XRDCalculator(wavelength=CU).get_pattern(
        Structure(cell, ["Ca", "Si", "O"] * 4, sites), two_theta_range=(5, 90)
    )
    angle, intensity = np.round(lines.x, decimals), lines.y
    if doublet:
        angle = np.column_stack([angle, np.round(angle + 0.0005 * angle, decimals)]).ravel()
        intensity = np.column_stack([intensity, intensity / 2]).ravel()
    found = pattern_of_columns(angle, intensity, CU)
    assert len(angle) > 1000
    assert not is_profile(found.two_theta)
    np.testing.assert_array_equal(found.two_theta, np.sort(angle))


@pytest.mark.parametrize("split", [0.0003, 0.002])
def test_lines_that_a_small_distortion_splits_are_no_profile(split):
    """Each of 60 lines is listed as six of nearly equal intensity."""
    rng = np.random.default_rng(3)
    angle = np.sort(rng.uniform(12, 80, 60))[:, None] + split * rng.random((60, 6))
    intensity = rng.exponential(30, (60, 1)) * rng.uniform(0.9, 1.1, (60, 6))
    neighbours = (intensity[:, 1:] * intensity[:, :-1]).sum() / np.square(intensity).sum()
    assert neighbours > 0.8  # as in a profile
    found = pattern_of_columns(angle.ravel(), intensity.ravel(), CU)
    assert found.kind == "peaks"
    np.testing.assert_array_equal(found.two_theta, np.sort(angle.ravel()))


def test_a_wavelength_that_leaves_nothing_is_an_error():
    with pytest.raises(ValueError, match=r"wavelength 0\.2 angstrom puts all .*\(d > 0\.355"):
        sticks_on_network_grid(np.array([60.0, 90.0]), np.ones(2), 0.2)


def test_only_empty_lines_within_reach_are_an_error():
    with pytest.raises(ValueError, match=r"wavelength 0\.560885 angstrom puts all"):
        sticks_on_network_grid(np.array([20.0, 170.0]), np.array([0.0, 5.0]), 0.560885)


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


def test_a_profile_is_rebinned_as_training_renders_it():
    """The same conditions are rendered on evenly spaced points and on the network's grid."""
    lines = Lines(jnp.array([0.31, 0.355, 0.502, 0.614]), jnp.array([20.0, 90.0, 60.0, 17.0]))
    artefacts = dataclasses.replace(LABORATORY, counts=(1e9, 1e9))
    conditions = jax.jit(lambda: central_conditions(artefacts))()
    start, stop = float(conditions.start), float(conditions.stop)
    points = Grid(start, stop, 8000, wavelength=CU)
    counts, _ = jax.jit(expected, static_argnums=2)(lines, conditions, points)
    found = profile_on_network_grid(points.centres, np.asarray(counts, float), CU)
    rendered, measured = jax.jit(measure)(jax.random.key(0), lines, conditions)
    profile = pattern_of_columns(points.centres, np.asarray(counts, float), CU)
    assert np.abs(coverage_of(profile, CU) - measured).sum() <= 1
    np.testing.assert_allclose(found, rendered, atol=5e-3)


def test_a_profile_out_of_reach_is_an_error():
    angle = np.arange(100.0, 120.0, 0.02)
    with pytest.raises(ValueError, match="no bin of the network's grid holds any intensity"):
        profile_on_network_grid(angle, np.ones_like(angle), 0.2)
