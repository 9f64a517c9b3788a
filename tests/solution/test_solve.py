"""Refined substitution: it finds crystals that substitution alone misses, and reports failure."""

from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from cmed_jax.crystal.canonical import canonical_cell
from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.query import full_query
from cmed_jax.data.records import Recipe
from cmed_jax.evaluation.baselines import UNEXPLAINED, solution, substitution
from cmed_jax.evaluation.controls import partial_composition, without_pattern
from cmed_jax.evaluation.metrics import ssim
from cmed_jax.solution.prototypes import Prototypes, crystal_identity
from cmed_jax.solution.refinement import Refined
from cmed_jax.solution.site_assignments import partial_site_assignments
from cmed_jax.solution.solve import solve
from tests.structures import CENTRE, ORIGIN, QUARTER, cubic, nothing, pyrite, split


def trigonal(group, edge, height, **sites):
    lattice = Lattice.hexagonal(edge, height)
    return Structure.from_spacegroup(group, lattice, list(sites), list(sites.values()))


TRAINING = [
    cubic("Fm-3m", 5.35, K=ORIGIN, F=CENTRE),
    cubic("F-43m", 5.41, Zn=ORIGIN, S=QUARTER),
    cubic("Fm-3m", 5.46, Ca=ORIGIN, F=QUARTER),
    pyrite(5.42, "Fe", "S", 0.385),
    trigonal("R-3c", 4.76, 12.99, Al=(0, 0, 0.352), O=(0.306, 0, 0.25)),
    trigonal("P3_221", 4.91, 5.40, Si=(0.470, 0, 2 / 3), O=(0.414, 0.267, 0.786)),
]
MOVED = {
    "pyrite": pyrite(5.60, "Os", "S", 0.400),
    "corundum": trigonal("R-3c", 4.96, 13.59, Cr=(0, 0, 0.342), O=(0.318, 0, 0.25)),
    "quartz": trigonal("P3_221", 4.99, 5.65, Ge=(0.455, 0, 2 / 3), O=(0.396, 0.303, 0.759)),
}


@pytest.fixture(scope="module")
def prototypes():
    return Prototypes.of(*split(TRAINING), Recipe())


@pytest.mark.parametrize("name", MOVED)
def test_coordinates_and_axes_that_differ_from_the_prototype_are_found(prototypes, name):
    held_out, _ = split([MOVED[name]])
    query, truth = full_query(held_out), held_out.densities([0])
    found = ssim(truth, solution(prototypes, nothing)(query)[:, 0])[0]
    assert found > 0.99
    assert found > ssim(truth, substitution(prototypes, nothing)(query)[:, 0])[0]


@pytest.mark.parametrize(
    ("knowledge", "structure"),
    [
        (Knowledge.NO_RATIOS, cubic("Fm-3m", 5.46, Sr=ORIGIN, Cl=QUARTER)),
        (Knowledge.MISSING_ELEMENT, cubic("F-43m", 5.50, Zn=ORIGIN, S=QUARTER)),
        (Knowledge.NONE, pyrite(5.50, "Fe", "S", 0.39)),
    ],
)
def test_what_is_not_known_is_taken_from_the_prototype(prototypes, knowledge, structure):
    held_out, _ = split([structure])
    answer = solution(prototypes, nothing)(partial_composition(knowledge)(held_out))
    assert ssim(held_out.densities([0]), answer[:, 0])[0] > 0.98


def test_somebody_else_is_asked_where_no_crystal_explains_the_pattern(prototypes):
    heusler, _ = split([cubic("Fm-3m", 6.0, Al=ORIGIN, Mn=CENTRE, Cu=QUARTER)])
    known, _ = split([MOVED["pyrite"]])
    for query in (full_query(heusler), without_pattern(known)):
        assert not solution(prototypes, nothing)(query).any()


def test_the_residual_is_large_where_the_composition_is_another(prototypes):
    held_out, _ = split([MOVED["corundum"]])
    other = np.zeros(119, np.float32)
    other[[3, 92]] = 0.4, 0.6  # Li2U3
    found = solve(prototypes, held_out.pattern[0], other)
    assert found
    assert found[0].residual > UNEXPLAINED


