"""Pictures of calibration: quantiles, coverage and PITs, with bands that say what chance alone explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.metrics.bands import PITHistogram, Reliability, pit_ecdf, pit_histogram
from manymodes.metrics.reliability import LEVELS, coverage_curve, quantile_reliability
from manymodes.plots import canvas
from manymodes.plots.inputs import Array, array, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Predictions = Prediction | Mapping[str, Prediction]

_BAND, _FILL = "#DDDDDD", 0.6  # of bands, and the share of their colour in bars
_MARKERS = {"central": ("o", "-"), "region": ("s", "--")}


def reliability(
    distribution: Predictions,
    y: Any,
    *,
    levels: Sequence[float] = LEVELS,
    dim: int = 0,
    band: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of targets below predicted quantiles over the levels of the quantiles.

    Calibrated predictions lie on the diagonal; the band holds each of their points by itself with probability ``band``.

    Args:
        distribution: Predictions, ``batch_shape`` (N,), ``event_shape`` (D,), or several of the same rows by name.
        y: Observed targets, (N,) or (N, D).
        levels: Levels of the quantiles, each > 0 and < 1.
        dim: Target dimension.
        band: Probability of the band.
        ax: Axes to draw on; None makes some.

    Raises:
        ValueError: Targets that do not fit the rows, levels that are none or too far out for the rows, or a dimension
            that is not there.
        TypeError: A distribution that is no prediction, or axes that are none.
        ImportError: matplotlib is not installed.

    Example:
        >>> from matplotlib.figure import Figure
        >>> from manymodes.distributions import DiagonalNormal, Mixture
        >>> weights = torch.distributions.Categorical(torch.ones(200, 1))
        >>> density = Mixture(weights, DiagonalNormal(torch.zeros(200, 1, 1), torch.ones(200, 1, 1)))
        >>> ax = reliability(density, torch.linspace(-2, 2, 200), ax=Figure().subplots())
        >>> ax.get_ylabel()
        'share of targets below'
    """
    several = _named(distribution)
    found = {name: quantile_reliability(*_of_dim(each, y, dim), levels, band=band) for name, each in several.items()}
    ax = canvas.axes(ax)
    _diagonal(ax, next(iter(found.values())))
    for (name, each), color in zip(found.items(), canvas.qualitative(len(found)), strict=True):
        _curve(ax, each, color, name, "central")
    return canvas.finish(ax, "level of the quantile", "share of targets below")


