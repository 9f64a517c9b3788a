"""Groups of reflections with their measured intensities, compared with those of pymatgen."""

import numpy as np
import pytest
import scipy.stats
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.io.pattern import pattern_of_columns
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import prepare
from cmed_jax.search.observed import ObservedLines, group_lines

CU_K_ALPHA_1 = 1.54056
OLIVINE_LIKE = Structure.from_spacegroup(
    "Pnma", Lattice.orthorhombic(8.1, 4.7, 5.9), ["Ba", "S"], [[0.18, 0.25, 0.1], [0.47, 0.25, 0.6]]
)


def measured(noise: float):
    """A profile over the lines of pymatgen, counted with more or less noise."""
    lines = XRDCalculator(CU_K_ALPHA_1).get_pattern(OLIVINE_LIKE, two_theta_range=(10, 80))
    angle, sigma = np.arange(15.0, 70, 0.02), 0.1 / np.sqrt(8 * np.log(2))
    area = 40 * lines.y * 0.1
    total = area @ scipy.stats.norm.pdf(angle, lines.x[:, None], sigma) + noise
    counts = np.random.default_rng(0).poisson(total).astype(float)
    prepared = prepare(pattern_of_columns(angle, counts, CU_K_ALPHA_1))
    return lines, MeasuredLines.of(prepared)


def shares(lines, groups):
    """The shares of the groups in the intensity of pymatgen's lines."""
    s = 2 * np.sin(np.radians(lines.x) / 2) / CU_K_ALPHA_1
    near = (s >= groups.low[:, None] - 1e-4) & (s <= groups.high[:, None] + 1e-4)
    area = near @ lines.y
    return area / area.sum()


def test_groups_have_the_intensities_of_their_reflections():
    lines, found = measured(noise=20)
    groups = group_lines(ObservedLines.of_measured(found), OLIVINE_LIKE.lattice.matrix)
    np.testing.assert_allclose(groups.share, shares(lines, groups), atol=0.01)


def test_weak_reflections_are_measured_where_no_line_stands_out():
    """Their amplitudes come nearer to the true ones, and they are not zero."""
    lines, found = measured(noise=600)
    observed = ObservedLines.of_measured(found)
    without = ObservedLines.of_measured(found._replace(left=np.zeros((2, 0))))
    lattice = OLIVINE_LIKE.lattice.matrix
    weak, blind = (group_lines(each, lattice) for each in (observed, without))
    truth = np.sqrt(shares(lines, weak))
    hidden = (blind.share == 0) & (truth > 0.03)
    assert hidden.sum() >= 3
    errors = (np.abs(each.amplitude - truth)[hidden].mean() for each in (weak, blind))
    assert next(errors) < 0.5 * next(errors)  # overlapping ones stay at zero


def test_what_is_left_over_moves_with_the_lines():
    left = np.array([[0.2, 0.4], [1.0, 2.0]])
    observed = ObservedLines(np.array([0.3]), np.ones(1), 0.1, 0.9, left=left)
    moved = observed.moved(lambda s: s + 0.01)
    assert moved.s == pytest.approx([0.31])
    np.testing.assert_allclose(moved.left, [[0.21, 0.41], [1.0, 2.0]])
