"""What fits on rows held out ask of predictions and targets."""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.metrics.targets import refuse_incomplete


def held_out_targets(name: str, distribution: Prediction, y: Tensor, instead: str, *, at_least: int) -> Tensor:
    """Return exact targets, (N, D), of as many rows as are needed, or refuse them.

    Args:
        name: Function that asks, for messages.
        distribution: Predictions, ``batch_shape`` (N,).
        y: Targets.
        instead: What takes targets that are not exact.
        at_least: How many rows are needed.

    Raises:
        ValueError: Predictions of another batch shape, targets of another shape, too few, or one that is NaN.
        TypeError: Targets that are no tensor, or not exact.
    """
    _checks.matches_shape("distribution's batch_shape", distribution.batch_shape, ("N",), f"for {name}")
    refuse_incomplete(name, y, instead)
    _checks.instance("y", y, Tensor, ", see torch.as_tensor")
    _checks.matches_shape("y", y.shape, (*distribution.batch_shape, *distribution.event_shape), "to match distribution")
    _checks.rows_at_least(len(y), at_least, name)
    missing = y.isnan().any(-1)
    if bool(missing.any()):
        row = _checks.row(int(missing.nonzero()[0]))
        raise _checks.InputError(f"y must hold numbers for {name}; got NaN in {row}. Drop rows with missing targets.")
    target: Tensor = distribution.check_target(y)
    return target


def refuse_impossible(distribution: Prediction, y: Tensor) -> None:
    """Refuse targets (N, D) that no prediction of the family can hold: they say that another family is needed.

    Raises:
        ValueError: A target outside the support of all components, or between the integers of counts.
    """
    components = getattr(distribution, "base", distribution).components
    low, high = components.ends()  # (N, K, D)
    counts = torch.tensor([kind == "count" for kind in components.kinds], device=y.device)
    outside = (y < low.amin(-2)) | (y > high.amax(-2)) | (counts & (y != y.round()))
    if bool(outside.any()):
        row = int(outside.any(-1).nonzero()[0])
        value = float(y[row][outside[row]][0])
        raise _checks.InputError(
            f"y must hold what the predictions' family can be; got {value:g} in {_checks.row(row)}, one of "
            f"{_checks.counted(int(outside.any(-1).sum()), 'row')}. Fit a family that can be that."
        )
