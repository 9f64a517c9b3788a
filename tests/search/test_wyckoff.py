"""Wyckoff positions, against International Tables A and against the orbits found by spglib."""

import numpy as np
import pytest
import spglib

from cmed_jax.crystal.symmetry import STEPS, space_group
from cmed_jax.search.wyckoff import position_of, wyckoff

TABLES = {
    2: "1:0 1:0 1:0 1:0 1:0 1:0 1:0 1:0 2:3",
    62: "4:0 4:0 4:2 8:3",
    136: "2:0 2:0 4:0 4:0 4:1 4:1 4:1 8:1 8:2 8:2 16:3",
    167: "6:0 6:0 12:1 18:0 18:1 36:3",
    198: "4:1 12:3",
    205: "4:0 4:0 8:1 24:3",
    225: "4:0 4:0 8:0 24:0 24:1 32:1 48:1 48:1 48:1 96:2 96:2 192:3",
    227: "8:0 8:0 16:0 16:0 32:1 48:1 96:1 96:2 192:3",
}
"""The multiplicity in the conventional cell and the free coordinates of each position."""


@pytest.mark.parametrize("number", TABLES)
def test_positions_are_those_of_the_tables(number):
    cells = round(1 / np.linalg.det(space_group(number).cell))
    found = sorted((cells * each.multiplicity, each.free) for each in wyckoff(number).positions)
    assert found == sorted(tuple(map(int, each.split(":"))) for each in TABLES[number].split())


@pytest.mark.parametrize("number", [47, 62, 122, 167, 194, 216, 227])
def test_atoms_on_a_position_are_one_orbit_for_spglib(number):
    group = wyckoff(number)
    rng = np.random.default_rng(0)
    metric = np.mean(group.rotations.mT @ np.diag([30, 50.0, 90]) @ group.rotations, axis=0)
    lattice = np.linalg.cholesky(metric)
    general = group.positions[-1]
    marks = general.linear @ rng.uniform(0.05, 0.45, 3) + general.offset
    for place, position in enumerate(group.positions):
        atoms = position.linear @ rng.uniform(0.05, 0.45, position.free) + position.offset
        numbers = [1] * len(atoms) + [2] * len(marks)
        cell = (lattice, np.concatenate([atoms, marks]), numbers)
        found = spglib.get_symmetry_dataset(cell, symprec=1e-4)
        assert found.number == number
        assert set(found.equivalent_atoms[: len(atoms)]) == {0}
        assert position_of(group, atoms[-1] % 1) == place


@pytest.mark.parametrize("number", [2, 14, 62, 166, 225])
def test_a_centre_of_symmetry_is_the_origin(number):
    group = wyckoff(number)
    inversion = (group.rotations == -np.eye(3)).all(axis=(1, 2))
    assert group.centric
    assert not (group.translations[inversion] % STEPS).any()


def test_the_normalizer_exchanges_the_two_sites_of_rock_salt():
    group = wyckoff(225)
    fixed = [k for k, each in enumerate(group.positions) if each.multiplicity == 1]
    assert {tuple(row[fixed]) for row in group.equivalent} == {tuple(fixed), tuple(fixed[::-1])}


def test_a_number_beyond_the_tables_is_refused():
    with pytest.raises(ValueError, match="from 1 to 230"):
        wyckoff(231)
