"""Powder lines against pymatgen, structure factors against gemmi, and their symmetries."""

import gemmi
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pymatgen.analysis.diffraction.core import AbstractDiffractionPatternCalculator
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.patterns import powder_lines
from cmed_jax.physics.reflections import half_sphere, reflections, unique_reflections

SYSTEMS = [
    "triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic",
]  # fmt: skip
S_MAX = 2.0


@pytest.mark.parametrize("wavelength", [0.71073, 1.54184], ids=["Mo", "Cu"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_lines_are_those_of_pymatgen(sample, system, wavelength, monkeypatch):
    # pymatgen sums what falls into one of its bins of 1e-5 degrees, which parts one line at the
    # edge of a bin and joins accidental neighbours, and drops lines below 1e-5 of the strongest.
    # Its bins are made narrower and the cut taken away; then both lists are clustered alike, as
    # lines closer than 1e-7 in s are one here.
    monkeypatch.setattr(AbstractDiffractionPatternCalculator, "TWO_THETA_TOL", 1e-9)
    monkeypatch.setattr(AbstractDiffractionPatternCalculator, "SCALED_INTENSITY_TOL", 0)
    for crystal in sample[system]:
        lines = reflections(Crystal.of(*crystal), s_max=2 / wavelength, table="pymatgen")
        ours = powder_lines(lines, wavelength)
        theirs = pymatgen_lines(crystal, wavelength)
        positions, intensities = clustered(ours, theirs, wavelength)
        # A line that only one of the two has is a difference in intensity as well.
        np.testing.assert_allclose(intensities[0], intensities[1], atol=1e-5)
        seen = intensities.max(axis=0) > 1e-5
        assert seen.sum() > 5
        np.testing.assert_allclose(positions[0, seen], positions[1, seen], atol=1e-6)


def pymatgen_lines(crystal, wavelength):
    structure = Structure(Lattice(crystal.lattice), crystal.numbers.tolist(), crystal.frac_coords)
    pattern = XRDCalculator(wavelength).get_pattern(structure, two_theta_range=(0, 180))
    return np.asarray(pattern.x), np.asarray(pattern.y)


def clustered(ours, theirs, wavelength):
    """Return centroids and intensities (strongest 1), of ours and theirs, cluster by cluster."""
    angle = np.concatenate([ours[0], theirs[0]])
    weight = np.zeros((2, len(angle)))
    weight[0, : len(ours[0])], weight[1, len(ours[0]) :] = ours[1], theirs[1]
    order = np.argsort(angle)
    s = 2 * np.sin(np.radians(angle[order]) / 2) / wavelength
    first = np.flatnonzero(np.diff(s, prepend=-1) > 3e-7)
    total = np.add.reduceat(weight[:, order], first, axis=1)
    moment = np.add.reduceat((weight * angle)[:, order], first, axis=1)
    positions = np.divide(moment, total, where=total > 0, out=np.zeros_like(total))
    return positions, total / total.max(axis=1, keepdims=True)


def test_half_sphere_holds_one_of_each_friedel_pair(crystal):
    hkl = half_sphere(crystal.lattice, S_MAX).hkl
    points = Lattice(crystal.lattice).reciprocal_lattice_crystallographic.get_points_in_sphere(
        [[0, 0, 0]], [0, 0, 0], S_MAX
    )
    expected = {tuple(np.rint(point[0]).astype(int).tolist()) for point in points} - {(0, 0, 0)}
    half = set(map(tuple, hkl.tolist()))
    opposite = set(map(tuple, (-hkl).tolist()))
    assert len(half) == len(hkl)
    assert not half & opposite
    assert half | opposite == expected


def test_intensities_hold_the_multiplicity():
    polonium = Crystal.of(3.0 * np.eye(3), np.array([84]), np.zeros((1, 3)))
    lines = reflections(polonium, s_max=3.01 / 3)
    n = np.rint((lines[:, 0] * 3.0) ** 2)
    alone = reflections(polonium, s_max=1 / 3)
    np.testing.assert_array_equal(n, [1, 2, 3, 4, 5, 6, 8, 9])
    f_squared = alone[0, 1] / 6
    assert f_squared == pytest.approx(84**2, rel=0.5)
    multiplicity = [6, 12, 8, 6, 24, 24, 12, 30]
    assert np.all(np.diff(lines[:, 1] / multiplicity) < 0)  # only f is left, and it falls


def test_a_line_at_s_max_is_complete():
    # 500 and 430 of a cubic cell, rounded differently, both at s_max exactly.
    for a in np.linspace(3.1, 7.7, 24):
        crystal = Crystal.of(a * np.eye(3), np.array([26]), np.zeros((1, 3)))
        at, beyond = reflections(crystal, s_max=5 / a), reflections(crystal, s_max=5.01 / a)
        np.testing.assert_allclose(at, beyond, rtol=1e-12)


def test_systematic_absences_are_left_out():
    lattice = 5.43 * (np.ones((3, 3)) - np.eye(3)) / 2
    silicon = Crystal.of(lattice, np.array([14, 14]), np.array([[0, 0, 0], [0.25] * 3]))
    lines = reflections(silicon, s_max=1.0)
    n = np.rint((lines[:, 0] * 5.43) ** 2)
    assert n.tolist() == [3, 8, 11, 16, 19, 24, 27]  # no 200, no 222


@pytest.mark.parametrize("table", ["pymatgen", "it92"])
def test_lines_do_not_depend_on_the_description(crystal, table):
    lattice, numbers, coords = crystal
    expected = reflections(Crystal.of(*crystal), s_max=S_MAX, table=table)
    change = np.array([[1, 1, 0], [0, 1, -1], [1, 1, 1]])  # of determinant 1
    order = np.random.default_rng(0).permutation(len(numbers))
    moved = (coords @ np.linalg.inv(change) + [0.3, -1.7, 5.2])[order]
    other = Crystal.of(change @ lattice, numbers[order], moved)
    lines = reflections(other, s_max=S_MAX, table=table)
    np.testing.assert_allclose(lines[:, 0], expected[:, 0], rtol=1e-9)
    np.testing.assert_allclose(lines[:, 1], expected[:, 1], atol=1e-9 * expected[:, 1].max())


def test_mirror_images_have_the_same_lines(crystal):
    mirrored = Crystal.of(crystal.lattice, crystal.numbers, -crystal.frac_coords)
    expected = reflections(Crystal.of(*crystal), s_max=S_MAX)
    np.testing.assert_allclose(reflections(mirrored, s_max=S_MAX), expected, rtol=1e-9)


def test_a_supercell_has_the_same_lines_stronger(crystal):
    lattice, numbers, coords = crystal
    doubled = np.concatenate([coords, coords + np.array([0, 0, 1])]) / [1, 1, 2]
    supercell = Crystal.of(lattice * [[1], [1], [2]], np.tile(numbers, 2), doubled)
    lines = reflections(supercell, s_max=S_MAX)
    expected = reflections(Crystal.of(*crystal), s_max=S_MAX)
    np.testing.assert_allclose(lines[:, 0], expected[:, 0], rtol=1e-9)
    np.testing.assert_allclose(lines[:, 1], 4 * expected[:, 1], rtol=1e-6)


def test_lines_ascend_up_to_s_max(crystal):
    lines = reflections(Crystal.of(*crystal), s_max=S_MAX)
    assert lines.dtype == np.float64
    assert np.all(np.diff(lines[:, 0]) > 0)
    assert 0 < lines[0, 0] <= lines[-1, 0] <= S_MAX * (1 + 1e-9)
    assert np.all(lines[:, 1] > 0)


def test_no_reflection_within_reach_gives_no_line(crystal):
    assert reflections(Crystal.of(*crystal), s_max=0.01).shape == (0, 2)


coordinates = st.integers(1, 4).flatmap(lambda n: arrays(float, (n, 3), elements=st.floats(-3, 3)))
edges = arrays(float, (3, 3), elements=st.floats(-4, 4, allow_subnormal=False))


@settings(deadline=None, max_examples=60)
@given(edges, coordinates, st.data())
def test_a_valid_crystal_never_gives_nan(lattice, coords, data):
    assume(abs(np.linalg.det(lattice)) > 2)
    numbers = data.draw(arrays(int, len(coords), elements=st.integers(1, 98)))
    lines = reflections(Crystal.of(lattice, numbers, coords), s_max=1.5)
    assert np.isfinite(lines).all()
    assert (lines >= 0).all()


SODIUM = (4.0 * np.eye(3), np.array([11]), np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lattice": np.ones((3, 3))}, "spans no volume"),
        ({"lattice": np.zeros((3, 3))}, "spans no volume"),
        ({"lattice": np.diag([4.0, 4.0, np.nan])}, "is no cell"),
        ({"lattice": np.diag([4.0, np.inf, 4.0])}, "is no cell"),
        ({"lattice": np.diag([4.0, 1e5, 4.0])}, "is no cell"),
        ({"numbers": np.array([99])}, "Es has no"),
        ({"numbers": np.zeros(0, int), "frac_coords": np.zeros((0, 3))}, "at least one atom"),
        ({"frac_coords": np.full((1, 3), np.nan)}, "atom 0 is at"),
        ({"s_max": 0.0}, "s_max is 0.0"),
        ({"s_max": -1.0}, "s_max is -1.0"),
        ({"s_max": np.nan}, "s_max is nan"),
        ({"s_max": np.inf}, "s_max is inf"),
        ({"s_max": None}, "how far the reflections go is missing"),
        ({"wavelength": 0.0}, "wavelength is 0.0"),
        ({"b_factor": -1.0}, "b_factor is -1.0"),
        ({"anomalous": True}, "depends on the wavelength"),
        ({"occupancies": np.array([1.5])}, "occupancies go from 1.5"),
        ({"occupancies": np.array([np.nan])}, "occupancies go from nan"),
        ({"occupancies": np.ones(2)}, "1 atoms need as many occupancies"),
    ],
)
def test_bad_input_is_refused(change, message):
    names = ("lattice", "numbers", "frac_coords", "occupancies")
    arguments = dict(zip(names, SODIUM, strict=False)) | change
    how = {"s_max": 1.0} | {name: arguments.pop(name) for name in change if name not in names}
    with pytest.raises(ValueError, match=message):
        reflections(Crystal.of(**arguments), **how)


@pytest.mark.parametrize("number", [2, 12, 62, 87, 139, 148, 166, 176, 191, 205, 225])
def test_one_reflection_stands_for_all_that_symmetry_relates(number):
    """Every Laue class is compared with the orbits of gemmi."""
    group = gemmi.find_spacegroup_by_number(number)
    operations = group.operations()
    rotations = np.array([operation.rot for operation in operations.sym_ops]) // 24
    general = np.array([[5.1, 0.2, 0.3], [0.2, 6.3, 0.4], [0.3, 0.4, 7.2]])
    metric = np.mean(rotations.mT @ general @ rotations, axis=0)
    laue = np.unique(np.concatenate([rotations, -rotations]), axis=0)
    _, hkl, multiplicity = unique_reflections(np.linalg.cholesky(metric), 0.9, laue)
    orbits = [{tuple(h) for h in (np.array(h) @ laue).tolist()} for h in hkl]
    assert [len(orbit) for orbit in orbits] == multiplicity.tolist()
    half = half_sphere(np.linalg.cholesky(metric), 0.9).hkl
    expected = {tuple(h) for h in np.concatenate([half, -half]).tolist()}
    assert sum(map(len, orbits)) == len(expected)
    assert set().union(*orbits) == expected
    asu = gemmi.ReciprocalAsu(group)
    assert len({tuple(asu.to_asu(h, operations)[0]) for h in hkl.tolist()}) == len(hkl)
