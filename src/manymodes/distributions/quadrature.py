r"""Moments of components without a closed form: integrals over probability, by double-exponential quadrature.

:math:`E[g(Y)] = \int_0^1 g(Q(u)) du` with the quantile function Q, taken as two integrals, one from each tail to
the middle, so that no digits are lost there. Points crowd towards
u = 0 as exp(-pi sinh t), which absorbs the growth of Q.

References:
    Takahasi and Mori (1974), Double exponential formulas for numerical integration, Publ. RIMS 9.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from manymodes.distributions.component import Component

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
