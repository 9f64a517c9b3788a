"""The parts of the ablation make networks with the properties that they claim."""

import dataclasses
import json
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.special
from flax import nnx

from benchmarks.ablation import __main__ as study
from benchmarks.ablation import decoders, encoders, substituted, targets
from cmed_jax.crystal.atomic_volumes import relative_volume
from cmed_jax.crystal.composition import composition_vector
from cmed_jax.crystal.material import Material
from cmed_jax.crystal.sources import open_source
from cmed_jax.data.dataset import load_examples
from cmed_jax.model.base import BaseConfig
from cmed_jax.model.network import density_on_grid
from cmed_jax.training.inputs import open_inputs

CONFIG = BaseConfig(width=16, blocks=1, latent=8, hidden=16, harmonics=6)
PARTS = {arm.parts: name for name, arm in study.ARMS.items() if arm.seed == 0}


def built(*parts):
    network = study.Arm(parts).network(CONFIG, nnx.Rngs(0))
    network.eval()
    return network


# One program each, instead of one for every operation of every arm.
@nnx.jit
def condition(network, latent):
    return network.condition(latent)


@nnx.jit
def values(network, conditioning, coordinates):
    return network.values(conditioning, coordinates)


@nnx.jit
def decode(network, conditioning, coordinates):
    return network.decode(conditioning, coordinates)


@nnx.jit
def encode(network, given):
    return network.encode(*given)


@pytest.fixture(scope="module", params=PARTS, ids=PARTS.values())
def network(request):
    return built(*request.param)


@pytest.fixture(scope="module")
def latent():
    return jnp.float32(np.random.default_rng(0).normal(size=(3, 8)))


@pytest.fixture(scope="module")
def coordinates():
    return jnp.float32(np.random.default_rng(1).random((1000, 3)))


def test_coordinates_that_crystals_share_are_as_good_as_their_own(network, latent, coordinates):
    conditioning = condition(network, latent)
    shared = values(network, conditioning, coordinates)
    assert shared.shape == (3, 1000)
    own = values(network, conditioning, jnp.stack([coordinates] * 3))
    np.testing.assert_allclose(own, shared, atol=1e-5)
    one = decode(network, conditioning[2], coordinates[7])
    np.testing.assert_allclose(one, shared[2, 7], atol=1e-5)


def test_densities_are_finite_and_never_negative(network, latent):
    density = np.asarray(density_on_grid(network, latent, (4, 5, 6)))
    assert density.shape == (3, 4, 5, 6)
    assert np.isfinite(density).all()
    assert (density >= 0).all()


def test_whole_turns_change_nothing_except_for_the_published_decoder(network, latent, coordinates):
    conditioning = condition(network, latent)
    away = coordinates + np.random.default_rng(2).integers(-3, 4, (1000, 3))
    here, there = (values(network, conditioning, each) for each in (coordinates, away))
    change = np.abs(there - here).max() / np.std(here)
    published = isinstance(network, decoders.Film) and not isinstance(
        network, decoders.PeriodicFilm
    )
    assert change > 0.1 if published else change < 1e-3


def test_gradients_are_finite_and_reach_the_whole_decoder(network, latent, coordinates):
    graph, weights, rest = nnx.split(network, nnx.Param, ...)
    density = jnp.float32(np.random.default_rng(3).gamma(0.3, 20, (3, 1000))).at[:, 0].set(0)

    def loss(weights):
        network = nnx.merge(graph, weights, rest)
        conditioning = network.condition(latent)
        values = network.values(conditioning, coordinates)
        return network.reconstruction_loss(conditioning, values, density, density.max(axis=1)).sum()

    gradient = nnx.to_pure_dict(jax.jit(jax.grad(loss))(weights))
    encoder = nnx.to_pure_dict(nnx.state(built(), nnx.Param)).keys() - {"hidden"}
    for name, part in gradient.items():
        leaves = jax.tree.leaves(part)
        assert all(np.isfinite(leaf).all() for leaf in leaves)
        if name not in encoder or name == "coefficients":
            assert all(np.abs(leaf).max() > 0 for leaf in leaves), name


