"""Zero shifts and displacements of lines, compared with the applied ones."""

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.powder.indexing import (
    Shift,
    cell_edges,
    first_of_each,
    quadratic_forms,
    refine,
)
from cmed_jax.powder.zero_shift import FORMS, PRECISION, estimate_shift, evidence

CU = 1.54184
CRYSTALS = {
    "salt": ("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "rutile": (
        "P4_2/mnm",
        Lattice.tetragonal(4.594, 2.959),
        ["Ti", "O"],
        [[0, 0, 0], [0.305, 0.305, 0]],
    ),
    "corundum": (
        "R-3c",
        Lattice.hexagonal(4.759, 12.993),
        ["Al", "O"],
        [[0, 0, 0.3522], [0.3064, 0, 0.25]],
    ),
}  # fmt: skip


def lines_of(name, stop=120.0):
    """Return the positions and intensities of lines, from pymatgen."""
    pattern = XRDCalculator(wavelength=CU).get_pattern(
        Structure.from_spacegroup(*CRYSTALS[name]), two_theta_range=(10, stop)
    )
    strong = pattern.y > 1
    return pattern.x[strong], pattern.y[strong]


@pytest.mark.parametrize(("name", "zero"), [("salt", -0.12), ("rutile", 0.0), ("corundum", 0.07)])
def test_a_zero_shift_is_found(name, zero):
    angle, area = lines_of(name)
    error = np.random.default_rng(0).normal(0, 0.005, len(angle))
    found = estimate_shift(angle + zero + error, area, CU)
    assert found.at(angle) == pytest.approx(zero, abs=0.02)


def test_a_displacement_is_distinguished_from_a_zero_shift_where_lines_reach_far():
    angle, area = lines_of("corundum", 150.0)
    shift = Shift(0.05, 8e-4)
    found = estimate_shift(angle + shift.at(angle), area, CU)
    assert found.zero == pytest.approx(shift.zero, abs=0.01)
    assert found.displacement == pytest.approx(shift.displacement, rel=0.15)


def test_lines_of_no_simple_lattice_tell_no_shift():
    rng = np.random.default_rng(3)
    angle, area = np.sort(rng.uniform(15, 90, 15)), rng.uniform(1, 9, 15)
    assert estimate_shift(angle, area, CU) is None


def test_few_lines_tell_no_shift():
    assert estimate_shift(np.array([27.4, 31.7, 45.4]), np.ones(3), CU) is None


def test_a_shift_is_corrected_to_where_it_came_from():
    angle = np.linspace(5, 170, 30)
    shift = Shift(-0.1, 1e-3)
    np.testing.assert_allclose(shift.correct(angle + shift.at(angle)), angle, atol=1e-6)


def test_a_displaced_sample_moves_lines_by_bragg_brentano_geometry():
    """A line at 60 degrees moves by -2 s cos(theta) / R radians, with s 0.1 mm and R 200 mm."""
    expected = -np.degrees(2 * 0.1 * np.cos(np.radians(30)) / 200)
    assert Shift(0.0, 0.1 / 200).at(np.array([60.0])) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("axes", "lattice"),
    [
        ("cubic", Lattice.cubic(5.1)),
        ("tetragonal", Lattice.tetragonal(4.2, 6.3)),
        ("hexagonal", Lattice.hexagonal(3.7, 9.9)),
    ],
)
def test_forms_and_metric_are_those_of_the_lattice(axes, lattice):
    hkl = np.array([[1, 0, 0], [1, 1, 0], [-2, 1, 3], [0, 0, 2], [3, -1, 1]])
    squared = np.array([1 / lattice.d_hkl(each) ** 2 for each in hkl])
    forms = quadratic_forms(axes, hkl)
    metric = np.linalg.lstsq(forms, squared)[0]
    np.testing.assert_allclose(forms @ metric, squared, rtol=1e-9)
    np.testing.assert_allclose(cell_edges(axes, metric), lattice.abc, rtol=1e-9)


def test_a_metric_is_refined_with_its_shift():
    angle, _ = lines_of("salt")
    rough = np.array([1 / 5.645**2])
    found = refine(rough, FORMS["cubic"], angle + 0.04, CU)
    assert cell_edges("cubic", found.metric)[0] == pytest.approx(5.64, rel=1e-5)
    assert found.shift.zero == pytest.approx(0.04, abs=1e-4)
    assert found.matched.all()


def test_evidence_is_the_sum_of_the_logarithms_of_positions_in_gaps():
    """Each lattice by itself, line by line; there are more lattices than are assessed at once."""
    rng = np.random.default_rng(0)
    metrics = rng.uniform(3, 12, (300, 2)) ** -2
    angle = np.sort(rng.uniform(10, 120, (300, 9)), axis=1)
    expected = []
    for metric, measured in zip(metrics, angle, strict=True):
        sine = CU / 2 * np.sqrt(FORMS["tetragonal"] @ metric)
        lines = np.degrees(2 * np.arcsin(sine[sine <= 1]))
        total = 0.0
        for each in measured:
            if (lines <= each).any() and (lines > each).any():
                below, above = each - lines[lines <= each].max(), lines[lines > each].min() - each
                share = max(2 * min(below, above), PRECISION) / (below + above)
                total -= np.log(min(share, 1))
        expected.append(total)
    found = evidence(metrics, FORMS["tetragonal"], angle, CU)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rows", [0, 1, 200])
def test_rows_are_kept_where_they_stand_first(rows):
    kinds = np.random.default_rng(0).integers(-2, 3, (rows, 3)).astype(float)
    seen = {}
    for place, row in enumerate(map(tuple, kinds)):
        seen.setdefault(row, place)
    assert first_of_each(kinds).tolist() == sorted(seen.values())
