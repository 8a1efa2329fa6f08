"""What a plan is worth, given the returns of its particles: on average, or in its worst cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import Tensor

Objective = Callable[[Tensor, float], Tensor]


def mean(returns: Tensor, level: float) -> Tensor:
    """Return the mean over particles, (R,), of returns (S, R), whatever the level."""
    return returns.mean(0)


def quantile(returns: Tensor, level: float) -> Tensor:
    """Return what all but a share ``level`` of the particles reach, (R,): the value at risk of returns (S, R)."""
    return returns.kthvalue(_worst(returns, level), 0).values


def cvar(returns: Tensor, level: float) -> Tensor:
    """Return the mean over the worst share ``level`` of the particles, (R,): the conditional value at risk.

    The share is rounded up to whole particles.

    References:
        Rockafellar and Uryasev (2000), Optimization of conditional value-at-risk, Journal of Risk 2(3).
    """
    return returns.topk(_worst(returns, level), 0, largest=False).values.mean(0)


OBJECTIVES: Mapping[str, Objective] = {"mean": mean, "quantile": quantile, "cvar": cvar, "mean_state": mean}


def _worst(returns: Tensor, level: float) -> int:
    """Return how many particles a share is."""
    return max(1, math.ceil(level * len(returns) - 1e-9))  # 0.1 of 30 are 3, not 4
