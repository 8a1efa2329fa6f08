"""Errors of point predictions, each taken at the point that minimises it."""

from __future__ import annotations

from torch import Tensor

from manymodes._checks import InputError
from manymodes.distributions import Prediction
from manymodes.metrics.targets import refuse_incomplete


def rmse(distribution: Prediction, y: Tensor) -> Tensor:
    """Root mean squared error of the mean, in the units of y; of angles, the shorter way around.

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
    error = distribution.wrapped(y - distribution.mean)
    return error.square().reshape(-1, y.shape[-1]).mean(0).sqrt()


def mae(distribution: Prediction, y: Tensor) -> Tensor:
    """Mean absolute error of the median, in the units of y.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).

    Returns:
        One number per target dimension, (D,).

    Raises:
        TypeError: Targets that are not exact.
        ValueError: A target that is an angle.
    """
    refuse_incomplete("mae", y)
    distribution.check_target(y)
    if "angle" in distribution.components.kinds:
        raise InputError("mae needs targets on a line; got an angle, which has no median. Take rmse.")
    return (y - distribution.median).abs().reshape(-1, y.shape[-1]).mean(0)
