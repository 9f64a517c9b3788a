"""Experts: the network and refined crystals, and their mixture by a gate."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.crystal.material import Material
from cmed_jax.data.encoding import decode_density
from cmed_jax.data.memory import Memory
from cmed_jax.data.query import full_query
from cmed_jax.data.records import Recipe, make_record
from cmed_jax.evaluation.controls import without_pattern
from cmed_jax.mixture.experts import (
    CRYSTALS,
    EXPERTS,
    FEATURES,
    combine,
    experts,
    mixture_and_deviation,
    mixture_generator,
    plain_candidates,
)
from cmed_jax.mixture.gate import Gate
from cmed_jax.model.generator import network_generator
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import density_at
from cmed_jax.solution.prototypes import Prototypes
from cmed_jax.solution.refinement import Refined
from tests.networks import random_network
from tests.structures import CENTRE, ORIGIN, QUARTER, cubic, hexagonal, pyrite, split

GRID = (6, 5, 4)
WHOLE = np.ones(1024, np.float32)
STRUCTURES = [
    cubic("Fm-3m", 4.21, Mg=ORIGIN, O=CENTRE),
    cubic("F-43m", 4.56, Mg=ORIGIN, O=QUARTER),
    cubic("Pm-3m", 2.70, Mg=ORIGIN, O=CENTRE),
    hexagonal(3.21, 1.62, "Mg"),
    pyrite(5.42, "Fe", "S", 0.385),
    cubic("Fm-3m", 3.61, Cu=ORIGIN),
]


@pytest.fixture(scope="module")
def found():
    """Crystals in place of refined ones, the smallest residual first."""
    _, crystals = split(STRUCTURES)
    return [Refined(crystal, 0.002 * 3**i) for i, crystal in enumerate(crystals)]


@pytest.fixture(scope="module")
def own():
    return np.random.default_rng(0).gamma(1.0, 1.0, GRID).astype(np.float32)


@pytest.fixture(scope="module")
def gate():
    """A gate that gives the experts unequal weights."""
    gate = Gate(FEATURES, nnx.Rngs(0))
    gate.score.kernel[...] = jax.random.normal(jax.random.key(0), gate.score.kernel.shape)
    return gate


def gathered(own, found, knowledge=Knowledge.FULL, coverage=WHOLE):
    return experts(own, found, Recipe(), knowledge, coverage)


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_atoms_are_found_in_any_cell(seed):
    """In cells with sharp angles the nearest image lies farther away; pymatgen is the reference."""
    rng = np.random.default_rng(seed)
    skew = np.array([[1, 0, 0], [3, 1, 0], [-4, 2, 1]])
    lattice = skew @ (np.diag([3.0, 4.0, 5.0]) + rng.normal(0, 0.3, (3, 3)))
    crystal = Material("skew", lattice, np.array([12, 8, 8]), rng.random((3, 3)), 1)
    row = gathered(np.ones(GRID, np.float32), [Refined(crystal, 0.01)]).features[1]
    usual = np.cbrt(crystal.volume / 3)
    known = crystal.structure.get_neighbor_list(2 * usual)[3].min()
    assert row[4] == pytest.approx(known / usual, rel=1e-4)


def coinciding(refined):
    """The same crystal with its first two atoms in one place."""
    coords = refined.crystal.frac_coords.copy()
    coords[1] = coords[0]
    return Refined(replace(refined.crystal, frac_coords=coords), refined.residual)


def test_the_network_comes_first_and_then_the_crystals_in_their_order(own, found):
    considered = gathered(own, found[:3])
    np.testing.assert_array_equal(considered.densities[0], own)
    assert considered.present.tolist() == [True] * 4 + [False] * (EXPERTS - 4)
    assert considered.crystals == tuple(found[:3])
    assert not considered.densities[4:].any()


@pytest.mark.parametrize("knowledge", Knowledge)
def test_features_are_numbers_of_which_the_question_s_are_the_same_for_all(own, found, knowledge):
    for number in (0, 1, CRYSTALS):
        considered = gathered(own, found[:number], knowledge, WHOLE * (np.arange(1024) < 256))
        assert considered.features.shape == (EXPERTS, FEATURES)
        assert np.isfinite(considered.features).all()
        one_hot = np.eye(len(Knowledge))[knowledge]
        of_question = considered.features[:, -1 - len(Knowledge) :]
        np.testing.assert_array_equal(of_question, [[*one_hot, 0.25]] * EXPERTS)


@pytest.mark.parametrize("residual", [0.0, 1e-9, 1.0])
def test_features_are_numbers_however_well_the_pattern_is_explained(own, found, residual):
    assert np.isfinite(gathered(own, [found[0]._replace(residual=residual)]).features).all()


def test_crystals_are_distinguished_by_their_distances(own, found):
    """The nearest neighbours are pymatgen's; the feature is free of scale."""
    values = gathered(own, found).features[1:, 4]
    for value, structure in zip(values, STRUCTURES, strict=True):
        nearest = min(near.nn_distance for atom in structure.get_all_neighbors(4) for near in atom)
        edge = np.cbrt(structure.volume / len(structure))
        assert value == pytest.approx(nearest / edge, rel=1e-3)


