"""Nested bands of p(y | x) along one input: between quantiles, or where the density is highest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from manymodes import _checks
from manymodes.distributions import Mixture, Prediction
from manymodes.distributions.results import Region
from manymodes.plots import canvas
from manymodes.plots.inputs import Array, along_x, array, in_0_1

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def density_bands(
    distribution: Prediction,
    x: Any,
    *,
    levels: Sequence[float] = (0.5, 0.8, 0.95),
    kind: Literal["central", "region"] = "central",
    dim: int = 0,
    y: Any = None,
    ax: Axes | None = None,
    x_label: str = "x",
    y_label: str = "y",
) -> Axes:
    """Draw p(y | x) as nested bands along an input.

    Central bands lie between the quantiles that leave the same probability on both sides, around the line of the
    median. Regions are the smallest sets that hold a probability: several pieces where there are several modes. Each
    row draws its own pieces, as bars that reach halfway to its neighbours on both sides, so that no two pieces are ever
    joined; a point mass in the region is a short line. Rows with the same x lie on top of each other.

    Args:
        distribution: Predictions, ``batch_shape`` (N,), ``event_shape`` (D,).
        x: Input, (N,), in any order.
        levels: Probabilities of the bands, each > 0 and < 1.
        kind: ``"central"`` or ``"region"``.
        dim: Target dimension.
        y: Observed targets, (N,) or (N, D).
        ax: Axes to draw on; None makes some.
        x_label: Name of the input, with its unit.
        y_label: Name of the target, with its unit.

    Raises:
        ValueError: An unknown kind, a level that is none, an x or y that does not fit the rows or is not finite, an x
            with one value only, or a dimension that is not there.
        TypeError: A distribution that is no prediction, or axes that are none.
        ImportError: matplotlib is not installed.

    References:
        Hyndman (1996), Computing and graphing highest density regions, The American Statistician 50.

    Example:
        >>> import torch
        >>> from matplotlib.figure import Figure
        >>> from manymodes.distributions import DiagonalNormal, Mixture
        >>> loc = torch.tensor([[-1.0], [1.0]]).expand(5, 2, 1)  # (N, K, D)
        >>> weights = torch.distributions.Categorical(torch.ones(5, 2))
        >>> density = Mixture(weights, DiagonalNormal(loc, torch.full_like(loc, 0.2)))
        >>> ax = density_bands(density, [0, 1, 2, 3, 4], levels=[0.9], kind="region", ax=Figure().subplots())
        >>> len(ax.collections[0].get_paths())  # two pieces in each of five rows
        10
    """
    kinds: dict[str, type[_Central] | type[_Regions]] = {"central": _Central, "region": _Regions}
    bands = _checks.one_of("kind", kind, kinds)
    levels = in_0_1("levels", levels)
    along = along_x(distribution, x, y, dim)
    found = bands(along.mixture, levels)
    ax = canvas.axes(ax)
    found.draw(ax, along.x)
    if along.y is not None:
        canvas.observed(ax, along.x, along.y)
    ax.margins(x=canvas.MARGIN)
    return canvas.finish(ax, x_label, y_label)


class _Central:
    """Quantiles on both sides of the median, found before anything is drawn."""

    def __init__(self, mixture: Mixture, levels: list[float]) -> None:
        self.step: Literal["mid"] | None = "mid" if mixture.components.kinds == ("count",) else None
        around = mixture.icdf_around_mean  # one arc of a circle, not what is left of it
        self.ends = {level: (around(0.5 - level / 2), around(0.5 + level / 2)) for level in levels}
        self.median = array(around(0.5)[:, 0])

    def draw(self, ax: Axes, x: Array) -> None:
        for (level, ends), color in zip(self.ends.items(), canvas.tints(len(self.ends)), strict=True):
            low, high = (array(end[:, 0]) for end in ends)
            name = canvas.percent(level)
            ax.fill_between(x, low, high, color=color, linewidth=0, step=self.step, label=name, zorder=1)
        style = "default" if self.step is None else "steps-mid"
        ax.plot(x, self.median, color=canvas.INK, lw=1.4, drawstyle=style, label="median", zorder=3)


class _Regions:
    """Highest-density regions, found before anything is drawn."""

    def __init__(self, mixture: Mixture, levels: list[float]) -> None:
        self.beside = 0.5 if mixture.components.kinds == ("count",) else 0.0  # a count is a bar of width 1
        self.regions = {level: mixture.highest_density_region(level) for level in levels}

    def draw(self, ax: Axes, x: Array) -> None:
        from matplotlib.collections import LineCollection, PolyCollection

        left, right = _cells(x)
        for (level, region), color in zip(self.regions.items(), canvas.tints(len(self.regions)), strict=True):
            # Edges in the same colour close the hair lines that some viewers leave between neighbours.
            look: dict[str, Any] = {"facecolors": color, "edgecolors": color, "linewidths": 0.2, "zorder": 1}
            bars = self._bars(region, left, right)
            ax.add_collection(PolyCollection(bars, label=canvas.percent(level), **look))
            rows = region.atoms.mask.nonzero()[:, 0].numpy()
            if len(rows):
                place = array(region.atoms.location[region.atoms.mask])
                lines = [np.array([[left[row], y], [right[row], y]]) for row, y in zip(rows, place, strict=True)]
                ax.add_collection(LineCollection(lines, colors=color, linewidths=3.0, zorder=2))
        ax.autoscale_view()

    def _bars(self, region: Region, left: Array, right: Array) -> list[Array]:
        """Return the corners of a rectangle for every piece, (4, 2) each."""
        rows = region.mask.nonzero()[:, 0].numpy()
        low, high = array(region.low[region.mask]) - self.beside, array(region.high[region.mask]) + self.beside
        across, up = [left[rows], right[rows], right[rows], left[rows]], [low, low, high, high]
        return list(np.stack([np.stack(across, -1), np.stack(up, -1)], -1))


def _cells(x: Array) -> tuple[Array, Array]:
    """Return the ends of the stretch that each row stands for, (N,) each: halfway to the next values of x."""
    values, which = np.unique(x, return_inverse=True)
    middle = 0.5 * (values[1:] + values[:-1])
    return np.r_[values[0], middle][which], np.r_[middle, values[-1]][which]
