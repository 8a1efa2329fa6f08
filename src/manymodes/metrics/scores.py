"""Proper scoring rules: losses that the true density, and only it, minimises on average."""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes.distributions import Incomplete, Normal, Prediction
from manymodes.metrics.normal_crps import normal_crps
from manymodes.metrics.targets import refuse_incomplete


def log_score(distribution: Prediction, y: Tensor | Incomplete) -> Tensor:
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


def crps(distribution: Prediction, y: Tensor) -> Tensor:
    r"""Continuous ranked probability score of each target, summed over target dimensions.

    .. math:: \mathrm{CRPS}(F, y) = \mathbb{E}|Y - y| - \tfrac12 \mathbb{E}|Y - Y'|

    Exact for normal components, in closed form, see ``metrics.normal_crps``. In the units of y; lower is better.
    Strictly proper in one dimension; in several, only for the marginals, see ``energy_score``.

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
            f"crps is exact for normal components; got {type(components).__name__}. Take log_score or energy_score."
        )
    y = distribution.check_target(y)
    loc, scale = components.loc, components.stddev
    parts, loc, scale = torch.broadcast_tensors(y.unsqueeze(-2), loc, scale)  # (..., N, K, D)
    dtype = torch.promote_types(y.dtype, loc.dtype)

    def rows(value: Tensor) -> Tensor:
        return value.to(dtype).expand(loc.shape).movedim(-2, 0).flatten(1)  # (K, R)

    targets = parts[..., 0, :].to(dtype)
    score = normal_crps(rows(distribution.weights.unsqueeze(-1)), rows(loc), rows(scale), targets.flatten())
    return score.reshape(targets.shape).sum(-1)