def test_elements_without_ratios_take_each_place_the_likeliest_first():
    numbers = np.array([19, 9, 9])  # K F F
    lithium_oxide = np.zeros(119, np.float32)
    lithium_oxide[[3, 8]] = 1
    first, second = partial_site_assignments(numbers, lithium_oxide, Knowledge.NO_RATIOS)
    np.testing.assert_array_equal(first, [3, 8, 8])
    np.testing.assert_array_equal(second, [8, 3, 3])


def test_the_place_of_a_missing_element_keeps_the_one_of_the_prototype():
    numbers = np.array([20, 22, 8, 8, 8])  # CaTiO3
    known = np.zeros(119, np.float32)
    known[[38, 8]] = 1  # strontium and oxygen
    first, *_ = partial_site_assignments(numbers, known, Knowledge.MISSING_ELEMENT)
    np.testing.assert_array_equal(first, [38, 22, 8, 8, 8])


def arguments(query):
    return (np.asarray(column[0]) for column in query[:4])


@pytest.mark.parametrize("knowledge", Knowledge)
def test_prototypes_that_are_withheld_are_not_returned(prototypes, knowledge):
    """Prototypes are withheld one after the other, until none is left."""
    held_out, _ = split([cubic("Fm-3m", 5.46, Sr=ORIGIN, Cl=QUARTER)])
    query = partial_composition(knowledge)(held_out)
    names = [crystal.material_id for crystal in prototypes.crystals]
    without = np.zeros(0, int)
    while len(without) < len(names):
        found = solve(prototypes, *arguments(query), without=without)
        of = {each.crystal.material_id for each in found}
        assert not of & {names[row] for row in without}
        if not found:
            break
        without = np.append(without, names.index(found[0].crystal.material_id))
    assert len(without)
    everything = np.arange(len(names))
    assert solve(prototypes, *arguments(query), without=everything) == []


def test_the_smallest_residual_comes_first(prototypes):
    held_out, _ = split([MOVED["quartz"]])
    query = partial_composition(Knowledge.NO_RATIOS)(held_out)
    residuals = [each.residual for each in solve(prototypes, *arguments(query))]
    assert len(residuals) > 1
    assert residuals == sorted(residuals)


def test_each_crystal_is_returned_once():
    """Several pyrites, with coordinates too far apart to be of one kind, lead to one crystal."""
    pyrites = [pyrite(5.42, "Fe", "S", x) for x in (0.37, 0.39, 0.41)]
    several = Prototypes.of(*split(pyrites), Recipe())
    assert len(set(several.kinds)) == 3
    held_out, _ = split([MOVED["pyrite"]])
    pattern = held_out.pattern[0] * (np.arange(1024) < 300)  # so that no crystal explains it
    found = solve(several, pattern, held_out.composition[0])
    identities = [crystal_identity(canonical_cell(each.crystal)) for each in found]
    assert 0 < len(set(identities)) == len(identities) < 3


@pytest.mark.parametrize("refused", [0, 1, 2])
def test_a_crystal_that_no_record_can_be_made_of_leaves_its_place_to_the_next(
    prototypes, monkeypatch, refused
):
    held_out, (crystal,) = split([MOVED["pyrite"]])
    coinciding = replace(crystal, frac_coords=np.zeros_like(crystal.frac_coords))
    found = [*[Refined(coinciding, 0.001)] * refused, Refined(crystal, 0.002)]
    monkeypatch.setattr("cmed_jax.evaluation.baselines.solve", lambda *_: found)
    answer = solution(prototypes, nothing)(full_query(held_out))
    assert ssim(held_out.densities([0]), answer[:, 0])[0] > 0.999


def test_a_crystal_that_does_not_explain_the_pattern_takes_no_place(prototypes, monkeypatch):
    held_out, (crystal,) = split([MOVED["pyrite"]])
    coinciding = replace(crystal, frac_coords=np.zeros_like(crystal.frac_coords))
    found = [Refined(coinciding, 0.001), Refined(crystal, UNEXPLAINED + 0.01)]
    monkeypatch.setattr("cmed_jax.evaluation.baselines.solve", lambda *_: found)
    assert not solution(prototypes, nothing)(full_query(held_out)).any()
