"""The plot of a prediction, for notebooks and papers."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from cmed_jax.physics.patterns import BINS
from cmed_jax.powder.preparation import Prepared
from cmed_jax.prediction.result import Prediction
from cmed_jax.report.prediction_density import marked_values, volumes
from cmed_jax.report.slices import draw_plane, planes
from cmed_jax.report.strips import round_values
from cmed_jax.solution.calculated import CalculatedPattern

COLOURS = {"measured": "#1f2933", "background": "#b8862b", "implied": "#3b6ea5", "peaks": "#b5493a"}


def plot(prediction: Prediction) -> Figure:
    """Return a figure: slices of the density above the measured and the calculated pattern.

    The slices pass through the densest voxel, in fractional coordinates. Slices of the deviation
    stand below those of the density where `prediction.std` is known.
    """
    drawn = volumes(prediction)
    figure = Figure(figsize=(10, 8 if len(drawn) == 1 else 10), layout="constrained")
    ratios = [3 * len(drawn), 4]
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=ratios)[:, 0]
    densest = np.unravel_index(prediction.density.argmax(), prediction.density.shape)
    for row, (name, (volume, colours)) in zip(
        above.subplots(len(drawn), 2, squeeze=False), drawn.items(), strict=True
    ):
        for ax, plane in zip(row, planes(volume, np.array(densest)), strict=True):
            draw_plane(ax, plane, colours)
            ax.set_title(f"{name}, {plane.equation}")
        mappable = ScalarMappable(colours.norm, colours.map)
        ticks = marked_values(colours)
        above.colorbar(mappable, ax=row.tolist(), label="e/Å³", format="%g", ticks=ticks)
    _draw_patterns(below.subplots(), prediction)
    return figure


def _draw_patterns(ax: Axes, prediction: Prediction) -> None:
    prepared, calculated = prediction.prepared, prediction.calculated
    if prepared is None:
        angle = (np.arange(BINS) + 0.5) * 180 / BINS
        ax.vlines(angle, 0, prediction.pattern, COLOURS["measured"], linewidth=0.8)
        ax.set(xlabel="2θ / degrees (Mo Kα)", ylabel="intensity", xlim=(0, 180))
    elif prepared.measured.is_profile:
        _draw_profile(ax, prepared, calculated)
    else:
        _draw_list(ax, prepared, calculated)
    ax.spines[["top", "right"]].set_visible(False)


def _draw_profile(ax: Axes, prepared: Prepared, calculated: CalculatedPattern | None) -> None:
    angle, intensity = prepared.measured.two_theta, prepared.measured.intensity
    ax.plot(angle, intensity, COLOURS["measured"], linewidth=0.8, label="measured")
    ax.plot(angle, prepared.background, COLOURS["background"], linewidth=0.8, label="background")
    low = -0.06 * intensity.max()
    ax.vlines(
        prepared.peaks.two_theta, low, low / 3, COLOURS["peaks"], linewidth=1, label="peaks found"
    )
    if calculated is not None:
        label = f"calculated, Rwp {calculated.rwp:.2f}"
        ax.plot(angle, calculated.intensity, COLOURS["implied"], linewidth=1, label=label)
        difference = intensity - calculated.intensity
        offset = 1.5 * low - difference.max()
        ax.plot(angle, difference + offset, "#7d8894", linewidth=0.8, label="difference")
    ax.set(xlabel="2θ / degrees", ylabel="intensity", xlim=(angle[0], angle[-1]))
    ax.set_yticks(round_values(0.0, float(intensity.max()), 4))
    ax.legend(frameon=False)


def _draw_list(ax: Axes, prepared: Prepared, calculated: CalculatedPattern | None) -> None:
    """Draw the measured lines upwards and the calculated ones downwards."""
    angle, intensity = prepared.measured.two_theta, prepared.measured.intensity
    ax.vlines(angle, 0, intensity, COLOURS["measured"], linewidth=1, label="measured")
    if calculated is not None:
        angle, area = calculated.lines.T
        label = f"calculated, Rwp {calculated.rwp:.2f}"
        ax.vlines(angle, -area, 0, COLOURS["implied"], linewidth=1, label=label)
    ax.axhline(0, color="#e3e1da", linewidth=0.8)
    ax.set(xlabel="2θ / degrees", ylabel="intensity")
    ax.legend(frameon=False)
