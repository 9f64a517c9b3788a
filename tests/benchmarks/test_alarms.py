"""The table of alarms: its wrong formulas, its standards, and the answers that it keeps."""

import numpy as np
import pytest
from pymatgen.core import Structure

from benchmarks import alarms
from benchmarks.alarms import STANDARDS, Answer, Answers, Asked, other_formulas, standard
from cmed_jax.crystal.atomic_volumes import usual_relative_volume
from cmed_jax.crystal.composition import composition_vector
from cmed_jax.io.pattern import pattern_of_columns

PATTERN = pattern_of_columns(np.array([20.0, 30.0]), np.array([1.0, 2.0]), "CuKa")


def asked(*formulas):
    return [Asked(f"{i}", PATTERN, formula, "CuKa") for i, formula in enumerate(formulas)]


def test_the_wrong_formula_is_the_next_that_differs():
    assert other_formulas(asked("C", "C", "W", "Ag")) == ["W", "W", "Ag", "C"]
    assert other_formulas(asked("C")) == ["C"]


def test_what_was_answered_is_not_asked_again(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        alarms,
        "answer",
        lambda pattern, formula, radiation, known, search: (
            seen.append(formula) or Answer(formula == "W", "said", formula != "W")
        ),
    )
    path = tmp_path / "answers.jsonl"
    (carbon,) = asked("C")
    first = Answers(path, [], search=False).of(carbon, ("C", "W"), "CuKa")
    again = Answers(path, [], search=False).of(carbon, ("W", "C", "Ag"), "CuKa")
    assert first == [Answer(False, "said", True), Answer(True, "said", False)]
    assert again == [first[1], first[0], Answer(False, "said", True)]
    assert seen == ["C", "W", "Ag"]


@pytest.mark.parametrize("name", STANDARDS)
def test_standards_are_crystals_of_their_formula_and_density(name):
    material = standard(name)
    crystal = Structure(material.lattice, material.numbers.tolist(), material.frac_coords)
    assert crystal.composition.reduced_formula == name.strip()
    assert crystal.is_valid(tol=1.2)
    volume = usual_relative_volume(
        material.volume, composition_vector(material.numbers), len(material.numbers)
    )
    assert 0.75 < volume < 1.3
