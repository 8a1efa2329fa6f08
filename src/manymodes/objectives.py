"""What training minimises: plain functions of ``(distribution, y, weight)`` that return one number.

The loop hands them targets and predictions in scaled units, so that mixes of objectives do not depend on
the user's units. ``OBJECTIVES`` gives them the names that the estimator and the command line accept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from manymodes import metrics
from manymodes.distributions import Incomplete, Mixture

Objective = Callable[[Mixture, Any, Tensor | None], Tensor]  # of targets that are tensors, and maybe Incomplete


def nll(distribution: Mixture, y: Tensor | Incomplete, weight: Tensor | None = None) -> Tensor:
    """Mean negative log-likelihood of the joint density, in nats.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D); ``Incomplete`` where they are missing, censored or rounded, whose probability counts.
        weight: Weight of each example, (N,), about one on average; None weighs all alike.

    Returns:
        The weighted sum of log scores divided by N: a scalar, or one number for each member, (M,), where the
        predictions have ``batch_shape`` (M, N).

    References:
        Bishop (1994), Mixture density networks, eq. 29.
    """
    return _mean(metrics.log_score(distribution, y), weight)


OBJECTIVES: Mapping[str, Objective] = {"nll": nll}


def _mean(score: Tensor, weight: Tensor | None) -> Tensor:
    return (score if weight is None else score * weight).mean(-1)
