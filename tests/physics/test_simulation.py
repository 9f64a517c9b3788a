"""Simulated patterns against pymatgen's lines, and their derivatives against differences."""

from functools import partial

import gemmi
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure

from cmed_jax.physics import (
    Crystal,
    Grid,
    Instrument,
    Sample,
    half_sphere,
    powder_pattern,
    simulate_pattern,
)
from cmed_jax.physics.crystal import stack

HALITE = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
ALLOY = Structure(Lattice.cubic(2.87), [{"Fe": 0.7, "Al": 0.2}, "Al"], [[0, 0, 0], [0.5] * 3])
COPPER = 1.54184
UNEVEN = Instrument(np.array([1.5405929, 1.5444274]), np.array([1.0, 0.5]))


@pytest.mark.parametrize("structure", [HALITE, ALLOY], ids=["halite", "alloy"])
@pytest.mark.parametrize("b_factor", [0.0, 1.1])
def test_lines_are_those_of_pymatgen(structure, b_factor):
    displaced = dict.fromkeys(structure.symbol_set, b_factor)
    calculator = XRDCalculator(COPPER, debye_waller_factors=displaced)
    expected = calculator.get_pattern(structure, two_theta_range=(10.0, 120.0))
    sample = Sample(b_factor=b_factor)
    found = simulate_pattern(structure, COPPER, stop=120.0, sample=sample, table="pymatgen").lines
    strong = found[found[:, 2] > 1e-3]  # pymatgen leaves out weaker lines
    np.testing.assert_allclose(strong[:, 0], expected.d_hkls, rtol=1e-6)
    np.testing.assert_allclose(strong[:, 1], expected.x, atol=1e-4)
    np.testing.assert_allclose(strong[:, 2], expected.y, atol=2e-3)


def test_a_profile_holds_the_area_of_its_line():
    found = simulate_pattern(HALITE, "CuKa1", step=0.01)
    for _, angle, strength in found.lines[found.lines[:, 2] > 1]:
        near = np.abs(found.two_theta - angle) < 0.5
        share = found.intensity[near].sum() / found.intensity.sum()
        assert share == pytest.approx(strength / found.lines[:, 2].sum(), rel=1e-3)


@pytest.mark.parametrize("monochromator", [0.0, 26.6, 90.0])
def test_lines_are_as_strong_as_their_profiles_behind_a_monochromator(monochromator):
    device = Instrument(np.array([1.5]), np.ones(1), w=0.01, monochromator=monochromator)
    found = simulate_pattern(HALITE, stop=120.0, step=0.01, instrument=device)
    strong = found.lines[found.lines[:, 2] > 1]
    near = [np.abs(found.two_theta - angle) < 0.4 for angle in strong[:, 1]]
    areas = np.array([found.intensity[window].sum() for window in near])
    np.testing.assert_allclose(areas / areas.max(), strong[:, 2] / 100, rtol=2e-3)


def test_dispersion_weakens_iron_beside_its_edge():
    """All lines of body-centred iron are |f + f' + i f''|^2, with f' and f'' of gemmi."""
    iron = Structure(Lattice.cubic(2.866), ["Fe", "Fe"], [[0, 0, 0], [0.5] * 3])
    plain, found = (
        simulate_pattern(iron, "CoKa1", stop=150.0, anomalous=anomalous).lines
        for anomalous in (False, True)
    )
    real, imaginary = gemmi.cromer_liberman(26, gemmi.hc / 1.788996)
    fit = gemmi.Element("Fe").it92
    factor = np.array([fit.calculate_sf(1 / (4 * d**2)) for d in plain[:, 0]])
    expected = ((factor + real) ** 2 + imaginary**2) / factor**2
    gain = found[:, 2] / plain[:, 2]
    assert expected[0] / expected[-1] > 1.1
    np.testing.assert_allclose(gain / gain[0], expected / expected[0], rtol=1e-3)


