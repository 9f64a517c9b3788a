"""The networks of the study of decoders are networks, and what they claim to be."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from benchmarks.decoders import __main__ as study
from benchmarks.decoders import networks
from cmed_jax.model.base import Base, BaseConfig
from cmed_jax.model.network import density_on_grid

CONFIG = BaseConfig(width=16, blocks=1, latent=8, hidden=16, harmonics=6)
DECODERS = [
    networks.Film,
    networks.PeriodicFilm,
    networks.SharedBasis,
    networks.Threefold,
]
TARGETS = [networks.Raw, networks.Compressed, networks.Scaled]


def built(kind):
    network = kind(CONFIG, nnx.Rngs(0))
    network.eval()
    return network


@pytest.fixture(scope="module", params=DECODERS, ids=lambda kind: kind.__name__)
def network(request):
    return built(request.param)


@pytest.fixture(scope="module")
def latent():
    return jnp.float32(np.random.default_rng(0).normal(size=(3, 8)))


@pytest.fixture(scope="module")
def coordinates():
    return jnp.float32(np.random.default_rng(1).random((20, 3)))


def test_coordinates_that_crystals_share_are_as_good_as_their_own(network, latent, coordinates):
    conditioning = network.condition(latent)
    shared = network.values(conditioning, coordinates)
    assert shared.shape == (3, 20)
    own = network.values(conditioning, jnp.stack([coordinates] * 3))
    np.testing.assert_allclose(own, shared, atol=1e-5)
    one = network.decode(conditioning[2], coordinates[7])
    np.testing.assert_allclose(one, shared[2, 7], atol=1e-5)


def test_densities_are_finite_and_never_negative(network, latent):
    density = np.asarray(density_on_grid(network, latent, (4, 5, 6)))
    assert density.shape == (3, 4, 5, 6)
    assert np.isfinite(density).all()
    assert (density >= 0).all()


def test_whole_turns_change_nothing_except_for_the_published_decoder(network, latent, coordinates):
    conditioning = network.condition(latent)
    away = coordinates + np.random.default_rng(2).integers(-3, 4, (20, 3))
    here, there = network.values(conditioning, coordinates), network.values(conditioning, away)
    change = np.abs(there - here).max() / np.std(here)
    assert change > 0.1 if type(network) is networks.Film else change < 1e-3


def test_gradients_are_finite_and_reach_the_whole_decoder(network, latent, coordinates):
    graph, weights, rest = nnx.split(network, nnx.Param, ...)
    density = jnp.float32(np.random.default_rng(3).gamma(0.3, 20, (3, 20))).at[:, 0].set(0)

    def loss(weights):
        network = nnx.merge(graph, weights, rest)
        conditioning = network.condition(latent)
        values = network.values(conditioning, coordinates)
        return network.reconstruction_loss(conditioning, values, density, density.max(axis=1)).sum()

    gradient = nnx.to_pure_dict(jax.grad(loss)(weights))
    encoder = nnx.to_pure_dict(nnx.state(built(Base), nnx.Param)).keys() - {"hidden"}
    for name, part in gradient.items():
        leaves = jax.tree.leaves(part)
        assert all(np.isfinite(leaf).all() for leaf in leaves)
        if name not in encoder or name == "coefficients":
            assert all(np.abs(leaf).max() > 0 for leaf in leaves), name


def test_the_encoders_begin_alike(network):
    mine, ours = (nnx.to_pure_dict(nnx.state(n, nnx.Param)) for n in (network, built(Base)))
    for name in ("pattern", "composition", "blocks", "norm", "mean", "deviation"):
        jax.tree.map(np.testing.assert_array_equal, mine[name], ours[name])


def test_what_crystals_share_is_computed_once(coordinates):
    network = built(networks.SharedBasis)

    def operations(crystals):
        conditioning = jnp.zeros((crystals, 1 + networks.BASIS))
        lowered = jax.jit(network.values).lower(conditioning, coordinates)
        return lowered.cost_analysis()["flops"]

    assert operations(8) < 1.1 * operations(1)


def test_a_threefold_series_has_its_axis_and_misses_no_function(latent, coordinates):
    network = built(networks.Threefold)
    conditioning = network.condition(latent)
    turned = network.values(conditioning, coordinates[:, [1, 2, 0]])
    np.testing.assert_allclose(turned, network.values(conditioning, coordinates), atol=1e-5)
    # As many as there are orbits of the harmonics, by Burnside's lemma: identity and two turns.
    ball = np.argwhere(np.ones((7, 7, 7))) - 3
    ball = ball[(ball**2).sum(axis=1) <= CONFIG.harmonics]
    fixed = (ball == ball[:, :1]).all(axis=1).sum()
    assert conditioning.shape[1] - 1 == (len(ball) + 2 * fixed) // 3


@pytest.mark.parametrize("kind", TARGETS, ids=lambda kind: kind.__name__)
def test_the_target_of_a_density_becomes_that_density_and_costs_nothing(kind, latent):
    network = built(kind)
    density = np.float32(np.random.default_rng(4).gamma(0.3, 20, (3, 50)))
    density[:, :5] = 0
    maximum = density.max(axis=1)
    target = {
        networks.Raw: density / 10,
        networks.Compressed: np.log1p(density / 10),
        networks.Scaled: density / maximum[:, None],
    }[kind]
    conditioning = network.condition(latent).at[:, 0].set(jnp.log(maximum))
    np.testing.assert_allclose(network.to_density(conditioning, target), density, rtol=1e-4)
    cost = network.reconstruction_loss(conditioning, target, density, maximum)
    np.testing.assert_allclose(cost, 0, atol=1e-5)
    assert (network.reconstruction_loss(conditioning, target + 0.1, density, maximum) > 0.05).all()


@pytest.fixture
def small(monkeypatch):
    """Arms, batches and trials that take seconds, and one learning rate."""
    monkeypatch.setattr(study, "DEMO", dataclasses.replace(study.DEMO, batch=8))
    monkeypatch.setattr(study, "TRIAL", 4)
    kinds = {"series": Base, "raw": networks.Raw}
    arms = {name: study.Arm(kind, CONFIG, rates=(1e-3,)) for name, kind in kinds.items()}
    monkeypatch.setattr(study, "ARMS", arms)


def test_arms_that_have_ended_are_not_run_again(small, dataset, tmp_path, answer, monkeypatch):
    command = "--data", dataset, "--out", tmp_path, "--minutes", "1e-4", "--arms"
    code, _, errors = answer(study.main, *command, "series")
    assert (code, errors) == (None, "")
    (row,) = study.read_results(tmp_path / "results.jsonl")
    assert (row["budget"], row["learning_rate"], row["steps"]) == (1e-4, 1e-3, 2)

    asked = []
    monkeypatch.setattr(study, "run_arm", lambda arm, *_: asked.append(arm) or dict(row))
    code, printed, errors = answer(study.main, *command, "series", "raw")
    assert (code, errors) == (None, "")
    assert asked == [study.ARMS["raw"]]
    names = [row["arm"] for row in study.read_results(tmp_path / "results.jsonl")]
    assert names == ["series", "raw"]
    assert "4 validation materials" in printed
    assert printed.count(f" {np.mean(row['ssim']):.3f} ") == 2


def test_mistakes_are_one_sentence(small, dataset, tmp_path, answer):
    (tmp_path / "results.jsonl").write_text('{"arm": "series", "budget": 4.0}\n')
    command = "--data", dataset, "--out", tmp_path, "--arms", "series"
    for options, sentence in {
        ("--arms", "serie"): "there is no arm 'serie': choose from series, raw",
        ("--minutes", "0"): "minutes is 0.0: give a positive number",
        ("--minutes", "3"): "holds arms of 4 minutes: give as many, or another folder",
    }.items():
        code, _, errors = answer(study.main, *command, *options)
        assert code == 2
        assert sentence in errors