def test_no_more_crystals_are_considered_than_there_are_places(own, found):
    considered = gathered(own, [*found, *found])
    assert considered.crystals == tuple(found)
    assert considered.present.all()


def test_another_takes_the_place_of_a_crystal_that_is_not_considered(own, found):
    assert gathered(own, [coinciding(found[0]), *found, *found]).crystals == tuple(found)


def test_a_crystal_whose_atoms_coincide_is_not_considered(own, found):
    considered = gathered(own, [coinciding(found[0]), found[1], coinciding(found[1]), found[2]])
    assert considered.crystals == (found[1], found[2])
    for one, other in zip(considered, gathered(own, found[1:3]), strict=True):
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)


def test_a_crystal_s_density_is_the_sum_of_its_atoms(found):
    """The sum is checked on the record's grid, and at the points of a coarser one."""
    crystal = found[0].crystal
    points = np.stack(np.meshgrid(*[np.arange(5) / 5] * 3, indexing="ij"), -1).reshape(-1, 3)
    atoms = Crystal.of(crystal.lattice, crystal.numbers, crystal.frac_coords)
    expected = np.asarray(density_at(atoms, points)).reshape(5, 5, 5)
    for n in (50, 25, 30):
        density = gathered(np.ones((n, n, n), np.float32), found[:1]).densities[1]
        every = n // 5
        np.testing.assert_allclose(
            density[::every, ::every, ::every], expected, atol=1e-3 * expected.max()
        )


def test_on_the_record_s_grid_it_is_the_record_s_but_for_its_rounding(found):
    record = make_record(found[4].crystal)
    expected = decode_density(record["density"], record["density_scale"])
    density = gathered(np.ones((50, 50, 50), np.float32), found[4:5]).densities[1]
    np.testing.assert_allclose(density, expected, atol=5e-4 * expected.max())


def test_who_resembles_the_network_is_stated(found):
    """The network's density is that of the second crystal."""
    own = gathered(np.ones(GRID, np.float32), found[1:2]).densities[1]
    alike = gathered(own, found[:3]).features[:, 6]
    np.testing.assert_allclose(alike[[0, 2]], 1, rtol=1e-5)
    densities = gathered(own, found[:1]).densities[:2].reshape(2, -1)
    roots = np.sqrt(np.maximum(densities, 0))
    assert alike[1] == pytest.approx(np.corrcoef(roots)[0, 1], abs=1e-5)


def asked(gate, answers, found, seed=0):
    return combine(gate, answers, found, Recipe(), Knowledge.FULL, WHOLE, [seed])


def test_weights_name_who_answered_and_sum_to_one(gate, own, found):
    named = asked(gate, own[None], found[:3]).experts
    assert [each.refined for each in named] == [None, *found[:3]]
    assert sum(each.weight for each in named) == pytest.approx(1)
    assert np.ptp([each.weight for each in named]) > 0.05


