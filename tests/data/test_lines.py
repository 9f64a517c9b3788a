"""Lines in memory are those of the records, and their directions those of the reflections."""

import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.data.dataset import load_examples, read_records
from cmed_jax.data.lines import load_lines, padded_lines
from cmed_jax.physics.texture import moments


@pytest.fixture(scope="module")
def rutile():
    """The lines of rutile from pymatgen, with the hkl of their members."""
    cell = Lattice.tetragonal(4.594, 2.959)
    oxide = Structure.from_spacegroup("P4_2/mnm", cell, ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]])
    return cell, XRDCalculator("CuKa").get_pattern(oxide, scaled=False)


def all_signs(hkl):
    """The members of a form of the point group 4/mmm."""
    h, k, ell = hkl
    return {
        (sign * a, other * b, last * ell)
        for a, b in ((h, k), (k, h))
        for sign in (1, -1)
        for other in (1, -1)
        for last in (1, -1)
    }


def test_directions_are_those_of_the_members(rutile):
    cell, pattern = rutile
    s = 2 * np.sin(np.radians(pattern.x) / 2) / 1.54184
    lines, share = padded_lines(cell.matrix, np.stack([s, pattern.y], axis=1), 40)
    assert share == pytest.approx(1)
    for row, families in enumerate(pattern.hkls):
        members = np.array([m for f in families for m in all_signs(f["hkl"])])
        vectors = members @ cell.reciprocal_lattice_crystallographic.matrix
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        np.testing.assert_allclose(lines.directions[row], moments(unit).mean(axis=0), atol=1e-3)
    assert not lines.directions[len(s) :].any()
    assert not lines.intensity[len(s) :].any()


def test_the_strongest_are_kept_in_order(rutile):
    cell, pattern = rutile
    s = 2 * np.sin(np.radians(pattern.x) / 2) / 1.54184
    theta = np.arcsin(s * 0.71073 / 2)
    weight = pattern.y * (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    lines, share = padded_lines(cell.matrix, np.stack([s, pattern.y], axis=1), 5)
    strongest = np.sort(np.argsort(-weight)[:5])
    np.testing.assert_allclose(lines.s, s[strongest], rtol=1e-6)
    np.testing.assert_allclose(
        lines.intensity, pattern.y[strongest] / pattern.y[strongest].max(), rtol=1e-6
    )
    assert share == pytest.approx(weight[strongest].sum() / weight.sum())


def test_a_crystal_without_lines_is_padding():
    lines, share = padded_lines(np.eye(3) * 4, np.zeros((0, 2)), 3)
    assert share == 1
    assert not any(column.any() for column in lines)


def test_lines_are_read_in_the_order_of_the_examples(dataset):
    examples = load_examples(dataset, "train")
    lines, shares = load_lines(dataset, "train", s_max=1.2, number=64)
    assert lines.s.shape == (len(examples), 64)
    assert lines.directions.dtype == np.float16
    assert lines.s.max() <= 1.2
    assert ((shares > 0.5) & (shares <= 1)).all()
    stored = {r["material_id"].decode(): r["reflections"] for r in read_records(dataset, "train")}
    for row, name in enumerate(examples.material_id):
        known = lines.s[row][lines.intensity[row] > 0]
        nearest = np.abs(stored[name][:, 0] - known[:, None]).min(axis=1)
        assert nearest.max() < 1e-6
        assert len(known) == min(64, (stored[name][:, 0] <= 1.2).sum())
