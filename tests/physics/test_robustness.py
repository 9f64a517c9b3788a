"""The physics gives a correct result, or an error of one sentence, for any input.

The suite tries some hundred inputs; `pytest tests/physics/test_robustness.py
--hypothesis-profile=thorough` tries ten thousand of each kind.
"""

import gemmi
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cmed_jax.physics import Crystal, Grid, Instrument, Lines, Sample, electron_density, reflections
from cmed_jax.physics.rendering import render

anything = st.floats(allow_nan=True, allow_infinity=True)
sizes = st.integers(0, 4)
# Every shape is a program of its own to compile: the suite draws few, the thorough profile all.
shapes = (
    st.tuples(*[st.integers(-1, 12)] * 3)
    if settings().max_examples > 1000
    else st.sampled_from([(8, 10, 9), (5, 5, 5), (12, 1, 7), (0, 3, 3), (4, -1, 4)])
)


def mostly(sensible):
    """A strategy of mostly sensible values, and sometimes any value."""
    return st.integers(0, 9).flatmap(lambda n: anything if n == 0 else sensible)


@st.composite
def atoms(draw):
    count = draw(sizes)
    length = count if draw(st.integers(0, 9)) else draw(sizes)
    return {
        "lattice": draw(arrays(float, (3, 3), elements=mostly(st.floats(-6, 6)))),
        "numbers": draw(arrays(int, count, elements=st.integers(-3, 125))),
        "frac_coords": draw(arrays(float, (length, 3), elements=mostly(st.floats(-2, 2)))),
        "occupancies": draw(
            st.none() | arrays(float, length, elements=mostly(st.floats(0, 1, exclude_min=True)))
        ),
    }


def squared_sum(crystal, hkl, b_factor):
    """The sum of |F|^2 in complex float64, with the form factors of International Tables."""
    q = np.sum((hkl @ np.linalg.inv(crystal["lattice"]).T) ** 2, axis=1) / 4
    total = 0
    occupancies = crystal["occupancies"]
    pairs = zip(crystal["numbers"].tolist(), crystal["frac_coords"], strict=True)
    for atom, (z, x) in enumerate(pairs):
        fit = gemmi.Element(z).it92
        f = fit.c + sum(a * np.exp(-b * q) for a, b in zip(fit.a, fit.b, strict=True))
        f *= z / (fit.c + sum(fit.a))
        share = 1.0 if occupancies is None else occupancies[atom]
        total = total + share * f * np.exp(2j * np.pi * (hkl @ (x % 1)) - b_factor * q)
    return np.sum(np.abs(total) ** 2)


@given(atoms(), mostly(st.floats(0.01, 1.2)), mostly(st.floats(0, 4)))
def test_reflections_are_right_or_refused(crystal, s_max, b_factor):
    try:
        lines = reflections(Crystal.of(**crystal), s_max=s_max, b_factor=b_factor, table="it92")
    except ValueError as refusal:
        assert_one_sentence(refusal)
        return
    assert np.isfinite(lines).all()
    assert (np.diff(lines[:, 0]) > 0).all()
    reach = np.floor(s_max * np.linalg.norm(crystal["lattice"], axis=1)).astype(int) + 1
    hkl = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach)), axis=-1).reshape(-1, 3)
    s = np.linalg.norm(hkl @ np.linalg.inv(crystal["lattice"]).T, axis=1)
    assume((np.abs(s - s_max) > 1e-6 * s_max).all())  # rounding decides about a line at the edge
    inside = (s > 0) & (s <= s_max)
    expected = squared_sum(crystal, hkl[inside], b_factor)
    assert lines[:, 1].sum() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@given(atoms(), shapes, mostly(st.floats(0, 8)))
def test_densities_are_right_or_refused(crystal, shape, b_factor):
    try:
        density = electron_density(Crystal.of(**crystal), shape=shape, b_factor=b_factor)
    except ValueError as refusal:
        assert_one_sentence(refusal)
        return
    assert np.isfinite(density).all()
    occupancies = crystal["occupancies"]
    there = np.ones(len(crystal["numbers"])) if occupancies is None else occupancies
    electrons = density.mean(dtype=float) * abs(np.linalg.det(crystal["lattice"]))
    assert electrons == pytest.approx(crystal["numbers"] @ there, rel=1e-4)


@given(st.data())
def test_patterns_are_finite_or_refused(data):
    number = mostly(st.floats(0, 180))
    axis = data.draw(st.sampled_from(["two_theta", "s", "q"]))
    try:
        grid = Grid(
            data.draw(number),
            data.draw(number),
            data.draw(st.sampled_from([-1, 0, 1, 30])),
            axis,
            1.5,
        )
    except ValueError as refusal:
        assert_one_sentence(refusal)
        return
    s = data.draw(arrays(np.float32, 3, elements=st.floats(0, 3, width=32)))
    intensity = data.draw(arrays(np.float32, 3, elements=st.floats(0, 1e6, width=32)))
    instrument = Instrument(np.array([1.5], np.float32), np.ones(1, np.float32), w=0.01)
    size = data.draw(st.floats(5, 1e5))
    pattern, coverage = render(Lines(s, intensity), grid, instrument, Sample(size))
    assert np.isfinite(pattern).all()
    assert (pattern >= 0).all()
    assert set(np.unique(coverage)) <= {0.0, 1.0}


def assert_one_sentence(refusal):
    text = str(refusal)
    assert 10 < len(text) < 400
    assert "\n" not in text
