"""Errors of point predictions, each taken at the point that minimises it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.metrics.targets import exact_target

Point = Literal["mean", "median", "mode"]

_POINTS: Mapping[str, Callable[[Prediction], Tensor]] = {
    "mean": lambda distribution: distribution.mean,
    "median": lambda distribution: distribution.median,
    "mode": lambda distribution: distribution.mode,
}


def point_error(distribution: Prediction, y: Tensor, point: Point = "mean") -> Tensor:
    """Signed error of a point prediction, the point minus the target, in the units of y.

    Positive where the prediction is too high; its mean is the bias. Of angles it is the shorter way around the circle,
    in [-pi, pi). The mode is the highest one of the joint density, and carries no gradient.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        point: ``"mean"``, ``"median"`` or ``"mode"``.

    Returns:
        Errors of each target dimension, (N, D).

    Raises:
        ValueError: Targets of another shape, another point, or a median of angles, which have none.
        TypeError: Targets that are not exact.
    """
    y = exact_target("point_error", distribution, y)
    chosen = _checks.one_of("point", point, _POINTS)
    if point == "median" and "angle" in distribution.components.kinds:
        raise _checks.InputError("point must be 'mean' or 'mode' for an angle, which has no median.")
    return distribution.wrapped(chosen(distribution) - y)


def squared_error(distribution: Prediction, y: Tensor) -> Tensor:
    """Squared error of the mean, (N, D), in squared units of y; of angles 2 - 2 cos of the error. Proper.

    The latter is the squared length of the chord between both places on the circle, which the mean direction minimises;
    small errors it hardly differs from.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).

    Raises:
        ValueError: Targets of another shape.
        TypeError: Targets that are not exact.
    """
    error = point_error(distribution, exact_target("squared_error", distribution, y))
    angle = torch.tensor([kind == "angle" for kind in distribution.components.kinds], device=error.device)
    squared: Tensor = torch.where(angle, 4 * (0.5 * error).sin().square(), error.square())
    return squared


def absolute_error(distribution: Prediction, y: Tensor) -> Tensor:
    """Absolute error of the median, (N, D), in the units of y. Proper.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,), without angles.
        y: Targets, (N, D).

    Raises:
        ValueError: Targets of another shape, or angles.
        TypeError: Targets that are not exact.
    """
    y = exact_target("absolute_error", distribution, y, on_a_line=True)
    return point_error(distribution, y, "median").abs()


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
    error = point_error(distribution, exact_target("rmse", distribution, y))
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
    y = exact_target("mae", distribution, y)
    if "angle" in distribution.components.kinds:
        raise _checks.InputError("mae needs targets on a line; got an angle, which has no median. Take rmse.")
    return point_error(distribution, y, "median").abs().reshape(-1, y.shape[-1]).mean(0)
