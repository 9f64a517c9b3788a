"""The guard: it is silent about what is usual, and names what is not."""

import dataclasses

import numpy as np
import pytest

from cmed_jax.crystal.composition import parse_composition
from cmed_jax.crystal.lattice import primitive_lattice
from cmed_jax.data.familiar import Familiar
from cmed_jax.files import CellCandidate, Preparation, guard, prepare
from cmed_jax.files.implied import Implied
from cmed_jax.files.indexing import Shift
from cmed_jax.files.measured import pattern_of_columns
from cmed_jax.physics.artefacts import LABORATORY, SYNCHROTRON

FAMILIAR = Familiar((11, 17), (225,), (0, 9, *[20] * 16), (24.0, 21.0), 4.0)
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
    assert guard.of_pattern(pattern(), LABORATORY, FAMILIAR) == []


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
    sentences = guard.of_pattern(pattern(**unusual), artefacts, FAMILIAR)
    assert any(said in sentence for sentence in sentences), sentences


def test_a_list_of_peaks_is_new_to_a_network_of_profiles():
    peaks = prepare(pattern_of_columns(np.array([20.0, 80]), np.ones(2), 1.54056), PLAIN)
    assert any("a list of peaks" in each for each in guard.of_pattern(peaks, LABORATORY, None))


def test_elements_that_were_never_seen_are_named():
    told, _ = parse_composition("NaClO3")
    (sentence,) = guard.of_composition(told, FAMILIAR)
    assert "no training crystal holds O:" in sentence
    assert guard.of_composition(parse_composition("NaCl")[0], FAMILIAR) == []
    assert guard.of_composition(told, None) == []


@pytest.mark.parametrize(
    ("scale", "familiar"), [(1.0, FAMILIAR), (1.0, None), (0.461, FAMILIAR), (0.461, None)]
)
def test_a_cell_has_room_for_whole_formula_units(scale, familiar):
    """Mo K-alpha in the place of Cu K-alpha makes a cell that holds a tenth of a formula unit."""
    told, _ = parse_composition("NaCl")
    density = np.full((4, 4, 4), 28 / 44.85, np.float32)
    found = guard.of_cell(density, scale * SALT, told, familiar, in_full=True)
    if scale == 1.0:
        assert found == []
    else:
        assert "has room for about 0.1" in found[0]
    assert guard.of_cell(density, scale * SALT, told, familiar, in_full=False) == []


def test_cells_with_room_go_before_others():
    """The sublattice of half the edge explains the lines of KCl as well, but holds no KCl."""
    told, _ = parse_composition("NaCl")
    half, whole = (CellCandidate("", np.ones(6), x * SALT, 0.9, Shift()) for x in (0.5, 1.0))
    assert guard.with_room_first((half, whole), told, FAMILIAR) == (whole, half)
    unknown, _ = parse_composition("KBr")
    assert guard.with_room_first((half, whole), unknown, FAMILIAR) == (half, whole)


def test_a_prediction_that_does_not_explain_its_pattern_is_doubted():
    nothing = np.zeros(3)
    poor = Implied(nothing, nothing, np.zeros((1, 2)), 0.41, 0.93)
    (sentence,) = guard.of_agreement(poor)
    assert "cosine 0.41, Rwp 0.93" in sentence
    assert guard.of_agreement(dataclasses.replace(poor, cosine=0.95)) == []
