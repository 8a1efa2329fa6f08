"""Ridgelines: the densities of some rows above one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.plots import canvas, grids
from manymodes.plots.inputs import Array, along_x, array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT, _STEM = 1.5, 0.9  # of the highest density of a row, and of a point mass of 1, in rows


def ridgeline(
    distribution: Prediction,
    x: Any,
    *,
    dim: int = 0,
    n_rows: int = 12,
    y: Any = None,
    ax: Axes | None = None,
    x_label: str = "x",
    y_label: str = "y",
) -> Axes:
    """Draw the densities of some rows above one another, each labelled with its x, the smallest at the bottom.

    All rows share one axis of targets, which covers their 0.1 % to 99.9 % quantiles. Each row has a scale of its own:
    its highest density reaches halfway beyond the next row, or less in proportion to what point masses hold. Point
    masses are stems, which almost reach the next row where they hold everything. Counts are steps, one to an integer.

    Args:
        distribution: Predictions, ``batch_shape`` (N,), ``event_shape`` (D,).
        x: Input that names the rows, (N,), in any order.
        dim: Target dimension.
        n_rows: Largest number of rows drawn, evenly spread over the sorted rows.
        y: Observed targets, (N,) or (N, D), drawn as dots on their rows.
        ax: Axes to draw on; None makes some.
        x_label: Name of the input, with its unit.
        y_label: Name of the target, with its unit.

    Raises:
        ValueError: No rows, an x or y that does not fit them or is not finite, a dimension that is not there, or counts
            beside a density.
        TypeError: A distribution that is no prediction, or axes that are none.
        ImportError: matplotlib is not installed.

    Example:
        >>> import torch
        >>> from matplotlib.figure import Figure
        >>> from manymodes.distributions import DiagonalNormal, Mixture
        >>> loc = torch.linspace(-1, 1, 5)[:, None, None] * torch.tensor([[1.0], [-1.0]])  # (N, K, D)
        >>> weights = torch.distributions.Categorical(torch.ones(5, 2))
        >>> density = Mixture(weights, DiagonalNormal(loc, torch.full_like(loc, 0.2)))
        >>> ax = ridgeline(density, [10, 20, 30, 40, 50], n_rows=3, ax=Figure().subplots())
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['10', '30', '50']
    """
    n_rows = _checks.integer_at_least("n_rows", n_rows, 1)
    along = along_x(distribution, x, y, dim, several=False)
    chosen = np.unique(np.linspace(0, len(along.x) - 1, min(n_rows, len(along.x))).round().astype(int))
    mixture, outcomes = along.mixture[torch.from_numpy(chosen)], None if along.y is None else along.y[chosen]
    densities = grids.on_points(mixture, *grids.limits(mixture, outcomes))
    ax = canvas.axes(ax)
    _draw(ax, densities)
    if outcomes is not None:
        canvas.observed(ax, outcomes, np.arange(len(chosen), dtype=np.float64))
    ax.set_yticks(range(len(chosen)), _labels(along.x[chosen]))
    ax.tick_params(axis="y", length=0)
    ax.margins(x=canvas.MARGIN, y=0.02)
    canvas.finish(ax, y_label, x_label)
    ax.spines["left"].set_visible(False)
    return ax


def _draw(ax: Axes, densities: grids.Densities) -> None:
    """Draw rows from the top down, so that lower ones lie in front."""
    steps: Literal["mid"] | None = "mid" if densities.kind == "count" else None
    style = "steps-mid" if steps else "default"
    (fill,) = canvas.tints(1)
    for row in reversed(range(len(densities.height))):
        base, front = float(row), 2 - row / (1 + len(densities.height))
        density, finite = densities.height[row], np.isfinite(densities.height[row])  # there may be a pole
        if densities.share[row] > 0:
            density = density.clip(max=density[finite].max(initial=1e-300))
            curve = base + _HEIGHT * density / density.max() * densities.share[row]
            ax.fill_between(densities.y, base, curve, step=steps, color=fill, alpha=0.85, linewidth=0, zorder=front)
            ax.plot(densities.y, curve, drawstyle=style, color=canvas.BLUE, lw=1.0, zorder=front)
        mask = densities.atoms.mask[row]
        place, mass = array(densities.atoms.location[row][mask]), array(densities.atoms.mass[row][mask])
        if len(place):
            ax.vlines(place, base, base + _STEM * mass, color=canvas.ATOM, lw=2.2, zorder=front)
            ax.plot(place, base + _STEM * mass, "o", ms=4, color=canvas.ATOM, zorder=front)


def _labels(x: Array) -> list[str]:
    """Return numbers with as many digits as tell apart those that differ, three at least, and 1200 without an e."""
    n_distinct = len(np.unique(x))
    before_point = len(str(int(np.abs(x).max())))
    for digits in range(max(3, min(before_point, 6)), 18):
        texts = [f"{value:.{digits}g}" for value in x]
        if len(set(texts)) == n_distinct:
            break
    return texts
