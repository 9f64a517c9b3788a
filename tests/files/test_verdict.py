"""The verdict: right about what goes together, and about what to check."""

import pytest

from cmed_jax.files.verdict import EXPLAINED, LEAST_ROOM, MOST_ROOM, Explanation, judge
from cmed_jax.physics.patterns import RADIATIONS

NAME = "NaCl like KBr"
CU = RADIATIONS["CuKa"]


def test_what_is_explained_in_a_usual_volume_goes_together():
    verdict = judge([Explanation("junk", 0.9, 5.0), Explanation(NAME, 0.12, 1.05)], CU, "AB")
    assert verdict.consistent
    assert "NaCl like KBr explains the pattern (Rwp 0.12) in 1.05 times" in verdict.sentence


@pytest.mark.parametrize("anode", ["CrKa", "FeKa", "CoKa", "MoKa", "AgKa"])
def test_a_volume_tells_of_which_anode_the_radiation_was(anode):
    """Lines keep their angles: a cell is too large by as much as the wavelength is too long."""
    room = (RADIATIONS[anode] / CU) ** 3
    verdict = judge([Explanation(NAME, 0.12, room)], RADIATIONS[anode], "AB")
    assert not verdict.consistent
    assert "the wavelength looks wrong" in verdict.sentence
    assert "with CuKa, 1.5419 angstrom" in verdict.sentence


def test_no_anode_is_named_where_none_would_do():
    verdict = judge([Explanation(NAME, 0.12, 0.6)], 1.0, "AB")
    assert not verdict.consistent
    assert "Ka," not in verdict.sentence


def test_a_poor_explanation_in_a_usual_volume_does_not_save_a_wrong_wavelength():
    """Some distorted crystal of the same type always leaves a little less than nothing does."""
    good, poor = Explanation(NAME, 0.12, 1.57), Explanation("junk", 0.6, 1.0)
    assert not judge([good, poor], CU, "AB").consistent
    assert judge([good, poor._replace(rwp=0.15)], CU, "AB").consistent
    limit = EXPLAINED - 0.01
    beyond = poor._replace(rwp=EXPLAINED + 0.01)
    assert not judge([good._replace(rwp=limit), beyond], CU, "AB").consistent


def test_where_nothing_explains_the_pattern_the_formula_is_to_be_checked():
    verdict = judge([Explanation("junk", EXPLAINED + 0.1, 1.0)], CU, "ABC3")
    assert not verdict.consistent
    assert "no known crystal of the type ABC3 explains the pattern" in verdict.sentence
    assert "check the formula" in verdict.sentence


def test_the_limits_leave_no_room_for_the_next_anode():
    assert LEAST_ROOM < 1 < MOST_ROOM < (RADIATIONS["CoKa"] / CU) ** 3


def test_without_any_explanation_nothing_is_said():
    assert judge([], CU, "AB") is None
