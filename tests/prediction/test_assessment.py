"""The assessment: correct for consistent queries, and specific about inconsistent ones."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.atomic_volumes import KnownVolumes
from cmed_jax.crystal.composition import parse_composition
from cmed_jax.crystal.material import Material
from cmed_jax.io.pattern import pattern_of_columns
from cmed_jax.physics.patterns import RADIATIONS
from cmed_jax.powder.preparation import PeakList, prepare
from cmed_jax.prediction.assessment import (
    EXPLAINED,
    IMPURE,
    LARGEST_KNOWN,
    LARGEST_VOLUME,
    SIMPLE,
    SMALLEST_KNOWN,
    SMALLEST_VOLUME,
    Explanation,
    Unexplained,
    assess,
    unexplained,
)
from cmed_jax.solution.calculated import CalculatedPattern
from cmed_jax.solution.isostructural import IsostructuralMatch, match_pattern

NAME = "NaCl like KBr"
likely = partial(Explanation, verdict="likely")
"""Structures of the search, which are accepted as known crystals are."""
CU = RADIATIONS["CuKa"]


def test_what_is_explained_in_a_usual_volume_goes_together():
    assessment = assess([likely("junk", 0.9, 5.0), likely(NAME, 0.12, 1.05)], CU, "AB")
    assert assessment.consistent
    assert "NaCl like KBr explains the pattern (Rwp 0.12) in 1.05 times" in assessment.sentence


@pytest.mark.parametrize("anode", ["CrKa", "FeKa", "CoKa", "MoKa", "AgKa"])
def test_a_volume_tells_of_which_anode_the_radiation_was(anode):
    """Lines keep their angles: a cell is too large by as much as the wavelength is too long."""
    relative_volume = (RADIATIONS[anode] / CU) ** 3
    assessment = assess([likely(NAME, 0.12, relative_volume)], RADIATIONS[anode], "AB")
    assert not assessment.consistent
    assert "the wavelength looks wrong" in assessment.sentence
    assert "with CuKa, 1.5419 angstrom" in assessment.sentence


def test_what_explains_the_pattern_best_answers_beside_the_alarm():
    good, poor = likely(NAME, 0.12, 1.57), likely("junk", 0.6, 1.0)
    assessment = assess([good, poor], CU, "AB")
    assert (assessment.consistent, assessment.accepted) == (False, good)
    foreign = good._replace(unexplained=Unexplained(IMPURE + 0.01, (27.4,)))
    assert assess([foreign], CU, "AB").accepted is None


def test_no_anode_is_named_where_none_would_do():
    assessment = assess([likely(NAME, 0.12, 0.6)], 1.0, "AB")
    assert not assessment.consistent
    assert "Ka," not in assessment.sentence


def test_a_poor_explanation_in_a_usual_volume_does_not_save_a_wrong_wavelength():
    """Some distorted crystal of the same type always fits a little better than none."""
    good, poor = likely(NAME, 0.12, 1.57), likely("junk", 0.6, 1.0)
    assert not assess([good, poor], CU, "AB").consistent
    assert assess([good, poor._replace(rwp=0.15)], CU, "AB").consistent
    limit = EXPLAINED - 0.01
    beyond = poor._replace(rwp=EXPLAINED + 0.01)
    assert not assess([good._replace(rwp=limit), beyond], CU, "AB").consistent


def test_where_nothing_explains_the_pattern_the_formula_is_to_be_checked():
    assessment = assess([likely("junk", EXPLAINED + 0.1, 1.0)], CU, "ABC3")
    assert not assessment.consistent
    assert "no known crystal of the type ABC3 explains the pattern" in assessment.sentence
    assert "check the formula" in assessment.sentence


def test_the_limits_leave_no_room_for_the_next_anode():
    assert SMALLEST_VOLUME < 1 < LARGEST_VOLUME < (RADIATIONS["CoKa"] / CU) ** 3


def test_without_any_explanation_nothing_is_said():
    assert assess([], CU, "AB") is None


def lines_of(angles, areas, widths):
    angles, areas, widths = (np.array(column, float) for column in (angles, areas, widths))
    return PeakList(angles, 2 * np.sin(np.radians(angles) / 2) / CU, areas, widths, widths)


def implied_of(*lines):
    columns = np.array(lines, float).reshape(-1, 2)
    return CalculatedPattern(np.zeros(1), np.zeros(1), columns, 1.0, 0.1)


def test_a_line_is_explained_by_a_tenth_of_it_within_its_width():
    peaks = lines_of([20, 30, 40], [1, 2, 5], [0.1, 0.3, 0.1])
    near = implied_of((20.09, 0.2), (30.2, 1), (40.2, 5))  # the last is shifted from the line
    assert unexplained(peaks, near) == Unexplained(5 / 8, (40.0,))
    halves = implied_of((20.05, 0.06), (19.95, 0.06), (30, 0.1), (40, 0.6))  # the second is weak
    assert unexplained(peaks, halves) == Unexplained(2 / 8, (30.0,))
    assert unexplained(peaks, implied_of()) == Unexplained(1.0, (20.0, 30.0, 40.0))


def test_lines_of_a_list_have_a_width_of_their_own_and_the_strongest_are_named():
    peaks = lines_of(range(20, 80, 10), [6, 1, 5, 4, 3, 2], [np.nan] * 6)
    assert unexplained(peaks, implied_of((20.15, 6))).angles == (30, 40, 50, 60, 70)
    assert unexplained(peaks, implied_of()).angles == (20, 40, 50, 60, 70)


@pytest.mark.parametrize("volume", [SMALLEST_KNOWN - 0.01, LARGEST_KNOWN + 0.01])
def test_where_the_compound_is_known_its_volume_is_usual_within_less(volume):
    estimated = likely(NAME, 0.12, volume)
    assert assess([estimated], CU, "AB").consistent
    assert not assess([estimated._replace(of_known_volume=True)], CU, "AB").consistent


KNOWN = KnownVolumes((20.0,), 20.0)


def test_many_lines_of_an_unknown_compound_that_nothing_explains_raise_a_doubt():
    junk = likely("junk", EXPLAINED + 0.1, 1.0)
    assert not assess([junk], CU, "ABC3", SIMPLE).consistent
    doubtful = assess([junk], CU, "ABC3", SIMPLE + 1)
    assert (doubtful.consistent, doubtful.accepted) == (True, None)
    assert "which may be of another type" in doubtful.sentence
    assert not assess([junk._replace(volumes=KNOWN)], CU, "ABC3", SIMPLE + 1).consistent


def test_a_known_compound_that_only_another_type_explains_raises_an_alarm():
    """Silver with the formula of silicon is explained by silicon of the type of copper."""
    foreign = likely("Si like Cu", 0.1, 1.0, volumes=KNOWN._replace(of_type=None))
    own = likely("Si like Si", EXPLAINED + 0.1, 1.0, volumes=KNOWN)
    assessment = assess([foreign, own], CU, "A")
    assert (assessment.consistent, assessment.accepted) == (False, foreign)
    assert "check the formula, or whether it is another form" in assessment.sentence
    for better in (own._replace(rwp=0.4), own._replace(rwp=0.1)):
        assert assess([foreign, better], CU, "A").consistent
    assert not assess([foreign, own._replace(rwp=0.1, relative_volume=0.4)], CU, "A").consistent
    assert assess([foreign._replace(volumes=KnownVolumes())], CU, "A").consistent


def test_a_compound_in_a_form_that_the_search_found_raises_no_alarm():
    """Aragonite where calcite alone is known."""
    foreign = Explanation("CaCO3 from the search", 0.1, 1.0, volumes=KNOWN._replace(of_type=None))
    assert not assess([foreign._replace(verdict="likely")], CU, "ABC3").consistent
    found = foreign._replace(verdict="found")
    assessment = assess([found], CU, "ABC3")
    assert (assessment.consistent, assessment.accepted) == (True, found)
    assert "another form than those that are known" in assessment.sentence


def test_a_density_alone_is_no_structure_of_the_formula():
    density = Explanation("the prediction", 0.1, 1.0)
    assessment = assess([density, likely("junk", 0.5, 1.0)], CU, "AB")
    assert (assessment.consistent, assessment.accepted) == (True, None)
    assert "but no structure of the formula does" in assessment.sentence


def test_where_noise_explains_all_the_smaller_rwp_is_better():
    """Standard deviations that are too large leave no misfit to any crystal."""
    poor, good = (likely(name, rwp, 1.0, noise=1.0) for name, rwp in (("a", 0.8), ("b", 0.3)))
    for explanations in ([poor, good], [good, poor]):
        assert assess(explanations, CU, "AB").accepted == good


def test_noise_does_not_count_against_an_explanation():
    noisy = likely(NAME, 0.85, 1.05, noise=0.84)
    assessment = assess([noisy], CU, "AB")
    assert (assessment.consistent, assessment.accepted) == (True, noisy)
    assert "(Rwp 0.85, 0.24 without counting noise)" in assessment.sentence
    assert not assess([noisy._replace(noise=0.5)], CU, "AB").consistent
    assert not assess([noisy._replace(rwp=1.0, noise=1.0)], CU, "AB").consistent


@given(rwp=st.floats(0, 1), noise=st.floats(0, 1))
def test_a_misfit_is_a_part_of_the_rwp(rwp, noise):
    misfit = likely(NAME, rwp, 1.0, noise=noise).misfit
    assert 0 <= misfit <= rwp + 1e-9
    assert likely(NAME, rwp, 1.0).misfit == pytest.approx(rwp)


def test_what_leaves_lines_unexplained_is_not_believed():
    poor = likely(NAME, 0.5, 1.1, Unexplained(IMPURE + 0.01, (27.4, 53.87)))
    assessment = assess([poor], CU, "AB")
    assert (assessment.consistent, assessment.accepted) == (True, None)
    assert "but not lines at 27.40, 53.87 degrees, 4 % of its area" in assessment.sentence
    better = likely("NaCl like MgO", 0.55, 1.0, Unexplained(IMPURE - 0.01, (53.87,)))
    assert assess([poor, better], CU, "AB").accepted == better


def test_rock_salt_is_not_believed_to_be_of_the_type_of_caesium_chloride():
    """Half its edge reproduces most of the lines, all but those of odd indices."""
    sites, types = [[0, 0, 0], [0.5, 0.5, 0.5]], {"Fm-3m": ("MgO", 4.21), "Pm-3m": ("CsCl", 4.12)}
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], sites)
    lines = XRDCalculator(CU).get_pattern(salt, two_theta_range=(10, 100))
    measured = prepare(pattern_of_columns(lines.x, lines.y, CU))
    explanations = {}
    for group, (name, edge) in types.items():
        crystal = Structure.from_spacegroup(group, Lattice.cubic(edge), ["K", "Br"], sites)
        numbers = np.array([site.specie.Z for site in crystal])
        known = Material(name, crystal.lattice.matrix, numbers, crystal.frac_coords)
        (found,) = match_pattern(measured, parse_composition("NaCl")[0], [known], 1)
        left = unexplained(measured.peaks, found.calculated)
        explanations[name] = Explanation(found.name, found.rwp, found.relative_volume, left, found)
    odd = {x for x, (each, *_) in zip(lines.x, lines.hkls, strict=True) if each["hkl"][0] % 2}
    assert explanations["MgO"].unexplained == Unexplained()
    assert explanations["CsCl"].unexplained.share > IMPURE
    assert set(explanations["CsCl"].unexplained.angles) <= odd
    assert assess([explanations["CsCl"]], CU, "AB").accepted is None
    assert assess([*explanations.values()], CU, "AB").accepted == explanations["MgO"]


@pytest.mark.parametrize(
    "fault", [{"unexplained": Unexplained(2 * IMPURE)}, {"relative_volume": 2 * LARGEST_VOLUME}]
)
def test_a_rejected_crystal_does_not_answer_for_one_of_the_same_name(fault):
    """Structure types share formulas; here the rejected crystal fits better than the accepted."""
    crystals = [
        IsostructuralMatch(
            Material(name, np.eye(3), np.array([22]), np.zeros((1, 3)), 1), "SnO2", 0.9
        )
        for name in ("rutile", "brookite")
    ]
    accepted, rejected = (
        Explanation(each.name, 0.15, 1.0, Unexplained(), each) for each in crystals
    )
    rejected = rejected._replace(rwp=0.10, **fault)
    assert accepted.name == rejected.name
    assert assess([rejected, accepted], CU, "AB2").accepted.crystal is crystals[0]
