"""Controls: the inputs that they replace, and that the replacement is always the same."""

import dataclasses

import numpy as np
import pytest

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.crystal.material import crystal_system
from cmed_jax.data.query import full_query
from cmed_jax.evaluation.controls import (
    CONTROLS,
    OF_PATTERN,
    shuffled_bins,
    without_composition,
    without_pattern,
    wrong_composition,
    wrong_pattern,
)


def partners(examples):
    """The row of the pattern that each material receives."""
    return [
        np.flatnonzero((examples.pattern == pattern).all(axis=1)).item()
        for pattern in wrong_pattern(examples).pattern
    ]


def test_wrong_patterns_are_a_derangement(test_split):
    query, wrong = full_query(test_split), wrong_pattern(test_split)
    rows = partners(test_split)
    assert sorted(rows) == list(range(len(test_split)))
    assert all(row != i for i, row in enumerate(rows))
    np.testing.assert_array_equal(wrong.pattern, wrong_pattern(test_split).pattern)
    np.testing.assert_array_equal(wrong.composition, query.composition)
    for name in ("lattice", "amplitude", "observed", "lines"):
        np.testing.assert_array_equal(getattr(wrong, name), getattr(query, name)[rows])


@pytest.mark.parametrize("seed", range(3))
def test_wrong_patterns_are_of_the_same_crystal_system(test_split, seed):
    systems = np.random.default_rng(seed).permutation(
        [225, 229, 195, 194, 166, 160, 143, 2, 1, 62, 75]
    )
    split = dataclasses.replace(test_split, space_group=systems.astype(np.int32))
    rows = partners(split)
    assert all(row != i for i, row in enumerate(rows))
    for group, row in zip(systems.tolist(), rows, strict=True):
        alone = group in (194, 62, 75)  # one hexagonal, one orthorhombic, one tetragonal
        assert alone or crystal_system(int(systems[row])) == crystal_system(group)


def test_controls_take_away_what_they_name(test_split):
    query = full_query(test_split)
    assert set(query.knowledge) == {Knowledge.FULL}
    no_pattern, no_composition = without_pattern(test_split), without_composition(test_split)
    assert query.coverage.all()
    assert not no_pattern.pattern.any()
    assert not no_pattern.coverage.any()
    assert not any(getattr(no_pattern, x).any() for x in OF_PATTERN)
    np.testing.assert_array_equal(no_pattern.composition, query.composition)
    assert not no_composition.composition.any()
    assert set(no_composition.knowledge) == {Knowledge.NONE}
    np.testing.assert_array_equal(no_composition.pattern, query.pattern)
    for control in CONTROLS.values():
        assert [field.dtype for field in control(test_split)] == [field.dtype for field in query]


def test_a_single_material_has_no_wrong_pattern(test_split):
    one = {name: getattr(test_split, name)[:1] for name in test_split.__dataclass_fields__}
    with pytest.raises(ValueError, match=r"1 material\(s\) have nothing to trade"):
        wrong_pattern(type(test_split)(**one))


def test_wrong_compositions_come_from_the_same_partners(test_split):
    wrong, query = wrong_composition(test_split), full_query(test_split)
    np.testing.assert_array_equal(wrong.composition, query.composition[partners(test_split)])
    np.testing.assert_array_equal(wrong.pattern, query.pattern)
    assert set(wrong.knowledge) == {Knowledge.FULL}


def test_shuffled_bins_keep_the_intensities_and_lose_the_angles(test_split):
    shuffled = shuffled_bins(test_split)
    np.testing.assert_array_equal(np.sort(shuffled.pattern), np.sort(test_split.pattern))
    assert (shuffled.pattern != test_split.pattern).any(axis=1).all()
    # One order is used for all: patterns that agreed still do.
    products = [p @ p.T for p in (shuffled.pattern, test_split.pattern)]
    np.testing.assert_allclose(*products, rtol=1e-5)
    np.testing.assert_array_equal(shuffled.pattern, shuffled_bins(test_split).pattern)
    assert (shuffled.amplitude != full_query(test_split).amplitude).any(axis=1).all()
    assert not shuffled.amplitude[shuffled.observed == 0].any()
    assert full_query(test_split).lines.any(axis=(1, 2)).all()
    assert not shuffled.lines.any()


@pytest.mark.parametrize(
    ("name", "knowledge", "elements"),
    [("without ratios", Knowledge.NO_RATIOS, 2), ("without one element", 2, 1)],
)
def test_partial_compositions_name_elements_and_no_ratios(test_split, name, knowledge, elements):
    query = CONTROLS[name](test_split)
    assert set(query.knowledge) == {knowledge}
    assert set(np.unique(query.composition)) == {0, 1}
    assert (query.composition.sum(axis=1) == elements).all()
    assert not query.composition[test_split.composition == 0].any()
    np.testing.assert_array_equal(query.composition, CONTROLS[name](test_split).composition)


def test_every_kind_of_knowledge_is_asked_for(test_split):
    asked = {int(control(test_split).knowledge[0]) for control in CONTROLS.values()}
    assert asked == set(Knowledge)