def test_the_mixture_is_that_of_the_weights(gate, own, found):
    (mixed,), _, named = asked(gate, own[None], found[:3])
    roots = np.sqrt(np.maximum(gathered(own, found[:3]).densities[:4].astype(float), 0))
    expected = np.einsum("k,kabc", [each.weight for each in named], roots) ** 2
    np.testing.assert_allclose(mixed, expected, rtol=1e-4, atol=1e-6)


def test_without_crystals_the_network_answers_alone(gate, own, found):
    answers = np.stack([own, 2 * own, 3 * own])
    for absent in ([], [coinciding(found[0])]):
        mixed, _, named = asked(gate, answers, absent)
        np.testing.assert_allclose(mixed, answers, rtol=1e-6)
        assert [(each.weight, each.refined) for each in named] == [(1.0, None)]


def test_experts_are_drawn_as_often_as_their_weights_say(gate, own, found):
    n = 2000
    answers = np.concatenate([own[None], np.arange(1, n + 1)[:, None, None, None] + 0 * own])
    drawn, _, named = asked(gate, answers.astype(np.float32), found[:2])
    densities = gathered(own, found[:2]).densities
    of_crystals = [(drawn[1:] == densities[k]).all(axis=(1, 2, 3)) for k in (1, 2)]
    of_network = (drawn[1:] == answers[1:]).all(axis=(1, 2, 3))  # the network's own samples
    assert (of_crystals[0] + of_crystals[1] + of_network == 1).all()
    for chosen, expert in zip((of_network, *of_crystals), named, strict=True):
        deviation = np.sqrt(expert.weight * (1 - expert.weight) / n)
        assert abs(chosen.mean() - expert.weight) < 4 * deviation


