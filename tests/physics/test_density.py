"""The independent-atom density against its Fourier and its Gaussian form, and against gemmi."""

from itertools import product

import gemmi
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
import spglib
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pymatgen.core import Lattice

from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.density import (
    B_FACTOR,
    density_at,
    electron_density,
    synthesis,
    truncation,
)
from cmed_jax.physics.density import structure_factors as transform
from cmed_jax.physics.reflections import reflections

ROUNDING = 3e-6  # of float32, as a share of the number of electrons or of the highest density


@pytest.fixture
def density(crystal):
    return electron_density(Crystal.of(*crystal))


def volume(crystal):
    return abs(np.linalg.det(crystal.lattice))


def atomic_factor(number, q):
    """The f(q) of International Tables with f(0) = Z, float64."""
    fit = gemmi.Element(number).it92
    f = fit.c + sum(a * np.exp(-b * q) for a, b in zip(fit.a, fit.b, strict=True))
    return f * number / (sum(fit.a) + fit.c)


def structure_factors(crystal, hkl, b_factor=B_FACTOR):
    """The sum_j f_j exp(-B q) exp(2 pi i h.x_j), written out in float64."""
    q = np.sum((hkl @ np.linalg.inv(crystal.lattice).T) ** 2, axis=-1) / 4
    return sum(
        atomic_factor(number, q) * np.exp(-b_factor * q + 2j * np.pi * (hkl @ position))
        for number, position in zip(crystal.numbers.tolist(), crystal.frac_coords, strict=True)
    )


def coefficients(crystal, density):
    """The integral F(h) of rho(x) exp(2 pi i h.x) over the cell, by the array index of h."""
    return np.fft.ifftn(density.astype(float)) * volume(crystal)


