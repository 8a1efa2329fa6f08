"""p(y | x) over the plane of an input and a target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.plots import canvas, grids
from manymodes.plots.inputs import Array, along_x, array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARGIN = 0.03
_SHARE = 0.9  # of the values of x whose highest density the colours reach


def contour(
    distribution: Prediction,
    x: Any,
    *,
    dim: int = 0,
    n_levels: int = 12,
    y: Any = None,
    ax: Axes | None = None,
    x_label: str = "x",
    y_label: str = "y",
) -> Axes:
    """Draw p(y | x) over the plane of x and y as filled contours, with a colour bar.

    The density is averaged over the cells of a grid that covers the 0.1 % to 99.9 % quantiles of all rows, so that a
    peak narrower than a cell is not lost. Colours change at levels that are evenly spaced in the root of the density,
    which keeps low and broad modes visible beside high and narrow ones; they end at the highest density of nine values
    of x in ten, and what is higher has the last colour. Between values of x the density is interpolated; rows with the
    same x are averaged. Counts are cells around integers. Point masses are dots whose area tells their probability.

    Args:
        distribution: Predictions, ``batch_shape`` (N,), ``event_shape`` (D,).
        x: Input, (N,), in any order.
        dim: Target dimension.
        n_levels: Number of colours.
        y: Observed targets, (N,) or (N, D).
        ax: Axes to draw on; None makes some.
        x_label: Name of the input, with its unit.
        y_label: Name of the target, with its unit.

    Raises:
        ValueError: Fewer than two levels, an x or y that does not fit the rows or is not finite, an x with one value
            only, a dimension that is not there, counts beside a density, or point masses alone.
        TypeError: A distribution that is no prediction, or axes that are none.
        ImportError: matplotlib is not installed.

    References:
        Bishop (1994), Mixture density networks, figure 9.

    Example:
        >>> import torch
        >>> from matplotlib.figure import Figure
        >>> from manymodes.distributions import DiagonalNormal, Mixture
        >>> loc = torch.linspace(-1, 1, 5)[:, None, None] * torch.tensor([[1.0], [-1.0]])  # (N, K, D)
        >>> weights = torch.distributions.Categorical(torch.ones(5, 2))
        >>> density = Mixture(weights, DiagonalNormal(loc, torch.full_like(loc, 0.2)))
        >>> figure = Figure()
        >>> ax = contour(density, [0, 1, 2, 3, 4], ax=figure.subplots())
        >>> figure.axes[1].get_ylabel()
        'p(y | x)'
    """
    n_levels = _checks.integer_at_least("n_levels", n_levels, 2)
    along = along_x(distribution, x, y, dim)
    low, high = grids.limits(along.mixture, along.y)
    beside = _MARGIN * (high - low)  # for dots at the border
    densities = grids.on_cells(along.mixture, low - beside, high + beside)
    if densities.kind == "atom":
        raise _checks.InputError("contour needs a density or counts; got point masses alone, which ridgeline draws.")
    ax = canvas.axes(ax)
    _draw(ax, along.x, densities, n_levels)
    mask = densities.atoms.mask
    if bool(mask.any()):
        rows, mass = mask.nonzero()[:, 0].numpy(), array(densities.atoms.mass[mask])
        ax.scatter(
            along.x[rows], array(densities.atoms.location[mask]), s=60 * mass, color=canvas.ATOM, label="point mass"
        )
    if along.y is not None:
        canvas.observed(ax, along.x, along.y)
    ax.margins(0)
    return canvas.finish(ax, x_label, y_label, legend_inside=True)  # beside it is the colour bar


def _draw(ax: Axes, x: Array, densities: grids.Densities, n_levels: int) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm

    values, height = _averaged(x, densities.height)
    top = np.quantile(height.max(1), _SHARE)
    levels = (top if top > 0 else height.max()) * np.linspace(0.0, 1.0, n_levels + 1) ** 2
    beyond: Literal["max", "neither"] = "max" if height.max() > levels[-1] else "neither"
    colors = colormaps[canvas.DENSITY_MAP]
    norm = BoundaryNorm(levels, colors.N, extend=beyond)
    drawn: Any
    if densities.kind == "count":
        drawn = ax.pcolormesh(values, densities.y, height.T, shading="nearest", cmap=colors, norm=norm, zorder=0)
    else:
        drawn = ax.contourf(values, densities.y, height.T, levels, cmap=colors, norm=norm, extend=beyond, zorder=0)
    bar = ax.figure.colorbar(drawn, ax=ax, label="p(y | x)", ticks=levels[:: max(1, n_levels // 6)], format="%.2g")
    bar.outline.set_visible(False)


def _averaged(x: Array, height: Array) -> tuple[Array, Array]:
    """Return distinct values of x, (U,), and the mean of the rows of each, (U, G)."""
    values, which, count = np.unique(x, return_inverse=True, return_counts=True)
    total = np.zeros((len(values), height.shape[1]))
    np.add.at(total, which, height)
    return values, total / count[:, None]
