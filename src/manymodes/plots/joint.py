"""The joint density of two target dimensions of one prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.distributions.line import Line
from manymodes.plots import canvas, grids
from manymodes.plots.inputs import Array, array, check_rows, finite, in_0_1

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TAILS = (0.02, 0.1, 0.2, 0.35, 0.5)  # of components, where points are added
_N_POINTS = 200  # of each axis, before those around components
_DEPTH = 30.0  # nats below the lowest level that still matter for where contours run


def joint_contour(
    distribution: Prediction,
    *,
    row: int = 0,
    dims: Sequence[int] = (0, 1),
    levels: Sequence[float] = (0.5, 0.8, 0.95),
    y: Any = None,
    ax: Axes | None = None,
    names: Sequence[str] | None = None,
) -> Axes:
    """Draw the joint density of two target dimensions of one row as nested highest-density regions.

    The region of a probability is where the density is at least ``highest_density_level``, estimated from 10,000
    samples with a fixed seed, so that it holds the probability up to half a percent or so. The grid is denser around
    components.

    Args:
        distribution: Predictions, ``batch_shape`` (N,), ``event_shape`` (D,), D > 1.
        row: Number of the row, from 0.
        dims: Target dimensions on the horizontal and the vertical axis, both with a density.
        levels: Probabilities of the regions, each > 0 and < 1.
        y: Observed target, (D,), or several, (S, D), say samples.
        ax: Axes to draw on; None makes some.
        names: Names of the two dimensions, with their units; None gives their numbers.

    Raises:
        ValueError: A row or dimension that is not there, counts or point masses, a level that is none, or a y that does
            not fit or is not finite.
        TypeError: A distribution that is no prediction, or axes that are none.
        ImportError: matplotlib is not installed.

    Example:
        >>> import torch
        >>> from matplotlib.figure import Figure
        >>> from manymodes.distributions import DiagonalNormal, Mixture
        >>> loc = torch.tensor([[[-1.0, 0.0], [1.0, 0.0]]])  # (N, K, D)
        >>> weights = torch.distributions.Categorical(torch.ones(1, 2))
        >>> density = Mixture(weights, DiagonalNormal(loc, torch.full_like(loc, 0.3)))
        >>> ax = joint_contour(density, names=["east (m)", "north (m)"], ax=Figure().subplots())
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('east (m)', 'north (m)')
    """
    check_rows(distribution)
    row = _checks.integer_at_least("row", row, 0, distribution.batch_shape[0] - 1)
    chosen = _two_dims(distribution, dims)
    labels = _labels(names, chosen)
    levels = in_0_1("levels", levels)
    points = None if y is None else _points(y, distribution.event_shape[0])[:, chosen]
    density = distribution.marginal(chosen).to("cpu").to(torch.float64)[row : row + 1]
    ax = canvas.axes(ax)
    _draw(ax, density, levels)
    if points is not None:
        canvas.observed(ax, points[:, 0], points[:, 1])
    return canvas.finish(ax, *labels)


def _labels(names: Sequence[str] | None, dims: list[int]) -> list[str]:
    if names is None:
        return [f"y, dimension {dim}" for dim in dims]
    if isinstance(names, str) or len(names) != 2:
        raise _checks.InputError(f"names must be two names, one for each of dims; got {names!r}.")
    return list(names)


def _draw(ax: Axes, density: Prediction, levels: list[float]) -> None:
    tail = min(grids.TAIL, (1 - levels[0]) / 20)
    across, up = (_axis(density.marginal(dim), tail) for dim in (0, 1))
    borders = [float(density.highest_density_level(level)) for level in levels]
    height = _heights(density, across, up).clip(min=min(borders) - _DEPTH)
    top = max(float(height.max()), *borders) + 1
    for level, border, color in zip(levels, borders, canvas.tints(len(levels)), strict=True):
        ax.contourf(across, up, height, [border, top], colors=[color], zorder=1)
        ax.contour(across, up, height, [border], colors=canvas.BLUE, linewidths=0.8, linestyles="solid", zorder=2)
        ax.fill([], [], color=color, label=canvas.percent(level))


def _axis(marginal: Prediction, tail: float) -> Array:
    line = Line.of(marginal.logits, marginal.components)
    return array(grids.points(line, *grids.limits(marginal, tail=tail), _N_POINTS, _TAILS))


def _heights(density: Prediction, across: Array, up: Array) -> Array:
    """Return log-densities over the plane, (G_up, G_across)."""
    first = torch.from_numpy(across)
    rows = []
    for second in up:
        place = torch.stack([first, torch.full_like(first, float(second))], -1)  # (G_across, 2)
        rows.append(density.log_prob(place.unsqueeze(1))[:, 0])
    return array(torch.stack(rows))


def _two_dims(distribution: Prediction, dims: Sequence[int]) -> list[int]:
    target_dim = distribution.event_shape[0]
    if target_dim < 2:
        raise _checks.InputError("distribution must have at least two target dimensions; got one, which contour draws.")
    if not isinstance(dims, (list, tuple)) or len(dims) != 2:
        raise _checks.InputError(f"dims must be a list of two target dimensions; got {dims!r}.")
    chosen: list[int] = distribution.dims(list(dims))
    for group in distribution.components.groups:
        for kind, dim in ((group.kinds[dim], dim) for dim in chosen):
            if kind not in ("real", "angle"):
                raise _checks.InputError(f"dims must name dimensions with a density; got {dim}, of kind {kind!r}.")
    return chosen


def _points(y: Any, target_dim: int) -> Array:
    points = np.atleast_2d(finite("y", y))
    _checks.matches_shape("y", points.shape, ("S", target_dim), "to match the target dimensions")
    return points
