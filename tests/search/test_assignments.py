"""Assignments, against a plain enumeration of all of them."""

import itertools

import numpy as np

from cmed_jax.search.assignments import Assignment, assignments
from cmed_jax.search.wyckoff import wyckoff


def drawn(group, counts, costs, most=6, clash=lambda a, k, b, m: k == m):
    every = [set(range(len(group.positions)))] * len(counts)
    offered = assignments(group, counts, costs, every, clash, most)
    return [each for each in offered if isinstance(each, Assignment)]


def plain(group, counts, most):
    """All assignments, up to the normalizer."""
    positions = group.positions

    def fillings(count):
        places = range(len(positions))
        for number in range(1, count + 1):
            for chosen in itertools.combinations_with_replacement(places, number):
                if sum(positions[k].multiplicity for k in chosen) == count:
                    yield chosen

    found = set()
    for places in itertools.product(*map(fillings, counts)):
        flat = [k for each in places for k in each]
        fixed = [k for k in flat if not positions[k].free]
        if len(set(fixed)) == len(fixed) and sum(positions[k].free for k in flat) <= most:
            found.add(
                min(
                    tuple(tuple(sorted(row[list(each)].tolist())) for each in places)
                    for row in group.equivalent
                )
            )
    return found


def test_every_assignment_comes_once_and_the_cheapest_first():
    for number, counts in ((225, (1, 3)), (164, (1, 2, 2)), (62, (4, 4)), (14, (2, 2))):
        group = wyckoff(number)
        costs = np.random.default_rng(number).uniform(0.2, 3, len(group.positions))
        found = drawn(group, counts, costs)
        assert len(found) == len(plain(group, counts, 6))
        assert np.all(np.diff([each.cost for each in found]) > -1e-9)


def test_what_clashes_is_never_together():
    group = wyckoff(225)
    costs = np.ones(len(group.positions))
    near = {0, 2}
    found = drawn(group, (1, 2), costs, clash=lambda a, k, b, m: k == m or {k, m} == near)
    assert found
    assert all(set(each.places[0] + each.places[1]) & near != near for each in found)


def test_a_space_group_that_is_given_up_is_not_stated_as_complete(monkeypatch):
    group, costs = wyckoff(225), np.ones(len(wyckoff(225).positions))
    everywhere = [set(range(len(costs)))] * 2

    def offered(counts):
        return list(assignments(group, counts, costs, everywhere, lambda a, k, b, m: k == m, 6))

    assert np.inf not in offered((1, 1))
    assert offered((5, 1000)) == []  # positions of 1, 1, 2, 6 atoms hold no five
    monkeypatch.setattr("cmed_jax.search.assignments.PATIENCE", 3)
    assert offered((1, 1))[-1] == np.inf
