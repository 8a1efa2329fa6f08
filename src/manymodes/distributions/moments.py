"""Moments and tail means of mixtures, one target dimension at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.component import Component


def mean(weights: Tensor, components: Component) -> Tensor:
    """Return the mean of each target dimension, (N, D); of angles, the direction of their mean (Mardia 1972)."""
    linear = _average(weights, components.mean)
    if "angle" not in components.kinds:
        return linear
    angle = _angles(components)
    return torch.where(angle, torch.atan2(*_resultant(weights, components)), linear)


def standard_deviation(variance: Tensor, components: Component) -> Tensor:
    r"""Return standard deviations, (..., D), for variances of target dimensions.

    That of an angle is :math:`\sqrt{-2 \log(1 - v)}`, with its circular variance v: in radians, and the usual one where
    the angle hardly varies (Mardia 1972, section 2.6).
    """
    plain = variance.sqrt()
    if "angle" not in components.kinds:
        return plain
    return torch.where(_angles(components), (-2 * torch.log1p(-variance)).clamp_min(0.0).sqrt(), plain)


def central_moment(weights: Tensor, components: Component, order: int) -> Tensor:
    r"""Return :math:`E[(Y - E Y)^n]` of each target dimension, (N, D), for n from 2 to 4.

    .. math:: \sum_k w_k \sum_j \binom{n}{j} c_{kj} (m_k - m)^{n - j}

    with the components' means m and central moments c. Infinite where it does not exist. Of angles, only order 2 is
    there: the circular variance, one less the length of the mean direction.
    """
    order = _checks.integer_at_least("order", order, 2, 4)
    if "angle" in components.kinds:
        angle = _angles(components)
        if order > 2:
            raise _checks.InputError(
                f"order must be 2 where a target is an angle; got {order}. Take .marginal(dims) of the others first."
            )
        length = torch.hypot(*_resultant(weights, components))
        return torch.where(angle, 1 - length, _in_units(weights, components, order))
    return _in_units(weights, components, order)


def _in_units(weights: Tensor, components: Component, order: int) -> Tensor:
    """Return the central moment of each target dimension, through units in which nothing overflows."""
    unit = _reach(weights, components)
    moment = _linear_moment(weights, components, order, unit)
    return torch.where(moment == 0, 0.0, moment * unit**order)


def expected_shortfall(
    weights: Tensor, components: Component, quantile: Tensor, beyond: Tensor, share: Tensor, *, upper: bool
) -> Tensor:
    r"""Return the mean of the outermost share of each target dimension.

    .. math:: \frac{1}{p} \left[ E(Y 1\{Y > q\}) + q\,(p - P(Y > q)) \right]

    for the upper tail, likewise for the lower; the second term is the part of a jump at the quantile that belongs to
    the tail (Acerbi and Tasche 2002, On the coherence of expected shortfall, eq. 3.6).

    Args:
        weights: Weights, (N, K).
        components: Components, ``batch_shape`` (N, K).
        quantile: The quantile q that bounds the tail, (S..., N, D).
        beyond: P(Y > q), or P(Y <= q) for the lower tail.
        share: Probability p of the tail, > 0.
        upper: Which tail.
    """
    at = quantile.unsqueeze(-2)
    parts = components.upper_mean(at) if upper else components.lower_mean(at)
    return (_average(weights, parts) + quantile * (share - beyond)) / share


def standardised(weights: Tensor, components: Component, order: int) -> Tensor:
    """Return the central moment of each target dimension in units of its standard deviation; 0 where nothing varies."""
    central_moment(weights, components, order)  # refuses what has none
    reach = _reach(weights, components)
    unit = reach * _linear_moment(weights, components, 2, reach).sqrt()
    moment = _linear_moment(weights, components, order, torch.where(unit == 0, 1.0, unit))
    return torch.where(unit == 0, 0.0, moment)


def _reach(weights: Tensor, components: Component) -> Tensor:
    """Return a size of deviations, (N, D), in whose units powers do not overflow."""
    gap = (components.mean - _average(weights, components.mean).unsqueeze(-2)).abs()
    size = torch.where((weights > 0).unsqueeze(-1), gap, 0.0).amax(-2)
    own = torch.where((weights > 0).unsqueeze(-1), components.central_moment(2), 0.0).amax(-2).sqrt()
    size = torch.maximum(size, torch.where(own.isfinite(), own, 0.0))
    return torch.where(size > 0, size, 1.0)


def _linear_moment(weights: Tensor, components: Component, order: int, unit: Tensor) -> Tensor:
    """Return the central moment of each target dimension in given units, (N, D)."""
    unit = unit.unsqueeze(-2)
    gap = (components.mean - _average(weights, components.mean).unsqueeze(-2)) / unit  # (N, K, D)
    highest = components.central_moment(order)
    total = gap**order + torch.where(highest == torch.inf, 0.0, highest) / unit**order
    for lower in range(2, order):
        part = components.central_moment(lower) / unit**lower
        total = total + math.comb(order, lower) * torch.where(gap == 0, 0.0, part * gap ** (order - lower))
    infinite = (highest == torch.inf) & (weights > 0).unsqueeze(-1)
    return torch.where(infinite.any(-2), torch.inf, _average(weights, torch.where(infinite, 0.0, total)))


def _resultant(weights: Tensor, components: Component) -> tuple[Tensor, Tensor]:
    """Return the mean sine and cosine of each target dimension, (N, D) each."""
    length = 1 - components.central_moment(2)
    sine = _average(weights, length * torch.sin(components.mean))
    return sine, _average(weights, length * torch.cos(components.mean))


def _angles(components: Component) -> Tensor:
    return torch.tensor([kind == "angle" for kind in components.kinds], device=components.mean.device)


def _average(weights: Tensor, values: Tensor) -> Tensor:
    """Return weighted averages over components, (..., K, D) -> (..., D); a weight of 0 silences any value."""
    share = weights.unsqueeze(-1)
    return torch.where(share == 0, 0.0, share * values).sum(-2)
