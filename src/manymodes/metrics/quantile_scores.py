"""Scores of quantiles, of intervals between two of them, and of the probability of an event."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.metrics.targets import exact_target


def interval_score(distribution: Prediction, y: Tensor, level: float = 0.9) -> Tensor:
    r"""Winkler's score of the central interval [l, u] that holds a probability: its width, and a fine for a miss.

    .. math:: (u - l) + \frac{2}{1 - \mathrm{level}} \left[ (l - y)^+ + (y - u)^+ \right]

    In the units of y; lower is better. Proper: it sees the two quantiles, and no more of the prediction. Exact.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,), without angles.
        y: Targets, (N, D).
        level: Probability that the interval holds, in (0, 1).

    Returns:
        Scores of each target dimension by itself, (N, D).

    Raises:
        ValueError: Targets of another shape, angles, or a level outside (0, 1).
        TypeError: Targets that are not exact.

    References:
        Winkler (1972), A decision-theoretic approach to interval estimation, J. Am. Stat. Assoc. 67; Gneiting and
        Raftery (2007), Strictly proper scoring rules, prediction, and estimation, J. Am. Stat. Assoc. 102, eq. 43.
    """
    y = exact_target("interval_score", distribution, y, on_a_line=True)
    level = _checks.number_between("level", level, 0.0, 1.0)
    low, high = distribution.central_interval(level)
    missed = (low - y).clamp_min(0.0) + (y - high).clamp_min(0.0)
    return high - low + 2 / (1 - level) * missed


def pinball_loss(distribution: Prediction, y: Tensor, levels: float | Sequence[float]) -> Tensor:
    r"""Pinball loss of the quantile q of a level a; of several levels, their mean.

    .. math:: a (y - q)^+ + (1 - a) (q - y)^+

    In the units of y; lower is better. Proper: it sees the quantiles of these levels alone. Twice its integral over all
    levels is the CRPS. Exact.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,), without angles.
        y: Targets, (N, D).
        levels: A level in (0, 1), or several.

    Returns:
        Losses of each target dimension by itself, (N, D).

    Raises:
        ValueError: Targets of another shape, angles, no level, or one outside (0, 1).
        TypeError: Targets that are not exact.

    References:
        Koenker and Bassett (1978), Regression quantiles, Econometrica 46.
    """
    y = exact_target("pinball_loss", distribution, y, on_a_line=True)
    losses = [_pinball(distribution, y, level) for level in _checks.levels(levels)]
    return torch.stack(losses).mean(0)


def _pinball(distribution: Prediction, y: Tensor, level: float) -> Tensor:
    gap = y - distribution.icdf(level)
    return torch.maximum(level * gap, (level - 1) * gap)


def brier_score(
    distribution: Prediction, y: Tensor, low: Tensor | float = -math.inf, high: Tensor | float = math.inf
) -> Tensor:
    r"""Brier score of an event: the squared error of the probability that the target lies in [low, high].

    .. math:: \left(P(l \le Y \le h) - 1\{l \le y \le h\}\right)^2

    Without units, from 0 to 1; lower is better. Proper, and strictly so for the probability of the event. Exact.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        low: Lower ends, a number or targets; -inf for none. They belong to the event, and so do upper ones.
        high: Upper ends, likewise; inf for none.

    Returns:
        Scores of each target dimension by itself, (N, D).

    Raises:
        ValueError: Targets of another shape, or an upper end below its lower end.
        TypeError: Targets that are not exact.

    References:
        Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78.
    """
    y = exact_target("brier_score", distribution, y)
    y = distribution.wrapped(y)
    probability = distribution.probability(low, high)
    first, last = (torch.as_tensor(end, dtype=y.dtype, device=y.device) for end in (low, high))
    happened = ((y >= first) & (y <= last)).to(probability.dtype)
    return torch.where(y.isnan(), torch.nan, (probability - happened).square())
