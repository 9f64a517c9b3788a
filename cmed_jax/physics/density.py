"""The electron density of independent atoms: on a grid by Fourier synthesis, or at any points.

On a grid of n points the density is

    rho(x) = 1/V sum_h F(h) exp(-B s^2 / 4) exp(-2 pi i h.x)

over the modes that the grid represents without ambiguity, |h_i| <= (n_i - 1) // 2. F is defined in
`cmed_jax.physics.scattering`, with the form factors of International Tables. The Fourier
coefficients of this density are exactly the structure factors, and its mean times the volume is the
number of electrons.

The sum over all modes is a sum of Gaussians at the atoms, and `density_at` computes it at any
point. `truncation` measures what the grid leaves out.

`electron_density` computes on the host, by products of matrices along one axis after the other, and
leaves out modes that the Debye-Waller factor has damped away. `synthesis` is the same sum as a
pure function for any device.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Integer

from cmed_jax.physics.cell import cell_volume, check_b_factor, reciprocal_axes
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.form_factors import form_factors, gaussians
from cmed_jax.physics.harmonics import waves
from cmed_jax.physics.scattering import cos_sin

GRID = (50, 50, 50)
"""The grid of every record's density."""
B_FACTOR = 4.0
"""The default B, angstrom^2: the last mode of 50 points over 10 angstrom is damped to 0.003."""
MOST = 1e8
"""The largest number of points of a grid; each takes about a hundred bytes in the computation."""
DAMPED = 4e-8
"""The Debye-Waller factor under which modes are below the rounding of float32, and left out."""
TAIL = 1e-10
"""The share of its peak at which a Gaussian atom is cut off in a direct sum."""


def electron_density(
    crystal: Crystal,
    *,
    shape: tuple[int, int, int] = GRID,
    b_factor: float = B_FACTOR,
) -> Float[np.ndarray, "a b c"]:
    """Return the density of independent neutral atoms, e/angstrom^3, at x_i = k / shape_i, float32.

    On axes much longer than 10 angstrom, F(h) extends beyond the modes of the grid. The density
    then ripples about zero between the atoms; nothing is clipped.

    Args:
        crystal: a single one.
        shape: points along a, b, c.
        b_factor: isotropic B of every atom, angstrom^2; by default 4, as in the densities that the
            released network predicts. 0 is atoms at rest.

    Raises:
        ValueError: b_factor is negative or too large, or the grid has no points or too many.

    Example:
        >>> atoms = np.array([26, 26]), np.array([[0.0] * 3, [0.5] * 3])
        >>> density = electron_density(Crystal.of(2.87 * np.eye(3), *atoms), shape=(20, 20, 20))
        >>> round(float(density.mean()) * 2.87**3)  # electrons in the cell
        52
    """
    _check(shape, b_factor)
    reach = _reach(np.asarray(crystal.lattice), shape, b_factor)
    spectrum = _half_spectrum(crystal, reach, b_factor)
    a, b, c = (waves(points, most) for points, most in zip(shape, reach, strict=True))
    spectrum = (a @ spectrum.reshape(len(spectrum), -1)).reshape(shape[0], *spectrum.shape[1:])
    spectrum = np.ascontiguousarray(b @ spectrum)
    # The other half is conjugate: the real part of each mode l > 0 counts twice.
    c = np.conj(c[:, reach[2] :]) * np.where(np.arange(reach[2] + 1), np.float32(2), np.float32(1))
    rows = spectrum.reshape(-1, reach[2] + 1).view(np.float32)
    return (rows @ np.ascontiguousarray(c).view(np.float32).T).reshape(shape)


def _reach(
    lattice: Float[np.ndarray, "3 3"], shape: tuple[int, int, int], b_factor: float
) -> list[int]:
    """Return the largest mode along a, b, c that the grid represents and that is not damped."""
    represented = (np.array(shape) - 1) // 2
    if not b_factor:
        return represented.tolist()
    s_max = 2 * np.sqrt(-np.log(DAMPED) / b_factor)
    # h = a.s, so that |h| <= |a| s_max: the box that holds the sphere.
    return np.minimum(represented, s_max * np.linalg.norm(lattice, axis=1)).astype(int).tolist()


