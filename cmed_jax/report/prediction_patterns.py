"""The patterns of a prediction as strips: measured, calculated, and the network's input."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from cmed_jax.physics.patterns import BINS
from cmed_jax.powder.preparation import Prepared
from cmed_jax.prediction.result import Prediction
from cmed_jax.report.charts import Axis
from cmed_jax.report.html import key
from cmed_jax.report.strips import Strip, angle_axis, round_values, stack
from cmed_jax.solution.calculated import CalculatedPattern

HEIGHT, LOWEST_HEIGHT = 210, 60
"""The usual and the lowest height of strips, pixels."""

MOST_POINTS = 6_000
"""The largest number of points drawn of a profile.

A longer one is drawn by the lowest and the highest point of each stretch.
"""

EDGE = 0.03
"""The margin at both ends of the angles, as a share of their range."""

MARGIN = 0.05
"""The margin above and below, as a share of the highest value."""

ROOTS = {"intensity": "√intensity", "difference": "Δ√intensity"}
"""The labels of axes on the square-root scale, by those on the linear scale."""

_SCALES = (
    '<div class="scales"><div class="choice">scale '
    '<label><input type="radio" name="scale" value="linear" checked>linear</label>'
    '<label><input type="radio" name="scale" value="root">square root</label></div>'
    '<div data-scale="linear">{linear}</div><div data-scale="root" hidden>{root}</div></div>'
)

Column = Float[np.ndarray, " n"]


def measured_patterns(prepared: Prepared, calculated: CalculatedPattern | None) -> str:
    """Return the measured pattern with background and peaks, and the calculated one.

    The patterns are drawn twice over two-theta: on a linear scale, and on a square-root scale. The
    latter shows weak lines, and the counting noise has the same height everywhere on it.
    """
    strips, names = _strips(prepared, calculated)
    roots, _ = _strips(*_rooted(prepared, calculated))
    for strip in roots.values():
        strip.y = strip.y._replace(label=ROOTS[strip.y.label])
    return _SCALES.format(linear=stack("linear", strips), root=stack("root", roots)) + key(names)


def shown_pattern(prediction: Prediction) -> str:
    """Return the bins of the network's input, with the unmeasured ranges shaded."""
    angle = (np.arange(BINS) + 0.5) * 180 / BINS
    strip = Strip(
        angle_axis(-EDGE * 180, (1 + EDGE) * 180, "2θ / degrees, Mo Kα"),
        Axis("intensity", 0, 1 + MARGIN, [0, 0.5, 1]),
        LOWEST_HEIGHT + 60,
    )
    for start, stop in _stretches(prediction.coverage == 0):
        strip.span(180 * start / BINS, 180 * stop / BINS, "unmeasured")
    bright = prediction.pattern > 0
    strip.sticks(angle[bright], np.zeros(bright.sum()), prediction.pattern[bright], "given")
    names = {"shown to the network": "given"}
    if (prediction.coverage == 0).any():
        names["not measured"] = "unmeasured"
    return stack("shown", {"the pattern that the network was shown": strip}) + key(names)


