"""The look of every picture: axes, colours, labels, observed targets, legends.

Colours are told apart by colour-blind readers: those of Okabe and Ito (2008), tints of one hue for nested sets, and
perceptually uniform maps for densities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from manymodes import _checks
from manymodes.plots.inputs import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, INK, GREY, ATOM = "#0072B2", "#222222", "#999999", "#D55E00"
DENSITY_MAP = "viridis"
_QUALITATIVE = (BLUE, "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
MARGIN = 0.01  # beside what is drawn, as a share of the axis
_SIZE = (6.8, 4.2)  # inches
_MISSING = "plots need matplotlib; install manymodes with its extra: pip install 'manymodes[plots]'."
_LONG = 12  # names in one column of a legend
_LIGHTEST, _STRONGEST = 0.22, 0.8  # shares of a hue in its tints


def axes(ax: Axes | None) -> Axes:
    """Return the axes handed in, or those of a new figure of pyplot, which a notebook shows by itself.

    Raises:
        ImportError: matplotlib is not installed.
        TypeError: Something that is no axes.
    """
    try:
        from matplotlib.axes import Axes
    except ImportError as error:
        raise ImportError(_MISSING) from error
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=_SIZE, layout="constrained")
    _checks.instance("ax", ax, Axes, " of matplotlib")
    return ax


def figure(n_rows: int = 1, n_columns: int = 1, *, size: tuple[float, float] | None = None, **options: Any) -> Any:
    """Return a new figure without pyplot, and its axes, (n_rows, n_columns).

    Args:
        n_rows: Rows of axes.
        n_columns: Columns of axes.
        size: Width and height of the whole in inches; None takes the usual size for each of the axes, made smaller
            where there are several columns.
        options: Of ``matplotlib.figure.Figure.subplots``, say ``sharex=True``.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(_MISSING) from error
    width, height = _SIZE
    scale = 1.0 if n_columns == 1 else 0.75
    drawn = Figure(figsize=size or (scale * width * n_columns, scale * height * n_rows), layout="constrained")
    return drawn, drawn.subplots(n_rows, n_columns, squeeze=False, **options)


def finish(
    ax: Axes, x_label: str, y_label: str, *, legend_title: str | None = None, legend_inside: bool = False
) -> Axes:
    """Label the axes, take away the frame that says nothing and explain what is named.

    The legend lies beside axes whose figure makes room for it, else inside, where it hides least.
    """
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.spines[["top", "right"]].set_visible(False)
    names = ax.get_legend_handles_labels()[1]
    if not names:
        return ax
    look: dict[str, Any] = {"framealpha": 0.85, "edgecolor": "none"}
    if ax.figure.get_layout_engine() is not None and not legend_inside:
        look = {"frameon": False, "loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    n_columns = 1 if len(names) <= _LONG else 2
    ax.legend(title=legend_title, ncols=n_columns, fontsize="small", alignment="left", **look)
    return ax


def observed(ax: Axes, x: Array, y: Array, *, label: str | None = "observed") -> None:
    """Draw observed targets as dots, dark with a light rim, which shows on light and on dark."""
    size = float(np.clip(60 / np.sqrt(len(x)), 2.5, 5.0))
    ax.plot(x, y, "o", ms=size, color=INK, mec="white", mew=0.4, alpha=0.8, label=label, zorder=5)


def qualitative(count: int) -> list[str]:
    """Return as many colours for things without an order."""
    if count <= len(_QUALITATIVE):
        return list(_QUALITATIVE[:count])
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(color) for color in colormaps["viridis"](np.linspace(0.0, 0.95, count))]


def tints(count: int) -> list[str]:
    """Return tints of one hue from light to strong; they are opaque, so that nothing shines through."""
    return tinted(BLUE, np.linspace(_LIGHTEST, _STRONGEST, count) if count > 1 else np.array([0.45]))


def tinted(color: str, shares: Array) -> list[str]:
    """Return a colour mixed with white, of which it leaves nothing where its share is 1."""
    from matplotlib.colors import to_hex, to_rgb

    hue = np.array(to_rgb(color))
    return [to_hex(tuple(1 - share * (1 - hue))) for share in shares]


def percent(level: float) -> str:
    """Return a probability as people write it."""
    return f"{100 * level:.6g} %"