def test_what_an_arm_keeps_of_the_encoder_begins_alike(network):
    mine, ours = (nnx.to_pure_dict(nnx.state(n, nnx.Param)) for n in (network, built()))
    reads_otherwise = isinstance(network, encoders.Convolutional | encoders.WithPeaks)
    for name in ("composition", "blocks", "norm", "mean", "deviation"):
        jax.tree.map(np.testing.assert_array_equal, mine[name], ours[name])
    if not reads_otherwise:
        jax.tree.map(np.testing.assert_array_equal, mine["pattern"], ours["pattern"])


def test_what_crystals_share_is_computed_once(coordinates):
    network = built(decoders.SharedBasis)

    def operations(crystals):
        conditioning = jnp.zeros((crystals, decoders.BASIS))
        lowered = jax.jit(network.values).lower(conditioning, coordinates)
        return lowered.cost_analysis()["flops"]

    assert operations(8) < 1.1 * operations(1)


def test_a_threefold_series_has_its_axis_and_misses_no_function(latent, coordinates):
    network = built(decoders.Threefold)
    conditioning = condition(network, latent)
    turned = values(network, conditioning, coordinates[:, [1, 2, 0]])
    np.testing.assert_allclose(turned, values(network, conditioning, coordinates), atol=1e-5)
    # The number of orbits of the harmonics is given by Burnside's lemma: identity and two turns.
    ball = np.argwhere(np.ones((7, 7, 7))) - 3
    ball = ball[(ball**2).sum(axis=1) <= CONFIG.harmonics]
    fixed = (ball == ball[:, :1]).all(axis=1).sum()
    assert conditioning.shape[1] == (len(ball) + 2 * fixed) // 3


@pytest.fixture(scope="module")
def density():
    """The densities of three crystals, a tenth of them empty, e/angstrom^3."""
    density = jnp.float32(np.random.default_rng(4).gamma(0.3, 20, (3, 1000)))
    return density.at[:, :100].set(0)


@pytest.mark.parametrize("kind", [targets.Raw, targets.Scaled, targets.Root])
def test_the_target_of_a_density_becomes_that_density_and_costs_nothing(kind, latent, density):
    network = built(kind)
    maximum = density.max(axis=1)
    target = {
        targets.Raw: density / 10,
        targets.Scaled: density / maximum[:, None],
        targets.Root: jnp.sqrt(density / maximum[:, None]),
    }[kind]
    conditioning = condition(network, latent).at[:, 0].set(jnp.log(maximum))
    np.testing.assert_allclose(network.to_density(conditioning, target), density, rtol=1e-4)
    cost = network.reconstruction_loss(conditioning, target, density, maximum)
    np.testing.assert_allclose(cost, 0, atol=1e-5)
    assert (network.reconstruction_loss(conditioning, target + 0.1, density, maximum) > 0.05).all()


