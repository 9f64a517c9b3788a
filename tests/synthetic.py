"""Small synthetic splits: Gaussian atoms on the periodic grid, sticks, two elements a crystal.

The reflections are those of the Gaussians in a cell of random edges.
"""

import numpy as np

from cmed_jax.data.examples import Examples, ragged
from cmed_jax.data.records import S_MAX
from cmed_jax.physics.harmonics import harmonics, within

GRID = 50


def atoms_density(rng: np.random.Generator, atoms: int) -> np.ndarray:
    """Gaussians of different heights and widths around random positions, periodic."""
    density = np.full((GRID,) * 3, 0.05)
    for position in rng.random((atoms, 3)):
        width = rng.uniform(0.05, 0.1)
        axes = [
            np.exp(-(((np.arange(GRID) / GRID - x + 0.5) % 1 - 0.5) ** 2) / (2 * width**2))
            for x in position
        ]
        density += rng.uniform(1, 20) * np.einsum("i,j,k->ijk", *axes)
    return density


def amplitudes(density: np.ndarray) -> np.ndarray:
    """The sizes of Fourier coefficients at the harmonics, mean square 1."""
    sizes = np.abs(np.fft.fftn(density)[tuple(harmonics().T)])
    return sizes / np.sqrt(np.mean(sizes**2))


def series(density: np.ndarray) -> np.ndarray:
    """The Fourier series of log(1 + density / 10): the mean, all cosines, all sines."""
    factors = np.fft.fftn(np.log1p(density / 10)) / density.size
    found = factors[tuple(harmonics().T)]
    return np.concatenate([[factors[0, 0, 0].real], 2 * found.real, -2 * found.imag])


def lines(density: np.ndarray, lattice: np.ndarray) -> np.ndarray:
    """The s and |F|^2 of the lines of a density in a cell of three right angles."""
    modes = np.fft.fftfreq(GRID, 1 / GRID)
    places = np.stack(np.meshgrid(modes, modes, modes, indexing="ij"), axis=-1) / np.diag(lattice)
    lengths = np.linalg.norm(places, axis=-1).ravel()
    factors = np.fft.fftn(density) * (np.prod(np.diag(lattice)) / density.size)
    used = (lengths > 0) & (lengths <= S_MAX)
    s, line = np.unique(lengths[used].round(6), return_inverse=True)
    intensity = np.bincount(line, np.abs(factors.ravel()[used]) ** 2)
    return np.stack([s, intensity], axis=1).astype(np.float32)


def synthetic_examples(n: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    atoms = rng.integers(1, 12, n)
    density = np.stack([atoms_density(rng, count) for count in atoms])
    scale = density.max(axis=(1, 2, 3))
    pattern = np.zeros((n, 1024), np.float32)
    composition = np.zeros((n, 119), np.float32)
    for row in range(n):
        pattern[row, rng.choice(1024, 20, replace=False)] = rng.random(20)
        pattern[row] /= pattern[row].max()
        share = rng.integers(1, 4) / 4
        composition[row, rng.choice(np.arange(1, 20), 2, replace=False)] = share, 1 - share
    lattice = rng.uniform(3, 6, (n, 3, 1)) * np.eye(3)
    return Examples(
        material_id=np.array([f"id-{seed}-{row:03d}" for row in range(n)]),
        formula=np.array(["NaCl", "SrTiO3", "MgO"])[rng.integers(0, 3, n)],
        space_group=rng.choice([225, 221, 166], n).astype(np.int32),
        atoms=atoms.astype(np.int32),
        lattice=lattice,
        amplitude=np.stack([amplitudes(each) for each in density]).astype(np.float16),
        observed=np.stack([within(each, S_MAX) for each in lattice]).astype(np.float16),
        series=np.stack([series(each) for each in density]).astype(np.float16),
        pattern=pattern,
        composition=composition,
        density=(density / scale[:, None, None, None]).astype(np.float16),
        density_scale=scale.astype(np.float32),
        lines=ragged([lines(*each) for each in zip(density, lattice, strict=True)]),
    )
