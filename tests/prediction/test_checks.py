"""Checks: they report unusual inputs, and nothing else."""

import dataclasses

import numpy as np
import pytest

from cmed_jax.crystal import cell_contents
from cmed_jax.crystal.composition import parse_composition
from cmed_jax.crystal.lattice import primitive_lattice
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.data.domain import TrainingDomain
from cmed_jax.io.pattern import pattern_of_columns
from cmed_jax.physics.artefact_ranges import LABORATORY, SYNCHROTRON
from cmed_jax.powder.preparation import Preparation, prepare
from cmed_jax.prediction import checks
from cmed_jax.solution.calculated import CalculatedPattern
from cmed_jax.solution.isostructural import IsostructuralMatch

DOMAIN = TrainingDomain((11, 17), (225,), (0, 9, *[20] * 16), 4.0)
PLAIN = Preparation(shift=False)
SALT = primitive_lattice((5.64, 5.64, 5.64, 90, 90, 90), "F")


def pattern(stop=90.0, width=0.15, start=12.0, lines=6):
    """A profile of a few even lines in Cu K-alpha 1."""
    angle = np.arange(start, stop, 0.02)
    centres = np.linspace(start + 8, stop - 8, lines)
    peaks = sum(1000 / (1 + 4 * ((angle - centre) / width) ** 2) for centre in centres)
    counts = np.random.default_rng(0).poisson(20 + peaks).astype(float)
    return prepare(pattern_of_columns(angle, counts, 1.54056), PLAIN)


def test_a_usual_pattern_is_passed_in_silence():
    assert checks.check_pattern(pattern(), LABORATORY, DOMAIN) == []


@pytest.mark.parametrize(
    ("unusual", "artefacts", "said"),
    [
        ({"stop": 45.0}, LABORATORY, "the pattern ends at d = 2.0"),
        ({"start": 30.0}, LABORATORY, "the pattern begins at d = 2.98 angstrom"),
        ({"width": 2.0, "lines": 4}, LABORATORY, "degrees wide, and at most"),
        ({"width": 0.5}, SYNCHROTRON, "degrees wide, and at most"),
        (
            {"lines": 21},
            LABORATORY,
            "the pattern holds 21 lines, and none in training more than 20",
        ),
        ({}, None, "of the 180 degrees of Mo K-alpha"),
        ({"width": 2.0, "lines": 4}, None, "neighbours that sticks keep apart"),
    ],
)
def test_what_is_unusual_about_a_pattern_is_said(unusual, artefacts, said):
    found = checks.check_pattern(pattern(**unusual), artefacts, DOMAIN)
    assert {each.severity for each in found} == {"note"}
    sentences = [each.message for each in found]
    assert any(said in sentence for sentence in sentences), sentences


def test_a_list_of_peaks_is_new_to_a_network_of_profiles():
    peaks = prepare(pattern_of_columns(np.array([20.0, 80]), np.ones(2), 1.54056), PLAIN)
    assert any(
        "a list of peaks" in each.message for each in checks.check_pattern(peaks, LABORATORY, None)
    )


def test_elements_that_were_never_seen_are_named():
    fractions, _ = parse_composition("NaClO3")
    ((code, _, sentence),) = checks.check_elements(fractions, DOMAIN)
    assert code == "unknown_element"
    assert "no training crystal holds O:" in sentence
    assert checks.check_elements(parse_composition("NaCl")[0], DOMAIN) == []
    assert checks.check_elements(fractions, None) == []


def test_elements_that_scatter_alike_are_named():
    """Iron and cobalt differ by one electron of 27, sodium and chlorine by six of 17."""
    ((code, severity, sentence),) = checks.check_alike_elements(parse_composition("FeCo2O4")[0])
    assert (code, severity) == ("alike_elements", "note")
    assert "Fe and Co apart" in sentence
    assert checks.check_alike_elements(parse_composition("NaCl")[0]) == []


def test_elements_that_hardly_scatter_are_named():
    ((code, severity, sentence),) = checks.check_faint_elements(parse_composition("LiWH3")[0])
    assert (code, severity) == ("faint_elements", "note")
    assert "H, Li" in sentence
    assert checks.check_faint_elements(parse_composition("NaCl")[0]) == []


