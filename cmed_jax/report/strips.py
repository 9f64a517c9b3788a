"""Strips: plots over two-theta that fill any width and can be magnified along the angles.

The drawing stretches with the page, while its lines keep their width. Ticks and labels are text of
the page and stay legible at every width. The strips of one stack share their axis and scroll
together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator

from cmed_jax.report.charts import Axis, Values

ACROSS, UP = 20_000, 2_000
"""The size of a drawing, in its own units."""

ZOOMS = (1, 2, 4, 8)
"""The magnifications of a stack along the angles."""


@dataclass
class Strip:
    """A drawing to which marks are added, the later ones on top.

    Attributes:
        x: the axis of two-theta.
        y: the axis of the values over it.
        height: the height on the page, pixels.
        marks: the marks drawn so far.
    """

    x: Axis
    y: Axis
    height: int
    marks: list[str] = field(default_factory=list)

    def line(self, x: Values, y: Values, name: str) -> "Strip":
        """Add a line through points, drawn in a class of the style sheet."""
        first, *rest = (f"{a} {b}" for a, b in zip(self._across(x), self._down(y), strict=True))
        self.marks.append(f'<path class="{name}" d="M{first}L{" ".join(rest)}"/>')
        return self

    def sticks(self, x: Values, low: Values, high: Values, name: str) -> "Strip":
        """Add upright lines from low to high."""
        ends = zip(self._across(x), self._down(low), self._down(high), strict=True)
        lines = "".join(f"M{a} {b}V{c}" for a, b, c in ends)
        self.marks.append(f'<path class="{name}" d="{lines}"/>')
        return self

    def span(self, start: float, stop: float, name: str) -> "Strip":
        """Add a shaded band of full height between two values of x."""
        a, b = self._across([start, stop])
        self.marks.append(f'<rect class="{name}" x="{a}" width="{b - a}" height="{UP}"/>')
        return self

    def html(self, title: str) -> str:
        """Return the strip; screen readers read its title."""
        rules = "".join(f"M0 {b}H{ACROSS}" for b in self._down(self.y.ticks))
        scale = "".join(
            f'<i style="bottom:{100 * place:.1f}%">{value:,.6g}</i>'
            for place, value in zip(self.y.place(self.y.ticks), self.y.ticks, strict=True)
        )
        return (
            f'<div class="strip" style="height:{self.height}px"><div class="scale">'
            f"<b>{escape(self.y.label)}</b>{scale}</div>"
            f'<svg viewBox="0 0 {ACROSS} {UP}" preserveAspectRatio="none" role="img" '
            f'aria-label="{escape(title)}"><path class="grid" d="{rules}"/>'
            f"{''.join(self.marks)}</svg></div>"
        )

    def _across(self, x: Values) -> list[int]:
        return np.rint(ACROSS * self.x.place(x)).astype(int).tolist()

    def _down(self, y: Values) -> list[int]:
        return np.rint(UP * (1 - self.y.place(y))).astype(int).tolist()


def stack(name: str, strips: Mapping[str, Strip]) -> str:
    """Return a stack of strips above their common axis.

    Args:
        name: the name of the stack, unique on the page.
        strips: the strips by their titles, from the top; all have the same axis of x.
    """
    axis = next(iter(strips.values())).x
    fine = round_values(axis.low, axis.high, 40)
    coarse = set(axis.ticks)
    ticks = "".join(
        f'<i style="left:{100 * place:.2f}%"{"" if value in coarse else " class=fine"}>'
        f"{value:g}</i>"
        for place, value in zip(axis.place(fine), fine, strict=True)
    )
    choices = "".join(
        f'<label><input type="radio" name="{name}" value="{zoom}"'
        f"{' checked' if zoom == 1 else ''}>{zoom}×</label>"
        for zoom in ZOOMS
    )
    return (
        f'<div class="stack-of-strips"><div class="choice">zoom {choices}</div>'
        f'<div class="scroller"><div class="spread">'
        f"{''.join(strip.html(title) for title, strip in strips.items())}"
        f'<div class="strip ticks"><div class="scale"></div><div class="angles">{ticks}</div></div>'
        f'</div></div><div class="axis">{escape(axis.label)}</div></div>'
    )


def angle_axis(low: float, high: float, label: str) -> Axis:
    """Return an axis of two-theta."""
    return Axis(label, low, high, round_values(low, high, 10))


def round_values(low: float, high: float, most: int) -> list[float]:
    """Return evenly spaced round values from low to high, with at most `most` intervals."""
    values = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(x) for x in values if low <= x <= high]
