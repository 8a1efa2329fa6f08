"""Proper scoring rules: losses that the true density, and only it, minimises on average."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manymodes.distributions import Incomplete, Mixture, Normal
from manymodes.distributions.special import normal_cdf
from manymodes.metrics.targets import refuse_incomplete


def log_score(distribution: Mixture, y: Tensor | Incomplete) -> Tensor:
    r"""Logarithmic score of each target, the negative log-likelihood.

    .. math:: \mathrm{LogS}(p, y) = -\log p(y)

    In nats for the density per unit of y: it may well be negative, where the density exceeds 1. Strictly
    proper; lower is better.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D); ``Incomplete`` where they are missing, censored or rounded. What is exact counts with its
            density, what lies in an interval with its probability, what is missing not at all.

    Returns:
        Scores of the joint density, (N,).

    References:
        Good (1952), Rational decisions, J. R. Stat. Soc. B 14.
    """
    return -distribution.log_prob(y)


def crps(distribution: Mixture, y: Tensor) -> Tensor:
    r"""Continuous ranked probability score of each target, summed over target dimensions.

    .. math:: \mathrm{CRPS}(F, y) = \mathbb{E}|Y - y| - \tfrac12 \mathbb{E}|Y - Y'|

    Exact for normal components, in closed form; lower is better; in the units of y. The double sum is
    arranged so that no two large numbers are subtracted: with :math:`a_k = y - m_k` and
    :math:`\mathbb{E}|a + s Z| = |a| + B(a, s)`,

    .. math:: \mathrm{CRPS} = \tfrac12 \sum_{jk} w_j w_k \left[ 2 \min(|a_j|, |a_k|)\, 1\{a_j a_k > 0\}
        + B(a_j, s_j) + B(a_k, s_k) - B(a_j - a_k, \sqrt{s_j^2 + s_k^2}) \right].

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,), normal components.
        y: Targets, (N, D).

    Returns:
        Scores, (N,). Not averaged: the caller decides.

    Raises:
        ValueError: Targets of another shape.
        TypeError: Components that are not normal, or targets that are not exact.

    References:
        Grimit, Gneiting, Berrocal and Johnson (2006), The continuous ranked probability score for
        circular variables and its application to mesoscale forecast ensemble verification, eq. 5.
    """
    refuse_incomplete("crps", y)
    components = distribution.components
    if not isinstance(components, Normal):
        raise TypeError(
            f"crps is exact for normal components; got {type(components).__name__}. Take log_score, or sample."
        )
    distribution.check_target(y)
    offset = y.unsqueeze(-2) - components.loc  # (N, K, D)
    scale = components.stddev
    reach = _folded_excess(offset, scale)
    first, second = offset.unsqueeze(-2), offset.unsqueeze(-3)  # (N, K, 1, D), (N, 1, K, D)
    same_side = _twice_positive(torch.minimum(first, second)) + _twice_positive(-torch.maximum(first, second))
    gap = components.loc.unsqueeze(-2) - components.loc.unsqueeze(-3)
    gap_reach = _folded_excess(gap, torch.hypot(scale.unsqueeze(-2), scale.unsqueeze(-3)))
    pair = same_side + reach.unsqueeze(-2) + reach.unsqueeze(-3) - gap_reach  # (N, K, K, D)
    weights = distribution.weights
    pair_weight = weights.unsqueeze(-1) * weights.unsqueeze(-2)
    score: Tensor = 0.5 * (pair_weight.unsqueeze(-1) * pair).sum((-1, -2, -3))
    return score


def _twice_positive(x: Tensor) -> Tensor:
    """Return 2 max(x, 0), with the gradient 1 at 0: the average of both sides, which makes that of crps exact."""
    return torch.where(x < 0, 0.0, x * (1 + x.sign()))


def _folded_excess(offset: Tensor, scale: Tensor) -> Tensor:
    """Return B(a, s) = E|a + s Z| - |a| = 2 s (phi(z) - z Phi(-z)) with z = |a| / s, never negative."""
    z = (offset.abs() / scale).clamp_max(40.0)  # nothing is left beyond, and infinity times zero is not a number
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    return 2 * scale * (density - z * normal_cdf(-z)).clamp_min(0)
