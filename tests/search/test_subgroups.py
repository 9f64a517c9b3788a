"""Translationengleiche subgroups, compared with International Tables A1 and by their definition."""

import numpy as np
import pytest

from cmed_jax.search.subgroups import free_metric, maximal_subgroups
from cmed_jax.search.wyckoff import wyckoff


@pytest.mark.parametrize(
    ("number", "orders"),
    [
        (1, []),
        (2, [1]),
        (62, [4] * 7),  # P2_12_12_1, three of P2_1/..., three of P..2..
        (164, [6, 6, 6, 4]),  # P-3, P321, P3m1, C2/m
        (221, [24, 24, 24, 16, 12]),  # Pm-3, P432, P-43m, P4/mmm, R-3m
    ],
)
def test_the_classes_are_those_of_the_tables(number, orders):
    assert sorted(map(len, maximal_subgroups(number)), reverse=True) == orders


@pytest.mark.parametrize("number", [62, 164, 221])
def test_each_is_closed(number):
    rotations = wyckoff(number).rotations
    for kept in maximal_subgroups(number):
        members = {each.tobytes() for each in rotations[kept]}
        products = (a @ b for a in rotations[kept] for b in rotations[kept])
        assert {np.ascontiguousarray(each).tobytes() for each in products} == members


@pytest.mark.parametrize(
    ("number", "free"), [(2, 6), (14, 4), (62, 3), (139, 2), (166, 2), (194, 2), (225, 1)]
)
def test_a_cell_has_as_many_free_parameters_as_its_system(number, free):
    assert free_metric(wyckoff(number).rotations) == free
