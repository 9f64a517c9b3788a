"""Density modification against transforms of NumPy in float64."""

import gemmi
import jax
import numpy as np
import pytest

from cmed_jax.physics.density_modification import impose_lines, on_scale_of_electrons
from tests.physics.conftest import OBLIQUE, ROCK_SALT, WURTZITE

SHAPE, B_FACTOR, PADDED = (18, 16, 20), 4.0, 4096
MODES = np.stack(np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in SHAPE), indexing="ij"), axis=-1)


def lengths(lattice, hkl=MODES):
    return np.linalg.norm(hkl @ np.linalg.inv(lattice).T, axis=-1)


def factors(atoms, hkl):
    """F(h) of atoms at rest, by a direct sum with gemmi's form factors."""
    q = lengths(atoms.lattice, hkl) ** 2 / 4
    form = {z: np.vectorize(gemmi.Element(z).it92.calculate_sf)(q) for z in {*atoms.numbers}}
    turns = np.exp(2j * np.pi * (hkl @ atoms.frac_coords.T))
    return sum(form[z] * turns[..., i] for i, z in enumerate(atoms.numbers))


def transform(density, lattice):
    return np.fft.ifftn(density.astype(float)) * abs(np.linalg.det(lattice))


def density_of(coefficients, lattice):
    return (np.fft.fftn(coefficients).real / abs(np.linalg.det(lattice))).astype(np.float32)