def _half_spectrum(
    crystal: Crystal, reach: list[int], b_factor: float
) -> Complex[np.ndarray, "h k l"]:
    """Return F(-h) exp(-B s^2 / 4) / V of the modes |h_i| <= reach_i with l >= 0, complex64."""
    lattice, species, occupancy, frac_coords = (np.asarray(field) for field in crystal)
    modes = [np.arange(-most, most + 1) for most in reach]
    modes[2] = modes[2][reach[2] :]
    along_a, along_b, along_c = (
        np.exp(-2j * np.pi * np.outer(x, h)).astype(np.complex64)
        for h, x in zip(modes, frac_coords.T, strict=True)
    )
    plane = (along_a[:, :, None] * along_b[:, None]).reshape(len(frac_coords), -1)
    h, k, ell = np.ix_(*modes)
    metric = np.linalg.inv(lattice)
    metric = metric.T @ metric / 4
    q = 2 * (h * metric[0, 2] + k * metric[1, 2]) + ell * metric[2, 2]
    q *= ell
    q += h * h * metric[0, 0] + 2 * h * k * metric[0, 1] + k * k * metric[1, 1]
    # Zeros instead of what is damped away: tiny numbers would slow all that follows.
    kept = np.flatnonzero(b_factor * q < -np.log(DAMPED))
    q = q.ravel()[kept].astype(np.float32)
    factors = np.zeros(len(q), np.complex64)
    for number, shares in zip(species, occupancy, strict=True):
        sites = np.flatnonzero(shares)
        axis = shares[sites, None].astype(np.float32) * along_c[sites]
        phases = plane[sites].T @ axis
        factors += form_factors(number[None], q, "it92")[0] * phases.ravel()[kept]
    factors *= np.exp(np.float32(-b_factor) * q) / np.float32(cell_volume(lattice))
    spectrum = np.zeros([len(each) for each in modes], np.complex64)
    spectrum.ravel()[kept] = factors
    return spectrum


