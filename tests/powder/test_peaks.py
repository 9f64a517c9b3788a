"""Lines fitted in a profile, compared with those that it was made of."""

import tracemalloc

import numpy as np
import pytest
import scipy.stats

from cmed_jax.io.formats.scan import Radiation
from cmed_jax.physics.instrument import radiation
from cmed_jax.powder.line_profiles import FittedLines, profile, profiles, shapes, slopes
from cmed_jax.powder.noise import counting_noise
from cmed_jax.powder.peaks import (
    fit_peaks,
    with_overlapping,
    without_companions,
)

DOUBLET, SINGLE = Radiation(*radiation("CuKa")), Radiation(*radiation(1.54056))
D = np.array([4.13, 3.26, 2.82, 2.01, 1.99, 1.63, 1.41, 1.151, 0.94])
AREA = np.array([60.0, 900.0, 4000.0, 2500.0, 700.0, 1300.0, 500.0, 800.0, 400.0])


def angle_of(d, wavelength):
    return 2 * np.degrees(np.arcsin(wavelength / 2 / d))


def counted(used, step=0.02, seed=0, level=30.0):
    """Return counts of Gaussians and Lorentzians, half and half, by scipy, over a background."""
    angle = np.arange(15, 125, step)
    total = np.zeros_like(angle)
    for wavelength, weight in zip(used.wavelengths, used.weights, strict=True):
        for centre, area in zip(angle_of(D, wavelength), AREA, strict=True):
            width = 0.08 + 0.001 * centre
            sigma = width / np.sqrt(8 * np.log(2))
            total += 0.5 * weight * area * scipy.stats.norm.pdf(angle, centre, sigma)
            total += 0.5 * weight * area * scipy.stats.cauchy.pdf(angle, centre, width / 2)
    counts = np.random.default_rng(seed).poisson(total + level).astype(float)
    return angle, counts, counts - level


def fit_lines(angle, net, noise, used, **options):
    peaks = fit_peaks(angle, net, noise, used, **options)
    return with_overlapping(angle, net, noise, peaks, used)


@pytest.mark.parametrize("used", [DOUBLET, SINGLE], ids=["doublet", "single"])
@pytest.mark.parametrize("step", [0.01, 0.0167, 0.03])
def test_lines_are_found_with_their_areas_and_widths(used, step):
    angle, counts, net = counted(used, step)
    found = fit_lines(angle, net, counting_noise(counts), used)
    positions = angle_of(D, used.mean)
    assert len(found.angle) == len(D)
    np.testing.assert_allclose(found.angle, positions, atol=0.01)
    np.testing.assert_allclose(found.area, AREA, rtol=0.12, atol=15)
    strong = AREA > 500
    np.testing.assert_allclose(found.width[strong], (0.08 + 0.001 * positions)[strong], rtol=0.15)


def test_the_doublet_taken_for_one_line_is_found_twice_where_it_parts():
    angle, counts, net = counted(DOUBLET)
    both = fit_lines(angle, net, counting_noise(counts), DOUBLET)
    one = fit_lines(angle, net, counting_noise(counts), SINGLE)
    assert len(one.angle) > len(both.angle)


@pytest.mark.parametrize("gap", [1.0, 1.4, 2.5])
@pytest.mark.parametrize("number", [2, 3])
def test_lines_that_overlap_are_distinguished(number, gap):
    """Smoothing joins their maxima; the line that remains is broad, or leaves something over."""
    angle, width = np.arange(15.0, 80, 0.02), 0.1
    alone = np.linspace(20, 75, 12)
    centres = np.sort(np.append(alone, 47.0 + gap * width * np.arange(number)))
    sigma = width / np.sqrt(8 * np.log(2))
    model = 300 * scipy.stats.norm.pdf(angle[:, None], centres, sigma).sum(axis=1)
    counts = np.random.default_rng(0).poisson(model + 20).astype(float)
    found = fit_lines(angle, counts - 20, counting_noise(counts), SINGLE)
    np.testing.assert_allclose(found.angle, centres, atol=0.02)
    np.testing.assert_allclose(found.area, 300, rtol=0.2)


def test_lines_that_coincide_stay_one():
    angle, width = np.arange(15.0, 80, 0.02), 0.1
    centres = np.append(np.linspace(20, 75, 12), 20.02)
    sigma = width / np.sqrt(8 * np.log(2))
    model = 300 * scipy.stats.norm.pdf(angle[:, None], centres, sigma).sum(axis=1)
    counts = np.random.default_rng(0).poisson(model + 20).astype(float)
    found = fit_lines(angle, counts - 20, counting_noise(counts), SINGLE)
    assert len(found.angle) == 12
    assert found.area[0] == pytest.approx(600, rel=0.05)


def test_slopes_are_the_derivatives_of_the_profiles():
    angle, step = np.arange(38.0, 42, 0.01), 1e-5
    lines = FittedLines(*np.array([[40.0], [1.0], [0.15], [0.3]]))
    by = slopes(angle, lines, DOUBLET)
    for name, change in (("angle", step), ("width", 0.15 * step), ("lorentzian", step)):
        more, less = (
            lines._replace(**{name: getattr(lines, name) + sign * change}) for sign in (1, -1)
        )
        numeric = (shapes(angle, more, DOUBLET) - shapes(angle, less, DOUBLET)) / (2 * step)
        np.testing.assert_allclose(getattr(by, name), numeric, atol=1e-4 * np.abs(numeric).max())


def test_peaks_are_searched_without_smoothing_as_well():
    angle, counts, net = counted(SINGLE)
    found = fit_lines(angle, net, counting_noise(counts), SINGLE, smoothing=False)
    positions = angle_of(D[AREA > 1000], SINGLE.mean)
    gaps = np.abs(found.angle[:, None] - positions).min(axis=0)
    assert gaps.max() < 0.01


