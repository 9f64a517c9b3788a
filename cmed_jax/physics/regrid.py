"""Fourier resampling of a periodic density to another grid, and to another cell if necessary."""

import numpy as np
from jaxtyping import Float, Integer


def resample(
    density: Float[np.ndarray, "a b c"],
    shape: tuple[int, int, int],
    matrix: Integer[np.ndarray, "3 3"] | None = None,
    shift: Float[np.ndarray, "3"] | None = None,
) -> Float[np.ndarray, "x y z"]:
    """Return the density on another grid, optionally in another cell of the same crystal.

    The new grid keeps the Fourier coefficients that both grids represent, |h_i| <= (n_i - 1) // 2
    on each axis. A coarser grid is a low-pass filter, a finer one interpolates, and the mean is
    kept exactly. On its own grid and cell a density is unchanged.

    A change of cell x' = P x + p (columns) maps the coefficient of h = h' P to h' with the phase
    exp(-2 pi i h'.p). P is integral if the new lattice contains the old one, as the lattice of a
    primitive cell contains that of a supercell. The old cell may then hold several copies of the
    new one; differences between them are averaged.

    Args:
        density: values at x_i = k / n_i, in any unit.
        shape: number of points of the new grid along each axis.
        matrix: P of the change of cell; None keeps the cell.
        shift: p of the change of cell, in fractions of the new cell; None is no shift.

    Raises:
        ValueError: a value is not finite, a grid has no points, or P is singular.

    Example:
        >>> resample(np.full((4, 4, 4), 0.5), (6, 6, 6)).mean().round(6).item()
        0.5
    """
    matrix = np.eye(3, dtype=int) if matrix is None else matrix
    shift = np.zeros(3) if shift is None else shift
    _check(density, shape, matrix, shift)
    if shape == density.shape and np.array_equal(matrix, np.eye(3)) and not shift.any():
        return density.astype(float)
    spectrum = np.fft.fftn(density, norm="forward")
    new = np.stack(np.meshgrid(*(_modes(n) for n in shape), indexing="ij"), axis=-1)
    old = new @ matrix
    carried = np.all(np.abs(old) <= _limit(density.shape), axis=-1)
    carried &= np.all(np.abs(new) <= _limit(shape), axis=-1)
    source = tuple((old % density.shape)[carried].T)
    result = np.zeros(shape, complex)
    result[carried] = spectrum[source] * np.exp(-2j * np.pi * (new[carried] @ shift))
    return np.fft.ifftn(result, norm="forward").real


def _modes(n: int) -> Integer[np.ndarray, " n"]:
    return np.rint(np.fft.fftfreq(n, 1 / n)).astype(int)


def _limit(shape: tuple[int, ...]) -> Integer[np.ndarray, "3"]:
    # The mode n/2 of an even grid mixes +n/2 and -n/2, so no other grid can represent it.
    return (np.asarray(shape) - 1) // 2


def _check(
    density: Float[np.ndarray, "a b c"],
    shape: tuple[int, int, int],
    matrix: Integer[np.ndarray, "3 3"],
    shift: Float[np.ndarray, "3"],
) -> None:
    if not np.isfinite(density).all():
        raise ValueError("the density holds values that are not finite: read it again or leave it")
    if min(*density.shape, *shape) < 1:
        raise ValueError(f"grids {density.shape} -> {shape}: give at least one point on each axis")
    if not np.isfinite(shift).all():
        raise ValueError(f"the shift of the cell is {shift.tolist()}: give finite fractions")
    if abs(np.linalg.det(matrix)) < 0.5:
        raise ValueError(f"the change of cell {matrix.tolist()} is singular: it has no inverse")