def test_losses_are_what_their_names_say(latent, density):
    target = jnp.log1p(density / 10)
    error = np.random.default_rng(5).normal(0, 0.1, (3, 1000)).astype(np.float32)
    huber = scipy.special.huber(0.03, error) / 0.03
    boxes = error.reshape(3, 10, 10, 10)
    along = [np.abs(boxes - np.roll(boxes, 1, axis)).mean(axis=(1, 2, 3)) for axis in (1, 2, 3)]
    for kind, expected in {
        targets.Sizes: np.abs(error).mean(axis=1),
        targets.Squares: (error**2).mean(axis=1),
        targets.Slopes: huber.mean(axis=1) + targets.SLOPES * np.mean(along, axis=0),
    }.items():
        network = built(kind)
        found = network.reconstruction_loss(
            condition(network, latent), target + error, density, density.max(axis=1)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.fixture(scope="module")
def given():
    """Patterns of ten peaks, compositions, knowledge and coverage."""
    rng = np.random.default_rng(6)
    pattern = np.zeros((3, 1024), np.float32)
    for row in pattern:
        row[rng.choice(1020, 10, replace=False) + 2] = rng.uniform(0.01, 1, 10)
    pattern /= pattern.max(axis=1, keepdims=True)
    composition = np.zeros((3, 119), np.float32)
    composition[:, [11, 17]] = 0.5
    return jnp.asarray(pattern), jnp.asarray(composition), jnp.zeros(3, int), jnp.ones((3, 1024))


def test_intensities_are_read_as_they_are_or_as_logarithms(given):
    pattern, *others = given
    plain = built()
    for kind, transformed in {
        encoders.Intensities: pattern,
        encoders.Logarithms: np.log(1 + 1e4 * pattern) / np.log(1 + 1e4),
    }.items():
        # What `Base` reads as a root is here the transformed intensity itself.
        expected = encode(plain, (jnp.float32(transformed) ** 2, *others)).mean
        np.testing.assert_allclose(encode(built(kind), given).mean, expected, atol=1e-5)


@pytest.mark.parametrize("kind", [encoders.Convolutional, encoders.WithPeaks])
def test_every_weight_that_reads_the_pattern_counts(kind, given):
    graph, weights, rest = nnx.split(built(kind), nnx.Param, ...)

    def latent(weights):
        return (nnx.merge(graph, weights, rest).encode(*given).mean ** 2).sum()

    gradient = nnx.to_pure_dict(jax.jit(jax.grad(latent))(weights))["pattern"]
    for path, leaf in jax.tree.leaves_with_path(gradient):
        # The bias of keys does not change a softmax.
        if "'key'" not in jax.tree_util.keystr(path) or leaf.ndim > 2:
            assert np.abs(leaf).max() > 0, path


def test_peaks_are_those_that_scipy_finds(given):
    pattern, *_ = given
    heights, places = encoders.strongest_peaks(pattern)
    assert heights.shape == (3, encoders.PEAKS)
    for row, height, place in zip(np.asarray(pattern), heights, places, strict=True):
        found, _ = scipy.signal.find_peaks(row)
        assert set(place[height > 0].tolist()) == set(found.tolist())
        np.testing.assert_array_equal(height[height > 0], np.sort(row[found])[::-1])


def test_a_set_of_peaks_has_no_order_and_nothing_is_made_of_none(given):
    reader = built(encoders.WithPeaks).pattern
    assert np.isfinite(reader(jnp.zeros((1, 1024)))).all()
    pattern, *_ = given
    faint = pattern.at[:, 0].set(0)
    np.testing.assert_allclose(reader(faint), reader(pattern), atol=1e-5)


def test_without_sampling_the_latent_is_its_mean_and_costs_nothing(given):
    config = dataclasses.replace(CONFIG, kl_weight=0.0)
    network = study.Arm((encoders.Deterministic,)).network(config, nnx.Rngs(0))
    latent = encode(network, given)
    np.testing.assert_array_equal(latent.deviation, 0)
    np.testing.assert_array_equal(latent.mean, encode(built(), given).mean)
    np.testing.assert_array_equal(network.latent_loss(latent), 0)


@pytest.fixture(scope="module")
def cubic():
    """A hundred embedded cubic crystals; every tenth is held out."""
    crystals = (m for m in open_source() if isinstance(m, Material))
    cubic = [m for m in crystals if m.crystal_system == "cubic"][:100]
    return [
        dataclasses.replace(m, split="test" if i % 10 == 0 else "train")
        for i, m in enumerate(cubic)
    ]


@pytest.fixture(scope="module")
def made(cubic):
    return list(islice(substituted.substituted(cubic, 0), 200))


def test_substituted_crystals_are_new_and_made_once(cubic, made):
    kinds = [(crystal.formula, crystal.space_group) for crystal in (*cubic, *made)]
    assert len(made) == 200
    assert not set(kinds[len(cubic) :]) & set(kinds[: len(cubic)])
    assert len(set(kinds[len(cubic) :])) == len(made)
    assert len({crystal.material_id for crystal in made}) == len(made)


def test_substituted_crystals_have_the_sites_of_a_training_crystal_and_room(cubic, made):
    training = [m for m in cubic if m.split == "train"]

    def sites_and_room(m):
        places = np.unique(m.numbers, return_inverse=True)[1]
        sites = {m.frac_coords[places == i].tobytes() for i in np.unique(places)}
        share = relative_volume(m.volume, composition_vector(m.numbers), len(m.numbers))
        return m.space_group, frozenset(sites), round(share, 6)

    assert {sites_and_room(m) for m in made} <= {sites_and_room(m) for m in training}
    assert {m.split for m in made} == {None}


def test_the_file_is_a_source_whose_new_crystals_name_no_split(tmp_path, answer):
    out = tmp_path / "crystals.jsonl"
    code, _, errors = answer(substituted.main, "--out", out, "--number", "5")
    assert (code, errors) == (0, "")
    crystals = list(open_source(str(out)))
    assert all(isinstance(crystal, Material) for crystal in crystals)
    assert [crystal.split for crystal in crystals[-5:]] == [None] * 5
    known = [m for m in open_source() if isinstance(m, Material) and m.crystal_system == "cubic"]
    assert [m.material_id for m in known] == [m.material_id for m in crystals[:-5]]
    assert [m.split for m in known] == [m.split for m in crystals[:-5]]


@pytest.fixture
def small(monkeypatch):
    """Arms and batches that take seconds."""
    monkeypatch.setattr(study, "DEMO", dataclasses.replace(study.DEMO, batch=8))
    monkeypatch.setattr(study, "TIMED", 3)
    parts = {"base": (), "raw density": (targets.Raw,)}
    arms = {name: study.Arm(part, CONFIG) for name, part in parts.items()}
    arms["substituted crystals"] = study.Arm(config=CONFIG, substituted=True)
    monkeypatch.setattr(study, "ARMS", arms)


def test_arms_that_have_ended_are_not_run_again(small, dataset, tmp_path, answer, monkeypatch):
    command = "--data", dataset, "--out", tmp_path, "--minutes", "1e-4", "--arms"
    code, _, errors = answer(study.main, *command, "base")
    assert (code, errors) == (0, "")
    (row,) = study.read_results(tmp_path / "results.jsonl")
    assert (row["budget"], row["steps"], len(row["kinship"])) == (1e-4, 2, 4)

    asked = []
    monkeypatch.setattr(study, "run_arm", lambda arm, *_: asked.append(arm) or dict(row))
    code, printed, errors = answer(study.main, *command, "base", "raw density")
    assert (code, errors) == (0, "")
    assert asked == [study.ARMS["raw density"]]
    names = [row["arm"] for row in study.read_results(tmp_path / "results.jsonl")]
    assert names == ["base", "raw density"]
    assert "4 validation materials" in printed
    assert printed.count(f" {np.mean(row['ssim']):.3f} ") >= 2


def test_substituted_crystals_are_trained_on_and_what_they_know_is_not_asked(
    small, dataset, tmp_path, answer, monkeypatch
):
    elsewhere = tmp_path / "substituted"
    elsewhere.symlink_to(dataset)
    opened = []

    def open_and_note(directory, *rest):
        opened.append(directory)
        return open_inputs(directory, *rest)

    monkeypatch.setattr(study, "open_inputs", open_and_note)
    command = "--data", dataset, "--out", tmp_path, "--minutes", "1e-4", "--held-out", dataset
    arms = "--arms", "substituted crystals", "--substituted", elsewhere
    code, _, errors = answer(study.main, *command, *arms)
    assert (code, errors, opened) == (0, "", [str(elsewhere)])


def test_materials_that_the_training_split_knows_are_not_asked(dataset):
    training, validation = (load_examples(dataset, split) for split in ("train", "validation"))
    assert len(study.unseen(training, training)) == 0
    left = study.unseen(validation, training)
    assert set(study.kinds(left)) == set(study.kinds(validation)) - set(study.kinds(training))
    rows = np.isin(validation.material_id, left.material_id)
    np.testing.assert_array_equal(left.density, validation.density[rows])


def test_mistakes_are_one_sentence(small, dataset, tmp_path, answer):
    (tmp_path / "results.jsonl").write_text(json.dumps({"arm": "base", "budget": 4.0}) + "\n")
    command = "--data", dataset, "--out", tmp_path, "--arms", "base"
    for options, sentence in {
        ("--arms", "bass"): "there is no arm 'bass': choose from base, raw density",
        ("--minutes", "0"): "minutes is 0.0: give a positive number",
        ("--minutes", "3"): "holds arms of 4 minutes: give as many, or another folder",
        ("--arms", "substituted crystals"): "substituted crystals are not in the dataset: give",
    }.items():
        code, _, errors = answer(study.main, *command, *options)
        assert code == 2
        assert sentence in errors