def thinned(x: Column, y: Column) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Return a profile of at most `MOST_POINTS` points, the extremes of each stretch."""
    if len(x) <= MOST_POINTS:
        return x, y
    stretches = np.array_split(np.arange(len(x)), MOST_POINTS // 2)
    kept = sorted({int(part[f(y[part])]) for part in stretches for f in (np.argmin, np.argmax)})
    return x[kept], y[kept]


def _rooted(
    prepared: Prepared, calculated: CalculatedPattern | None
) -> tuple[Prepared, CalculatedPattern | None]:
    """Return the patterns with the square roots of intensities; negative ones keep their sign."""
    measured = replace(prepared.measured, intensity=_root(prepared.measured.intensity))
    if calculated is not None:
        angle, area = calculated.lines.T
        lines = np.stack([angle, _root(area)], axis=1)
        calculated = replace(calculated, intensity=_root(calculated.intensity), lines=lines)
    return replace(prepared, measured=measured, background=_root(prepared.background)), calculated


def _root(values: Column) -> Column:
    return np.sign(values) * np.sqrt(np.abs(values))


def _strips(
    prepared: Prepared, calculated: CalculatedPattern | None
) -> tuple[dict[str, Strip], dict[str, str]]:
    """Return strips by their titles, and a legend."""
    angle = prepared.measured.two_theta
    edge = EDGE * float(np.ptp(angle))
    axis = angle_axis(float(angle[0]) - edge, float(angle[-1]) + edge, "2θ / degrees, as measured")
    draw = _profiles if prepared.measured.is_profile else _lists
    return draw(prepared, calculated, axis)


def _profiles(
    prepared: Prepared, calculated: CalculatedPattern | None, axis: Axis
) -> tuple[dict[str, Strip], dict[str, str]]:
    measured, peaks = prepared.measured, prepared.peaks
    found = Strip(axis, _with_margin_below(measured.intensity), HEIGHT)
    found.line(*thinned(measured.two_theta, measured.intensity), "given")
    names = {"measured": "given"}
    if prepared.background.any():
        found.line(*thinned(measured.two_theta, prepared.background), "background")
        names["background"] = "background"
    _marks(found, peaks.two_theta, "peak")
    strips = {"the measured pattern, its background and its peaks": found}
    names["peaks found"] = "peak"
    if calculated is not None:
        strips |= _beside(prepared, calculated, axis)
        names |= {"calculated from the prediction": "implied", "difference": "difference"}
    return strips, names


def _beside(prepared: Prepared, calculated: CalculatedPattern, axis: Axis) -> dict[str, Strip]:
    """Return the calculated on the measured pattern, and their difference on the same scale."""
    angle, intensity = prepared.measured.two_theta, prepared.measured.intensity
    both = Strip(
        axis, _with_margin_below(np.concatenate([intensity, calculated.intensity])), HEIGHT
    )
    both.line(*thinned(angle, intensity), "given")
    both.line(*thinned(angle, calculated.intensity), "implied")
    _marks(both, calculated.lines[:, 0], "implied")
    difference = intensity - calculated.intensity
    low, high = min(0.0, float(difference.min())), max(0.0, float(difference.max()))
    margin = MARGIN * (high - low or 1.0)
    scale = Axis("difference", low - margin, high + margin, round_values(low, high, 3))
    share = (scale.high - scale.low) / (both.y.high - both.y.low)
    below = Strip(axis, scale, int(np.clip(HEIGHT * share, LOWEST_HEIGHT, HEIGHT)))
    below.line(*thinned(angle, difference), "difference")
    return {
        "the measured pattern and the one calculated from the prediction": both,
        "measured less calculated": below,
    }


def _lists(
    prepared: Prepared, calculated: CalculatedPattern | None, axis: Axis
) -> tuple[dict[str, Strip], dict[str, str]]:
    """Return lists of peaks as upright lines, on one scale."""
    lists = {"measured": (prepared.measured.two_theta, prepared.measured.intensity, "given")}
    if calculated is not None:
        lists["calculated from the prediction"] = (*calculated.lines.T, "implied")
    scale = _with_margin(np.concatenate([area for _, area, _ in lists.values()]))
    strips = {
        name: Strip(axis, scale, HEIGHT).sticks(angle, np.zeros(len(area)), area, kind)
        for name, (angle, area, kind) in lists.items()
    }
    return strips, {name: kind for name, (*_, kind) in lists.items()}


def _with_margin(values: Column) -> Axis:
    """Return an axis of intensities from zero."""
    top = float(values.max()) or 1.0
    low = min(0.0, float(values.min()))
    return Axis("intensity", low, (1 + MARGIN) * top, round_values(0.0, top, 4))


def _with_margin_below(values: Column) -> Axis:
    """Return an axis of intensities with space below zero for marks."""
    axis = _with_margin(values)
    return axis._replace(low=axis.low - 2 * MARGIN * axis.high)


def _marks(strip: Strip, angle: Column, name: str) -> None:
    """Add short lines in the space below zero."""
    inside = angle[(angle >= strip.x.low) & (angle <= strip.x.high)]
    low, height = strip.y.low, MARGIN * strip.y.high
    ends = np.full(len(inside), low + 0.4 * height), np.full(len(inside), low + 1.4 * height)
    strip.sticks(inside, *ends, name)


def _stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the beginnings and ends of runs of true values."""
    edges = np.flatnonzero(np.diff(np.pad(mask, 1).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
