"""Kinship by hand: who differs from whom in one element."""

import dataclasses

import numpy as np
import pytest

from cmed_jax.crystal.composition import parse_composition
from cmed_jax.evaluation.overlap import Kinship, kinship


@pytest.fixture
def crystals(training_split):
    """Examples of given formulas and space groups; all else is of no account."""

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
        ("KCl", 225, Kinship.SIBLING),
        ("NaF", 225, Kinship.SIBLING),
        ("NaCl", 225, Kinship.FORMULA),  # itself: no element differs
        ("KBr", 225, Kinship.FORMULA),  # two elements differ
        ("KCl", 221, Kinship.FORMULA),  # another space group
        ("Na2O", 225, Kinship.NONE),
        ("Cu", 225, Kinship.NONE),
        ("PtNi3", 221, Kinship.SIBLING),
        ("AlPt3", 221, Kinship.SIBLING),
        ("Al3Ni", 221, Kinship.FORMULA),  # the elements trade places: none is new
        ("PtAl3", 221, Kinship.FORMULA),  # one goes and one comes, but the amounts trade places
        ("Ni2MnGa", 225, Kinship.SIBLING),
        ("NaKCl2", 225, Kinship.FORMULA),
    ],
)
def test_kinship(crystals, known, formula, group, expected):
    training = known(("NaCl", 225), ("AlNi3", 221), ("Ni2MnAl", 225))
    assert kinship(crystals((formula, group)), *training).tolist() == [expected]


def test_the_nearest_kin_counts(crystals, known):
    training = known(("CaF2", 221), ("CaF2", 225))
    assert kinship(crystals(("BaF2", 225)), *training).tolist() == [Kinship.SIBLING]


def test_each_material_has_its_own(crystals, known):
    training = known(("NaCl", 225), ("CaF2", 225))
    found = kinship(crystals(("W", 229), ("BaF2", 225), ("MgS", 225)), *training)
    assert found.tolist() == [Kinship.NONE, Kinship.SIBLING, Kinship.FORMULA]
