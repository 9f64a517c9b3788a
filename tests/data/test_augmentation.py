"""Augmentation of an example in training: shifted, noisy, and with less information."""

import dataclasses
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from cmed_jax.cli import ARTEFACTS
from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.augmentation import (
    FORGOTTEN,
    AugmentationConfig,
    augment,
    augment_reflections,
    forgotten,
    hide,
    shift_bins,
)
from cmed_jax.physics.amplitude_errors import AmplitudeErrors
from cmed_jax.physics.amplitudes import Amplitudes
from cmed_jax.physics.artefact_ranges import LABORATORY
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.physics.instrument import Lines

PARTIAL = AugmentationConfig(
    shift=0, noise=0.0, full=0.4, no_ratios=0.3, missing_element=0.2, none=0.1
)


@pytest.fixture(scope="module")
def pattern():
    rng = np.random.default_rng(0)
    return jnp.float32(np.where(rng.random(1024) < 0.05, rng.random(1024), 0))


@pytest.fixture(scope="module")
def composition():
    vector = np.zeros(119, np.float32)
    vector[[8, 22, 38, 56]] = 0.6, 0.2, 0.15, 0.05
    return jnp.asarray(vector)


def moved(pattern, bins):
    """The roll of numpy, with zeros in place of the wrapped bins."""
    rolled = np.roll(pattern, bins)
    if bins > 0:
        rolled[:bins] = 0
    elif bins < 0:
        rolled[bins:] = 0
    return rolled


@partial(jax.jit, static_argnames=("config", "n"))
def many(config, pattern, composition, n, seed=0):
    keys = jax.random.split(jax.random.key(seed), n)
    pattern, _, *rest = jax.vmap(lambda key: augment(key, pattern, None, composition, config))(keys)
    return pattern, *rest


@partial(jax.jit, static_argnames=("config", "n"))
def afresh(config, pattern, lines, composition, n):
    keys = jax.random.split(jax.random.key(0), n)
    return jax.vmap(lambda key: augment(key, pattern, lines, composition, config))(keys)


@pytest.mark.parametrize("bins", [-1024, -3, -1, 0, 1, 3, 1024])
def test_a_shift_rolls_the_pattern_and_leaves_zeros(bins):
    pattern = jnp.arange(1.0, 1025)
    np.testing.assert_array_equal(shift_bins(pattern, jnp.asarray(bins)), moved(pattern, bins))


def test_every_shift_up_to_the_limit_is_drawn_and_none_beyond(pattern, composition):
    config = AugmentationConfig(shift=3, noise=0.0)
    patterns, compositions, _ = many(config, pattern, composition, 700)
    distances = {bins: moved(pattern, bins) for bins in range(-3, 4)}
    counts = [sum(np.array_equal(p, d) for p in patterns) for d in distances.values()]
    assert sum(counts) == 700
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
    np.testing.assert_array_equal(compositions, np.tile(composition, (700, 1)))


def test_a_stored_pattern_is_whole(pattern, composition):
    lines = Lines(jnp.array([0.3, 0.5, 0.0]), jnp.array([1.0, 0.5, 0.0]))
    _, whole, *_ = afresh(AugmentationConfig(), pattern, lines, composition, 1)
    assert whole.all()


def test_a_share_of_the_stored_patterns_is_kept_whole_among_fresh_ones_in_part(
    pattern, composition
):
    lines = Lines(jnp.array([0.3, 0.5, 0.0]), jnp.array([1.0, 0.5, 0.0]))
    config = AugmentationConfig(artefacts=LABORATORY, stored=0.3, shift=0, noise=0.0)
    drawn, coverage, *_ = afresh(config, pattern, lines, composition, 400)
    kept = (drawn == pattern).all(axis=1)
    assert scipy.stats.binomtest(int(kept.sum()), 400, 0.3).pvalue > 1e-3
    np.testing.assert_array_equal(np.asarray(coverage).all(axis=1), kept)
    fresh, coverage = np.asarray(drawn)[~kept], np.asarray(coverage)[~kept]
    assert coverage.sum(axis=1).min() > 50
    assert coverage.sum(axis=1).max() < 1000
    assert not fresh[coverage == 0].any()
    np.testing.assert_allclose(fresh.max(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"errors": AmplitudeErrors(stop=(0.5, 0.9))}, *({"artefacts": x} for x in ARTEFACTS.values())],
    ids=["errors", *ARTEFACTS],
)
def test_a_configuration_survives_json(options):
    config = AugmentationConfig(**options, none=0.25, full=0.75)
    words = json.dumps(dataclasses.asdict(config))
    assert AugmentationConfig.from_json(json.loads(words)) == config


@partial(jax.jit, static_argnames="config")
def reflections_of_many(keys, lattice, amplitudes, composition, config):
    one = partial(augment_reflections, config=config)
    return jax.vmap(lambda key: one(key, lattice, amplitudes, composition))(keys)


