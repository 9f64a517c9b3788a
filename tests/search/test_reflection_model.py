"""Intensities against `cmed_jax.physics`, derivatives against differences, distances against
pymatgen's."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.bravais import bravais
from cmed_jax.crystal.lattice import primitive_lattice
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.reflections import reflections
from cmed_jax.search.descent import USUAL_B, Fits, descend, residuals, structure_factors
from cmed_jax.search.observed import ObservedLines, group_lines
from cmed_jax.search.reflection_model import reflection_model
from cmed_jax.search.separations import Separations, atoms_of
from cmed_jax.search.settings import settings
from cmed_jax.search.wyckoff import wyckoff

CELLS = {
    198: (4.5, 4.5, 4.5, 90, 90, 90),  # acentric
    136: (4.6, 4.6, 2.96, 90, 90, 90),
    160: (5.1, 5.1, 13.8, 90, 90, 120),
}


def problem(number):
    """Return titanium and oxygen on the last two positions, with the lines of the structure."""
    cell = bravais(primitive_lattice(CELLS[number]))
    setting = next(one for one in settings(cell) if one.number == number)
    group = wyckoff(number)
    last = len(group.positions) - 1
    orbits = [(0, last - 1), (1, last)]
    atoms = atoms_of(group, orbits)
    count = atoms.linear.shape[2]
    free = np.random.default_rng(number).uniform(0.1, 0.4, (1, count)).astype(np.float32)
    numbers = np.array([22, 8])
    crystal = Crystal.of(setting.lattice, numbers[atoms.element], atoms.coords(free)[0])
    lines = reflections(crystal, s_max=1.2)
    observed = ObservedLines(lines[:, 0], lines[:, 1], 0.0, 1.2)
    groups = group_lines(observed, cell.conventional)
    return reflection_model(setting, numbers.tolist(), observed, groups), orbits, free, atoms


@pytest.mark.parametrize("number", CELLS)
def test_a_structure_explains_its_own_lines(number):
    model, orbits, free, _ = problem(number)
    none = np.zeros(1, np.float32)
    assert residuals(model, structure_factors(model, orbits, free), none)[0] < 1e-5


@pytest.mark.parametrize("number", CELLS)
def test_slopes_are_differences(number):
    model, orbits, free, _ = problem(number)
    for _, place in orbits:
        count = model.group.positions[place].free
        part, free = free[:, :count], free[:, count:]
        sums, slopes = model.sums_and_slopes(place, part)
        np.testing.assert_allclose(sums, model.sums(place, part), atol=1e-4)
        for axis in range(count):
            step = np.zeros_like(part)
            step[:, axis] = 1e-3
            change = model.sums(place, part + step) - model.sums(place, part - step)
            scale = np.abs(slopes[:, axis]).max()
            np.testing.assert_allclose(slopes[:, axis], change / 2e-3, atol=2e-2 * scale)


def test_descent_comes_back_from_a_tenth_of_an_angstrom():
    model, orbits, free, _ = problem(136)
    usual = np.full(1, USUAL_B, np.float32)
    found = descend(model, orbits, Fits(free + 0.02, usual, np.ones(1, np.float32)), 30)
    assert found.residual[0] < 1e-4
    np.testing.assert_allclose(found.free, free, atol=2e-3)


@pytest.mark.parametrize("number", CELLS)
def test_distances_are_pymatgens(number):
    model, _, free, atoms = problem(number)
    lattice = model.setting.lattice
    coords = atoms.coords(free)[0]
    structure = Structure(Lattice(lattice), ["Ti"] * len(coords), coords)
    expected = structure.distance_matrix
    # From an atom to itself the nearest image counts; pymatgen returns zero.
    expected[np.diag_indices_from(expected)] = min(
        Lattice(lattice).get_niggli_reduced_lattice().abc
    )
    found = Separations.of(lattice, np.full((2, 2), 9.0)).distances(atoms, free)[0]
    np.testing.assert_allclose(found, expected[atoms.first], atol=2e-3)
