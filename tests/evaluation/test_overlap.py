"""Overlap worked out by hand: which crystals differ from which in one element."""

import dataclasses

import numpy as np
import pytest

from cmed_jax.crystal.composition import parse_composition
from cmed_jax.evaluation.overlap import TrainingOverlap, training_overlap


@pytest.fixture
def crystals(training_split):
    """Examples of given formulas and space groups; all other columns are irrelevant."""

    def make(*members):
        n = len(members)
        arrays = {
            f.name: getattr(training_split, f.name)[:n] for f in dataclasses.fields(training_split)
        }
        arrays["composition"] = np.stack([parse_composition(formula)[0] for formula, _ in members])
        arrays["space_group"] = np.array([group for _, group in members], np.int32)
        return type(training_split)(**arrays)

    return make


@pytest.fixture
def known(crystals):
    """Compositions and space groups of known crystals."""

    def known(*members):
        found = crystals(*members)
        return found.composition, found.space_group

    return known


@pytest.mark.parametrize(
    ("formula", "group", "expected"),
    [
        ("KCl", 225, TrainingOverlap.ONE_ELEMENT),
        ("NaF", 225, TrainingOverlap.ONE_ELEMENT),
        ("NaCl", 225, TrainingOverlap.SAME_FORMULA),  # itself: no element differs
        ("KBr", 225, TrainingOverlap.SAME_FORMULA),  # two elements differ
        ("KCl", 221, TrainingOverlap.SAME_FORMULA),  # another space group
        ("Na2O", 225, TrainingOverlap.NONE),
        ("Cu", 225, TrainingOverlap.NONE),
        ("PtNi3", 221, TrainingOverlap.ONE_ELEMENT),
        ("AlPt3", 221, TrainingOverlap.ONE_ELEMENT),
        ("Al3Ni", 221, TrainingOverlap.SAME_FORMULA),  # the elements trade places: none is new
        (
            "PtAl3",
            221,
            TrainingOverlap.SAME_FORMULA,
        ),  # one element is replaced, but the amounts are exchanged
        ("Ni2MnGa", 225, TrainingOverlap.ONE_ELEMENT),
        ("NaKCl2", 225, TrainingOverlap.SAME_FORMULA),
    ],
)
def test_kinship(crystals, known, formula, group, expected):
    training = known(("NaCl", 225), ("AlNi3", 221), ("Ni2MnAl", 225))
    assert training_overlap(crystals((formula, group)), *training).tolist() == [expected]


def test_the_nearest_kin_counts(crystals, known):
    training = known(("CaF2", 221), ("CaF2", 225))
    assert training_overlap(crystals(("BaF2", 225)), *training).tolist() == [
        TrainingOverlap.ONE_ELEMENT
    ]


def test_each_material_has_its_own(crystals, known):
    training = known(("NaCl", 225), ("CaF2", 225))
    found = training_overlap(crystals(("W", 229), ("BaF2", 225), ("MgS", 225)), *training)
    assert found.tolist() == [
        TrainingOverlap.NONE,
        TrainingOverlap.ONE_ELEMENT,
        TrainingOverlap.SAME_FORMULA,
    ]
