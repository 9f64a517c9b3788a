"""Air scatter at the beginning of a scan is left out, and no other points are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmed_jax.io.pattern import pattern_of_columns
from cmed_jax.powder.preparation import Preparation, prepare
from cmed_jax.powder.scatter import end_of_scatter, without_scatter

ANGLE = np.arange(3, 80, 0.02)
LINES = np.array([27.4, 31.7, 45.4, 53.9, 56.5])
AREAS = np.array([900, 9000, 6000, 300, 1700])


def lines(centres, areas, width=0.12):
    return areas @ np.exp(-4 * np.log(2) * ((ANGLE - np.array(centres)[:, None]) / width) ** 2)


def counted(scatter, decay=1.5, seed=0):
    smooth = 150 + scatter * np.exp(-ANGLE / decay) + lines(LINES, AREAS)
    return np.random.default_rng(seed).poisson(smooth).astype(float)


@pytest.mark.parametrize("scatter", [2e4, 2e5, 2e6])
def test_a_steep_fall_ends_before_the_first_line(scatter):
    end = ANGLE[end_of_scatter(ANGLE, counted(scatter))]
    assert scatter * np.exp(-end / 1.5) < 150
    assert end < LINES[0] - 1


def test_the_lines_are_as_without_it():
    with_it, without = (
        prepare(pattern_of_columns(ANGLE, counted(scatter), "CuKa1"), Preparation(shift=False))
        for scatter in (2e5, 0)
    )
    strong = [found.peaks.area > 0.02 * found.peaks.area.max() for found in (with_it, without)]
    np.testing.assert_allclose(
        with_it.peaks.two_theta[strong[0]], without.peaks.two_theta[strong[1]], atol=0.01
    )
    assert "the steep fall from 3 to" in with_it.warnings[0]
    assert not any("fall" in each for each in without.warnings)


@given(
    seed=st.integers(0, 100),
    slope=st.floats(0, 20),
    first=st.floats(4, 20),
    level=st.floats(1, 1000),
)
def test_gentle_backgrounds_and_low_lines_stay(seed, slope, first, level):
    smooth = level + slope * (80 - ANGLE) + lines([first, 40], np.array([9000, 9000]))
    intensity = np.random.default_rng(seed).poisson(smooth).astype(float)
    assert end_of_scatter(ANGLE, intensity) == 0


def test_a_line_on_the_fall_stays():
    smooth = counted(2e5) + lines([8.0], np.array([9000]))
    assert ANGLE[end_of_scatter(ANGLE, smooth)] < 8.0


def test_few_points_and_no_fall_are_left_as_they_are():
    pattern = pattern_of_columns(ANGLE[:50], counted(2e5)[:50], "CuKa")
    assert without_scatter(pattern) is pattern
    assert end_of_scatter(ANGLE, np.full_like(ANGLE, 7.0)) == 0