@partial(jax.jit, static_argnames="shape")
def synthesis(
    crystal: Crystal, b_factor: Float[Array, ""] | float, *, shape: tuple[int, int, int]
) -> Float[Array, "a b c"]:
    """Return `electron_density` as a pure function, for devices, `jax.vmap` and `jax.grad`.

    Args:
        crystal: a single one, padded or not.
        b_factor: isotropic B of every atom, angstrom^2.
        shape: points along a, b, c.
    """
    lattice, species, occupancy, frac_coords = crystal
    modes = [jnp.fft.fftfreq(n, 1 / n) for n in shape]
    modes[2] = modes[2][: shape[2] // 2 + 1]  # the rest are conjugates: the density is real
    # In each of the three directions the phase of an atom is a short vector, zero at the ambiguous
    # mode n / 2; their products are the phases of all modes.
    along_a, along_b, along_c = (
        _phases(h, x) * (jnp.abs(h) < n / 2)[:, None]
        for h, x, n in zip(modes, frac_coords.T, shape, strict=True)
    )
    plane, axis = along_a[:, None] * along_b, occupancy[:, None] * along_c
    # Species stand between the modes, as a product of matrices leaves them without a transposition.
    phases = jnp.einsum("abn,kcn->abkc", plane, axis, precision="highest")
    h, k, ell = jnp.ix_(*modes)
    x, y, z = ((h * a + k * b + ell * c) for a, b, c in reciprocal_axes(lattice).T)
    q = (x**2 + y**2 + z**2) / 4
    factors = (form_factors(each, q.ravel(), "it92").reshape(q.shape) for each in species[:, None])
    # sum_j f_j exp(-2 pi i h.x_j) is F(-h), which the usual inverse transform takes to rho.
    spectrum = sum(factor * phases[:, :, i] for i, factor in enumerate(factors))
    spectrum *= jnp.exp(-b_factor * q)
    return jnp.fft.irfftn(spectrum, shape, norm="forward") / jnp.abs(jnp.linalg.det(lattice))


def structure_factors(
    density: Float[Array | np.ndarray, "*batch a b c"], volume: float = 1.0
) -> Complex[Array, "*batch h k l"]:
    """Return F(h) = V/N sum_k rho(x_k) exp(2 pi i h.x_k), in electrons, of a density on a grid.

    This is the inverse of `electron_density`: from its densities it recovers the structure factors,
    times exp(-B s^2 / 4).

    Args:
        density: e/angstrom^3 at x_i = k / shape_i.
        volume: volume of the cell, angstrom^3; with 1 the result is the Fourier coefficients of
            the density.

    Returns:
        F for |h_i| <= (n_i - 1) // 2 along each axis, ascending, with F(0) in the middle.

    Example:
        >>> factors = structure_factors(np.full((5, 5, 5), 0.5), volume=100.0)
        >>> round(float(factors[2, 2, 2].real))  # F(0), the electrons in the cell
        50
    """
    return volume * _fourier_coefficients(density)


@jax.jit
def _fourier_coefficients(
    density: Float[Array | np.ndarray, "*batch a b c"],
) -> Complex[Array, "*batch h k l"]:
    grid = range(-3, 0)
    modes = jnp.fft.fftshift(jnp.fft.ifftn(density, axes=grid), axes=grid)
    # The mode n / 2 of an even axis, the first after the shift, is ambiguous.
    return modes[(..., *(slice(1 - n % 2, None) for n in density.shape[-3:]))]


def density_at(
    crystal: Crystal,
    points: Float[Array | np.ndarray, "p 3"],
    *,
    b_factor: float = B_FACTOR,
    reach: tuple[int, int, int] | None = None,
) -> Float[Array, " p"]:
    """Return the density of independent atoms at any points, e/angstrom^3, without a grid.

    The form factors are sums of Gaussians, and so are the atoms: a exp(-b s^2 / 4) becomes
    a w^1.5 exp(-pi w r^2) with w = 4 pi / (b + B). Every atom and its images are summed at each
    point, so this function suits hundreds of points.

    Args:
        crystal: a single one, padded or not.
        points: fractional coordinates.
        b_factor: isotropic B of every atom, angstrom^2, above zero; without it the constant term
            of the form factors would be a point.
        reach: number of cells on either side along a, b, c that are summed. It is required under
            `jax.jit`; by default an atom ends where it has fallen to `TAIL` of its peak.

    Raises:
        ValueError: b_factor is not positive.
    """
    check_b_factor(b_factor)
    if not b_factor:
        raise ValueError("b_factor is 0: give one above, for the atoms would be points")
    reach = reach or image_reach(np.asarray(crystal.lattice), b_factor)
    return _sum_of_gaussians(crystal, jnp.asarray(points), b_factor, reach=reach)


def image_reach(lattice: Float[np.ndarray, "3 3"], b_factor: float) -> tuple[int, int, int]:
    """Return the number of cells along a, b, c over which an atom's density extends."""
    widest = np.nanmax(gaussians()[1]) + b_factor
    radius = np.sqrt(-np.log(TAIL) * widest) / (2 * np.pi)
    spacings = np.linalg.norm(np.linalg.inv(lattice), axis=0)  # 1/d of the faces of the cell
    return tuple(np.ceil(radius * spacings + 0.5).astype(int).tolist())


@partial(jax.jit, static_argnames="reach")
def _sum_of_gaussians(
    crystal: Crystal,
    points: Float[Array, "p 3"],
    b_factor: Float[Array, ""] | float,
    *,
    reach: tuple[int, int, int],
) -> Float[Array, " p"]:
    lattice, species, occupancy, frac_coords = crystal
    cells = jnp.stack(jnp.meshgrid(*(jnp.arange(-n, n + 1) for n in reach)), axis=-1)
    amplitude, width = (jnp.asarray(x, lattice.dtype)[species] for x in gaussians())
    sharpness = 4 * jnp.pi / (width + b_factor)

    def at(point: Float[Array, "3"]) -> Float[Array, ""]:
        gap = point - frac_coords
        gap = gap - jnp.round(gap)
        squared = jnp.sum(((gap[:, None] + cells.reshape(-1, 3)) @ lattice) ** 2, axis=-1)
        peak = amplitude * sharpness**1.5
        atoms = peak[..., None, None] * jnp.exp(-jnp.pi * sharpness[..., None, None] * squared)
        return jnp.sum(occupancy * jnp.sum(atoms, axis=(1, 3)))

    return jax.lax.map(at, points)


def truncation(
    lattice: Float[np.ndarray, "3 3"],
    numbers: Integer[np.ndarray, " n"],
    shape: tuple[int, int, int] = GRID,
    b_factor: float = B_FACTOR,
) -> float:
    """Return the strength of the first mode beyond a grid, as a share of F(0).

    This is the largest f(s) exp(-B s^2 / 4) / Z of the elements at that mode. Above about 0.01 a
    density on this grid visibly ripples about zero between the atoms, and its maxima are too low.

    Args:
        lattice: rows a, b, c in angstrom.
        numbers: atomic numbers.
        shape: points along a, b, c.
        b_factor: isotropic B of every atom, angstrom^2.

    Raises:
        ValueError: as `electron_density`.
    """
    _check(shape, b_factor)
    first = [(n + 1) // 2 for n in shape] / np.linalg.norm(lattice, axis=1)
    q = first.min() ** 2 / 4
    amplitude, width = (table[numbers] for table in gaussians())
    factors = np.sum(amplitude * np.exp(-width * q), axis=1)
    return float(np.max(factors / numbers) * np.exp(-b_factor * q))


def _check(shape: tuple[int, int, int], b_factor: float) -> None:
    check_b_factor(b_factor)
    if min(shape) < 1:
        raise ValueError(f"the grid is {shape}: give at least one point on each axis")
    if np.prod(shape, dtype=float) > MOST:
        raise ValueError(f"the grid is {shape}: give at most {MOST:.0g} points")


def _phases(modes: Float[Array, " h"], x: Float[Array, " n"]) -> Complex[Array, "h n"]:
    """Return exp(-2 pi i h x)."""
    cosines, sines = cos_sin(jnp.outer(modes, x))
    return jax.lax.complex(cosines, -sines)
