"""Errors of point predictions, each taken at the point that minimises it."""

from __future__ import annotations

from torch import Tensor

from manymodes.distributions import Mixture
from manymodes.metrics.targets import refuse_incomplete


def rmse(distribution: Mixture, y: Tensor) -> Tensor:
    """Root mean squared error of the mean, in the units of y.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).

    Returns:
        One number per target dimension, (D,).

    Raises:
        TypeError: Targets that are not exact.
    """
    refuse_incomplete("rmse", y)
    distribution.check_target(y)
    return (y - distribution.mean).square().reshape(-1, y.shape[-1]).mean(0).sqrt()


def mae(distribution: Mixture, y: Tensor) -> Tensor:
    """Mean absolute error of the median, in the units of y.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).

    Returns:
        One number per target dimension, (D,).

    Raises:
        TypeError: Targets that are not exact.
    """
    refuse_incomplete("mae", y)
    distribution.check_target(y)
    return (y - distribution.median).abs().reshape(-1, y.shape[-1]).mean(0)
