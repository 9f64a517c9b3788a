"""Groups of reflections with their measured intensities, compared with those of pymatgen."""

import itertools
from dataclasses import replace

import gemmi
import numpy as np
import pytest
import scipy.stats
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.bravais import bravais
from cmed_jax.io.pattern import pattern_of_columns
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import prepare
from cmed_jax.search.extinction import allowed_settings
from cmed_jax.search.observed import ObservedLines, group_lines
from cmed_jax.search.settings import settings

CU_K_ALPHA_1 = 1.54056
OLIVINE_LIKE = Structure.from_spacegroup(
    "Pnma", Lattice.orthorhombic(8.1, 4.7, 5.9), ["Ba", "S"], [[0.18, 0.25, 0.1], [0.47, 0.25, 0.6]]
)


def measured(noise: float, structure=OLIVINE_LIKE):
    """A profile over the lines of pymatgen, counted with more or less noise."""
    lines = XRDCalculator(CU_K_ALPHA_1).get_pattern(structure, two_theta_range=(10, 80))
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
    without = ObservedLines.of_measured(found._replace(left=np.zeros((3, 0))))
    lattice = OLIVINE_LIKE.lattice.matrix
    weak, blind = (group_lines(each, lattice) for each in (observed, without))
    truth = np.sqrt(shares(lines, weak))
    apart = np.abs(weak.low[:, None] - observed.s).min(axis=1) > 3 * observed.resolution
    hidden = (blind.share == 0) & (truth > 0.03) & apart
    assert hidden.sum() >= 3
    errors = (np.abs(each.amplitude - truth)[hidden].mean() for each in (weak, blind))
    assert next(errors) < 0.5 * next(errors)


SPINEL = Structure.from_spacegroup(
    "Fd-3m",
    Lattice.cubic(8.08),
    ["Mg", "Al", "O"],
    [[0.125] * 3, [0.5] * 3, [0.2632] * 3],
)


@pytest.mark.parametrize("noise", [50, 600, 3000])
def test_absent_reflections_stay_absent_however_noisy_the_pattern(noise):
    """Otherwise the right space group would be refused."""
    _, found = measured(noise, SPINEL)
    lines, cell = ObservedLines.of_measured(found), bravais(SPINEL.lattice.matrix)
    groups = group_lines(lines, cell.conventional)
    allowed = allowed_settings(settings(cell), cell, groups)
    assert 227 in {each.setting.number for each in allowed}
    operations = gemmi.find_spacegroup_by_number(227).operations()
    hkl = (each for each in itertools.product(range(21), repeat=3) if any(each))
    own = [each for each in hkl if not operations.is_systematically_absent(each)]
    s = np.linalg.norm(own, axis=1)[:, None] / SPINEL.lattice.a
    seen = ((s >= groups.low - 1e-9) & (s <= groups.high + 1e-9)).any(axis=0)
    assert groups.share[groups.has_line & ~seen].sum() < 0.005


@pytest.mark.parametrize("edge", [3.1, 2.63, 2.2])
def test_noise_is_no_line_of_a_wrong_cell(edge):
    _, found = measured(50, SPINEL)
    strongest = found.area.argmax()
    one = found._replace(angle=found.angle[[strongest]], area=found.area[[strongest]])
    with pytest.raises(ValueError, match="no measured line is where the cell allows one"):
        group_lines(ObservedLines.of_measured(one), np.eye(3) * edge)


def test_what_is_left_over_belongs_to_one_group_and_to_no_line():
    """Two groups share a bump between them, and the foot of a line that is of neither is left."""
    edge = 4.0
    s = np.arange(0.2, 0.9, 1e-5)
    middle = (np.sqrt(5) + np.sqrt(6)) / 2 / edge
    bump = np.exp(-(((s - middle) / 2e-3) ** 2))
    left = np.stack([s, bump, np.full_like(s, 1e-6)])
    lines = ObservedLines(
        np.array([1 / edge, np.sqrt(3) / edge + 0.005]),
        np.ones(2),
        0.2,
        0.9,
        resolution=0.03,
        left=left,
    )
    groups = group_lines(lines, np.eye(3) * edge)
    taken = 2 * groups.share[groups.low > np.sqrt(4.5) / edge].sum() / groups.share[:3].sum()
    assert taken == pytest.approx(bump.sum(), rel=0.02)
    foot = replace(lines, left=np.stack([s, np.exp(-(((s - 0.438) / 2e-3) ** 2)), s * 0 + 1e-6]))
    assert group_lines(foot, np.eye(3) * edge).share[1:].sum() == pytest.approx(0.5)


def test_what_is_left_over_moves_with_the_lines():
    left = np.array([[0.2, 0.4], [1.0, 2.0], [0.1, 0.1]])
    observed = ObservedLines(np.array([0.3]), np.ones(1), 0.1, 0.9, left=left)
    moved = observed.moved(lambda s: s + 0.01)
    assert moved.s == pytest.approx([0.31])
    np.testing.assert_allclose(moved.left, [[0.21, 0.41], [1.0, 2.0], [0.1, 0.1]])