def test_a_doublet_has_two_maxima_two_to_one_where_it_is_resolved():
    narrow = Instrument(np.array([1.54056, 1.54439]), np.array([2 / 3, 1 / 3]), w=0.05**2)
    found = simulate_pattern(HALITE, start=75.0, stop=76.0, step=0.005, instrument=narrow)
    peaks = found.intensity[np.abs(found.two_theta - 75.307) < 0.05].max()
    second = found.intensity[np.abs(found.two_theta - 75.53) < 0.05].max()
    assert second / peaks == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wavelength": "CuKx"}, "unknown radiation 'CuKx'"),
        ({"wavelength": 0.0}, "wavelength 0.0 is not one of X-rays"),
        ({"step": 0.0}, "step is 0.0"),
        ({"step": np.nan}, "step is nan"),
        ({"start": 80.0}, "from 80.0 to 80.0 has no bins"),
        ({"stop": 200.0}, "from 10.0 to 200.0 has no bins"),
        ({"instrument": UNEVEN}, "weights of the radiation are .*: give shares that sum to 1"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        simulate_pattern(HALITE, **options)


def test_a_structure_without_atoms_is_refused():
    with pytest.raises(ValueError, match="at least one atom"):
        simulate_pattern(Structure(Lattice.cubic(4), [], []))


def test_a_range_without_lines_is_empty():
    found = simulate_pattern(HALITE, start=1.0, stop=2.0, step=0.1)
    assert found.lines.shape == (0, 3)
    assert np.isfinite(found.intensity).all()


GRID = Grid(10.0, 170.0, 400, wavelength=1.5)
LABORATORY = Instrument(
    jnp.array([1.5, 1.51]), jnp.array([2 / 3, 1 / 3]), u=0.1, v=-0.05, w=0.4, zero=0.02
)


@jax.jit
def weighted_sum(crystal, hkl, b_factor):
    weight = np.random.default_rng(0).random(GRID.bins)
    pattern = powder_pattern(crystal, hkl, GRID, LABORATORY, Sample(300.0, 1e-3, b_factor))
    return jnp.sum(weight * pattern) * 1e-3


def test_derivatives_are_those_of_finite_differences(padded):
    # Short of backscattering, where it is singular; a hundred, for which each crystal has enough.
    hkl = half_sphere(padded.lattice, 1.1).hkl[:100]

    def total(lattice, frac_coords, b_factor):
        other = padded._replace(lattice=lattice, frac_coords=frac_coords)
        return weighted_sum(other, hkl, b_factor)

    arguments = (padded.lattice, padded.frac_coords, np.array(0.8))
    with jax.enable_x64(True):
        jax.test_util.check_grads(total, arguments, order=1, modes=["rev"], eps=1e-6, rtol=1e-5)


@partial(jax.jit, static_argnames="grid")
@partial(jax.grad, argnums=(0, 1, 2))
def slopes(lattice, frac_coords, b_factor, crystal, hkl, instrument, grid):
    other = crystal._replace(lattice=lattice, frac_coords=frac_coords)
    return jnp.sum(powder_pattern(other, hkl, grid, instrument, Sample(200.0, 1e-3, b_factor)))


@pytest.mark.parametrize(
    "wavelength", [4 / 2**0.5, 4.0, 8.0, 8.5], ids=["90", "back", "edge", "no"]
)
@pytest.mark.parametrize("second", [0.0, 0.5], ids=["coincident", "extinct"])
def test_derivatives_are_finite_everywhere(wavelength, second):
    # A cubic cell of 4 angstrom has 100 at 90 degrees, 200 at 180, 100 at 180, and nothing; atoms
    # lie on top of one another, or put lines out.
    crystal = Crystal.of(4.0 * np.eye(3), np.array([26, 26]), np.array([[0.0] * 3, [second] * 3]))
    hkl = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [2, 0, 0]])
    instrument = Instrument(jnp.array([wavelength]), jnp.ones(1), w=0.1)
    gradients = slopes(
        crystal.lattice.astype(np.float32),
        crystal.frac_coords.astype(np.float32),
        1.0,
        crystal,
        hkl,
        instrument,
        Grid(0.0, 180.0, 90, wavelength=wavelength),
    )
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_a_batch_of_crystals_is_mapped():
    iron = Crystal.of(3.0 * np.eye(3), np.array([26]), np.zeros((1, 3)))
    oxide = Crystal.of(4.0 * np.eye(3), np.array([26, 8]), np.array([[0.0] * 3, [0.5] * 3]))
    hkl = half_sphere(oxide.lattice, 2 / 1.5).hkl
    render = jax.jit(lambda crystal: powder_pattern(crystal, hkl, GRID, LABORATORY))
    together = jax.vmap(render)(stack([iron, oxide]))
    for crystal, pattern in zip((iron, oxide), together, strict=True):
        alone = render(crystal)
        np.testing.assert_allclose(pattern, alone, rtol=1e-4, atol=1e-5 * alone.max())
