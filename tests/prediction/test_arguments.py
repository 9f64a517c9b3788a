"""Arguments of a wrong type: each is answered in a sentence that names it and its value."""

from dataclasses import fields

import numpy as np
import pytest

from cmed_jax.prediction.arguments import check_composition_type, check_pattern_type
from cmed_jax.prediction.options import (
    DEFAULTS,
    PredictionOptions,
    changed,
    known_composition,
)

WRONG = {
    "wavelength": [True, (1.54,), 1j],
    "composition": [5, ["Na"], {"Na": 1}],
    "elements": ["NaCl", None, (11, 17)],
    "cell": [5.64, "five", ("a", "b", 1, 90, 90, 90), {"a": 4.0}, np.eye(3)],
    "centring": [None, 225, ["F"]],
    "samples": [1.5, "8", None, True],
    "seed": [0.5, "0", None],
    "grid": [50, (10, 10), (10.5, 10, 10), "50 50 50", None, (10, 10, 10, 10)],
    "analogues": [2.0, "3", None],
    "structures": [7, ("a.cif",)],
    "search": ["20", float("nan"), float("inf"), True],
    "rietveld": ["yes", 1, None],
    "preparation": [None, "none", {"background": "none"}],
}
CASES = [
    pytest.param(name, value, id=f"{name} {value!r}")
    for name, values in WRONG.items()
    for value in values
]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_an_option_of_a_wrong_type_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=f"^{name} is .+: give ") as raised:
        changed(DEFAULTS, {name: value})
    assert str(raised.value).count("\n") == 0
    said = str(value)[:4] if isinstance(value, str | float | int) else ""
    assert said in str(raised.value)


def test_every_option_has_a_wrong_type():
    assert set(WRONG) == {field.name for field in fields(PredictionOptions)}


def test_options_of_a_right_type_stay_as_they_are_and_rows_become_tuples():
    given = {"cell": np.array([4, 4, 6, 90, 90, 120]), "grid": np.array([8, 9, 10]), "search": 2}
    found = changed(PredictionOptions("CuKa", elements=("Na", "?")), given)
    assert (found.cell, found.grid) == ((4.0, 4.0, 6.0, 90.0, 90.0, 120.0), (8, 9, 10))
    assert (found.wavelength, found.elements, found.search) == ("CuKa", ("Na", "?"), 2)
    assert changed(found, {"cell": "auto"}).cell == "auto"
    found.check()


@pytest.mark.parametrize("composition", ["KBr", {"K": 1, "Br": 1}, ["K", "Br"]])
def test_a_composition_stands_beside_no_elements(composition):
    with pytest.raises(ValueError, match="not both"):
        known_composition(PredictionOptions(elements=("K", "Br")), composition)
    assert known_composition(PredictionOptions(composition="NaCl"), composition) == composition
    assert known_composition(PredictionOptions(elements=("K", "Br")), None) == ["K", "Br"]


@pytest.mark.parametrize("composition", [5, 1.5, ("Na", 11), np.zeros(119)])
def test_a_composition_of_no_form_is_shown(composition):
    with pytest.raises(ValueError, match=r"^composition is .+: give a formula"):
        check_composition_type(composition)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (5, "pattern is 5: give the path"),
        (None, "pattern is None"),
        (np.array(3.0), "pattern is array"),
        ({"two_theta": [20.0], "intensity": [1.0]}, "pattern is {"),
        ((5, 6), "two_theta is 5, and no column"),
        (([20.0, 30.0], ["a", "b"]), r"intensity is \['a', 'b'\], and no column"),
        (("20", "30"), "two_theta is '20', and no column"),
        (["a", "b", "c"], r"pattern \['a', 'b', 'c'\] is not numbers"),
        (b"12", "two_theta is 49"),
    ],
)
def test_a_pattern_of_no_form_is_shown(pattern, message):
    with pytest.raises(ValueError, match=message):
        check_pattern_type(pattern)


def test_every_form_of_a_pattern_passes(tmp_path):
    for pattern in (tmp_path, "a.xy", ([20, 30], (1, 2)), np.ones((2, 4)), np.ones(1024)):
        check_pattern_type(pattern)
