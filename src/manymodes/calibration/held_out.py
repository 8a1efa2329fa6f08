"""What fits on rows held out ask of predictions and targets."""

from __future__ import annotations

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
    _checks.instance("y", y, Tensor)
    _checks.matches_shape("y", y.shape, (*distribution.batch_shape, *distribution.event_shape), "to match distribution")
    _checks.rows_at_least(len(y), at_least, name)
    missing = y.isnan().any(-1)
    if bool(missing.any()):
        row = _checks.row(int(missing.nonzero()[0]))
        raise _checks.InputError(f"y must hold numbers for {name}; got NaN in {row}. Drop rows with missing targets.")
    target: Tensor = distribution.check_target(y)
    return target
