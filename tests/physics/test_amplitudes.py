"""Amplitudes read from lines, against structure factors summed with the form factors of gemmi."""

import gemmi
import numpy as np
import pytest
from pymatgen.core import Lattice

from cmed_jax.physics.amplitudes import amplitudes_of_bins, amplitudes_of_lines, unobserved
from cmed_jax.physics.harmonics import harmonics
from cmed_jax.physics.patterns import published_pattern

S_MAX = 2.0
ROCK_SALT = (
    5.64 * (np.ones((3, 3)) - np.eye(3)) / 2,
    ["Na", "Cl"],
    np.array([[0, 0, 0], [0.5, 0.5, 0.5]]),
)
QUARTZ = (
    Lattice.hexagonal(4.913, 5.405).matrix,
    ["Si"] * 3 + ["O"] * 6,
    np.array(
        [
            [0.470, 0, 2 / 3], [0, 0.470, 1 / 3], [0.530, 0.530, 0],
            [0.413, 0.267, 0.786], [0.733, 0.147, 0.453], [0.853, 0.587, 0.119],
            [0.267, 0.413, 0.214], [0.147, 0.733, 0.547], [0.587, 0.853, 0.881],
        ]
    ),
)  # fmt: skip
CHLORIDE = 4.12 * np.eye(3), ["Cs", "Cl"], np.array([[0, 0, 0], [0.5, 0.5, 0.5]])


def structure_factors(crystal, s_max):
    """All reflections up to s_max: h, s and |F|^2, each summed directly."""
    lattice, symbols, coords = crystal
    ball = np.argwhere(np.ones((33, 33, 33))) - 16
    reciprocal = Lattice(lattice).reciprocal_lattice_crystallographic
    s = np.linalg.norm(reciprocal.get_cartesian_coords(ball), axis=1)
    inside = (s > 0) & (s <= s_max)
    ball, s = ball[inside], s[inside]
    assert np.abs(ball).max() < 16
    factors = np.zeros(len(s), complex)
    for symbol, site in zip(symbols, coords, strict=True):
        form = [gemmi.Element(symbol).it92.calculate_sf(stol2) for stol2 in s**2 / 4]
        factors += form * np.exp(2j * np.pi * ball @ site)
    return ball, s, np.abs(factors) ** 2


def powder(s, squared):
    """The lines of a powder: s, and |F|^2 summed over all reflections at the same s."""
    order = np.argsort(s)
    first = np.flatnonzero(np.diff(s[order], prepend=-1) > 1e-8)
    return s[order][first], np.add.reduceat(squared[order], first)


@pytest.mark.parametrize("crystal", [ROCK_SALT, QUARTZ], ids=["cubic", "trigonal"])
def test_they_are_structure_factors_averaged_over_a_line(crystal):
    hkl, s, squared = structure_factors(crystal, S_MAX)
    found = amplitudes_of_lines(crystal[0], *powder(s, squared), span=(0.0, S_MAX))
    expected = np.zeros(len(harmonics()))
    places = {tuple(h): row for row, h in enumerate(hkl.tolist())}
    rows = [places.get(tuple(h)) for h in harmonics().tolist()]
    for harmonic, row in enumerate(rows):
        if row is not None:
            expected[harmonic] = squared[np.abs(s - s[row]) < 1e-8].mean()
    seen = np.array([row is not None for row in rows])
    np.testing.assert_array_equal(found.observed, seen)
    expected = np.sqrt(expected / expected[seen].mean())
    np.testing.assert_allclose(found.amplitude, expected, atol=1e-4 * expected.max())


def test_lines_that_overlap_share_their_intensity():
    """In a cell that is nearly cubic, 100 and 001 are one measured line."""
    cell = np.diag([4.0, 4.0, 4.004])
    found = amplitudes_of_lines(
        cell, np.array([0.25, 0.3535]), np.array([6.0, 3.0]), span=(0.2, 0.4), tolerance=1e-3
    )
    six = {tuple(h): a for h, a in zip(harmonics().tolist(), found.amplitude, strict=True)}
    first = [six[h] for h in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    second = [six[h] for h in ((1, 1, 0), (1, -1, 0), (1, 0, 1), (0, 1, -1))]
    np.testing.assert_allclose(first, first[0])
    # Six members share 6, and twelve share 3.
    np.testing.assert_allclose(np.square(second), first[0] ** 2 / 4, rtol=1e-5)
    assert np.count_nonzero(found.amplitude) == 9


def test_what_was_not_measured_is_masked_and_the_scale_is_free():
    _, s, squared = structure_factors(QUARTZ, S_MAX)
    lines, intensity = powder(s, squared)
    one, other = (
        amplitudes_of_lines(QUARTZ[0], lines, x * intensity, span=(0.3, 0.8)) for x in (1, 1e5)
    )
    reciprocal = Lattice(QUARTZ[0]).reciprocal_lattice_crystallographic
    places = np.linalg.norm(reciprocal.get_cartesian_coords(harmonics()), axis=1)
    np.testing.assert_array_equal(one.observed, (places >= 0.3) & (places <= 0.8))
    assert not one.amplitude[one.observed == 0].any()
    assert np.mean(one.amplitude[one.observed == 1] ** 2) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(other.amplitude, one.amplitude, rtol=1e-6)


def test_a_range_without_lines_is_observed_to_be_empty():
    empty = amplitudes_of_lines(np.eye(3), np.zeros(0), np.zeros(0), span=(0.0, 1.5))
    assert not empty.amplitude.any()
    assert empty.observed.sum() == 9  # 100 and 110, one of each pair
    assert not unobserved().observed.any()


def test_bins_are_read_as_lines_are():
    """The lines of a small cubic cell are in bins of their own up to s = 1."""
    _, s, squared = structure_factors(CHLORIDE, S_MAX)
    lines = powder(s, squared)
    exact = amplitudes_of_lines(CHLORIDE[0], *lines, span=(0.0, S_MAX)).amplitude
    pattern = published_pattern(np.column_stack(lines))
    read = amplitudes_of_bins(CHLORIDE[0], pattern, np.ones(1024, np.float32)).amplitude
    near = np.linalg.norm(harmonics(), axis=1) / 4.12 < 1.0
    scale = np.linalg.norm(exact[near]) / np.linalg.norm(read[near])
    np.testing.assert_allclose(scale * read[near], exact[near], atol=0.02 * exact.max())
    half = np.ones(1024, np.float32)
    half[512:] = 0  # up to two-theta = 90 degrees
    seen = amplitudes_of_bins(CHLORIDE[0], pattern, half).observed
    expected = np.linalg.norm(harmonics(), axis=1) / 4.12 <= 2 * np.sin(np.pi / 4) / 0.71073
    assert np.mean(seen == expected) > 0.99
