r"""Moments of components without a closed form: integrals over probability, by double-exponential quadrature.

:math:`E[g(Y)] = \int_0^1 g(Q(u)) du` with the quantile function Q, taken as two integrals over (0, 1/2], one from each
tail, so that no digits are lost there. Points crowd towards u = 0 as exp(-pi sinh t), which absorbs the growth of Q.

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
    below = component.cdf(value)
    rest = component.mean - _tail_integral(component.isf, (1 - below).clamp(0.0, 0.5))
    return torch.where(below <= 0.5, _tail_integral(component.icdf, below.clamp(0.0, 0.5)), rest)


def upper_mean(component: Component, value: Tensor) -> Tensor:
    """Return E[Y 1{Y > value}] of each target dimension."""
    above = component.sf(value)
    rest = component.mean - _tail_integral(component.icdf, (1 - above).clamp(0.0, 0.5))
    return torch.where(above <= 0.5, _tail_integral(component.isf, above.clamp(0.0, 0.5)), rest)


def _integral(component: Component, g: Callable[[Tensor], Tensor]) -> Tensor:
    half = torch.full_like(component.cdf(torch.zeros_like(component.ends()[0])), 0.5)
    lower = _tail_integral(lambda u: g(component.icdf(u)), half)
    return lower + _tail_integral(lambda u: g(component.isf(u)), half)


def _tail_integral(g: Callable[[Tensor], Tensor], width: Tensor) -> Tensor:
    r"""Return :math:`\int_0^w g(u) du`."""
    total = torch.zeros_like(width)
    for place, weight in _nodes():
        level = width * place
        total = total + torch.where(level > 0, weight * g(level.clamp_min(torch.finfo(width.dtype).tiny)), 0.0)
    return width * total


def _nodes() -> list[tuple[float, float]]:
    """Return points in (0, 1) and their weights."""
    t = _STEP * torch.arange(_FIRST, _LAST + 1, dtype=torch.float64)
    place = torch.sigmoid(torch.pi * torch.sinh(t))
    other = torch.sigmoid(-torch.pi * torch.sinh(t))
    weight = _STEP * torch.pi * torch.cosh(t) * place * other
    return list(zip(place.tolist(), weight.tolist(), strict=True))