def carried_modes(shape):
    """Every h with |h_i| < n_i / 2."""
    limits = [(n - 1) // 2 for n in shape]
    return np.array(list(product(*(range(-m, m + 1) for m in limits))))


def test_the_integral_is_the_number_of_electrons(crystal, density):
    assert density.dtype == np.float32
    electrons = density.mean(dtype=float) * volume(crystal)
    assert electrons == pytest.approx(crystal.numbers.sum(), abs=1e-3)


@pytest.mark.parametrize("shape", [(50, 50, 50), (8, 10, 9), (1, 3, 2)])
def test_fourier_coefficients_are_the_structure_factors(crystal, shape):
    found = coefficients(crystal, electron_density(Crystal.of(*crystal), shape=shape))
    hkl = carried_modes(shape)
    index = tuple(hkl.T)
    expected = structure_factors(crystal, hkl)
    tolerance = ROUNDING * crystal.numbers.sum()
    np.testing.assert_allclose(found[index], expected, atol=tolerance)
    found[index] = 0  # the ambiguous modes n/2 are empty
    np.testing.assert_allclose(found, 0, atol=tolerance)


def test_fourier_coefficients_are_the_structure_factors_of_gemmi(crystal, density):
    gemmi.IT92_normalize()  # f(0) = Z, as here
    small = gemmi.SmallStructure()
    small.cell = unit_cell(crystal)
    for number, position in zip(crystal.numbers.tolist(), crystal.frac_coords, strict=True):
        site = gemmi.SmallStructure.Site()
        site.element = gemmi.Element(number)
        site.fract = gemmi.Fractional(*position)
        site.u_iso = B_FACTOR / (8 * np.pi**2)
        small.add_site(site)
    calculator = gemmi.StructureFactorCalculatorX(small.cell)
    hkl = np.random.default_rng(0).integers(-20, 21, (300, 3))
    expected = [calculator.calculate_sf_from_small_structure(small, h) for h in hkl.tolist()]
    found = coefficients(crystal, density)[tuple(hkl.T)]
    np.testing.assert_allclose(found, expected, atol=ROUNDING * crystal.numbers.sum())


def test_the_density_is_the_sum_of_gaussian_atoms(crystal, density):
    # No Fourier series is used: every Gaussian of f is one of rho. In cells this small, truncation
    # at mode 24 leaves less than exp(-B s^2 / 4) = 1e-5.
    points = np.random.default_rng(0).integers(0, 50, (300, 3))
    expected = np.zeros(len(points))
    for number, position in zip(crystal.numbers.tolist(), crystal.frac_coords, strict=True):
        fit = gemmi.Element(number).it92
        scale = number / (sum(fit.a) + fit.c)
        for cell in product(range(-3, 4), repeat=3):
            offset = (points / 50 - position % 1 + cell) @ crystal.lattice
            squared = np.sum(offset**2, axis=1)
            for a, b in zip([*fit.a, fit.c], [*fit.b, 0.0], strict=True):
                width = 4 * np.pi / (b + B_FACTOR)
                expected += scale * a * width**1.5 * np.exp(-np.pi * width * squared)
    found = density[tuple(points.T)]
    np.testing.assert_allclose(found, expected, atol=ROUNDING * density.max())


def test_the_direct_sum_is_the_series_between_the_points_of_a_grid(crystal, padded):
    # The truncation error of these small cells is under 1e-5 of the highest density.
    ours = Crystal.of(*crystal)
    assert truncation(crystal.lattice, crystal.numbers) < 1e-5
    fine = electron_density(ours, shape=(100, 100, 100))
    points = np.random.default_rng(0).integers(0, 100, (60, 3))
    with jax.enable_x64(True):
        found = density_at(padded, points / 100)
    np.testing.assert_allclose(found, fine[tuple(points.T)], atol=ROUNDING * fine.max())


def test_truncation_bounds_what_the_grid_leaves_out():
    long = Crystal.of(
        np.diag([30.0, 4.0, 4.0]), np.array([8, 56]), np.array([[0.0] * 3, [0.5] * 3])
    )
    left = truncation(long.lattice, long.species)
    first = np.array([25 / 30 / 2]) ** 2  # q of the mode 25 of the long axis
    oxygen, barium = (atomic_factor(z, first)[0] / z for z in (8, 56))
    assert left == pytest.approx(max(oxygen, barium) * np.exp(-B_FACTOR * first[0]), rel=1e-5)
    assert truncation(long.lattice, long.species, (100, 50, 50)) < left
    density = electron_density(long)
    assert -density.min() > 0.1 * left * density.max()  # it ripples


def test_the_density_is_the_same_on_host_and_device(crystal, padded):
    found = electron_density(Crystal.of(*crystal), shape=(24, 30, 27))
    expected = synthesis(padded, B_FACTOR, shape=(24, 30, 27))
    np.testing.assert_allclose(found, expected, atol=1e-5 * found.max())


@jax.jit
def weighted_sum(crystal, b_factor):
    weight = np.random.default_rng(0).random((8, 10, 9))
    return jnp.sum(weight * synthesis(crystal, b_factor, shape=weight.shape))


def test_the_density_changes_with_positions_lattice_and_b_as_finite_differences_do(padded):
    def total(lattice, frac_coords, b_factor):
        other = padded._replace(lattice=lattice, frac_coords=frac_coords)
        return weighted_sum(other, b_factor)

    arguments = (padded.lattice, padded.frac_coords, np.array(4.0))
    with jax.enable_x64(True):
        jax.test_util.check_grads(total, arguments, order=1, modes=["rev"], eps=1e-5, rtol=1e-5)


def test_the_density_is_that_of_gemmi(crystal, density):
    # gemmi sums Gaussians in real space up to a radius where they fall to `cutoff`, with an
    # exponential good to 1e-5 for each of several Gaussians: that sets the tolerance. Truncation at
    # the modes of the grid matters less in these cells.
    gemmi.IT92_normalize()
    calculator = gemmi.DensityCalculatorX()
    calculator.cutoff = 1e-7
    calculator.grid.set_unit_cell(unit_cell(crystal))
    calculator.grid.spacegroup = gemmi.SpaceGroup("P 1")
    calculator.grid.set_size(*density.shape)
    calculator.add_model_density_to_grid(model(crystal))
    np.testing.assert_allclose(density, calculator.grid.array, atol=5e-5 * density.max())


def unit_cell(crystal):
    lattice = Lattice(crystal.lattice)
    return gemmi.UnitCell(*lattice.abc, *lattice.angles)


def model(crystal):
    residue = gemmi.Residue()
    residue.name = "ALL"
    for number, position in zip(crystal.numbers.tolist(), crystal.frac_coords, strict=True):
        atom = gemmi.Atom()
        atom.name = "X"
        atom.element = gemmi.Element(number)
        atom.pos = unit_cell(crystal).orthogonalize(gemmi.Fractional(*position))
        atom.b_iso = B_FACTOR
        residue.add_atom(atom)
    chain = gemmi.Chain("A")
    chain.add_residue(residue)
    model = gemmi.Model(1)
    model.add_chain(chain)
    return model


SYSTEMS = [
    "triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic",
]  # fmt: skip


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_density_has_the_symmetry_of_the_space_group(sample, system):
    # On 24 points every operation x -> R x + t of the group maps the grid onto itself, and F(h) to
    # F(h R) exp(2 pi i h.t). The coefficients obey this exactly; the density does where h R stays
    # among the modes of the grid, and otherwise within what is cut off.
    shape = (24, 24, 24)
    hkl = carried_modes(shape)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    for crystal in sample[system]:
        density = electron_density(Crystal.of(*crystal), shape=shape)
        f = coefficients(crystal, density)
        symmetry = spglib.get_symmetry(crystal_cell(crystal), symprec=1e-5)
        rotations, translations = symmetry["rotations"], symmetry["translations"]
        for rotation, translation in list(zip(rotations, translations, strict=True))[:12]:
            turned = hkl @ rotation
            both = np.all(np.abs(turned) < 12, axis=1)
            phase = np.exp(2j * np.pi * (hkl[both] @ translation))
            np.testing.assert_allclose(
                f[tuple(hkl[both].T)],
                f[tuple(turned[both].T)] * phase,
                atol=ROUNDING * crystal.numbers.sum(),
            )
            image = index @ rotation.T + np.rint(24 * translation).astype(int)
            moved = density[tuple(np.moveaxis(image % 24, -1, 0))]
            if np.allclose(24 * translation, np.rint(24 * translation), atol=1e-4):
                cut = np.abs(structure_factors(crystal, hkl[~both])).sum() / volume(crystal)
                tolerance = 2 * cut + 10 * ROUNDING * density.max()
                np.testing.assert_allclose(moved, density, atol=tolerance)


def crystal_cell(crystal):
    return (crystal.lattice, crystal.frac_coords, crystal.numbers)


def test_a_shift_of_the_atoms_rolls_the_grid(crystal, density):
    steps = np.array([7, -3, 60])
    lattice, numbers, coords = crystal
    shifted = electron_density(Crystal.of(lattice, numbers, coords + steps / 50))
    expected = np.roll(density, steps, axis=(0, 1, 2))
    np.testing.assert_allclose(shifted, expected, atol=ROUNDING * density.max())


def test_the_order_and_the_cell_of_the_atoms_do_not_matter(crystal, density):
    lattice, numbers, coords = crystal
    order = np.arange(len(numbers))[::-1]
    other = electron_density(Crystal.of(lattice, numbers[order], coords[order] - [3, 0, -8]))
    np.testing.assert_allclose(other, density, atol=ROUNDING * density.max())


def test_a_larger_b_factor_smears(crystal, density):
    smeared = electron_density(Crystal.of(*crystal), b_factor=8.0)
    assert smeared.max() < density.max()
    assert smeared.mean() == pytest.approx(density.mean(), rel=1e-5)


coordinates = st.integers(1, 4).flatmap(lambda n: arrays(float, (n, 3), elements=st.floats(-3, 3)))
edges = arrays(float, (3, 3), elements=st.floats(-4, 4, allow_subnormal=False))


@settings(deadline=None, max_examples=60)
@given(edges, coordinates, st.data())
def test_a_valid_crystal_never_gives_nan(lattice, coords, data):
    assume(abs(np.linalg.det(lattice)) > 2)
    numbers = data.draw(arrays(int, len(coords), elements=st.integers(1, 98)))
    density = electron_density(Crystal.of(lattice, numbers, coords), shape=(8, 10, 9))
    assert np.isfinite(density).all()
    electrons = density.mean(dtype=float) * abs(np.linalg.det(lattice))
    assert electrons == pytest.approx(numbers.sum(), rel=1e-5)


SODIUM = (4.0 * np.eye(3), np.array([11]), np.zeros((1, 3)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lattice": np.ones((3, 3))}, "spans no volume"),
        ({"lattice": np.diag([4.0, 4.0, np.nan])}, "is no cell"),
        ({"numbers": np.array([118])}, "Og has no"),
        ({"numbers": np.zeros(0, int), "frac_coords": np.zeros((0, 3))}, "at least one atom"),
        ({"frac_coords": np.array([[0, np.inf, 0]])}, "atom 0 is at"),
        ({"b_factor": -1.0}, "b_factor is -1.0"),
        ({"b_factor": np.nan}, "b_factor is nan"),
        ({"shape": (50, 0, 50)}, "at least one point"),
    ],
)
def test_bad_input_is_refused(change, message):
    names = ("lattice", "numbers", "frac_coords")
    arguments = dict(zip(names, SODIUM, strict=True)) | change
    how = {name: arguments.pop(name) for name in change if name not in names}
    with pytest.raises(ValueError, match=message):
        electron_density(Crystal.of(**arguments), **how)


@pytest.mark.parametrize("shape", [(24, 24, 24), (8, 10, 9)])
def test_a_density_has_the_structure_factors_it_was_made_of(crystal, shape):
    found = transform(electron_density(Crystal.of(*crystal), shape=shape), volume(crystal))
    reach = [(n - 1) // 2 for n in shape]
    assert found.shape == tuple(2 * r + 1 for r in reach)
    hkl = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1)
    expected = structure_factors(crystal, hkl.reshape(-1, 3)).reshape(found.shape)
    np.testing.assert_allclose(found, expected, atol=ROUNDING * crystal.numbers.sum())


def test_structure_factors_of_a_batch_are_those_of_each(density):
    batch = transform(np.stack([density, 2 * density]))
    np.testing.assert_allclose(batch[0], transform(density), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(batch[1], 2 * transform(density), rtol=1e-5, atol=1e-6)


def test_the_powder_lines_of_a_density_are_those_of_its_atoms(crystal, density):
    # Up to s = 1.2 B = 4 leaves 5 % of an intensity, and float32 with the grid's modes the rest.
    lines = reflections(Crystal.of(*crystal), s_max=1.2)
    hkl = carried_modes(density.shape)
    f = np.asarray(transform(density, volume(crystal))).ravel()
    s = np.linalg.norm(hkl @ np.linalg.inv(crystal.lattice).T, axis=1)
    assert s[np.abs(hkl).max(axis=1) == 24].min() > 1.2  # the modes hold the whole sphere
    squared = np.abs(f) ** 2 * np.exp(B_FACTOR * s**2 / 2)
    found = [squared[np.abs(s - line) < 1e-6].sum() for line in lines[:, 0]]
    np.testing.assert_allclose(found, lines[:, 1], atol=1e-4 * lines[:, 1].max())


def test_point_atoms_have_no_density_that_is_summed_directly(crystal):
    with pytest.raises(ValueError, match="b_factor is 0: give one above"):
        density_at(Crystal.of(*crystal), np.zeros((1, 3)), b_factor=0.0)