def test_a_share_of_the_stored_amplitudes_is_kept_among_erroneous_ones(composition):
    size = len(harmonics())
    stored = Amplitudes(jnp.ones(size), jnp.ones(size))
    config = AugmentationConfig(errors=AmplitudeErrors(), stored=0.3, noise=0.0)
    keys, cell = jax.random.split(jax.random.key(0), 400), 4 * jnp.eye(3)
    lattice, drawn, left, knowledge = reflections_of_many(keys, cell, stored, composition, config)
    kept = (np.asarray(lattice) == cell).all(axis=(1, 2))
    assert scipy.stats.binomtest(int(kept.sum()), 400, 0.3).pvalue > 1e-3
    np.testing.assert_array_equal(np.asarray(drawn.amplitude)[kept], 1)
    assert np.asarray(drawn.observed)[kept].all()
    assert (np.asarray(drawn.amplitude)[~kept] != 1).any(axis=1).all()
    np.testing.assert_array_equal(left, np.tile(composition, (400, 1)))
    assert not np.asarray(knowledge).any()
    without = AugmentationConfig(noise=0.0)
    lattice, drawn, *_ = reflections_of_many(keys[:2], cell, stored, composition, without)
    np.testing.assert_array_equal(drawn.amplitude, np.ones((2, size)))
    np.testing.assert_array_equal(lattice, np.tile(cell, (2, 1, 1)))


def test_all_most_few_or_none_of_the_recalled_crystals_remain():
    keys, present = jax.random.split(jax.random.key(0), 2000), jnp.float32([1, 1, 1, 1, 1, 0])
    left = np.asarray(jax.jit(jax.vmap(forgotten, (0, None)))(keys, present))
    assert set(np.unique(left)) == {0, 1}
    assert not left[:, 5].any()
    counts = left[:, :5].sum(axis=1)
    rates, shares = zip(*FORGOTTEN, strict=True)
    for number in (0, 5):
        expected = sum(
            share * scipy.stats.binom.pmf(number, 5, 1 - rate)
            for rate, share in zip(rates, shares, strict=True)
        )
        assert scipy.stats.binomtest(int((counts == number).sum()), 2000, expected).pvalue > 1e-3


def test_noise_has_its_deviation_and_nothing_is_negative(composition):
    config = AugmentationConfig(shift=0, noise=1e-3)
    pattern = np.full(1024, 0.5, np.float32)
    pattern[::2] = 0
    pattern = jnp.asarray(pattern)
    patterns, compositions, _ = many(config, pattern, composition, 50)
    assert patterns.min() == compositions.min() == 0
    assert np.std(patterns[:, 1::2]) == pytest.approx(1e-3, rel=0.02)
    assert np.mean(patterns[:, 1::2]) == pytest.approx(0.5, abs=1e-4)
    assert np.mean(patterns[:, ::2] > 0) == pytest.approx(0.5, abs=0.02)
    assert np.std(compositions[:, composition > 0] - composition[composition > 0]) < 2e-3


def test_it_is_a_function_of_the_key(pattern, composition):
    config = AugmentationConfig(full=0.0, missing_element=1.0)
    one, same, other = (many(config, pattern, composition, 4, seed) for seed in (1, 1, 2))
    for left, right in zip(one, same, strict=True):
        np.testing.assert_array_equal(left, right)
    assert (one[0] != other[0]).any(axis=1).all()


def test_kinds_of_knowledge_are_drawn_by_their_shares(pattern, composition):
    _, _, knowledge = many(PARTIAL, pattern, composition, 3000)
    counts = np.bincount(knowledge, minlength=4)
    assert scipy.stats.chisquare(counts, np.multiply(PARTIAL.shares, 3000)).pvalue > 1e-3


def test_the_kind_that_is_stated_is_the_kind_that_was_hidden(pattern, composition):
    _, compositions, knowledge = many(PARTIAL, pattern, composition, 200)
    for left, kind in zip(np.asarray(compositions), np.asarray(knowledge), strict=True):
        present = np.flatnonzero(left)
        if kind == Knowledge.FULL:
            np.testing.assert_array_equal(left, composition)
        else:
            np.testing.assert_array_equal(left[present], 1)
            assert set(present) <= {8, 22, 38, 56}
            assert len(present) == {1: 4, 2: 3, 3: 0}[int(kind)]


@pytest.mark.parametrize("kind", Knowledge)
def test_the_article_hides_nothing_and_a_share_of_one_always_hides(pattern, composition, kind):
    name = ("full", "no_ratios", "missing_element", "none")[kind]
    config = AugmentationConfig(**({"full": 0.0} | {name: 1.0}))
    *_, knowledge = many(config, pattern, composition, 200)
    assert set(np.asarray(knowledge).tolist()) == {int(kind)}


def test_each_element_is_dropped_as_often(composition):
    keys = jax.random.split(jax.random.key(3), 2000)
    kind = jnp.asarray(int(Knowledge.MISSING_ELEMENT))
    left = np.asarray(jax.jit(jax.vmap(lambda key: hide(key, composition, kind)))(keys))
    dropped = (left[:, [8, 22, 38, 56]] == 0).sum(axis=0)
    assert dropped.sum() == 2000
    assert scipy.stats.chisquare(dropped).pvalue > 1e-3


def test_of_one_element_nothing_is_left():
    single = jnp.eye(119)[26]
    kind = jnp.asarray(int(Knowledge.MISSING_ELEMENT))
    np.testing.assert_array_equal(hide(jax.random.key(0), single, kind), 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"full": 0.5}, r"\(0.5, 0.0, 0.0, 0.0\): give numbers of at least 0 that sum to 1"),
        ({"full": 1.5, "none": -0.5}, "sum to 1"),
        ({"shift": -1}, "shift is -1"),
        ({"noise": -1e-3}, "noise -0.001"),
    ],
)
def test_impossible_configurations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**options)
