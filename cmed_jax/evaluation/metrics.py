"""Metrics of the agreement between a predicted density and the true one.

All metrics compare volumes on one grid of fractional coordinates. None depends on the unit that
both share: they scale with the range, the magnitude or the modes of the truth.

The structural similarity is that of Wang et al., IEEE Trans. Image Process. 13 (2004) 600, in the
default form of scikit-image: a uniform window of 7^3 voxels, K1 = 0.01, K2 = 0.03, and sample
covariances, averaged over the windows that lie inside the volume.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cmed_jax.physics.density import structure_factors

WINDOW = 7
"""The edge of the window of the structural similarity, in voxels."""

K1, K2 = 0.01, 0.03
"""The stabilising constants of the structural similarity, as fractions of the truth's range."""

PSNR_CEILING = float(20 * np.log10(2.0**24))
"""The PSNR assigned to identical volumes, in dB.

It is the resolution of float32; the formula itself gives infinity.
"""

Scalar = Float[Array, ""]
Volume = Float[Array, "a b c"]
Truths = Float[Array | np.ndarray, "*batch a b c"]
Predictions = Float[Array | np.ndarray, "..."]  # the shape equals that of `Truths`; checked below


class Windows(NamedTuple):
    """One volume and the statistics of its 7^3 windows.

    The mean of the volume is stored separately, so that the variances do not cancel in float32.
    """

    mean: Scalar
    deviation: Volume
    local_mean: Float[Array, "a-6 b-6 c-6"]
    local_variance: Float[Array, "a-6 b-6 c-6"]


class Truth(NamedTuple):
    """A true density with everything that its comparison with predictions needs.

    range: maximum - minimum. magnitude: mean of the absolute values. Both are replaced by 1 where
    they are zero, so that no metric divides by zero.
    """

    volume: Volume
    windows: Windows
    range: Scalar
    magnitude: Scalar


def ssim(
    truth: Truths, prediction: Predictions, *, periodic: bool = False
) -> Float[Array, "*batch"]:
    """Return the structural similarity in the default form of scikit-image.

    Args:
        truth: the true densities; the range is maximum - minimum of each. The range of a constant
            truth is taken as 1.
        prediction: densities of the same shape.
        periodic: whether to average over the windows around all voxels, across the boundary of the
            cell, instead of over those that lie inside the volume.

    Raises:
        ValueError: if the shapes differ or an axis is shorter than the window.
    """
    _check_grids(truth, prediction)
    if min(truth.shape[-3:]) < WINDOW:
        raise ValueError(
            f"a grid of {truth.shape[-3:]} voxels is smaller than the window of {WINDOW}; "
            "use a finer grid"
        )
    return _each_volume(_periodic_ssim if periodic else _ssim, truth, prediction)


def psnr(truth: Truths, prediction: Predictions) -> Float[Array, "*batch"]:
    """Return the peak signal-to-noise ratio in dB, 10 log10(range^2 / mean squared error).

    The range is that of the truth, maximum - minimum, or 1 where the truth is constant. Identical
    volumes give `PSNR_CEILING`, so that an average over materials stays finite.

    Raises:
        ValueError: if the shapes differ.
    """
    _check_grids(truth, prediction)
    return _each_volume(_psnr, truth, prediction)


def nmae(truth: Truths, prediction: Predictions) -> Float[Array, "*batch"]:
    """Return the normalised mean absolute error, mean |prediction - truth| / mean |truth|.

    A perfect prediction gives 0, and predicting zero everywhere gives 1. The magnitude of a truth
    that is zero everywhere is taken as 1.

    Raises:
        ValueError: if the shapes differ.
    """
    _check_grids(truth, prediction)
    return _each_volume(_nmae, truth, prediction)


def pearson(truth: Truths, prediction: Predictions) -> Float[Array, "*batch"]:
    """Return Pearson's correlation of the voxels, -1 to 1; 0 where a volume is constant.

    Raises:
        ValueError: if the shapes differ.
    """
    _check_grids(truth, prediction)
    return _each_volume(_pearson, truth, prediction)


def r_factor(truth: Truths, prediction: Predictions) -> Float[Array, "*batch"]:
    """Return R = sum ||F| - |F'|| / sum |F| over the modes h != 0 that the grid carries.

    F and F' are the Fourier coefficients of truth and prediction. Within one cell they are
    proportional to the structure factors, so that R is the crystallographic R factor (International
    Tables C, chapter 8.6). It needs no scale factor, because both densities are in e/angstrom^3. R
    ignores phases: a shift of the origin does not change it. A constant prediction gives 1. The sum
    over the modes of a truth without modes is taken as 1.

    Raises:
        ValueError: if the shapes differ.
    """
    _check_grids(truth, prediction)
    return _each_volume(_r_factor, truth, prediction)


def prepare(truth: Volume) -> Truth:
    """Precompute the quantities that every comparison with this truth needs."""
    return Truth(
        truth,
        _windows(truth),
        range=_one_if_zero(truth.max() - truth.min()),
        magnitude=_one_if_zero(jnp.abs(truth).mean()),
    )


