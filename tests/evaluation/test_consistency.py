"""Patterns calculated from densities, against structure factors summed atom by atom in float64."""

import gemmi
import numpy as np
import pytest

from cmed_jax.data.dataset import load_examples, load_structures
from cmed_jax.evaluation.consistency import calculated_patterns, compared_bins, self_consistency
from cmed_jax.physics.density import B_FACTOR
from cmed_jax.physics.density_lines import S_COMPARED, carried_lines

SHAPE = (50, 50, 50)


@pytest.fixture(scope="module")
def examples(dataset):
    return load_examples(dataset, "test")


@pytest.fixture(scope="module")
def crystals(dataset):
    return load_structures(dataset, "test")


def direct_sticks(crystal, s_max):
    """The sticks of a crystal by bin, from International Tables' form factors, atoms at rest."""
    reach = range(-12, 13)
    hkl = np.array(
        [(h, k, m) for h in reach for k in reach for m in reach if (h, k, m) != (0,) * 3]
    )
    s = np.linalg.norm(hkl @ np.linalg.inv(crystal.lattice).T, axis=1)
    hkl, s = hkl[s < s_max], s[s < s_max]
    amplitude = np.zeros(len(s), complex)
    for number, position in zip(crystal.numbers.tolist(), crystal.frac_coords, strict=True):
        table = gemmi.Element(number).it92
        factor = np.array([table.calculate_sf(q) for q in s**2 / 4])
        factor *= number / (sum(table.a) + table.c)
        amplitude += factor * np.exp(2j * np.pi * hkl @ position)
    theta = np.arcsin(0.71073 * s / 2)
    lorentz = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    lines: dict[int, float] = {}  # by s in steps of 1e-6
    for step, value in zip(
        np.rint(s * 1e6).astype(int), abs(amplitude) ** 2 * lorentz, strict=True
    ):
        lines[step] = lines.get(step, 0) + value
    sticks = np.zeros(1024)
    for step, value in lines.items():
        angle = 2 * np.degrees(np.arcsin(0.71073 * step * 1e-6 / 2))
        sticks[int(1024 * angle / 180)] = max(sticks[int(1024 * angle / 180)], value)
    return sticks / sticks.max()


@pytest.mark.parametrize("row", range(6))
def test_it_is_the_pattern_of_the_atoms_behind_the_density(examples, crystals, row):
    crystal = crystals[row]
    calculated = calculated_patterns(examples.densities([row]), crystal.lattice, B_FACTOR)[0]
    bins = compared_bins(crystal.lattice, SHAPE)
    expected = direct_sticks(crystal, S_COMPARED)
    # Densities are stored in float16; its rounding is raised with the amplitudes.
    np.testing.assert_allclose(calculated[:bins], expected[:bins], atol=5e-3)


def test_true_densities_imply_their_patterns(examples, crystals):
    for row, crystal in enumerate(crystals):
        truth, pattern = examples.densities([row]), examples.pattern[row]
        cosine, rwp = self_consistency(truth, pattern, crystal.lattice, B_FACTOR)
        assert cosine[0] > 0.998
        assert rwp[0] < 0.1


def test_what_a_pattern_cannot_tell_makes_no_difference(examples, crystals):
    """The pattern determines neither the size of the density nor its origin or mirror image."""
    truth, lattice = examples.densities([0])[0], crystals[0].lattice
    alike = [truth, 3 * truth, np.roll(truth, (5, 11, 2), (0, 1, 2)), truth[::-1, ::-1, ::-1]]
    patterns = calculated_patterns(np.stack(alike), lattice, B_FACTOR)
    np.testing.assert_allclose(patterns[1:], patterns[[0] * 3], atol=1e-4)


def test_other_densities_agree_less(examples, crystals):
    truth, pattern = examples.densities(range(6)), examples.pattern[0]
    cosine, rwp = self_consistency(truth, pattern, crystals[0].lattice, B_FACTOR)
    assert cosine.argmax() == rwp.argmin() == 0
    assert (cosine[1:] < 0.99).all()


def test_rwp_is_least_over_all_scales(examples, crystals):
    truth, pattern, lattice = examples.densities([1]), examples.pattern[0], crystals[0].lattice
    bins = compared_bins(lattice, SHAPE)
    given = pattern[:bins].astype(float)
    calculated = calculated_patterns(truth, lattice, B_FACTOR)[0, :bins]
    weight = 1 / np.maximum(given, 0.01)
    scales = np.linspace(0, 3, 3001)
    misfits = [(weight * (given - scale * calculated) ** 2).sum() for scale in scales]
    expected = np.sqrt(min(misfits) / (weight * given**2).sum())
    _, rwp = self_consistency(truth, pattern, lattice, B_FACTOR)
    assert rwp[0] == pytest.approx(expected, abs=1e-4)


def test_a_constant_or_a_missing_pattern_agree_with_nothing(examples, crystals):
    constant, lattice = np.full((1, *SHAPE), 0.3, np.float32), crystals[0].lattice
    cosine, rwp = self_consistency(constant, examples.pattern[0], lattice, B_FACTOR)
    assert (cosine[0], rwp[0]) == (0, 1)
    nothing = np.zeros(1024, np.float32)
    cosine, _ = self_consistency(examples.densities([0]), nothing, lattice, B_FACTOR)
    assert cosine[0] == 0


@pytest.mark.parametrize(
    ("edge", "shape", "limit"), [(5, 50, 1.5), (40, 50, 0.625), (30, 21, 11 / 30)]
)
def test_lines_end_where_the_grid_has_no_whole_spheres(edge, shape, limit):
    lattice, grid = edge * np.eye(3), (shape,) * 3
    lines = carried_lines(lattice, grid)
    assert lines.s.max() < limit
    assert lines.s.max() > limit - 1.1 / edge
    # These are the first lines of a cubic cell, with the number of reflections in each.
    np.testing.assert_allclose(lines.s[:4] * edge, np.sqrt([1, 2, 3, 4]))
    np.testing.assert_array_equal(np.diff(lines.first)[:4], [6, 12, 8, 6])
    assert compared_bins(lattice, grid) == int(
        1024 * 2 * np.degrees(np.arcsin(0.71073 * limit / 2)) / 180
    )
