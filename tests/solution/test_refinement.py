"""A crystal that was moved and resized is restored by the pattern of the true one."""

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.freedom import free_shifts
from cmed_jax.crystal.material import Material
from cmed_jax.physics.patterns import BINS, MO_K_ALPHA
from cmed_jax.solution.refinement import refine

QUARTZ = Structure.from_spacegroup(
    "P3_221",
    Lattice.hexagonal(4.913, 5.405),
    ["Si", "O"],
    [(0.4697, 0, 2 / 3), (0.4135, 0.2669, 0.7858)],
)
CORUNDUM = Structure.from_spacegroup(
    "R-3c", Lattice.hexagonal(4.759, 12.993), ["Al", "O"], [(0, 0, 0.3522), (0.3064, 0, 0.25)]
)
HALITE = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [(0, 0, 0), (0.5, 0.5, 0.5)]
)


def canonical(structure):
    numbers = np.array([site.specie.Z for site in structure])
    return canonical_cell(Material("x", structure.lattice.matrix, numbers, structure.frac_coords))


def pattern_of(structure):
    """The strongest of pymatgen's lines in each bin, strongest 1."""
    lines = XRDCalculator(MO_K_ALPHA).get_pattern(structure, scaled=True, two_theta_range=(0, 179))
    pattern = np.zeros(BINS)
    np.maximum.at(pattern, (BINS * lines.x / 180).astype(int), lines.y / 100)
    return pattern.astype(np.float32)


def disturbed(crystal, shift, stretch, seed=0):
    """A crystal with atoms moved by at most `shift` angstrom and edges stretched by a share."""
    shifts = free_shifts(crystal)
    mixed = np.tensordot(np.random.default_rng(seed).normal(size=len(shifts)), shifts, 1)
    farthest = max(np.linalg.norm(mixed @ crystal.lattice, axis=1).max(), 1e-9)
    return replace(
        crystal,
        frac_coords=crystal.frac_coords + shift * mixed / farthest,
        lattice=crystal.lattice * (1 + stretch),
    )


def farthest_atom(one, other):
    gaps = one.frac_coords - other.frac_coords
    return np.linalg.norm((gaps - np.rint(gaps)) @ one.lattice, axis=1).max()


@pytest.mark.parametrize("structure", [HALITE, CORUNDUM, QUARTZ], ids=lambda s: s.formula)
@pytest.mark.parametrize("stretch", [-0.004, 0.0, 0.004])
def test_a_disturbed_crystal_is_brought_back(structure, stretch):
    truth = canonical(structure)
    start = disturbed(truth, 0.2, stretch)
    found = refine(start, pattern_of(structure))
    assert found.residual < 0.06  # the cost of a line in the neighbouring bin
    assert farthest_atom(truth, found.crystal) < 0.01
    np.testing.assert_allclose(found.crystal.lattice, truth.lattice, rtol=5e-4, atol=2e-3)
    assert found.crystal.space_group == truth.space_group


def test_the_axes_of_a_trigonal_crystal_are_found_apart():
    truth = canonical(CORUNDUM)
    start = replace(truth, lattice=truth.lattice * [1.006, 1.006, 0.99])
    found = refine(start, pattern_of(CORUNDUM))
    np.testing.assert_allclose(found.crystal.lattice, truth.lattice, rtol=1e-3, atol=2e-3)


def test_the_residual_tells_a_wrong_crystal():
    wrong = replace(canonical(HALITE), numbers=np.array([12, 8]))
    assert refine(wrong, pattern_of(HALITE)).residual > 0.1


def test_a_pattern_that_is_explained_already_changes_nothing():
    truth = canonical(QUARTZ)
    found = refine(truth, pattern_of(QUARTZ))
    assert found.residual < 0.02
    assert farthest_atom(truth, found.crystal) < 0.005


def test_a_pattern_without_lines_in_reach_is_refused():
    pattern = np.zeros(BINS, np.float32)
    pattern[-1] = 1
    with pytest.raises(ValueError, match="no line below 79 degrees"):
        refine(canonical(HALITE), pattern)


@pytest.mark.parametrize("factors", [(0.6, 0.6, 0.6), (1.5, 1.5, 1.5), (1, 1, 8), (1.3, 1.3, 0.3)])
def test_a_cell_that_is_far_off_ends_somewhere(factors):
    truth = canonical(CORUNDUM)
    found = refine(replace(truth, lattice=truth.lattice * factors), pattern_of(CORUNDUM))
    assert 0 < found.residual <= 1
    assert found.crystal.volume > 0
    assert np.isfinite(found.crystal.frac_coords).all()


MEASURED = (np.arange(BINS) >= 20) & (np.arange(BINS) < 330)
"""The bins that a measurement of about 3.5 to 58 degrees would cover."""


@pytest.mark.parametrize("height", [1.0, 1e6])
def test_what_stands_in_bins_that_were_not_measured_changes_nothing(height):
    start, pattern = disturbed(canonical(CORUNDUM), 0.2, 0.004), pattern_of(CORUNDUM)
    garbage = height * np.random.default_rng(0).random(BINS).astype(np.float32)
    coverage = MEASURED.astype(np.float32)
    clean, soiled = (
        refine(start, np.where(MEASURED, pattern, outside).astype(np.float32), coverage)
        for outside in (np.zeros_like(garbage), garbage)
    )
    assert soiled.residual == clean.residual
    np.testing.assert_array_equal(soiled.crystal.lattice, clean.crystal.lattice)
    np.testing.assert_array_equal(soiled.crystal.frac_coords, clean.crystal.frac_coords)


def test_a_disturbed_crystal_is_brought_back_by_a_part_of_the_pattern():
    truth = canonical(CORUNDUM)
    found = refine(
        disturbed(truth, 0.2, 0.004), pattern_of(CORUNDUM) * MEASURED, MEASURED.astype(np.float32)
    )
    assert farthest_atom(truth, found.crystal) < 0.02
    np.testing.assert_allclose(found.crystal.lattice, truth.lattice, rtol=1e-3, atol=4e-3)


def test_lines_that_were_not_measured_are_no_lines():
    coverage = np.zeros(BINS, np.float32)
    with pytest.raises(ValueError, match="no line below 79 degrees"):
        refine(canonical(HALITE), pattern_of(HALITE), coverage)
