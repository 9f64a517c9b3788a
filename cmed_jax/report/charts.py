"""Charts of the page: small SVG drawings with real text, coloured by style-sheet classes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

WIDTH, HEIGHT = 420, 260
"""The size of a chart, in its own units; a chart fills the width that the page gives it."""

LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 42
"""The margins around the plotting area."""

Values = Sequence[float | int] | Real[np.ndarray, " n"]


class Axis(NamedTuple):
    """One axis of a chart.

    Attributes:
        label: the label of the axis.
        low: the value at the beginning of the axis.
        high: the value at its end; it may be smaller than `low`.
        ticks: the marked values.
        log: whether the axis is logarithmic.
    """

    label: str
    low: float
    high: float
    ticks: Values
    log: bool = False

    def place(self, values: Values) -> Float[np.ndarray, " n"]:
        """Return the positions of values along the axis, 0 at the low end and 1 at the high one."""
        scale = np.log if self.log else np.asarray
        low, high = scale(self.low), scale(self.high)
        return (scale(np.asarray(values, float)) - low) / (high - low)


@dataclass
class Chart:
    """A drawing to which marks are added, the later ones on top."""

    x: Axis
    y: Axis
    height: int = HEIGHT
    left: int = LEFT
    marks: list[str] = field(default_factory=list)

    def line(self, x: Values, y: Values, name: str) -> "Chart":
        """Add a line through points, drawn in a class of the style sheet."""
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in self._points(x, y))
        self.marks.append(f'<polyline class="{name}" points="{points}"/>')
        return self

    def band(self, x: Values, low: Values, high: Values, name: str) -> "Chart":
        """Add the area between two curves."""
        there, back = self._points(x, low), self._points(x, high)[::-1]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in [*there, *back])
        self.marks.append(f'<polygon class="{name}" points="{points}"/>')
        return self

    def dots(
        self,
        x: Values,
        y: Values,
        name: str,
        radius: int = 3,
        titles: Sequence[str] = (),
    ) -> "Chart":
        """Add dots; the title of a dot appears under the pointer."""
        titles = titles or [""] * len(x)
        for (a, b), title in zip(self._points(x, y), titles, strict=True):
            label = f"<title>{escape(title)}</title>" if title else ""
            circle = f'<circle class="{name}" cx="{a:.1f}" cy="{b:.1f}" r="{radius}">'
            self.marks.append(f"{circle}{label}</circle>")
        return self

    def bars(self, low: Values, high: Values, y: Values, name: str) -> "Chart":
        """Add bars that stand on the low end of y, from low to high in x."""
        corners = zip(self._points(low, y), self._points(high, y), strict=True)
        ground = self.height - BOTTOM
        for (a, b), (c, _) in corners:
            self.marks.append(
                f'<rect class="{name}" x="{a + 0.5:.1f}" y="{b:.1f}" width="{c - a - 1:.1f}" '
                f'height="{ground - b:.1f}"/>'
            )
        return self

    def row_names(self, names: Sequence[str]) -> "Chart":
        """Write names to the left of the rows y = 0, 1, ..."""
        for row, name in enumerate(names):
            ((_, b),) = self._points([self.x.low], [row])
            words = escape(name)
            self.marks.append(
                f'<text class="row" x="{self.left - 8}" y="{b + 4:.1f}">{words}</text>'
            )
        return self

    def svg(self, title: str) -> str:
        """Return the drawing; screen readers read its title."""
        body = "".join([*self._grid(), *self.marks])
        box = f"0 0 {WIDTH} {self.height}"
        return f'<svg viewBox="{box}" role="img" aria-label="{escape(title)}">{body}</svg>'

    def _points(self, x: Values, y: Values) -> list[tuple[float, float]]:
        across = self.left + self.x.place(x) * (WIDTH - self.left - RIGHT)
        up = self.height - BOTTOM - self.y.place(y) * (self.height - TOP - BOTTOM)
        return list(zip(across.tolist(), up.tolist(), strict=True))

    def _grid(self) -> list[str]:
        ground, middle = self.height - BOTTOM, (self.left + WIDTH - RIGHT) / 2
        columns = self._points(self.x.ticks, [self.y.low] * len(self.x.ticks))
        rows = self._points([self.x.low] * len(self.y.ticks), self.y.ticks)
        marks = [f'<path class="grid" d="M{a:.1f} {TOP}V{ground}"/>' for a, _ in columns]
        marks += [f'<path class="grid" d="M{self.left} {b:.1f}H{WIDTH - RIGHT}"/>' for _, b in rows]
        for (a, _), value in zip(columns, self.x.ticks, strict=True):
            marks.append(f'<text class="tick" x="{a:.1f}" y="{ground + 16}">{value:g}</text>')
        for (_, b), value in zip(rows, self.y.ticks, strict=True):
            place = f'x="{self.left - 6}" y="{b + 4:.1f}"'
            marks.append(f'<text class="tick side" {place}>{value:g}</text>')
        below = f'x="{middle:.0f}" y="{self.height - 6}"'
        beside = f'transform="translate(11 {(TOP + ground) / 2:.0f}) rotate(-90)"'
        labels = ((below, self.x.label), (beside, self.y.label))
        return marks + [
            f'<text class="axis" {place}>{escape(label)}</text>' for place, label in labels if label
        ]
