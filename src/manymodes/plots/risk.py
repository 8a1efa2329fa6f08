"""What is gained by leaving uncertain rows unanswered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.metrics.risk import risk_coverage as curve
from manymodes.plots import canvas
from manymodes.plots.inputs import array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 1000  # points of a curve


def risk_coverage(
    error: Any,
    uncertainty: Any,
    *,
    ax: Axes | None = None,
    x_label: str = "share of rows answered",
    y_label: str = "mean error",
) -> Axes:
    """Draw the mean error of the most certain rows over their share.

    Beside it stand the best order, that of the errors themselves, and a random one, which gains nothing. See
    ``metrics.risk_coverage``.

    Args:
        error: Errors, (N,); lower is better.
        uncertainty: What orders the rows, (N,), or several such by name; lower is more certain.
        ax: Axes to draw on; None makes some.
        x_label: Name of the share.
        y_label: Name of the error, with its unit.

    Raises:
        ValueError: No rows, different numbers of them, or values that are not finite.
        TypeError: Axes that are none.
        ImportError: matplotlib is not installed.
    """
    several = dict(uncertainty) if isinstance(uncertainty, Mapping) else {"by uncertainty": uncertainty}
    if not several:
        raise _checks.InputError("uncertainty must hold at least one order; got none.")
    found = {name: curve(error, each) for name, each in several.items()}
    ax = canvas.axes(ax)
    first = next(iter(found.values()))
    shown = _shown(len(first.risk))
    for (name, each), color in zip(found.items(), canvas.qualitative(len(found)), strict=True):
        ax.plot(array(each.coverage)[shown], array(each.risk)[shown], color=color, lw=1.6, label=name, zorder=3)
    coverage, oracle = array(first.coverage)[shown], array(first.oracle)[shown]
    ax.plot(coverage, oracle, "--", color=canvas.GREY, lw=1.4, label="best order", zorder=2)
    ax.axhline(first.random_area, ls=":", color=canvas.INK, lw=1.2, label="random order", zorder=2)
    ax.set_xlim(0, 1)
    return canvas.finish(ax, x_label, y_label)


def _shown(n_rows: int) -> NDArray[np.int64]:
    """Return the numbers of the points that are drawn: no picture shows more."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, _MOST)).round().astype(np.int64))