@pytest.mark.parametrize(
    ("formula", "cell", "centring", "units", "electrons"),
    [
        ("NaCl", (5.64, 5.64, 5.64, 90, 90, 90), "F", 1, 28),
        ("Al2O3", (4.76, 4.76, 12.99, 90, 90, 120), "R", 2, 100),
        ("Mg(OH)2", (3.148, 3.148, 4.776, 90, 90, 120), "P", 1, 30),
        ("Cu3Au", (3.75, 3.75, 3.75, 90, 90, 90), "P", 1, 166),
    ],
)
def test_a_cell_has_room_for_whole_formula_units(formula, cell, centring, units, electrons):
    """The cells are of the literature; with Mo K-alpha instead of Cu they are a tenth as large."""
    fractions, _ = parse_composition(formula)
    lattice = primitive_lattice(cell, centring)
    assert cell_contents.formula_units(lattice, fractions) == pytest.approx(units, rel=0.2)
    assert cell_contents.electrons(lattice, fractions) == pytest.approx(electrons)
    assert checks.check_cell(lattice, fractions) == []
    ((_, severity, sentence),) = checks.check_cell(0.461 * lattice, fractions, "doubt")
    assert severity == "doubt"
    assert "has room for about 0." in sentence
    assert cell_contents.electrons(0.461 * lattice, fractions) is None


def test_many_units_are_not_counted_by_their_volume():
    fractions, _ = parse_composition("NaCl")
    assert cell_contents.electrons(2 * SALT, fractions) is None  # eight of them, or seven, or nine
    assert cell_contents.relative_cell_volume(2 * SALT, fractions) == pytest.approx(1, abs=0.1)
    eight = np.repeat([11, 17], 8)
    large = Material("salt", 2 * SALT, eight, np.random.default_rng(0).random((16, 3)), 225)
    assert cell_contents.electrons(2.005 * SALT, fractions, [large]) == 8 * 28
    assert cell_contents.electrons(2.1 * SALT, fractions, [large]) is None


def test_nothing_is_said_of_elements_that_no_known_crystal_holds():
    fractions, _ = parse_composition("NaAt")
    assert checks.check_cell(0.1 * SALT, fractions) == []
    assert cell_contents.relative_cell_volume(SALT, fractions) == 1
    assert cell_contents.electrons(SALT, fractions) is None


def test_a_prediction_that_does_not_explain_its_pattern_is_doubted():
    nothing = np.zeros(3)
    poor = CalculatedPattern(nothing, nothing, np.zeros((1, 2)), 0.41, 0.93)
    good = dataclasses.replace(poor, cosine=0.95, rwp=0.2)
    ((*_, sentence),) = checks.check_agreement(poor)
    assert "cosine 0.41, Rwp 0.93" in sentence
    assert checks.check_agreement(good) == []
    salt = Material("salt", SALT, np.array([11, 17]), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), 225)
    ((*_, sentence),) = checks.check_agreement(poor, [IsostructuralMatch(salt, "KBr", 0.9, good)])
    assert "; NaCl like KBr does (cosine 0.95, Rwp 0.20)" in sentence
    assert (
        "does ("
        not in checks.check_agreement(poor, [IsostructuralMatch(salt, "KBr", 0.9, poor)])[0].message
    )


@pytest.mark.parametrize(
    ("group", "edge", "number"),
    [(225, 5.64, "4"), (229, 4.12, "2"), (166, (4.75, 4.75, 12.96, 90, 90, 120), "3")],
)
def test_a_centred_cell_that_is_given_as_primitive_names_its_centring(group, edge, number):
    cell = edge if isinstance(edge, tuple) else (edge, edge, edge, 90, 90, 90)
    centring = {225: "F", 229: "I", 166: "R"}[group]
    lattice = primitive_lattice(cell, centring)
    crystal = Material("x", lattice, np.array([11]), np.zeros((1, 3)), group)
    ((*_, said),) = checks.check_centring(1.003 * primitive_lattice(cell), crystal, "Na like Na")
    assert f"holds {number} primitive cells of Na like Na" in said
    assert f"give centring {centring}" in said
    for other in (lattice, 1.1 * primitive_lattice(cell), 5 ** (1 / 3) * lattice):
        assert checks.check_centring(other, crystal, "Na like Na") == []
    of_no_centred = dataclasses.replace(crystal, space_group=221)
    assert checks.check_centring(primitive_lattice(cell), of_no_centred, "Na like Na") == []


def test_the_first_of_many_refused_structures_are_named():
    refused = [Refusal(name, "why") for name in "abcde"]
    ((*_, message),) = checks.check_structures(refused)
    assert message == "5 of 5 structures are refused: a: why; b: why; c: why; ..."
    crystal = Material("x", SALT, np.array([11]), np.zeros((1, 3)))
    ((*_, message),) = checks.check_structures([crystal, *refused[:1]])
    assert message == "1 of 2 structures are refused: a: why"
    assert checks.check_structures([crystal]) == []
