"""Substitution: it finds crystals of structure types in the training split, for any elements."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.crystal.material import Refusal
from cmed_jax.data.query import full_query
from cmed_jax.data.records import Recipe
from cmed_jax.evaluation.baselines import baselines, substitution
from cmed_jax.evaluation.controls import without_composition, without_pattern
from cmed_jax.evaluation.metrics import pearson, ssim
from cmed_jax.physics.density import B_FACTOR
from cmed_jax.solution.profiles import REACH, STEP, fit_scales
from cmed_jax.solution.prototypes import Prototypes, canonical_crystals, crystal_kind
from cmed_jax.solution.site_assignments import site_assignments
from cmed_jax.solution.substitution import substituted_candidates
from tests.structures import (
    CENTRE,
    ORIGIN,
    QUARTER,
    cubic,
    hexagonal,
    material,
    nothing,
    pyrite,
    split,
)

TRAINING = [
    cubic("Fm-3m", 5.35, K=ORIGIN, F=CENTRE),
    cubic("Fm-3m", 4.17, Mg=ORIGIN, O=CENTRE),
    cubic("Pm-3m", 4.12, Cs=ORIGIN, Cl=CENTRE),
    cubic("F-43m", 5.41, Zn=ORIGIN, S=QUARTER),
    cubic("Fm-3m", 5.46, Ca=ORIGIN, F=QUARTER),
    cubic("F-43m", 5.93, Li=CENTRE, Al=ORIGIN, Si=QUARTER),
    hexagonal(3.21, 1.62, "Mg"),
    pyrite(5.42, "Fe", "S", 0.385),
    pyrite(5.94, "Pt", "As", 0.383),
]


@pytest.fixture(scope="module")
def prototypes():
    return Prototypes.of(*split(TRAINING), Recipe())


@pytest.fixture(scope="module")
def generator(prototypes):
    return substitution(prototypes, otherwise=nothing)


FOUND = {
    "other elements and another size": cubic("Fm-3m", 5.64, Na=ORIGIN, Cl=CENTRE),
    "a type among three": cubic("F-43m", 5.42, Cu=ORIGIN, Cl=QUARTER),
    "the type of equal scatterers": cubic("Pm-3m", 2.99, Ni=ORIGIN, Al=CENTRE),
    "elements that trade places": cubic("Fm-3m", 6.53, S=ORIGIN, Na=QUARTER),
    "the one order of three": cubic("F-43m", 5.94, Ni=QUARTER, Sn=ORIGIN, Ti=CENTRE),
    "a cell that is not cubic": hexagonal(2.29, 1.62, "Be"),
    "a free coordinate": pyrite(5.66, "Ni", "S", 0.385),
}


@pytest.mark.parametrize("name", FOUND)
def test_it_finds(generator, name):
    held_out, _ = split([FOUND[name]])
    answer = generator(full_query(held_out))
    truth = held_out.densities([0])
    assert answer.shape == (1, 1, 50, 50, 50)
    assert ssim(truth, answer[:, 0])[0] > 0.99
    assert pearson(truth, answer[:, 0])[0] > 0.999
    # The volume is found as well, and with it the scale of densities in e/angstrom^3.
    np.testing.assert_allclose(answer.mean(), truth.mean(), rtol=3 * 2 * STEP)


def test_it_has_no_answer_where_nothing_tells(generator):
    heusler = cubic("Fm-3m", 6.0, Al=ORIGIN, Mn=CENTRE, Cu=QUARTER)
    other_formula, _ = split([heusler])
    held_out, _ = split([FOUND["a type among three"]])
    query = full_query(held_out)
    elements_only = query._replace(
        composition=np.ceil(query.composition), knowledge=np.array([Knowledge.NO_RATIOS])
    )
    for unknown in (
        full_query(other_formula),
        without_composition(held_out),
        without_pattern(held_out),
        elements_only,
    ):
        assert not generator(unknown).any()


def test_nearest_in_both_answers_instead(prototypes):
    training, _ = split(TRAINING)
    held_out, _ = split([cubic("Fm-3m", 6.0, Al=ORIGIN, Mn=CENTRE, Cu=QUARTER)])
    found = baselines(training, B_FACTOR, prototypes)
    query = full_query(held_out)
    np.testing.assert_array_equal(found["substitution"](query), found["nearest in both"](query))
    assert "substitution" not in baselines(training, B_FACTOR)


def test_each_query_is_answered_for_itself(generator):
    held_out, _ = split(list(FOUND.values())[:3])
    together = generator(full_query(held_out))
    for row in range(3):
        one, _ = split([list(FOUND.values())[row]])
        np.testing.assert_array_equal(generator(full_query(one))[0], together[row])


def test_few_crystals_of_one_type_are_tried(prototypes, monkeypatch):
    potassium_fluoride, magnesia, caesium_chloride = prototypes.kinds[:3]
    assert potassium_fluoride == magnesia
    assert potassium_fluoride != caesium_chloride
    held_out, _ = split([FOUND["other elements and another size"]])
    crystals = substituted_candidates(prototypes, held_out.pattern[0], held_out.composition[0])
    # Sodium and chlorine may trade places in rock salt, caesium chloride and zinc blende alike.
    assert sorted(crystal.space_group for crystal in crystals) == [216, 221, 225, 225]
    assert all(set(crystal.numbers) == {11, 17} for crystal in crystals)
    assert crystals[0].space_group == 225
    monkeypatch.setattr("cmed_jax.solution.prototypes.TRIED_OF_KIND", 1)
    crystals = substituted_candidates(prototypes, held_out.pattern[0], held_out.composition[0])
    assert sorted(crystal.space_group for crystal in crystals) == [216, 221, 225]


def test_places_that_symmetry_does_not_exchange_are_tried_apart(prototypes):
    half_heusler = FOUND["the one order of three"]
    held_out, _ = split([half_heusler])
    crystals = substituted_candidates(prototypes, held_out.pattern[0], held_out.composition[0])
    assert len(crystals) == 3  # of six ways: the origin and the centre are equivalent


@settings(deadline=None)
@pytest.fixture(scope="module")
def heusler():
    """A crystal whose atoms lie at quarters, and its kind."""
    structure = cubic("Fm-3m", 6.0, Al=ORIGIN, Mn=CENTRE, Cu=QUARTER)
    (crystal,) = canonical_crystals([material("heusler", structure)])
    return crystal, crystal_kind(crystal)


@given(moved=arrays(float, (4, 3), elements=st.floats(-1e-9, 1e-9)))
def test_rounding_errors_do_not_change_the_kind_of_a_crystal(heusler, moved):
    """Atoms at quarters lie on no boundary of the rounding."""
    crystal, kind = heusler
    nearly = replace(crystal, frac_coords=crystal.frac_coords + moved)
    assert crystal_kind(nearly) == kind


def test_no_special_place_lies_on_a_boundary_between_kinds():
    (crystal,) = canonical_crystals([material("salt", FOUND["other elements and another size"])])
    for place in np.arange(24) / 24:
        kinds = {
            crystal_kind(replace(crystal, frac_coords=np.full((2, 3), place + error)))
            for error in (-1e-4, 0, 1e-4)
        }
        assert len(kinds) == 1


@pytest.mark.parametrize(
    ("numbers", "composition", "expected"),
    [
        ([11, 17], {19: 0.5, 9: 0.5}, {(9, 19), (19, 9)}),
        ([20, 9, 9], {8: 1 / 3, 3: 2 / 3}, {(8, 3, 3)}),
        ([1, 2, 3, 1, 2, 1], {7: 1 / 3, 8: 1 / 2, 9: 1 / 6}, {(8, 7, 9, 8, 7, 8)}),
        (
            [5, 6, 7, 7],
            {1: 0.25, 2: 0.25, 3: 0.5},
            {(1, 2, 3, 3), (2, 1, 3, 3)},
        ),
        ([29, 29], {26: 1.0}, {(26, 26)}),
    ],
)
def test_elements_are_assigned_in_every_way_that_keeps_the_amounts(numbers, composition, expected):
    vector = np.zeros(119, np.float32)
    vector[list(composition)] = list(composition.values())
    found = [tuple(assigned.tolist()) for assigned in site_assignments(np.array(numbers), vector)]
    assert len(found) == len(set(found))
    assert set(found) == expected


@pytest.mark.parametrize("scale", [0.8, 0.97, 1.0, 1.05, 1.25])
def test_the_scale_of_a_cell_is_found_by_its_lines(prototypes, scale):
    grown = TRAINING[7].copy()
    grown.scale_lattice(TRAINING[7].volume * scale**3)
    (profile,) = Prototypes.of(*split([grown]), Recipe()).profiles
    scales, agreements = fit_scales(prototypes.profiles[[7]], profile)
    np.testing.assert_allclose(np.log(scales), np.log(scale), atol=STEP)
    assert agreements[0] > 0.8


def test_scales_stay_within_reach(prototypes):
    moved = np.roll(prototypes.profiles[0], 300)
    scales, _ = fit_scales(prototypes.profiles, moved)
    assert (np.abs(np.log(scales)) <= REACH + 1e-9).all()


def test_crystals_of_another_split_are_refused():
    examples, crystals = split(TRAINING[:2])
    with pytest.raises(ValueError, match="1 structures are not those of the 2 training examples"):
        Prototypes.of(examples, crystals[1:], Recipe())


def test_prototypes_of_crystals_are_those_of_their_records(prototypes):
    """Lines of crystals are exact, while the bins of a pattern keep only the strongest."""
    _, crystals = split(TRAINING)
    simulated = Prototypes.of_crystals(crystals, Recipe())
    assert simulated.kinds == prototypes.kinds
    np.testing.assert_array_equal(simulated.formulas, prototypes.formulas)
    np.testing.assert_array_equal(simulated.elements, prototypes.elements)
    alike = np.sum(simulated.profiles * prototypes.profiles, axis=1)
    assert alike.min() > 0.85
    np.testing.assert_array_equal((simulated.profiles @ prototypes.profiles.T).argmax(1), range(9))


def test_crystals_need_no_records_to_be_found(generator):
    _, crystals = split(TRAINING)
    simulated = substitution(Prototypes.of_crystals(crystals, Recipe()), otherwise=nothing)
    held_out, _ = split([FOUND["a type among three"], FOUND["a free coordinate"]])
    answers = simulated(full_query(held_out))[:, 0]
    np.testing.assert_array_less(0.99, ssim(held_out.densities([0, 1]), answers))


def test_no_crystals_are_refused():
    with pytest.raises(ValueError, match="there are no crystals to begin from"):
        Prototypes.of_crystals([], Recipe())


def test_crystals_of_any_source_are_brought_to_their_primitive_cells():
    salt, coinciding = material("salt", TRAINING[0]), material("coinciding", TRAINING[1])
    coinciding.frac_coords[:] = 0.0
    (found,) = canonical_crystals([Refusal("refused", "no atoms"), coinciding, salt])
    assert (found.material_id, found.space_group) == ("salt", 225)
    assert sorted(found.numbers) == [9, 19]
    assert found.volume == pytest.approx(5.35**3 / 4)
