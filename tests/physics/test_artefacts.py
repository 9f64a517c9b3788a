"""Artefacts: conditions lie in their ranges, counts are Poisson's, and measurements show them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from cmed_jax.physics import artefacts as module
from cmed_jax.physics.artefact_ranges import LABORATORY, LOGARITHMIC, PRESETS, Artefacts
from cmed_jax.physics.artefacts import (
    FEW,
    central_conditions,
    measured,
    sample_conditions,
)
from cmed_jax.physics.grids import PUBLISHED_GRID, Grid
from cmed_jax.physics.instrument import Lines
from cmed_jax.physics.rendering import render
from cmed_jax.physics.texture import moments

CENTRES = (np.arange(1024) + 0.5) * 180 / 1024

# One program each, instead of one for every operation.
draw = jax.jit(
    lambda keys, artefacts: jax.vmap(lambda key: sample_conditions(key, artefacts))(keys),
    static_argnames="artefacts",
)
expected = jax.jit(module.expected, static_argnames="grid")
measure = jax.jit(module.measure)
poisson_counts = jax.jit(module.poisson_counts)
gradient = jax.jit(jax.grad(lambda *x: module.expected(*x)[0].sum(), argnums=(0, 1)))


@pytest.fixture(scope="module")
def lines():
    s = jnp.array([0.31, 0.355, 0.502, 0.614, 0.87, 0.0, 3.0])
    directions = moments(np.eye(3)[[0, 1, 2, 0, 1, 2, 0]])
    return Lines(s, jnp.array([20.0, 90.0, 60.0, 17.0, 12.0, 0.0, 9.0]), jnp.asarray(directions))


@pytest.mark.parametrize("name", PRESETS)
def test_conditions_lie_in_their_ranges(name):
    artefacts = PRESETS[name]
    keys = jax.random.split(jax.random.key(0), 500)
    drawn = draw(keys, artefacts)
    found = drawn._asdict() | drawn.instrument._asdict() | drawn.sample._asdict()
    names = "start stop march counts zero displacement u v w size strain b_factor calibration"
    for condition in names.split():
        low, high = getattr(artefacts, condition)
        values = np.float64(found[condition])
        slack = 1e-5 * max(abs(low), abs(high))
        assert low - slack <= values.min()
        assert values.max() <= high + slack
        logarithmic = condition in LOGARITHMIC and low > 0
        middle_value = np.sqrt(low * high) if logarithmic else (low + high) / 2
        below = np.mean(values < middle_value)
        assert low == high or below == pytest.approx(0.5, abs=0.1)
    np.testing.assert_allclose(np.linalg.norm(drawn.axis, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(drawn.instrument.weights.sum(axis=1), 1, rtol=1e-6)
    assert (drawn.impurity[:, 0] >= drawn.start[:, None]).all()
    assert (drawn.impurity[:, 0] <= drawn.stop[:, None]).all()


def test_every_anode_is_drawn_with_its_doublet():
    artefacts = Artefacts(anodes=("Cu", "Mo", "Cu"))
    keys = jax.random.split(jax.random.key(1), 600)
    found = np.asarray(draw(keys, artefacts).instrument.wavelengths)
    copper, molybdenum = (
        np.isclose(found, pair).all(axis=1)
        for pair in ((1.5405929, 1.5444274), (0.7093172, 0.713607))
    )
    assert (copper | molybdenum).all()
    assert copper.mean() == pytest.approx(2 / 3, abs=0.06)


@pytest.mark.parametrize("mean", [0.0, 0.01, 0.5, 3.0, 7.9, 8.1, 30.0, 1000.0])
def test_counts_are_those_of_poisson(mean):
    found = np.asarray(poisson_counts(jax.random.key(0), jnp.full(40_000, mean)))
    assert mean > FEW or (found == np.round(found)).all()
    assert found.min() >= 0
    if mean == 0:
        assert not found.any()
        return
    for quanta in scipy.stats.poisson(mean).ppf([0.05, 0.3, 0.5, 0.7, 0.95]):
        assert np.mean(found <= quanta + 0.5) == pytest.approx(
            scipy.stats.poisson(mean).cdf(quanta), abs=0.01
        )
    assert found.mean() == pytest.approx(mean, rel=4 / np.sqrt(mean * 40_000))
    assert found.var() == pytest.approx(mean, rel=0.05 + 3 / np.sqrt(mean * 40_000))


def clean(**changes):
    """Conditions without any artefact except the named ones."""
    nothing = Artefacts(
        start=(0.0, 0.0), stop=(180.0, 180.0), monochromator=(0.0, 0.0), u=(0.0, 0.0), v=(0.0, 0.0),
        w=(0.01, 0.01), size=(1e6, 1e6), strain=(0.0, 0.0), b_factor=(0.0, 0.0),
        background=(0.0, 0.0), slope=(0.0, 0.0), hump=(0.0, 0.0), impurity=(0.0, 0.0),
        counts=(1e9, 1e9),
    )  # fmt: skip
    return middle(dataclasses.replace(nothing, **{k: (v, v) for k, v in changes.items()}))


def middle(artefacts):
    return jax.jit(lambda: central_conditions(artefacts))()


KEY = jax.random.key(0)


def test_without_artefacts_the_pattern_is_that_of_molybdenum(lines):
    """In a pattern measured with copper and converted, every line has the area for molybdenum."""
    lines = lines._replace(intensity=lines.intensity.at[6].set(0))
    conditions = clean()
    found, coverage = measure(KEY, lines, conditions)
    molybdenum = conditions.instrument._replace(
        wavelengths=jnp.array([0.71073]), weights=jnp.ones(1)
    )
    truth, _ = jax.jit(render, static_argnums=1)(lines, PUBLISHED_GRID, molybdenum)
    coarse = (found.reshape(-1, 16).sum(axis=1), truth.reshape(-1, 16).sum(axis=1))
    np.testing.assert_allclose(coarse[0] / coarse[0].max(), coarse[1] / coarse[1].max(), atol=0.02)
    assert coverage[:310].all()  # copper at 180 degrees is molybdenum at 54.9


def test_what_was_not_measured_is_zero(lines):
    pattern, coverage = measure(KEY, lines, clean(start=20.0, stop=70.0, background=0.1))
    assert not pattern[coverage == 0].any()
    assert (pattern[coverage == 1] > 0).all()
    low, high = CENTRES[coverage == 1][[0, -1]]
    expected = [
        2 * np.degrees(np.arcsin(0.71073 / 1.541837 * np.sin(np.radians(a)))) for a in (10, 35)
    ]
    np.testing.assert_allclose([low, high], expected, atol=0.2)


def test_a_background_and_a_hump_have_their_height(lines):
    """The height is relative to the highest peak of a single wavelength, on the measured grid."""
    grid = Grid(5.0, 80.0, 6000, wavelength=1.54056)

    def single(**changes):
        conditions = clean(**changes)
        device = conditions.instrument._replace(weights=jnp.array([1.0, 0.0]))
        return np.asarray(expected(lines, conditions._replace(instrument=device), grid)[0])

    bare = single()
    away = bare < 1e-5 * bare.max()
    raised = single(background=0.08) / bare.max()
    np.testing.assert_allclose(raised[away], 0.08, rtol=0.02)
    humped = single(hump=0.05, hump_s=0.25, hump_width=0.1) / bare.max()
    s = 2 * np.sin(np.radians(grid.centres / 2)) / 1.54056
    shape = 0.05 * np.exp(-4 * np.log(2) * ((s - 0.25) / 0.1) ** 2)
    np.testing.assert_allclose(humped[away], shape[away], atol=1e-3)


def test_impurities_are_lines_of_their_own(lines):
    foreign = middle(dataclasses.replace(LABORATORY, impurity=(0.0, 0.0)))
    foreign = foreign._replace(impurity=jnp.array([[40.0, 50.0], [0.2, 0.1]]))
    with_them, _ = measure(KEY, lines, foreign._replace(counts=jnp.array(1e9)))
    without, _ = measure(
        KEY, lines, foreign._replace(counts=jnp.array(1e9), impurity=foreign.impurity.at[1].set(0))
    )
    molybdenum = 2 * np.degrees(np.arcsin(0.71073 / 1.541837 * np.sin(np.radians([20.0, 25.0]))))
    changed = CENTRES[np.asarray(with_them - without) > 0.01]
    assert all(np.abs(changed - angle).min() < 0.3 for angle in molybdenum)
    assert all(np.abs(molybdenum - angle).min() < 1 for angle in changed)


def test_texture_weakens_and_strengthens_by_direction(lines):
    """Plates lie flat: lines along the axis gain r^-3, those across lose r^(3/2)."""
    conditions = clean()._replace(axis=jnp.array([1.0, 0.0, 0.0]), march=jnp.array(0.8))
    areas = [np.asarray(measure(KEY, lines, c)[0]) for c in (clean(), conditions)]
    molybdenum = 2 * np.degrees(np.arcsin(0.71073 * np.asarray(lines.s[:3]) / 2))
    near = [np.abs(CENTRES - angle) < 0.5 for angle in molybdenum]
    plain, textured = ([area[window].sum() for window in near] for area in areas)
    gain = (textured[0] / textured[1]) / (plain[0] / plain[1])
    assert gain == pytest.approx(0.8**-3 / 0.8**1.5, rel=0.1)
    assert textured[2] / textured[1] == pytest.approx(plain[2] / plain[1], rel=0.02)


@pytest.mark.parametrize("name", PRESETS)
def test_patterns_are_finite_even_of_nothing(name, lines):
    nothing = jax.tree.map(jnp.zeros_like, lines)
    keys = jax.random.split(KEY, 20)
    render = jax.jit(
        jax.vmap(lambda key, crystal: measured(key, crystal, PRESETS[name]), (0, None))
    )
    pattern, coverage = render(keys, lines)
    assert np.isfinite(pattern).all()
    assert pattern.min() >= 0
    np.testing.assert_allclose(pattern.max(axis=1), 1, rtol=1e-6)
    assert set(np.unique(coverage)) == {0, 1}
    assert not render(keys, nothing)[0].any()


@pytest.mark.parametrize("name", PRESETS)
def test_gradients_are_finite_even_of_nothing(name, lines):
    """The lines include padding, zero intensity, 90 degrees, backscattering and beyond reach."""
    s = jnp.array([0.31, 2**0.5 / 1.5405929, 0.0, 2 / 1.5405929, 3.0, 0.7, 0.5])
    conditions = jax.tree.map(lambda x: x[0], draw(KEY[None], PRESETS[name]))
    for intensity in (lines.intensity.at[5].set(0), jnp.zeros(7)):
        found = gradient(lines._replace(s=s, intensity=intensity), conditions)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_a_measurement_is_a_function_of_its_key(lines):
    measurement = jax.jit(lambda key: measured(key, lines, LABORATORY)[0])
    one, same, other = (measurement(jax.random.key(k)) for k in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_the_reach_is_that_of_the_shortest_wavelength():
    assert Artefacts(stop=(90.0, 120.0)).s_max == pytest.approx(3**0.5 / 1.5405929)
    assert Artefacts(anodes=(), wavelength=(0.5, 1.0), stop=(60.0, 60.0)).s_max == pytest.approx(2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (0.0, 100.0)}, r"size is \(0.0, 100.0\): give 1 to 1e\+09"),
        ({"counts": (100.0, 10.0)}, r"counts is \(100.0, 10.0\): give a range"),
        ({"u": (0.0, np.nan)}, "u is .* give a range of two finite numbers"),
        ({"stop": (90.0, 181.0)}, "stop is"),
        ({"start": (5.0, 70.0)}, "start goes up to 70.0 degrees and stop down to 60.0"),
        ({"anodes": ("Xx",)}, "unknown anode 'Xx': give some of Cu, Mo"),
        ({"impurities": -1}, "impurities is -1"),
        ({"reach": 0}, "reach 0"),
    ],
)
def test_impossible_ranges_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Artefacts(**options)


numbers = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=50)
@given(st.sampled_from(LABORATORY.ranges), st.tuples(numbers, numbers))
def test_any_range_is_refused_or_can_be_drawn_from(name, ends):
    try:
        artefacts = dataclasses.replace(LABORATORY, **{name: ends})
    except ValueError:
        return
    conditions = central_conditions(artefacts)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(conditions))