def compare(truth: Truth, prediction: Volume) -> dict[str, Scalar]:
    """Return the metrics of the protocol by name: "ssim", "psnr" (dB) and "nmae"."""
    return {
        "ssim": _ssim(truth, prediction),
        "psnr": _psnr(truth, prediction),
        "nmae": _nmae(truth, prediction),
    }


def compare_in_full(truth: Truth, prediction: Volume) -> dict[str, Scalar]:
    """Return all metrics: those of `compare`, "periodic_ssim", "pearson" and "r_factor"."""
    return compare(truth, prediction) | {
        "periodic_ssim": _periodic_ssim(truth, prediction),
        "pearson": _pearson(truth, prediction),
        "r_factor": _r_factor(truth, prediction),
    }


def _ssim(truth: Truth, prediction: Volume) -> Scalar:
    t, p = truth.windows, _windows(prediction)
    c1, c2 = (K1 * truth.range) ** 2, (K2 * truth.range) ** 2
    mean_t, mean_p = t.mean + t.local_mean, p.mean + p.local_mean
    covariance = _covariance(t.deviation, p.deviation, t.local_mean * p.local_mean)
    luminance = (2 * mean_t * mean_p + c1) / (mean_t**2 + mean_p**2 + c1)
    structure = (2 * covariance + c2) / (t.local_variance + p.local_variance + c2)
    return (luminance * structure).mean()


def _periodic_ssim(truth: Truth, prediction: Volume) -> Scalar:
    """Return the SSIM of volumes that are padded periodically, with one window for each voxel."""
    wrap = partial(jnp.pad, pad_width=WINDOW // 2, mode="wrap")
    return _ssim(prepare(wrap(truth.volume)), wrap(prediction))


def _psnr(truth: Truth, prediction: Volume) -> Scalar:
    mean_square = ((prediction - truth.volume) ** 2).mean()
    return -10 * jnp.log10(jnp.maximum(mean_square / truth.range**2, 2.0**-48))


def _nmae(truth: Truth, prediction: Volume) -> Scalar:
    return jnp.abs(prediction - truth.volume).mean() / truth.magnitude


def _pearson(truth: Truth, prediction: Volume) -> Scalar:
    t, p = truth.volume - truth.volume.mean(), prediction - prediction.mean()
    return (t * p).sum() / _one_if_zero(jnp.sqrt((t**2).sum() * (p**2).sum()))


def _r_factor(truth: Truth, prediction: Volume) -> Scalar:
    t, p = _amplitudes(truth.volume), _amplitudes(prediction)
    return jnp.abs(t - p).sum() / _one_if_zero(t.sum())


def _amplitudes(volume: Volume) -> Float[Array, "h k l"]:
    """Return |F| of each mode, with 0 for h = 0.

    The mean is subtracted first: its remainder would drown weak modes in float32.
    """
    modes = jnp.abs(structure_factors(volume - volume.mean()))
    h, k, ell = (n // 2 for n in modes.shape)
    return modes.at[h, k, ell].set(0)


def _windows(volume: Volume) -> Windows:
    mean = volume.mean()
    deviation = volume - mean
    local_mean = _window_mean(deviation)
    return Windows(mean, deviation, local_mean, _covariance(deviation, deviation, local_mean**2))


def _covariance(
    x: Volume, y: Volume, product_of_means: Float[Array, "a-6 b-6 c-6"]
) -> Float[Array, "a-6 b-6 c-6"]:
    """Return the sample covariance in each window, the unbiased estimate with n - 1."""
    voxels = WINDOW**3
    return voxels / (voxels - 1) * (_window_mean(x * y) - product_of_means)


def _window_mean(volume: Volume) -> Float[Array, "a-6 b-6 c-6"]:
    """Return the mean over each window, computed as three one-dimensional sums."""
    for axis in range(3):
        extent = [WINDOW if k == axis else 1 for k in range(3)]
        volume = jax.lax.reduce_window(volume, 0.0, jax.lax.add, extent, (1, 1, 1), "valid")
    return volume / WINDOW**3


def _one_if_zero(value: Scalar) -> Scalar:
    return jnp.where(value > 0, value, 1.0)


@partial(jax.jit, static_argnums=0)
def _each_volume(
    metric: Callable[[Truth, Array], Array], truth: Truths, prediction: Predictions
) -> Float[Array, "*batch"]:
    """Apply a metric to each pair of a batch, in float32.

    The pairs are processed one after the other, so that a volume and its windows stay in the cache
    of a processor.
    """
    grid = truth.shape[-3:]
    pairs = [jnp.asarray(x, jnp.float32).reshape(-1, *grid) for x in (truth, prediction)]
    values = jax.lax.map(lambda pair: metric(prepare(pair[0]), pair[1]), pairs)
    return values.reshape(truth.shape[:-3])


def _check_grids(truth: Truths, prediction: Predictions) -> None:
    if truth.shape != prediction.shape:
        raise ValueError(
            f"truth has shape {truth.shape} and prediction {prediction.shape}; "
            "bring both onto one grid first"
        )