def truth_of(atoms):
    """The density of atoms up to the first mode that the grid lacks, and all its lines there."""
    s, volume = lengths(atoms.lattice), float(abs(np.linalg.det(atoms.lattice)))
    reach = min((n + 1) // 2 / np.linalg.norm(a) for n, a in zip(SHAPE, atoms.lattice, strict=True))
    every = np.where(s < 0.999 * reach, factors(atoms, MODES), 0)
    density = density_of(every * np.exp(-B_FACTOR * s**2 / 4), atoms.lattice)
    return density, lines_of(every, s, 0.999 * reach), np.float32(every[0, 0, 0].real), volume


def lines_of(coefficients, s, reach):
    used = (s > 0) & (s < reach)
    order = np.argsort(s[used])
    places, power = s[used][order], np.abs(coefficients[used][order]) ** 2
    first = np.flatnonzero(np.diff(places, prepend=-1) > 1e-6)
    return np.stack([places[first], np.add.reduceat(power, first)], axis=1)


def padded(lines):
    present = lines[lines[:, 1] > 1e-10 * lines[:, 1].max()]
    return np.pad(present, ((0, PADDED - len(present)), (0, 0))).astype(np.float32)


def modified(density, lattice, lines, electrons):
    return impose_lines(
        density, np.float32(lattice), padded(lines), electrons, np.float32(B_FACTOR)
    )


@pytest.mark.parametrize("atoms", [WURTZITE, OBLIQUE], ids=["hexagonal", "oblique"])
def test_a_true_density_stays_as_it_is(atoms):
    density, lines, electrons, _ = truth_of(atoms)
    found = modified(density, atoms.lattice, lines, electrons)
    assert found.correlation > 0.999
    np.testing.assert_allclose(found.density, density, atol=0.01 * density.max())


def test_wrong_amplitudes_with_right_phases_are_repaired():
    density, lines, electrons, _ = truth_of(WURTZITE)
    s = lengths(WURTZITE.lattice)
    wrong = 1 + 0.3 * np.cos(7 * s)  # also F(0), and so the number of electrons
    start = density_of(transform(density, WURTZITE.lattice) * wrong, WURTZITE.lattice)
    found = modified(start, WURTZITE.lattice, lines, electrons)
    assert found.correlation == pytest.approx(
        np.corrcoef(np.ravel(found.density), start.ravel())[0, 1], abs=1e-4
    )
    before, after = (np.abs(each - density).mean() for each in (start, np.asarray(found.density)))
    assert after < 0.05 * before
    volume = abs(np.linalg.det(WURTZITE.lattice))
    assert float(found.density.mean()) * volume == pytest.approx(electrons, rel=1e-4)


def test_every_line_has_its_observed_intensity_and_absent_ones_have_none():
    density, lines, electrons, _ = truth_of(OBLIQUE)
    lines[3::7, 1] = 0  # as those of systematic absences
    lines[4::7, 1] *= 2
    found = modified(density, OBLIQUE.lattice, lines, electrons).density
    s = lengths(OBLIQUE.lattice)
    imposed = transform(np.asarray(found), OBLIQUE.lattice) * np.exp(B_FACTOR * s**2 / 4)
    seen = lines_of(imposed, s, lines[-1, 0] + 1e-4)
    damping = np.exp(-B_FACTOR * lines[:, 0] ** 2 / 4)
    apart = np.diff(lines[:, 0], prepend=0, append=9) > 1e-4
    resolved = apart[1:] & apart[:-1]
    roots = [(damping * np.sqrt(each[:, 1]))[resolved] for each in (seen, lines)]
    np.testing.assert_allclose(*roots, atol=1e-3 * max(roots[1]))


def test_reflections_beyond_the_last_line_are_left_to_the_density():
    density, lines, electrons, _ = truth_of(WURTZITE)
    few = lines[lines[:, 0] < 0.6]
    s = lengths(WURTZITE.lattice)
    wrong = np.where((s > 0) & (s < 0.6), 1.15, 1)
    start = density_of(transform(density, WURTZITE.lattice) * wrong, WURTZITE.lattice)
    found = modified(start, WURTZITE.lattice, few, electrons)
    np.testing.assert_allclose(found.density, density, atol=0.02 * density.max())
    far = [transform(np.asarray(x), WURTZITE.lattice)[s > 0.6] for x in (found.density, density)]
    np.testing.assert_allclose(*far, atol=0.05 * np.abs(far[1]).max())


def test_the_lines_of_another_crystal_make_another_density():
    density, lines, electrons, _ = truth_of(WURTZITE)
    other = np.roll(density[:, ::-1], 3, axis=2) * np.linspace(0.2, 1.8, SHAPE[0])[:, None, None]
    other = other[np.random.default_rng(0).permutation(SHAPE[0])]
    found = modified(other.astype(np.float32), WURTZITE.lattice, lines, electrons)
    assert found.correlation < 0.9
    assert modified(density, WURTZITE.lattice, 0 * lines, electrons).correlation == -1


def test_densities_are_modified_together_as_one_by_one():
    density, lines, electrons, _ = truth_of(WURTZITE)
    arguments = np.float32(WURTZITE.lattice), padded(lines), electrons, np.float32(B_FACTOR)
    both = np.stack([density, np.abs(density) + 1])
    together = jax.vmap(lambda each: impose_lines(each, *arguments))(both)
    for each, found in zip(both, together.density, strict=True):
        alone = impose_lines(each, *arguments).density
        np.testing.assert_allclose(found, alone, atol=1e-4 * density.max())


@pytest.mark.parametrize("atoms", [ROCK_SALT, WURTZITE, OBLIQUE], ids=["rock salt", "ZnO", "any"])
def test_relative_intensities_are_put_on_the_scale_of_electrons(atoms):
    hkl = np.stack(np.meshgrid(*[np.arange(-14, 15)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    s = lengths(atoms.lattice, hkl)
    lines = lines_of(factors(atoms, hkl), s, 2.0)
    contents = np.bincount(atoms.numbers, minlength=119).astype(float)
    volume = float(abs(np.linalg.det(atoms.lattice)))
    relative = np.pad(lines * [1, 1e-4], ((0, 9), (0, 0)))
    found = on_scale_of_electrons(relative, contents, volume, "it92")
    np.testing.assert_allclose(found[: len(lines)], lines, rtol=0.01)
    assert not found[len(lines) :].any()


def test_lines_that_reach_nowhere_have_no_scale():
    lines = np.array([[0.01, 1.0], [0.0, 0.0]])
    contents = np.bincount([11, 17], minlength=119).astype(float)
    assert not on_scale_of_electrons(lines, contents, 44.0).any()
