"""Means and deviations of a training split: the units in which `base` reads and writes.

Amplitudes fall off with |h|, and so do the coefficients of a density. Without common units the
first few harmonics would be all that a network learns at first.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from cmed_jax.data.examples import CompactExamples
from cmed_jax.physics.log_series import part_of

ROWS = 4000
"""The number of training crystals, evenly spaced, from which the standards are computed."""
LEAST = 1e-4
"""The smallest deviation of a coefficient, in units of the logarithm."""


class Standards(NamedTuple):
    """The standards of a training split.

    Attributes:
        power: mean square of the amplitudes.
        root: mean, and standard deviation, of the roots of the amplitudes.
        amplitude: mean, and standard deviation, of the amplitudes.
        metric: mean, and standard deviation, of the metric tensors of unit volume (9 numbers).
        volume: mean, and standard deviation, of the logarithm of the volume in angstrom^3.
        series: mean, and standard deviation, of the coefficients of the densities.
    """

    power: Float[Array | np.ndarray, " h"]
    root: Float[Array | np.ndarray, "2 h"]
    amplitude: Float[Array | np.ndarray, "2 h"]
    metric: Float[Array | np.ndarray, "2 9"]
    volume: Float[Array | np.ndarray, "2"]
    series: Float[Array | np.ndarray, "2 t"]

    @classmethod
    def of(cls, training: CompactExamples, limit: int) -> "Standards":
        """Return the standards of a split.

        Args:
            training: the training split.
            limit: the largest |h|^2 of the predicted series.
        """
        some = training.evenly_spaced(ROWS)
        amplitude = some.amplitude.astype(np.float32)
        volume = np.abs(np.linalg.det(some.lattice))
        metric = (
            some.lattice @ np.swapaxes(some.lattice, 1, 2) / np.cbrt(volume)[:, None, None] ** 2
        )
        series = np.asarray(part_of(some.series.astype(np.float32), limit))
        columns = np.sqrt(amplitude), amplitude, metric.reshape(-1, 9), np.log(volume), series
        units = [
            np.stack([each.mean(axis=0), each.std(axis=0)]).astype(np.float32) for each in columns
        ]
        units[-1][1] += LEAST
        return cls(np.mean(amplitude**2, axis=0), *units)

    @classmethod
    def neutral(cls, harmonics: int, terms: int) -> "Standards":
        """Return standards that change nothing: means of 0 and deviations of 1."""

        def unit(*shape: int) -> Float[np.ndarray, "2 ..."]:
            return np.stack([np.zeros(shape, np.float32), np.ones(shape, np.float32)])

        power = np.ones(harmonics, np.float32)
        return cls(power, unit(harmonics), unit(harmonics), unit(9), unit(), unit(terms))
