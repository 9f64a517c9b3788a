"""Settings and extinctions, against gemmi's tables, and the space groups of a lattice."""

import itertools

import gemmi
import numpy as np
import pytest

from cmed_jax.crystal.bravais import bravais
from cmed_jax.crystal.lattice import primitive_lattice
from cmed_jax.search.extinction import present
from cmed_jax.search.settings import lattice_for, settings

HKL = np.array(list(itertools.product(range(-4, 5), range(-3, 4), range(0, 5))))


@pytest.mark.parametrize("number", [9, 14, 19, 36, 62, 70, 88, 122, 141, 161, 167, 194, 205, 227])
def test_extinctions_are_gemmis(number):
    operations = gemmi.find_spacegroup_by_number(number).operations()
    absent = [operations.is_systematically_absent(hkl) for hkl in HKL.tolist()]
    np.testing.assert_array_equal(present(HKL, number), ~np.array(absent))


@pytest.mark.parametrize(
    ("number", "choices"),
    [(16, 1), (17, 3), (25, 3), (33, 6), (62, 6), (61, 2), (47, 1), (14, 3), (4, 1)],
)
def test_axes_are_exchanged_as_often_as_the_tables_list_settings(number, choices):
    cell = (4.0, 5.0, 6.5, 90, 100, 90) if number < 16 else (4.0, 5.0, 6.5, 90, 90, 90)
    found = [one for one in settings(bravais(primitive_lattice(cell))) if one.number == number]
    assert len(found) == choices


@pytest.mark.parametrize(
    ("cell", "centring", "system", "groups"),
    [
        ((5.64, 5.64, 5.64, 90, 90, 90), "F", "cubic", {196, 202, 203, 209, 210, 216, 219, 225}),
        ((4.76, 4.76, 12.99, 90, 90, 120), "R", "trigonal", {146, 148, 155, 160, 161, 166, 167}),
    ],
)
def test_a_centred_lattice_carries_its_own_groups(cell, centring, system, groups):
    found = bravais(primitive_lattice(cell, centring))
    assert (found.system, found.centring) == (system, centring)
    assert {one.number for one in settings(found)} >= groups
    assert all(
        gemmi.find_spacegroup_by_number(one.number).hm[0] == centring for one in settings(found)
    )


@pytest.mark.parametrize(
    ("cell", "number", "system"),
    [
        ((5.0, 5.01, 7.7, 90, 90, 90), 62, "orthorhombic"),
        ((5.0, 5.01, 7.7, 90, 90, 90), 136, "tetragonal"),
        ((5.0, 5.01, 7.7, 90, 90, 90), None, "tetragonal"),
        ((5.0, 6.0, 7.7, 90, 90.1, 90), 14, "monoclinic"),
        ((5.0, 5.0, 5.004, 90, 90, 90), 99, "tetragonal"),
        ((5.0, 5.0, 5.0, 90, 90, 90), 99, "cubic"),
    ],
)
def test_a_given_space_group_keeps_a_metric_near_that_of_a_higher_system(cell, number, system):
    found = lattice_for(primitive_lattice(cell), number)
    assert found.system == system
    edges = np.sort(np.linalg.norm(found.conventional, axis=1))
    assert edges == pytest.approx(sorted(cell[:3]), abs=0.01)
    if system != "cubic" and number is not None:
        assert number in {each.number for each in settings(found)}
        given = number != 136  # no edges are averaged
        assert edges == pytest.approx(sorted(cell[:3]), abs=1e-6 if given else 0.01)


def test_every_setting_is_a_lattice_of_the_cell_or_a_centring_of_it():
    cell = bravais(primitive_lattice((4.0, 5.0, 6.5, 90, 90, 90)))
    volume = np.linalg.det(cell.conventional)
    for one in settings(cell):
        share = volume / abs(np.linalg.det(one.lattice))
        assert share == pytest.approx({"P": 1, "F": 4}.get(gemmi_centring(one.number), 2))


def gemmi_centring(number):
    return gemmi.find_spacegroup_by_number(number).hm[0]
