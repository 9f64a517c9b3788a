"""Harmonics: one of each pair of integer vectors, and their lengths against pymatgen."""

import numpy as np
import pytest
from pymatgen.core import Lattice

from cmed_jax.physics.harmonics import LIMIT, harmonics, lengths, within

TRICLINIC = Lattice.from_parameters(4.1, 5.3, 6.7, 81, 97, 112)


@pytest.mark.parametrize("limit", [1, 14, LIMIT])
def test_there_is_one_of_each_pair(limit):
    vectors = {tuple(vector) for vector in harmonics(limit).tolist()}
    opposite = {tuple(-x for x in vector) for vector in vectors}
    assert not vectors & opposite
    ball = np.argwhere(np.ones((17, 17, 17))) - 8
    inside = ball[(ball**2).sum(axis=1) <= limit].tolist()
    assert vectors | opposite | {(0, 0, 0)} == {tuple(vector) for vector in inside}


def test_they_ascend_so_that_a_smaller_limit_is_a_part():
    squared = (harmonics() ** 2).sum(axis=1)
    assert (np.diff(squared) >= 0).all()
    few = harmonics(14)
    np.testing.assert_array_equal(harmonics()[: len(few)], few)


def test_their_lengths_are_those_of_the_reciprocal_lattice():
    reciprocal = TRICLINIC.reciprocal_lattice_crystallographic
    expected = np.linalg.norm(reciprocal.get_cartesian_coords(harmonics()), axis=1)
    np.testing.assert_allclose(lengths(TRICLINIC.matrix, harmonics()), expected, rtol=1e-12)
    np.testing.assert_array_equal(within(TRICLINIC.matrix, 0.9), expected <= 0.9)
