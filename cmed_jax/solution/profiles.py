"""Patterns over ln s, where scaling the cell shifts the pattern."""

from collections.abc import Sequence

import numpy as np
import scipy  # its parts are imported on first use
from jaxtyping import Float, Integer
from numpy.lib.stride_tricks import sliding_window_view

from cmed_jax.crystal.material import Material
from cmed_jax.crystal.symmetry import space_group
from cmed_jax.data.records import S_MAX
from cmed_jax.physics.crystal import Crystal
from cmed_jax.physics.patterns import BINS, MO_K_ALPHA, lorentz_polarization, s_of_two_theta
from cmed_jax.physics.reflections import reflections_of

REACH = 0.4
"""The largest change of the cell's edges in one fit, as |ln scale|."""

STEP = 0.002
"""The step of the grid of ln s, and so of the scales.

A bin of the network's grid at two-theta = 90 degrees is as wide.
"""

S_MIN = 0.05
"""The value of s at which the grid of ln s begins, 1/angstrom.

Cells with edges under 20 angstrom have no line below it.
"""

STEPS = round(np.log(S_MAX / S_MIN) / STEP) + 1
"""The number of steps of the grid up to `S_MAX`."""

WIDTH = 2.0
"""The standard deviation of the Gaussian that broadens profiles for the comparison, in steps."""

LEAST_SEEN = 0.01
"""The least share of a profile's squared length that the agreement is divided by.

The limit prevents chance agreements of profiles that are mostly in the unmeasured range.
"""

Profile = Float[np.ndarray, " m"]


def lines_of(crystals: Sequence[Material]) -> list[Float[np.ndarray, "_ 2"]]:
    """Return s (1/angstrom) and |F|^2 of the lines of crystals in their canonical cells."""
    atoms = [Crystal.of(each.lattice, each.numbers, each.frac_coords) for each in crystals]
    laue = [space_group(each.space_group).laue for each in crystals]
    return reflections_of(atoms, s_max=S_MAX, table="pymatgen", laue=laue, threads=1)


def fit_scales(
    profiles: Float[np.ndarray, "n m"], target: Profile, measured: Profile | None = None
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return the scale of the cell at which each profile agrees best, and the cosine there.

    Args:
        profiles: the profiles of the crystals over the grid of ln s, each of unit length.
        target: the profile of the given pattern.
        measured: 1 on the measured part of the grid, else 0; the rest does not count. None if all
            of it was measured.
    """
    reach = round(REACH / STEP)
    # Row k is the target moved down by k - reach steps: as a cell grows, its lines move down.
    moved = sliding_window_view(np.pad(target, reach), len(target))
    agreement = profiles @ moved.T
    if measured is not None:
        seen = sliding_window_view(np.pad(measured, reach), len(measured))
        agreement /= np.sqrt(np.maximum(profiles**2 @ seen.T, LEAST_SEEN))
    best = agreement.argmax(axis=1)
    rows = np.arange(len(profiles))
    below, top, above = (agreement[rows, np.clip(best + k, 0, 2 * reach)] for k in (-1, 0, 1))
    curvature = np.maximum(2 * top - below - above, 1e-6)
    summit = best + np.clip((above - below) / (2 * curvature), -0.5, 0.5)  # of a parabola
    return np.exp(STEP * (reach - summit)), top


def profile_of_pattern(pattern: Float[np.ndarray, "1024"]) -> Profile:
    """Return the profile over ln s of the sticks of a pattern."""
    peaks = np.flatnonzero(pattern)
    angle = (peaks + 0.5) * 180 / BINS
    intensity = pattern[peaks] / lorentz_polarization(angle)
    return profile_of_lines(s_of_two_theta(angle, MO_K_ALPHA), intensity)


def profile_of_lines(s: Float[np.ndarray, " k"], intensity: Float[np.ndarray, " k"]) -> Profile:
    """Return lines as peaks on the grid of ln s, normalized to unit length.

    The height of a peak is |F| / s: the root of |F|^2 times the Lorentz-polarization factor at
    small angles. With this height neither the strongest lines nor the many lines at large s decide
    alone.
    """
    return profiles_of_lines(s[:, None], intensity)[0]


def profiles_of_lines(
    s: Float[np.ndarray, "k n"], intensity: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "n m"]:
    """Return the profile of `profile_of_lines` for each column of s."""
    steps = profile_steps(s)
    inside = (steps >= 0) & (steps < STEPS)
    place = steps + STEPS * np.arange(s.shape[1])
    height = np.sqrt(intensity)[:, None] / s
    sticks = np.bincount(place[inside], height[inside], STEPS * s.shape[1])
    smooth = scipy.ndimage.gaussian_filter1d(
        sticks.reshape(-1, STEPS), WIDTH, axis=1, mode="constant"
    )
    length = np.linalg.norm(smooth, axis=1, keepdims=True)
    return (smooth / np.maximum(length, 1e-30)).astype(np.float32)


def profile_steps(s: Float[np.ndarray, "*k"]) -> Integer[np.ndarray, "*k"]:
    """Return the indices of lines on the grid of ln s."""
    return np.rint(np.log(s / S_MIN) / STEP).astype(int)
