"""The background of a profile, compared with a known one."""

from typing import get_args

import numpy as np
import pytest

from cmed_jax.powder.background import Method, background

METHODS = [method for method in get_args(Method) if method != "none"]


def pattern(step):
    """Return counts of a falling background with a hump and pseudo-Voigt peaks over it."""
    angle = np.arange(10, 100, step)
    level = 200 + 400 * np.exp(-angle / 20) + 100 * np.exp(-(((angle - 25) / 6) ** 2))
    peaks = sum(
        height / (1 + 4 * ((angle - centre) / 0.12) ** 2)
        for centre, height in [(22.3, 900), (31.7, 5000), (45.5, 3000), (46.4, 700), (75.3, 400)]
    )
    return angle, level, np.random.default_rng(0).poisson(level + peaks).astype(float)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("step", [0.01, 0.05])
def test_a_background_is_found_under_peaks(method, step):
    angle, level, intensity = pattern(step)
    off = background(angle, intensity, method) / level - 1
    assert np.median(np.abs(off)) < 0.15
    assert np.abs(off).mean() < 0.2


def test_none_leaves_the_pattern_as_it_is():
    angle, _, intensity = pattern(0.02)
    assert not background(angle, intensity, "none").any()


def test_a_pattern_without_background_keeps_its_peaks():
    angle, level, intensity = pattern(0.02)
    net = intensity - level
    assert np.abs(background(angle, net)).mean() < 15