def coverage(
    distribution: Predictions,
    y: Any,
    *,
    levels: Sequence[float] = LEVELS,
    kinds: Sequence[Literal["central", "region"]] = ("central", "region"),
    dim: int = 0,
    band: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of targets inside central intervals and highest-density regions over their levels.

    Calibrated predictions lie on the diagonal; above it intervals are too wide, below it too narrow. The band holds
    each of their points by itself with probability ``band``. Regions are those of the joint density.

    Args:
        distribution: Predictions, ``batch_shape`` (N,), ``event_shape`` (D,), or several of the same rows by name.
        y: Observed targets, (N,) or (N, D).
        levels: Probabilities, each > 0 and < 1.
        kinds: What is drawn, ``"central"``, ``"region"`` or both.
        dim: Target dimension of central intervals.
        band: Probability of the band.
        ax: Axes to draw on; None makes some.

    Raises:
        ValueError: Targets that do not fit the rows, an unknown kind, levels that are none or too far out for the rows,
            or a dimension that is not there.
        TypeError: A distribution that is no prediction, or axes that are none.
        ImportError: matplotlib is not installed.
    """
    several = _named(distribution)
    wanted: Sequence[str] = [kinds] if isinstance(kinds, str) else kinds
    kinds = [_checks.one_of("kinds", kind, {"central": "central", "region": "region"}) for kind in wanted]
    if not kinds:
        raise _checks.InputError("kinds must hold 'central', 'region' or both; got none.")
    found = {
        (name, kind): _covered(each, y, levels, kind, dim, band) for name, each in several.items() for kind in kinds
    }
    told_apart = list(several) if len(several) > 1 else kinds
    colors = dict(zip(told_apart, canvas.qualitative(len(told_apart)), strict=True))
    ax = canvas.axes(ax)
    _diagonal(ax, next(iter(found.values())))
    for (name, kind), each in found.items():
        what = {"central": "central interval", "region": "region"}[kind]
        label = what if len(several) == 1 else f"{name}: {what}" if len(kinds) > 1 else name
        _curve(ax, each, colors[name if len(several) > 1 else kind], label, kind)
    return canvas.finish(ax, "level", "share of targets inside")


def pit(
    distribution: Predictions,
    y: Any,
    *,
    style: Literal["histogram", "ecdf"] = "histogram",
    kind: Literal["central", "region"] = "central",
    n_bins: int | None = None,
    dim: int = 0,
    band: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw how evenly PIT values are spread, with a band that holds all of a calibrated prediction at once.

    As a histogram, whose bars are flat where predictions are calibrated: heaped at both ends where they are too narrow,
    in the middle where too wide, on the right where too low. Or as the difference of their distribution function from
    the diagonal, which needs no bins: positive where more targets than predicted are that low.

    Args:
        distribution: Predictions, ``batch_shape`` (N,), ``event_shape`` (D,), or several of the same rows by name.
        y: Observed targets, (N,) or (N, D).
        style: ``"histogram"`` or ``"ecdf"``.
        kind: ``"central"`` for PITs, ``"region"`` for ranks by the joint density, see ``metrics.hpd_rank``.
        n_bins: Bins of the histogram; None takes 20, fewer below 200 rows.
        dim: Target dimension of PITs.
        band: Probability of the band.
        ax: Axes to draw on; None makes some.

    Raises:
        ValueError: Targets that do not fit the rows, an unknown style or kind, more bins than rows, or a dimension that
            is not there.
        TypeError: A distribution that is no prediction, or axes that are none.
        ImportError: matplotlib is not installed.
    """
    draw = _checks.one_of("style", style, {"histogram": _histograms, "ecdf": _ecdfs})
    label = _checks.one_of("kind", kind, {"central": "PIT", "region": "rank by density"})
    several = _named(distribution)
    targets = {name: _of_dim(each, y, dim if kind == "central" else None) for name, each in several.items()}
    options: dict[str, Any] = {"kind": kind, "band": band}
    if style == "histogram":
        options["n_bins"] = n_bins
    of_style: Any = {"histogram": pit_histogram, "ecdf": pit_ecdf}[style]
    found = {name: of_style(*each, **options) for name, each in targets.items()}
    ax = canvas.axes(ax)
    y_label = draw(ax, found, f"calibrated, {canvas.percent(band)}")
    ax.set_xlim(0, 1)
    return canvas.finish(ax, label, y_label)


# --- what is drawn ---


def _histograms(ax: Axes, found: Mapping[str, PITHistogram], band_name: str) -> str:
    first = next(iter(found.values()))
    edges, even = array(first.edges), first.n_rows / (len(first.edges) - 1)
    low, high = array(first.low) / even, array(first.high) / even
    ax.fill_between([0, 1], low[0], high[0], color=_BAND, linewidth=0, label=band_name, zorder=1)
    ax.axhline(1, color=canvas.INK, lw=0.8, zorder=4)
    for end in (low[0], high[0]):  # over the bars
        ax.axhline(end, color=canvas.GREY, lw=0.8, ls="--", zorder=4)
    if len(found) == 1:
        heights, outside = array(first.count[0]) / even, first.outside[0].numpy()
        look: dict[str, Any] = {"align": "edge", "ec": "white", "lw": 0.8, "zorder": 3}
        for which, color, label in ((~outside, canvas.BLUE, None), (outside, canvas.ATOM, "outside")):
            if which.any():
                ax.bar(
                    edges[:-1][which],
                    heights[which],
                    np.diff(edges)[which],
                    color=canvas.tinted(color, np.array([_FILL]))[0],
                    label=label,
                    **look,
                )
    else:
        for (name, each), color in zip(found.items(), canvas.qualitative(len(found)), strict=True):
            ax.stairs(array(each.count[0]) / even, edges, color=color, lw=1.6, label=name, zorder=3)
    ax.set_ylim(bottom=0)
    return "density"


def _ecdfs(ax: Axes, found: Mapping[str, Any], band_name: str) -> str:
    first = next(iter(found.values()))
    level = array(first.level)
    whole = np.r_[0, level, 1]
    low, high = (np.r_[0, array(end) - level, 0] for end in (first.low, first.high))
    ax.fill_between(whole, low, high, color=_BAND, linewidth=0, label=band_name, zorder=1)
    ax.axhline(0, color=canvas.INK, lw=0.8, zorder=2)
    for (name, each), color in zip(found.items(), canvas.qualitative(len(found)), strict=True):
        label = name if len(found) > 1 else None
        ax.plot(whole, np.r_[0, array(each.share[0]) - level, 0], color=color, lw=1.6, label=label, zorder=3)
    return "share of targets below, less the predicted one"


def _diagonal(ax: Axes, found: Reliability) -> None:
    """Draw the diagonal and the band around it."""
    name = f"calibrated, {canvas.percent(found.band)}"
    level = np.r_[0, array(found.level), 1]
    low, high = (np.r_[0, array(values), 1] for values in (found.low, found.high))
    ax.fill_between(level, low, high, color=_BAND, linewidth=0, label=name, zorder=1)
    ax.plot([0, 1], [0, 1], color=canvas.INK, lw=0.8, zorder=2)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_aspect("equal")


def _curve(ax: Axes, found: Reliability, color: str, label: str, kind: str) -> None:
    marker, style = _MARKERS[kind]
    look: dict[str, Any] = {"color": color, "marker": marker, "ms": 4, "mec": "white", "mew": 0.5, "clip_on": False}
    ax.plot(array(found.level), array(found.share[0]), style, lw=1.4, label=label or None, zorder=3, **look)


# --- what is handed in ---


def _named(distribution: object) -> dict[str, Prediction]:
    """Return predictions by name; a single one has none."""
    several: dict[str, Any] = dict(distribution) if isinstance(distribution, Mapping) else {"": distribution}
    if not several:
        raise _checks.InputError("distribution must hold at least one prediction; got none.")
    for each in several.values():
        _checks.instance("distribution", each, Prediction, ", as predict_distribution or a network returns it")
        shape = each.batch_shape
        if len(shape) != 1:
            raise _checks.InputError(
                f"distribution must have batch_shape (N,); got {_checks.shape_text(shape)}. Of members, take one, "
                "distribution[0], or all as one mixture, distribution.pooled(0)."
            )
    return several


def _of_dim(distribution: Prediction, y: Any, dim: int | None) -> tuple[Prediction, Tensor]:
    """Return predictions and targets, (N, 1), of one target dimension, or of all."""
    targets = finite("y", y)
    n_rows, target_dim = distribution.batch_shape[0], distribution.event_shape[0]
    if targets.shape == (n_rows,) and target_dim == 1:
        targets = targets[:, None]
    _checks.matches_shape("y", targets.shape, (n_rows, target_dim), "to match the rows of distribution")
    values = _tensor(targets, distribution)
    if dim is None:
        return distribution, values
    dim = _checks.integer_at_least("dim", dim, 0, target_dim - 1)
    return (distribution if target_dim == 1 else distribution.marginal(dim)), values[:, [dim]]


def _tensor(values: Array, distribution: Prediction) -> Tensor:
    return torch.from_numpy(values).to(distribution.logits)


def _covered(
    distribution: Prediction, y: Any, levels: Sequence[float], kind: Any, dim: int, band: float
) -> Reliability:
    return coverage_curve(*_of_dim(distribution, y, None if kind == "region" else dim), levels, kind=kind, band=band)
