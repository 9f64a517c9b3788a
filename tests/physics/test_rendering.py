"""Patterns against pymatgen's lines, scipy's integrals, and finite differences in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.physics import instrument as devices
from cmed_jax.physics import rendering
from cmed_jax.physics.grids import PUBLISHED_GRID, Grid
from cmed_jax.physics.instrument import Instrument, Lines, Peaks, Sample, radiation
from cmed_jax.physics.patterns import RADIATIONS, published_pattern

# One program each, instead of one for every operation.
powder_peaks = jax.jit(devices.powder_peaks)
profiles = jax.jit(rendering.profiles)
render = jax.jit(rendering.render, static_argnames=("grid", "reach"))
sticks = jax.jit(rendering.sticks, static_argnums=2)


@pytest.fixture(scope="module")
def halite():
    cell = Lattice.cubic(5.64)
    return Structure.from_spacegroup("Fm-3m", cell, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module")
def lines():
    """Some lines and padding: intensity zero, s zero, and beyond the reach of Cu K-alpha."""
    s = jnp.array([0.2, 0.31, 0.55, 0.9, 1.2, 1.25, 0.0, 2.0])
    return Lines(s, jnp.array([3.0, 8.0, 5.0, 2.0, 1.0, 0.0, 0.0, 1e6]))


def instrument(name="CuKa", **options):
    wavelengths, weights = radiation(name)
    return Instrument(jnp.asarray(wavelengths), jnp.asarray(weights), **options)


def pymatgen_peaks(structure, radiation, **options):
    found = XRDCalculator(radiation).get_pattern(structure, scaled=False, two_theta_range=(0, 179))
    return found.x, found.y


def test_peaks_are_those_of_pymatgen(halite):
    """The intensities of pymatgen, divided by its Lorentz-polarization factor, are our lines."""
    angle, intensity = pymatgen_peaks(halite, "MoKa")
    theta = np.radians(angle) / 2
    factor = (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    lines = Lines(jnp.asarray(2 * np.sin(theta) / 0.71073), jnp.asarray(intensity / factor))
    silver_angle, silver = pymatgen_peaks(halite, "AgKa")
    wavelengths = jnp.array([0.560885])
    peaks = powder_peaks(lines, Instrument(wavelengths, jnp.ones(1), w=0.01))
    np.testing.assert_allclose(peaks.angle, silver_angle[: len(peaks.angle)], atol=1e-4)
    np.testing.assert_allclose(peaks.area, silver[: len(peaks.angle)], rtol=1e-3)


def test_sticks_of_molybdenum_are_the_published_pattern(lines):
    reflections = np.stack([lines.s, lines.intensity], axis=1)[:6].astype(float)
    peaks = powder_peaks(
        lines._replace(intensity=lines.intensity.at[7].set(0)), instrument(0.71073)
    )
    found = sticks(peaks, PUBLISHED_GRID.angles(0.71073), "max")
    np.testing.assert_allclose(found / found.max(), published_pattern(reflections), atol=1e-6)


def test_sticks_are_summed_or_the_strongest_counts():
    angle = jnp.array([10.1, 10.9, 11.0, 19.0, 20.0, 20.5, 9.5])
    peaks = Peaks(angle, jnp.arange(1.0, 8), jnp.ones(7), jnp.ones(7))
    edges = jnp.linspace(10, 20, 11)
    np.testing.assert_array_equal(sticks(peaks, edges), [3, 3, 0, 0, 0, 0, 0, 0, 0, 9])
    np.testing.assert_array_equal(sticks(peaks, edges, "max"), [2, 3, 0, 0, 0, 0, 0, 0, 0, 5])


def test_a_bin_holds_the_integral_of_the_profiles():
    columns = ([20.0, 20.3, 40.0], [5.0, 2.0, 1.0], [0.2, 0.1, 3.0], [0.3, 0.9, 0.5])
    peaks = Peaks(*map(jnp.array, columns))
    edges = np.array([19.0, 19.9, 20.05, 20.2, 20.4, 33.0, 60.0])
    expected = np.zeros(6)
    for centre, area, width, share in zip(*columns, strict=True):
        gaussian = scipy.stats.norm(centre, width / np.sqrt(8 * np.log(2))).cdf(edges)
        lorentzian = scipy.stats.cauchy(centre, width / 2).cdf(edges)
        expected += area * np.diff(share * lorentzian + (1 - share) * gaussian)
    np.testing.assert_allclose(profiles(peaks, jnp.asarray(edges)), expected, rtol=1e-4)


@pytest.mark.parametrize("axis", ["two_theta", "s", "q"])
def test_area_is_conserved_on_every_grid(lines, axis):
    stop = {"two_theta": 180.0, "s": 2.8, "q": 17.0}[axis]
    device = instrument(w=0.01, u=0.01)
    pattern, coverage = render(lines, Grid(0.0, stop, 700, axis), device)
    peaks = powder_peaks(lines, device)
    assert pattern.sum() == pytest.approx(float(peaks.area.sum()), rel=1e-3)
    assert 0 < coverage.sum() <= 700


def test_a_short_reach_cuts_off_tails_only(lines):
    device = instrument(w=0.01)
    whole, _ = render(lines, PUBLISHED_GRID, device, Sample(size=300.0))
    cut, _ = render(lines, PUBLISHED_GRID, device, Sample(size=300.0), reach=20)
    assert (cut <= whole + 1e-6 * whole.max()).all()
    assert 0.97 * whole.sum() < cut.sum() < whole.sum()
    np.testing.assert_allclose(cut, whole, atol=2e-3 * whole.max())


def test_bins_outside_the_measured_range_are_zero_and_said_to_be(lines):
    pattern, coverage = render(lines, PUBLISHED_GRID, instrument(w=0.01), start=10.0, stop=80.0)
    ends = np.array([10.0, 80.0])
    molybdenum = 2 * np.degrees(
        np.arcsin(0.71073 / (2 * 1.5405929 + 1.5444274) * 3 * np.sin(np.radians(ends / 2)))
    )
    centres = (np.arange(1024) + 0.5) * 180 / 1024
    np.testing.assert_array_equal(coverage, (centres > molybdenum[0]) & (centres < molybdenum[1]))
    assert not pattern[coverage == 0].any()
    assert pattern.sum() > 0


def test_a_doublet_shares_the_intensity_two_to_one():
    lines = Lines(jnp.array([0.9]), jnp.array([1.0]))
    peaks = powder_peaks(lines, instrument(w=0.01))
    d = 1 / 0.9
    expected = [2 * np.degrees(np.arcsin(x / 2 / d)) for x in (1.5405929, 1.5444274)]
    np.testing.assert_allclose(peaks.angle, expected, rtol=1e-5)
    assert peaks.area[0] / peaks.area[1] == pytest.approx(2, rel=0.01)


def test_zero_shift_and_displacement_move_lines(lines):
    still = powder_peaks(lines, instrument())
    moved = powder_peaks(lines, instrument(zero=0.1, displacement=1e-3))
    expected = 0.1 - np.degrees(2e-3 * np.cos(np.radians(still.angle / 2)))
    np.testing.assert_allclose(moved.angle - still.angle, expected, atol=2e-5)


def test_thermal_motion_weakens_by_the_debye_waller_factor(lines):
    rest, warm = (powder_peaks(lines, instrument(), Sample(b_factor=b)).area for b in (0.0, 2.0))
    found = (warm / rest)[: 2 * 5]
    np.testing.assert_allclose(
        found, np.repeat(np.exp(-2 * (np.asarray(lines.s[:5]) / 2) ** 2 * 2), 2), rtol=1e-5
    )


def test_a_batch_is_its_patterns_one_by_one(lines):
    both = jax.tree.map(lambda x: jnp.stack([x, x[::-1]]), Lines(*lines[:2]))
    batched = jax.jit(
        jax.vmap(lambda line: render(line, PUBLISHED_GRID, instrument(w=0.02), reach=8)[0])
    )
    one, _ = render(lines, PUBLISHED_GRID, instrument(w=0.02), reach=8)
    np.testing.assert_allclose(batched(both), jnp.stack([one, one]), atol=1e-4 * one.max())


def test_gradients_are_finite_and_those_of_finite_differences():
    """The list includes zero intensity, s of zero, 90 degrees, backscattering and beyond reach."""
    with jax.enable_x64(True):
        wavelength = 1.5
        s = jnp.array([0.3, 2**0.5 / wavelength, 0.0, 2 / wavelength, 3.0, 0.7])
        intensity = jnp.array([1.0, 2.0, 0.0, 1.0, 1.0, 0.0])
        weight = jnp.cos(jnp.arange(300.0))

        @jax.jit
        def score(s, intensity, parameters):
            size, strain, b, w, zero, displacement, wavelength = parameters
            device = Instrument(wavelength[None], jnp.ones(1), 0.01, -0.01, w, zero, displacement)
            grid = Grid(5.0, 170.0, 300, wavelength=1.5)
            lines, sample = Lines(s, intensity), Sample(size, strain, b)
            return render(lines, grid, device, sample)[0] @ weight

        inputs = (s, intensity, jnp.array([300.0, 1e-3, 1.0, 0.5, 0.02, 1e-4, wavelength]))
        gradients = jax.grad(score, argnums=(0, 1, 2))(*inputs)
        assert all(np.isfinite(gradient).all() for gradient in gradients)
        for argument, index in ((0, 0), (0, 1), (1, 0), (1, 5), *((2, i) for i in range(6))):
            step = 1e-6 * max(1e-3, abs(float(inputs[argument][index])))

            def moved(by, argument=argument, index=index):
                changed = list(inputs)
                changed[argument] = changed[argument].at[index].add(by)
                return float(score(*changed))

            numeric = (moved(step) - moved(-step)) / (2 * step)
            assert gradients[argument][index] == pytest.approx(numeric, rel=1e-4, abs=1e-7)


ends = st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=300)
@given(ends, ends, st.integers(-2, 50), st.sampled_from(["two_theta", "s", "q"]), ends)
def test_any_grid_is_refused_or_has_its_bins(start, stop, bins, axis, wavelength):
    try:
        grid = Grid(start, stop, bins, axis, wavelength)
    except ValueError:
        return
    assert grid.centres.shape == (bins,)
    assert np.isfinite(grid.edges).all()
    assert (np.diff(grid.edges) >= 0).all()


@given(st.one_of(ends, st.text(max_size=6), st.sampled_from(sorted(RADIATIONS))))
def test_any_radiation_is_refused_or_has_shares_that_sum_to_one(name):
    try:
        wavelengths, shares = radiation(name)
    except ValueError:
        return
    assert shares.sum() == pytest.approx(1)
    assert ((wavelengths >= 0.05) & (wavelengths <= 10)).all()
    if isinstance(name, str) and name in RADIATIONS:
        assert wavelengths @ shares == pytest.approx(RADIATIONS[name], abs=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 20.0, "stop": 10.0}, "a grid from 20.0 to 10.0 has no bins"),
        ({"start": -1.0}, "a grid from -1.0"),
        ({"stop": 181.0}, "stop <= 180"),
        ({"stop": np.nan}, "has no bins"),
        ({"stop": np.inf, "axis": "q"}, "from 0.0 to inf has no bins"),
        ({"bins": 0}, "bins is 0"),
        ({"wavelength": 0.0}, "wavelength is 0.0"),
    ],
)
def test_what_is_no_grid_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Grid(**({"start": 0.0, "stop": 90.0, "bins": 10} | options))