def test_the_second_component_is_taken_off_for_the_search():
    """The second maximum disappears at high angles, where the components separate."""
    angle = np.arange(60.0, 125, 0.02)
    line = FittedLines(*np.array([[angle_of(0.94, DOUBLET.mean)], [1.0], [0.15], [0.3]]))
    left = without_companions(angle, profile(angle, line, DOUBLET), DOUBLET)
    first = profile(angle, line._replace(angle=line.angle), DOUBLET)
    second = np.abs(angle - angle_of(0.94, DOUBLET.wavelengths[1])) < 0.1
    assert np.abs(left[second]).max() < 0.1 * first.max()


def test_shapes_have_the_area_one():
    angle = np.arange(1.0, 179, 0.005)
    lines = FittedLines(
        np.array([40.0, 90]), np.ones(2), np.array([0.1, 0.2]), np.array([0.0, 0.3])
    )
    areas = shapes(angle, lines, DOUBLET).sum(axis=1) * 0.005
    np.testing.assert_allclose(areas, 1, rtol=2e-3)


def test_the_sum_of_many_profiles_takes_little_memory():
    """scipy's normal and Cauchy distributions are the reference."""
    angle, rng = np.linspace(5, 150, 8000), np.random.default_rng(0)
    centre, width, share = rng.uniform(5, 150, 2000), np.full(2000, 0.1), np.full(2000, 0.3)
    areas = rng.random((2, 2000))
    lines = FittedLines(centre, np.ones(2000), width, share)
    tracemalloc.start()
    found = profiles(angle, lines, SINGLE, areas)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6  # one array of all lines at all points takes 128 MB, and several are needed
    for at in rng.choice(len(angle), 20):
        gaussian = scipy.stats.norm.pdf(angle[at], centre, width / np.sqrt(8 * np.log(2)))
        lorentzian = scipy.stats.cauchy.pdf(angle[at], centre, width / 2)
        expected = areas @ (0.7 * gaussian + 0.3 * lorentzian)
        np.testing.assert_allclose(found[:, at], expected, rtol=1e-6)


@pytest.mark.parametrize("unit", [1.0, 0.01, 250.0])
def test_the_noise_of_counts_is_their_root_in_any_unit(unit):
    counts = np.random.default_rng(0).poisson(400.0, 5000) * unit
    assert np.median(counting_noise(counts)) == pytest.approx(20 * unit, rel=0.1)


@pytest.mark.parametrize("mean", [0.7, 1.0, 2.0, 5.0, 8.0, 20.0, 1000.0])
def test_the_noise_of_few_counts_is_their_root_as_well(mean):
    """Few counts differ by whole numbers, so that medians of their differences jump."""
    counts = np.random.default_rng(0).poisson(mean, 20_000).astype(float)
    assert np.mean(counting_noise(counts) ** 2) == pytest.approx(mean, rel=0.15)


def test_noise_holds_no_lines():
    noise = np.random.default_rng(0).normal(0, 10, 5000)
    angle = np.linspace(10, 90, 5000)
    with pytest.raises(ValueError, match="no peak stands out of the pattern"):
        fit_lines(angle, noise, np.full(5000, 10.0), SINGLE)


def lines_over(background):
    angle = np.arange(10, 80, 0.02)
    heights, centres = np.random.default_rng(0).uniform((0.1, 12), (30, 78), (25, 2)).T
    return background * (1 + 3 * heights @ np.exp(-(((angle - centres[:, None]) / 0.05) ** 2) / 2))


def of_lines(mean, noise):
    """The noise where the profile is among the highest 5 % of its points, over its root mean."""
    high = mean > np.quantile(mean, 0.95)
    return np.median(noise[high] / np.sqrt(mean[high]))


@pytest.mark.parametrize("background", [0.3, 1, 30, 1000])
def test_the_noise_of_lines_is_the_root_of_their_counts(background):
    mean = lines_over(background)
    counts = np.random.default_rng(1).poisson(mean).astype(float)
    assert 0.6 < of_lines(mean, counting_noise(counts)) < 1.2


def test_a_constant_noise_is_not_taken_for_counts():
    mean, rng = lines_over(1), np.random.default_rng(1)
    scaled = 0.1 * (rng.poisson(mean) + 3 * rng.standard_normal(len(mean)))
    noise = counting_noise(scaled)
    assert np.median(noise) == pytest.approx(0.1 * np.sqrt(10), rel=0.15)  # 3^2 and 1 of counts
    assert 0.7 < of_lines(mean, noise / 0.1) < 1.6  # 2.4 where all of it is counts


def test_the_noise_of_interpolated_counts_is_not_lost():
    mean = lines_over(30)
    counts = np.random.default_rng(1).poisson(mean[::2]).astype(float)
    every = np.interp(np.arange(len(mean)), np.arange(len(mean))[::2], counts)
    assert 0.6 < of_lines(mean, counting_noise(every)) < 1.1


def test_a_detector_at_its_limit_leaves_noise_to_the_other_points():
    mean = lines_over(30)
    counts = np.random.default_rng(1).poisson(mean).astype(float)
    limited = np.minimum(counts, np.quantile(counts, 0.93))
    assert np.median(counting_noise(limited)) == pytest.approx(np.sqrt(30), rel=0.1)


@pytest.mark.parametrize("value", [0.0, 5.0, -5.0])
def test_a_profile_without_noise_has_hardly_any(value):
    noise = counting_noise(np.full(200, value))
    assert (noise >= 0).all()
    assert noise.max() <= 1e-3 * max(abs(value), 1)
