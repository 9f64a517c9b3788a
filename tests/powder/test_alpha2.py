"""The presence of K-alpha 2 is found in the lines, or stated by an option."""

import numpy as np
import pytest

from cmed_jax.io.pattern import pattern_of_columns
from cmed_jax.physics.instrument import radiation
from cmed_jax.physics.patterns import RADIATIONS
from cmed_jax.powder.preparation import Preparation, prepare

ANGLE = np.arange(25, 100, 0.02)
D = np.array([3.2, 2.815, 1.99, 1.63, 1.41, 1.26, 1.15])
HEIGHTS = np.array([900, 9000, 6000, 1700, 700, 1100, 2100.0])
MEAN = RADIATIONS["CuKa"]


def counted(wavelengths, weights, width=0.1):
    smooth = np.full_like(ANGLE, 60.0)
    for wavelength, weight in zip(wavelengths, weights, strict=True):
        centres = 2 * np.degrees(np.arcsin(wavelength / 2 / D))
        gaussians = np.exp(-4 * np.log(2) * ((ANGLE[:, None] - centres) / width) ** 2)
        smooth += weight * gaussians @ HEIGHTS
    return np.random.default_rng(0).poisson(smooth).astype(float)


BOTH = counted(*radiation("CuKa"))
ALONE = counted(*radiation("CuKa1"))


def prepared(intensity, said="CuKa", **options):
    pattern = pattern_of_columns(ANGLE, intensity, said)
    return prepare(pattern, Preparation(shift=False, **options))


def test_stripped_lines_are_fitted_alone_and_it_is_said():
    found = prepared(ALONE)
    np.testing.assert_allclose(found.radiation.wavelengths, [RADIATIONS["CuKa1"]])
    assert any("the lines show no K-alpha 2" in each for each in found.warnings)
    np.testing.assert_allclose(1 / found.peaks.s, D, rtol=2e-4)


def test_a_pattern_of_one_mean_wavelength_is_drawn_with_it():
    found = prepared(counted([1.54184], [1.0]), 1.54184)
    np.testing.assert_allclose(found.radiation.wavelengths, [1.54184])
    np.testing.assert_allclose(1 / found.peaks.s, D, rtol=2e-4)


@pytest.mark.parametrize("said", ["CuKa", 1.54184, 1.5418])
def test_a_doublet_is_fitted_with_both(said):
    found = prepared(BOTH, said)
    assert len(found.radiation.wavelengths) == 2
    assert not any("no K-alpha 2" in each for each in found.warnings)


@pytest.mark.parametrize(("intensity", "option"), [(BOTH, "absent"), (ALONE, "present")])
def test_an_option_says_it_for_certain(intensity, option):
    found = prepared(intensity, alpha2=option)
    assert len(found.radiation.wavelengths) == {"absent": 1, "present": 2}[option]


def test_broad_lines_hide_it_and_the_doublet_stays():
    broad = counted(*radiation("CuKa"), width=1.2)
    assert len(prepared(broad).radiation.wavelengths) == 2


def test_a_worse_fit_than_chance_allows_shows_it_beside_a_given_first_component():
    """Broad lines in few points are fitted with K-alpha 1 alone almost as well."""
    few = counted(*radiation("CuKa"), width=0.25)
    assert len(prepared(few, 1.5406).radiation.wavelengths) == 2
    alone = counted(*radiation("CuKa1"), width=0.25)
    assert len(prepared(alone, 1.5406).radiation.wavelengths) == 1


def test_where_it_is_certain_it_is_fitted_beside_a_given_first_component():
    found = prepared(ALONE, "CuKa1", alpha2="present")
    np.testing.assert_allclose(found.radiation.wavelengths, radiation("CuKa")[0])
