"""Bars: one number for each of several names, and histograms that are as small as a word."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from manymodes.pages.charts import Chart
from manymodes.pages.html import Markup

_ROW_HEIGHT = 26
_SPARK_WIDTH, _SPARK_HEIGHT = 100, 22


def bar_chart(
    names: Sequence[str], values: Sequence[float], errors: Sequence[float], x_label: str, description: str
) -> str:
    """Return a figure with one horizontal bar for each name, the first at the top.

    Args:
        names: What the bars stand for.
        values: Lengths of the bars.
        errors: What whiskers reach to either side of the bars' ends.
        x_label: What is on the x axis, with its unit.
        description: Caption, also read by screen readers.
    """
    ends = list(zip(names, values, errors, strict=True))
    low = min(0.0, *(value - error for _, value, error in ends))
    high = max(0.0, *(value + error for _, value, error in ends))
    height = 64 + _ROW_HEIGHT * len(names)
    chart = Chart((low, high), (0.0, float(len(names))), x_label=x_label, height=height, labels=names)
    for place, (name, value, error) in enumerate(ends):
        middle = len(names) - place - 0.5
        chart.box((min(value, 0.0), middle - 0.32), (max(value, 0.0), middle + 0.32), "bar")
        chart.line((value - error, middle), (value + error, middle), "whisker")
        chart.label(middle, name)
    return chart.figure(description)


def sparkline(counts: Sequence[float], description: str) -> Markup:
    """Return a histogram as small as a word: one bar for each count, from left to right."""
    width, highest = _SPARK_WIDTH / max(len(counts), 1), max([*counts, 1e-300])
    bars = "".join(
        f'<rect class="full" x="{place * width:.4g}" y="{_SPARK_HEIGHT * (1 - count / highest):.4g}" '
        f'width="{0.86 * width:.4g}" height="{_SPARK_HEIGHT * count / highest:.4g}"/>'
        for place, count in enumerate(counts)
        if count > 0
    )
    return Markup(
        f'<svg class="spark" viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(description)}">{bars}</svg>'
    )
