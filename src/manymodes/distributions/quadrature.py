r"""Moments of components without a closed form: integrals over probability, by double-exponential quadrature.

:math:`E[g(Y)] = \int_0^1 g(Q(u)) du` with the quantile function Q, taken as two integrals, one from each tail to
the middle, so that no digits are lost there. Points crowd towards
u = 0 as exp(-pi sinh t), which absorbs the growth of Q.

Between known places, say the turning points of a density, ``over_panels`` takes Gauss and Legendre's rule.

References:
    Takahasi and Mori (1974), Double exponential formulas for numerical integration, Publ. RIMS 9.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from manymodes.distributions.component import Component
from manymodes.distributions.limits import filled

_PANEL_NODES = 7
_VALUES = 2_000_000  # of an integrand at a time, which bounds the memory
_STEP, _FIRST, _LAST = 0.1, -52, 32


def mean(component: Component) -> Tensor:
    """Return E[Y] of each target dimension, (..., K, D)."""
    return _integral(component, lambda y: y)


def central_moment(component: Component, order: int) -> Tensor:
    """Return E[(Y - mean)^order] of each target dimension, (..., K, D)."""
    centre = component.mean
    return _integral(component, lambda y: (y - centre) ** order)


def lower_mean(component: Component, value: Tensor) -> Tensor:
    """Return E[Y 1{Y <= value}] of each target dimension."""
    below, split = component.cdf(value), _split(component)
    rest = component.mean - _tail_integral(component.isf, torch.minimum(component.sf(value), 1 - split))
    return torch.where(below <= split, _tail_integral(component.icdf, torch.minimum(below, split)), rest)


def upper_mean(component: Component, value: Tensor) -> Tensor:
    """Return E[Y 1{Y > value}] of each target dimension."""
    below, split = component.cdf(value), _split(component)
    rest = component.mean - _tail_integral(component.icdf, torch.minimum(below, split))
    return torch.where(
        below > split, _tail_integral(component.isf, torch.minimum(component.sf(value), 1 - split)), rest
    )


def over_panels(
    edges: Tensor, f: Callable[[Tensor], Tensor], low: Tensor | None = None, high: Tensor | None = None
) -> Tensor:
    """Return the integral of f over the line, piece by piece between edges.

    Args:
        edges: Places, (..., P), in any order; NaN and infinite ones do not count.
        f: Integrand of places (S..., ..., 1), smooth between edges and nothing beyond them.
        low: Lower end of the integral, (S..., ..., 1); None for none.
        high: Upper end, likewise.

    Returns:
        Integrals, (S..., ..., 1).
    """
    ordered = torch.where(edges.isfinite(), edges, torch.nan).sort(-1).values.movedim(-1, 0).unsqueeze(-1)
    ordered = filled(ordered, torch.inf)
    last = torch.where(ordered == torch.inf, -torch.inf, ordered).amax(0)
    ordered = torch.minimum(ordered, last)  # what fills up makes panels of no width
    n_axes = max((end.dim() for end in (low, high) if end is not None), default=0)
    ordered = ordered.reshape(len(ordered), *(1,) * max(n_axes - ordered.dim() + 1, 0), *ordered.shape[1:])
    if low is not None:
        ordered = torch.maximum(ordered, low)
    if high is not None:
        ordered = torch.minimum(ordered, high)
    total = torch.zeros_like(ordered[0])
    n_panels = max(1, _VALUES // max(_PANEL_NODES * total.numel(), 1))  # at a time
    for low_edges, high_edges in zip(ordered[:-1].split(n_panels), ordered[1:].split(n_panels), strict=True):
        total = total + _gauss_legendre(f, low_edges, high_edges)
    return total


def _gauss_legendre(f: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Return the sum over panels of the integral of f from low to high, (P, ...) both."""
    nodes, shares = (torch.from_numpy(part).to(low) for part in np.polynomial.legendre.leggauss(_PANEL_NODES))
    nodes, shares = (part.reshape(-1, *(1,) * low.dim()) for part in (nodes, shares))
    half = 0.5 * (high - low)
    values = f((0.5 * (high + low) + nodes * half).flatten(0, 1))
    return (shares * half * values.reshape(nodes.shape[0], *half.shape)).sum((0, 1))


def _integral(component: Component, g: Callable[[Tensor], Tensor]) -> Tensor:
    split = _split(component)
    lower = _tail_integral(lambda u: g(component.icdf(u)), split)
    return lower + _tail_integral(lambda u: g(component.isf(u)), 1 - split)


def _split(component: Component) -> Tensor:
    """Return the probability below the point where integrals are cut: where a density may have a kink, else 1/2."""
    below = component.cdf(component.anchor())
    return torch.where((below > 1e-6) & (below < 1 - 1e-6), below, 0.5)


def _tail_integral(g: Callable[[Tensor], Tensor], width: Tensor) -> Tensor:
    r"""Return :math:`\int_0^w g(u) du`."""
    place, weight = (node.to(width).reshape(-1, *(1,) * width.dim()) for node in _nodes())
    level = width * place
    values = g(level.clamp_min(torch.finfo(width.dtype).tiny))
    return width * torch.where(level > 0, weight * values, 0.0).sum(0)


def _nodes() -> tuple[Tensor, Tensor]:
    """Return points in (0, 1) and their weights."""
    t = _STEP * torch.arange(_FIRST, _LAST + 1, dtype=torch.float64)
    place = torch.sigmoid(torch.pi * torch.sinh(t))
    other = torch.sigmoid(-torch.pi * torch.sinh(t))
    weight = _STEP * torch.pi * torch.cosh(t) * place * other
    return place, weight
