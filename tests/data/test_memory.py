"""Memory: the crystals that are recalled, against a comparison of all pairs in float64."""

import numpy as np
import pytest

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data import memory as module
from cmed_jax.data.memory import POOL, Memory, largest
from cmed_jax.data.query import full_query
from tests.structures import CENTRE, ORIGIN, QUARTER, cubic, split


@pytest.fixture(scope="module")
def memory(training_split):
    return Memory.of(training_split)


@pytest.fixture(scope="module")
def query(test_split):
    """Queries with all kinds of knowledge, observed to different limits."""
    query = full_query(test_split)
    number, places = query.observed.shape
    limits = np.linspace(50, places, number)
    return query._replace(
        knowledge=np.arange(number, dtype=np.int32) % len(Knowledge),
        observed=query.observed * np.float32(np.arange(places) < limits[:, None]),
    )


def similarities(query, known):
    """The similarity of every query and every known crystal."""

    def metric(lattice):
        lattice = lattice.astype(float)
        return lattice @ lattice.T / np.abs(np.linalg.det(lattice)) ** (2 / 3)

    found = np.zeros((len(query.lattice), len(known)))
    for asked, row in np.ndindex(found.shape):
        seen = query.observed[asked] > 0
        one = np.sqrt(query.amplitude[asked, seen].astype(float))
        other = np.sqrt(known.amplitude[row, seen].astype(float))
        cosine = one @ other / np.sqrt((one @ one) * (other @ other))
        gap = np.abs(metric(query.lattice[asked]) - metric(known.lattice[row])).max()
        fractions = (
            np.sort(x.astype(float)) for x in (query.composition[asked], known.composition[row])
        )
        in_full = query.knowledge[asked] == Knowledge.FULL
        ratios = np.abs(np.subtract(*fractions)).sum() if in_full else 0
        found[asked, row] = cosine - 0.5 * gap - 0.3 * ratios
    return found


def test_the_most_similar_crystals_are_recalled_the_best_first(memory, query, training_split):
    rows, present = memory.nearest(query, 6)
    expected = np.argsort(-similarities(query, training_split), axis=1)[:, :6]
    np.testing.assert_array_equal(rows, expected)
    assert present.all()


def test_queries_in_parts_recall_the_same(memory, query, monkeypatch):
    whole = memory.nearest(query, 3)
    monkeypatch.setattr(module, "ROWS", 4)
    for one, other in zip(memory.nearest(query, 3), whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_left_out_is_not_recalled(memory, query, training_split):
    out = [np.arange(i, 30, 3) for i in range(len(query.lattice))]
    rows, present = memory.nearest(query, 6, without=out)
    known = similarities(query, training_split)
    for each, left_out in zip(known, out, strict=True):
        each[left_out] = -np.inf
    np.testing.assert_array_equal(rows, np.argsort(-known, axis=1)[:, :6])
    assert present.all()
    everything = [np.arange(30)] * len(query.lattice)
    assert not memory.nearest(query, 6, without=everything)[1].any()


def test_of_few_crystals_the_rest_is_padding(query, training_split):
    few = Memory.of(training_split.rows(np.arange(2)))
    rows, present = few.nearest(query, 6)
    np.testing.assert_array_equal(present, np.tile(np.arange(6) < 2, (len(rows), 1)))
    assert (np.sort(rows[:, :2]) == [0, 1]).all()
    assert not Memory.of(training_split.rows(np.arange(0))).nearest(query, 6)[1].any()


def test_a_query_without_reflections_recalls_nothing(memory, query):
    blind = query._replace(
        observed=np.zeros_like(query.observed), lattice=np.zeros_like(query.lattice)
    )
    recalled = memory(blind, 4)
    assert not recalled.present.any()
    assert all(np.isfinite(column).all() for column in recalled)


def test_what_is_recalled_is_what_is_stored(memory, query, training_split):
    rows, _ = memory.nearest(query, 4)
    recalled = memory(query, 4)
    for name in ("lattice", "amplitude", "composition", "series"):
        stored = getattr(training_split, name)[rows].astype(np.float32)
        np.testing.assert_array_equal(getattr(recalled, name), stored, err_msg=name)
    assert recalled.present.all()


def test_a_training_crystal_recalls_itself_first(memory, training_split):
    rows, _ = memory.nearest(full_query(training_split), 1)
    np.testing.assert_array_equal(rows[:, 0], np.arange(30))


def test_crystals_of_one_type_are_recalled_whatever_their_size():
    known, _ = split(
        [
            cubic("F-43m", 5.41, Zn=ORIGIN, S=QUARTER),
            cubic("Pm-3m", 4.12, Cs=ORIGIN, Cl=CENTRE),
            cubic("Fm-3m", 4.21, Mg=ORIGIN, O=CENTRE),
            cubic("Fm-3m", 5.46, Ca=ORIGIN, F=QUARTER),
            cubic("Fm-3m", 6.60, K=ORIGIN, Br=CENTRE),
        ]
    )
    asked, _ = split([cubic("Fm-3m", 5.64, Na=ORIGIN, Cl=CENTRE)])
    (rows,), _ = Memory.of(known).nearest(full_query(asked), 2)
    assert rows[0] in (2, 4)
    without_ratios = full_query(asked)._replace(knowledge=np.int32([Knowledge.NO_RATIOS]))
    (rows,), _ = Memory.of(known).nearest(without_ratios, 2)
    assert rows[0] in (2, 4)


@pytest.mark.parametrize(("columns", "left_out"), [(90, 0), (97, 96), (6145, 0), (6401, 6400)])
def test_the_largest_scores_are_those_of_a_full_sort(columns, left_out):
    scores = np.random.default_rng(columns).normal(size=(3, columns)).astype(np.float32)
    scores[:, :left_out] = -np.inf
    number = min(POOL, columns)
    found = np.sort(largest(scores, number), axis=1)
    assert all(len(set(row)) == number for row in found.tolist())
    expected = np.sort(scores, axis=1)[:, -number:]
    np.testing.assert_array_equal(np.sort(np.take_along_axis(scores, found, 1), axis=1), expected)
