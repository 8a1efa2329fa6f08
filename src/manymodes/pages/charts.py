"""Small charts as inline SVG, coloured by the page's style so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH = 600
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 44
_LETTER, _MOST_LETTERS = 9.5, 22  # width of a letter where pages are narrow, and letters are larger


class Chart:
    """A chart with linear axes; layers are drawn in the order in which they are added.

    Args:
        x_range: Smallest and largest x.
        y_range: Smallest and largest y.
        x_label: What is on the x axis, with its unit.
        y_label: What is on the y axis; an empty label leaves out the y axis's numbers too.
        height: Height in units of the drawing, which is 600 wide.
        labels: Texts that ``label`` will write left of the chart, which take room.
        x_ticks: Places on the x axis and what to write there; None for round numbers.
    """

    def __init__(
        self,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        *,
        x_label: str,
        y_label: str = "",
        height: int = 260,
        labels: Sequence[str] = (),
        x_ticks: Sequence[tuple[float, str]] | None = None,
    ) -> None:
        self._x_range, self._y_range = _widened(x_range), _widened(y_range)
        self._x_label, self._y_label, self._height = x_label, y_label, height
        self._x_ticks = _labelled_ticks(self._x_range, 5) if x_ticks is None else x_ticks
        self._y_ticks = _labelled_ticks(self._y_range, 5) if y_label else []
        beside = [*map(_shortened, labels), *(text for _, text in self._y_ticks)]
        longest = max(map(len, beside), default=0)
        self._left = max(_LEFT, _LETTER * longest + (32 if y_label else 16))
        self._layers: list[str] = []

    def x(self, value: float) -> float:
        """Return the horizontal position of a value."""
        low, high = self._x_range
        return self._left + (value - low) / (high - low) * (WIDTH - self._left - _RIGHT)

    def y(self, value: float) -> float:
        """Return the vertical position of a value."""
        low, high = self._y_range
        return self._height - _BOTTOM - (value - low) / (high - low) * (self._height - _TOP - _BOTTOM)

    def curve(self, xs: Sequence[float], ys: Sequence[float], style: str) -> None:
        """Add a line through points."""
        self._layers.append(f'<path class="curve {style}" d="{self._path(xs, ys)}"/>')

    def ridge(self, xs: Sequence[float], ys: Sequence[float], base: float) -> None:
        """Add a filled curve that stands on the level ``base``."""
        d = f"{self._path(xs, ys)}L{self.x(xs[-1]):.1f} {self.y(base):.1f}L{self.x(xs[0]):.1f} {self.y(base):.1f}Z"
        self._layers.append(f'<path class="ridge" d="{d}"/>')

    def box(self, low: tuple[float, float], high: tuple[float, float], style: str) -> None:
        """Add a filled rectangle between two corners."""
        width, height = self.x(high[0]) - self.x(low[0]), self.y(low[1]) - self.y(high[1])
        self._layers.append(
            f'<rect class="{style}" x="{self.x(low[0]):.1f}" y="{self.y(high[1]):.1f}" '
            f'width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"/>'
        )

    def dot(self, x: float, y: float, title: str, style: str = "dot") -> None:
        """Add a point with a tooltip."""
        self._layers.append(
            f'<circle class="{style}" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="4">'
            f"<title>{escape(title)}</title></circle>"
        )

    def square(self, x: float, y: float, title: str, style: str) -> None:
        """Add a square point with a tooltip."""
        self._layers.append(
            f'<rect class="{style}" x="{self.x(x) - 4:.1f}" y="{self.y(y) - 4:.1f}" width="8" height="8">'
            f"<title>{escape(title)}</title></rect>"
        )

    def line(self, start: tuple[float, float], end: tuple[float, float], style: str) -> None:
        """Add a straight line between two points."""
        where = (
            f'x1="{self.x(start[0]):.1f}" y1="{self.y(start[1]):.1f}" '
            f'x2="{self.x(end[0]):.1f}" y2="{self.y(end[1]):.1f}"'
        )
        self._layers.append(f'<line class="{style}" {where}/>')

    def vertical(self, x: float) -> None:
        """Add a dashed vertical line."""
        where = f'x1="{self.x(x):.1f}" x2="{self.x(x):.1f}" y1="{_TOP}" y2="{self._height - _BOTTOM}"'
        self._layers.append(f'<line class="mark" {where}/>')

    def label(self, y: float, text: str) -> None:
        """Add a text left of the chart, shortened where it is long."""
        self._layers.append(_text(self._left - 8, self.y(y) + 4, _shortened(text), "end"))

    def figure(self, description: str) -> str:
        """Return the chart as a figure; the description is its caption and its text for screen readers."""
        parts = [*self._axes(), *self._layers]
        return (
            f'<figure><svg viewBox="0 0 {WIDTH} {self._height}" role="img" aria-label="{escape(description)}">\n'
            + "\n".join(parts)
            + f"\n</svg><figcaption>{escape(description)}</figcaption></figure>"
        )

    def _axes(self) -> list[str]:
        bottom = self._height - _BOTTOM
        parts = [f'<line class="axis" x1="{self._left:g}" x2="{WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>']
        for tick, text in self._x_ticks:
            parts.append(_text(self.x(tick), bottom + 18, text, "middle"))
        parts.append(_text((WIDTH + self._left - _RIGHT) / 2, self._height - 6, self._x_label, "middle"))
        if not self._y_label:
            return parts
        for tick, text in self._y_ticks:
            y = f"{self.y(tick):.1f}"
            parts.append(f'<line class="grid" x1="{self._left:g}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
            parts.append(_text(self._left - 8, self.y(tick) + 4, text, "end"))
        middle = (_TOP + bottom) / 2
        turned = f'<g transform="rotate(-90 16 {middle})">{_text(16, middle, self._y_label, "middle")}</g>'
        return [*parts, turned]

    def _path(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        points = (f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in zip(xs, ys, strict=True))
        return "M" + "L".join(points)


def ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers from ``low`` to ``high``, about as many as asked for."""
    step = (high - low) / about
    power = 10.0 ** math.floor(math.log10(step))
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda size: abs(size - step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) if step > 1e-9 else k * step for k in range(first, last + 1)]


def as_text(values: Sequence[float], step: float) -> list[str]:
    """Return numbers as text, with enough digits to tell apart those that differ by ``step``."""
    largest = max((abs(value) for value in values), default=0.0)
    if largest == 0:
        return ["0"] * len(values)
    before_point = math.floor(math.log10(largest)) + 1
    digits = 4 if step <= 0 else min(15, 1 + math.ceil(math.log10(largest / step)))
    digits = max(digits, min(before_point, 6), 1)  # 100, not 1e+02
    return [f"{value:.{digits}g}" for value in values]


def _labelled_ticks(limits: tuple[float, float], about: int) -> list[tuple[float, str]]:
    places = ticks(*limits, about)
    step = places[1] - places[0] if len(places) > 1 else 0.0
    return list(zip(places, as_text(places, step), strict=True))


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    if high > low:
        return low, high
    room = 0.5 * abs(low) or 0.5
    return low - room, high + room


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