def test_samples_are_a_function_of_the_seed(gate, own, found):
    answers = np.stack([own] * 40) * np.arange(1, 41, dtype=np.float32)[:, None, None, None]
    one, again, other = (asked(gate, answers, found[:3], seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(one[0], other[0])
    assert (one[1:] != other[1:]).any()


@pytest.fixture(scope="module")
def network():
    return random_network()


@pytest.fixture(scope="module")
def prototypes():
    _, crystals = split([STRUCTURES[0], STRUCTURES[1], STRUCTURES[4]])
    return Prototypes.of_crystals(crystals, Recipe())


def unsure(network):
    """The network with samples that differ as much as its densities."""
    network = nnx.clone(network)
    encode = network.encode
    network.encode = lambda *query: (latent := encode(*query))._replace(
        deviation=0 * latent.deviation + 1
    )
    return network


def test_a_mixture_answers_each_query_for_itself(network, gate, prototypes):
    held_out, _ = split([cubic("Fm-3m", 5.64, Na=ORIGIN, Cl=CENTRE), pyrite(5.7, "Ni", "S", 0.39)])
    query = full_query(held_out)
    answering = mixture_generator(unsure(network), gate, prototypes, GRID, samples=2, seed=1)
    together, again = answering(query), answering(query)
    assert together.candidates.shape == (2, 3, *GRID)
    assert together.deviation.shape == (2, *GRID)
    np.testing.assert_array_equal(together.candidates, again.candidates)
    for row in range(2):
        one = answering(type(query)(*(column[[row]] for column in query)))
        for found, expected in zip(one, together, strict=True):
            np.testing.assert_allclose(found[0], expected[row], rtol=1e-3, atol=1e-4)


def test_a_gate_that_believes_the_best_crystal_answers_with_it(network, prototypes):
    """The gate penalises the first feature, which only the network has."""
    gate = Gate(FEATURES, nnx.Rngs(0))
    for layer in (gate.inner, gate.joint, gate.score):
        layer.kernel[...] = 0 * layer.kernel[...]
    gate.inner.kernel[0, 0] = gate.joint.kernel[0, 0] = 3.0
    gate.score.kernel[0, 0] = -100.0
    held_out, _ = split([cubic("Fm-3m", 5.64, Na=ORIGIN, Cl=CENTRE)])
    answering = plain_candidates(mixture_generator(network, gate, prototypes, (50, 50, 50)))
    (answer,) = answering(full_query(held_out))[:, 0]
    np.testing.assert_allclose(answer, held_out.densities([0])[0], atol=0.03 * answer.max())


def test_without_a_pattern_the_network_answers_alone(network, gate, prototypes):
    held_out, _ = split([cubic("Fm-3m", 5.64, Na=ORIGIN, Cl=CENTRE)])
    query = without_pattern(held_out)
    alone = network_generator(network, GRID, samples=2, seed=1)(query)
    found = mixture_generator(network, gate, prototypes, GRID, samples=2, seed=1)(query)
    np.testing.assert_allclose(found.candidates, alone, rtol=1e-5, atol=1e-6)


def test_the_network_of_a_mixture_recalls_known_crystals(network, gate, prototypes, training_split):
    held_out, _ = split([cubic("Fm-3m", 5.64, Na=ORIGIN, Cl=CENTRE)])
    query = full_query(held_out)
    query = query._replace(pattern=np.zeros_like(query.pattern))  # no crystal explains it
    memory = Memory.of(training_split)
    alone = network_generator(network, GRID, memory=memory)(query)
    found = mixture_generator(network, gate, prototypes, GRID, memory=memory)(query)
    np.testing.assert_allclose(found.candidates, alone, rtol=1e-5, atol=1e-6)
    assert (np.asarray(alone) != network_generator(network, GRID)(query)).any()


def test_different_questions_are_drawn_for_differently(network, gate, prototypes):
    """Among equally weighted experts not all queries draw the same ones."""
    held_out, _ = split([cubic("Fm-3m", 5.64 + 0.1 * i, Na=ORIGIN, Cl=CENTRE) for i in range(6)])
    found = mixture_generator(unsure(network), gate, prototypes, GRID, samples=6, seed=1)(
        full_query(held_out)
    )
    gaps = np.abs(np.diff(found.candidates[:, 1:], axis=1)).max(axis=(2, 3, 4))
    assert len({tuple(row) for row in gaps > 1e-4}) > 1


NO_VARIANCE = np.zeros(GRID, np.float32)


def total_variance(considered, weights, variance):
    """The law of total variance, expert by expert in float64."""
    densities = considered.densities.astype(float)
    mean = np.einsum("k,kabc", weights, np.sqrt(np.maximum(densities, 0))) ** 2
    residual = sum(w * x.residual for w, x in zip(weights[1:], considered.crystals, strict=False))
    total = weights[0] * variance + residual**2 * mean * mean.mean()
    for weight, density in zip(weights, densities, strict=True):
        total = total + weight * (density - mean) ** 2
    return np.sqrt(total)


@pytest.mark.parametrize("spread", [1.0, 2.5])
def test_the_deviation_is_that_of_the_law_of_total_variance(gate, own, found, spread):
    answers = own * np.array([1, 1.3, 0.6], np.float32)[:, None, None, None]
    gate = nnx.clone(gate)
    gate.spread[...] = spread
    _, deviation, named = asked(gate, answers, found[:3])
    weights = np.zeros(EXPERTS)
    weights[:4] = [each.weight for each in named]
    expected = total_variance(gathered(own, found[:3]), weights, (0.3**2 + 0.4**2) / 2 * own**2)
    np.testing.assert_allclose(deviation, spread * expected, rtol=1e-3, atol=1e-5)


def test_one_crystal_that_is_believed_is_as_sure_as_its_residual(found):
    """Where all samples are one density, its deviation is still not zero."""
    densities = gathered(np.ones(GRID, np.float32), found[:1])
    trusted = np.eye(EXPERTS)[1]
    values = [
        np.asarray(mixture_and_deviation(densities.densities, of.features, trusted, NO_VARIANCE)[1])
        for of in (
            gathered(np.ones(GRID, np.float32), [found[0]._replace(residual=r)])
            for r in (0.01, 0.02)
        )
    ]
    density = np.maximum(densities.densities[1], 0)
    some = density > 0  # a coarse grid ripples below zero, where the mixture is zero
    expected = 0.01 * np.sqrt(density * density.mean())[some]
    np.testing.assert_allclose(values[0][some], expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(values[1][some], 2 * expected, rtol=1e-3, atol=1e-6)


def test_without_samples_no_deviation_is_stated(gate, own, found):
    assert asked(gate, own[None], found[:2]).deviation is None
