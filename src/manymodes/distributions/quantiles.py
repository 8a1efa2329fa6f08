r"""Quantiles of a mixture, one target dimension at a time: a bracket and safeguarded Newton steps.

The quantile of a mixture lies between the smallest and the largest quantile of its components, since the
mixture's cdf is an average of theirs. Inside that bracket Newton's method solves :math:`\log T(y) = \log p`, where
T is the tail that holds at most one half, the cdf or the survival function, so that far tails keep their relative
accuracy. A step that leaves the bracket, or that moves far across it, is replaced by bisection (as ``rtsafe``, Press
et al., Numerical Recipes, section 9.4), which makes the search as sure as bisection and usually quadratic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes.distributions.component import Component

_MAX_STEPS = 200  # bisection alone needs about 64 for float64 brackets of ordinary width


def tail_quantile(weights: Tensor, components: Component, tail: Tensor, upper: Tensor) -> Tensor:
    """Return y with P(Y_d > y_d) = tail where ``upper``, else P(Y_d <= y_d) = tail, (S..., N, D).

    Args:
        weights: Weights of the components, (N, K).
        components: Components, ``batch_shape`` (N, K), ``event_shape`` (D,).
        tail: Probabilities in [0, 1/2], (S..., N, D).
        upper: Which tail, (S..., N, D).
    """
    with torch.no_grad():
        share, side = tail.unsqueeze(-2), upper.unsqueeze(-2)
        ends = torch.where(side, components.isf(share), components.icdf(share))  # (S..., N, K, D)
        possible = weights.unsqueeze(-1) > 0
        low = torch.where(possible, ends, torch.inf).amin(-2)
        high = torch.where(possible, ends, -torch.inf).amax(-2)
        exact = low == high  # one component, equal components, or a level of 0 or 1
        found = _newton_inside(weights, components, tail.log(), upper, low, high, exact)
        return torch.where(exact, low, found)


def _newton_inside(
    weights: Tensor,
    components: Component,
    target: Tensor,
    upper: Tensor,
    low: Tensor,
    high: Tensor,
    done: Tensor,
) -> Tensor:
    y = torch.where(done, low, 0.5 * low + 0.5 * high)
    for _ in range(_MAX_STEPS):
        if bool(done.all()):
            break
        excess, slope = _log_tail(weights, components, y, upper, target)
        too_high = (excess > 0) ^ upper
        high = torch.where(too_high, y, high)
        low = torch.where(too_high, low, y)
        newton = y - excess / slope
        middle = 0.5 * low + 0.5 * high
        # A Newton step that moves far across the bracket is no better than halving it.
        trusted = (newton > low) & (newton < high) & ((newton - y).abs() < 0.5 * (high - low))
        proposal = torch.where(trusted, newton, middle)
        tolerance = 2 * torch.finfo(y.dtype).eps * torch.maximum(low.abs(), high.abs())
        settled = ((proposal - y).abs() <= tolerance) | (high - low <= tolerance) | (excess == 0)
        y = torch.where(done | (excess == 0), y, proposal)
        done = done | settled
    return y


def _log_tail(
    weights: Tensor, components: Component, y: Tensor, upper: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Return log T(y) - target and its derivative in y, T being the upper or the lower tail."""
    padded, share = y.unsqueeze(-2), weights.unsqueeze(-1)
    tails = torch.where(upper.unsqueeze(-2), components.sf(padded), components.cdf(padded))  # (S..., N, K, D)
    tail = (share * tails).sum(-2)
    density = (share * components.marginal_log_prob(padded).exp()).sum(-2)
    return tail.log() - target, torch.where(upper, -1.0, 1.0).to(y.dtype) * density / tail
