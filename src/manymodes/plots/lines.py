"""The components of a mixture along one input: their weights, locations or scales."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes import _checks
from manymodes.distributions import Mixture
from manymodes.plots import canvas
from manymodes.plots.inputs import Array, along_x, array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMED = 24  # components in a legend
_THIN, _THICK = 0.8, 3.4  # points, of a location with weight 0 and 1
_FAINT = 0.35  # share of its colour in a location with weight 0


def components(
    distribution: Mixture,
    x: Any,
    *,
    what: Literal["weights", "locations", "scales"] = "weights",
    dim: int = 0,
    y: Any = None,
    ax: Axes | None = None,
    x_label: str = "x",
    y_label: str | None = None,
    threshold: float = 0.01,
) -> Axes:
    """Draw one line per component along an input: its weight, its location or its scale.

    A location is its component's mean; the line is thicker and darker where the weight is larger, and lies in a band
    of one standard deviation on each side, where that is finite. A scale is a standard deviation. Of angles they are
    the mean direction and the circular standard deviation. Legends number components from 0, as tensors do.

    Args:
        distribution: Predictions, ``batch_shape`` (N,), ``event_shape`` (D,).
        x: Input, (N,), in any order.
        what: ``"weights"``, ``"locations"`` or ``"scales"``.
        dim: Target dimension of locations and scales.
        y: Observed targets, (N,) or (N, D), drawn among the locations.
        ax: Axes to draw on; None makes some.
        x_label: Name of the input, with its unit.
        y_label: What is drawn, with its unit; None says ``what``.
        threshold: Locations and scales are left out where the weight is below; weights that always are become grey.

    Raises:
        ValueError: An unknown ``what``, an x or y that does not fit the rows or is not finite, a dimension that is not
            there, or a threshold that no weight reaches.
        TypeError: A distribution that is no ``Mixture``, or axes that are none.
        ImportError: matplotlib is not installed.

    References:
        Bishop (1994), Mixture density networks, figure 8.

    Example:
        >>> import torch
        >>> from matplotlib.figure import Figure
        >>> from manymodes.distributions import DiagonalNormal
        >>> loc = torch.linspace(-1, 1, 5)[:, None, None] * torch.tensor([[1.0], [-1.0]])  # (N, K, D)
        >>> weights = torch.distributions.Categorical(torch.ones(5, 2))
        >>> density = Mixture(weights, DiagonalNormal(loc, torch.ones_like(loc)))
        >>> ax = components(density, [0, 1, 2, 3, 4], what="weights", ax=Figure().subplots())
        >>> [line.get_label() for line in ax.get_lines()]
        ['0', '1']
    """
    draw = _checks.one_of("what", what, {"weights": _weights, "locations": _locations, "scales": _scales})
    threshold = _checks.number_between("threshold", threshold, 0.0, 1.0, including=(0.0,))
    if y is not None and what != "locations":
        raise _checks.InputError(f"y can only be drawn among locations; got what={what!r}.")
    _checks.instance("distribution", distribution, Mixture, ", as predict_distribution or a network returns it")
    along = along_x(distribution, x, y, dim)
    curves = _curves(along.mixture, along.x, threshold)
    ax = canvas.axes(ax)
    draw(ax, curves, dict(zip(curves.shown, canvas.qualitative(len(curves.shown)), strict=True)))
    if along.y is not None:
        canvas.observed(ax, along.x, along.y)
    names = {"weights": "weight", "locations": "location", "scales": "standard deviation"}
    ax.margins(x=canvas.MARGIN)
    return canvas.finish(ax, x_label, names[what] if y_label is None else y_label, legend_title="component")


class _Curves(NamedTuple):
    """Components along x: arrays (N, K), and the numbers of those that reach the threshold anywhere."""

    x: Array
    weight: Array
    location: Array
    scale: Array
    strong: NDArray[np.bool_]
    shown: list[int]
    angle: bool

    def name(self, k: int) -> str | None:
        return str(k) if len(self.shown) <= _MOST_NAMED else None


def _curves(mixture: Mixture, x: Array, threshold: float) -> _Curves:
    weight, shape = array(mixture.weights), mixture.logits.shape
    strong = weight >= threshold
    if not strong.any():
        raise _checks.InputError(
            f"threshold must be at most {weight.max():.3g}, the largest weight; got {threshold:g}."
        )
    angle = mixture.components.kinds == ("angle",)
    variance = mixture.components.variance[..., 0].expand(shape)
    if angle:  # from the circular variance, Mardia and Jupp (2000), eq. 2.3.11
        variance = -2 * torch.log1p(-variance)
    shown: list[int] = np.flatnonzero(strong.any(0)).tolist()
    location = array(mixture.components.mean[..., 0].expand(shape))
    return _Curves(x, weight, location, array(variance.sqrt()), strong, shown, angle)


def _weights(ax: Axes, curves: _Curves, colors: dict[int, str]) -> None:
    faint = [k for k in range(curves.weight.shape[1]) if k not in colors]
    for k, color in colors.items():
        ax.plot(curves.x, curves.weight[:, k], color=color, lw=1.8, label=curves.name(k))
    for k in faint:
        label = f"others ({len(faint)})" if k == faint[0] else None
        ax.plot(curves.x, curves.weight[:, k], color=canvas.GREY, lw=1.0, label=label)
    top = min(1.0, 1.1 * float(curves.weight.max()))
    ax.set_ylim(-0.02 * top, 1.02 * top)


def _scales(ax: Axes, curves: _Curves, colors: dict[int, str]) -> None:
    for k, color in colors.items():
        drawn = curves.strong[:, k] & np.isfinite(curves.scale[:, k])
        scale = np.where(drawn, curves.scale[:, k], np.nan)
        ax.plot(curves.x, scale, color=color, lw=1.8, label=curves.name(k))
    ax.set_ylim(bottom=0.0)


def _locations(ax: Axes, curves: _Curves, colors: dict[int, str]) -> None:
    from matplotlib.collections import LineCollection

    for k, color in colors.items():
        location, weight = curves.location[:, k], curves.weight[:, k]
        there = curves.strong[:, k] & np.isfinite(location)
        kept = there[1:] & there[:-1]
        if curves.angle:  # no line across the picture where the direction passes pi
            kept &= np.abs(np.diff(location)) < math.pi
        _band(ax, curves.x, location, curves.scale[:, k], kept, color)
        points = np.column_stack([curves.x, location])
        segments = np.stack([points[:-1], points[1:]], 1)[kept]  # (S, 2, 2)
        between = (0.5 * (weight[1:] + weight[:-1]))[kept]
        widths = list(_THIN + (_THICK - _THIN) * between)
        shades = canvas.tinted(color, _FAINT + (1 - _FAINT) * between)  # opaque: transparent joints would show
        ax.add_collection(LineCollection(list(segments), linewidths=widths, colors=shades, capstyle="round", zorder=3))
        if curves.name(k) is not None:
            ax.plot([], [], color=color, lw=2.0, label=curves.name(k))
    ax.autoscale_view()


def _band(ax: Axes, x: Array, location: Array, scale: Array, kept: NDArray[np.bool_], color: str) -> None:
    """Shade one standard deviation on each side, each stretch of kept segments by itself."""
    finite = np.isfinite(scale)
    opened = np.diff(np.r_[False, kept & finite[1:] & finite[:-1], False].astype(int))
    for start, stop in zip(np.flatnonzero(opened == 1), np.flatnonzero(opened == -1), strict=True):
        run = slice(start, stop + 1)
        low, high = location[run] - scale[run], location[run] + scale[run]
        ax.fill_between(x[run], low, high, color=color, alpha=0.15, linewidth=0, zorder=2)
