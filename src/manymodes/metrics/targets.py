"""What metrics ask of targets."""

from __future__ import annotations

from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Incomplete, JointDensity, Prediction


def refuse_incomplete(metric: str, y: object, instead: str = "log_score") -> None:
    """Refuse targets that are missing, censored or rounded: only the likelihood, ``instead``, knows what they tell.

    Raises:
        TypeError: Such targets.
    """
    if isinstance(y, Incomplete):
        raise TypeError(f"y must be a tensor of exact targets for {metric}; got Incomplete, which {instead} takes.")


def exact_target(
    metric: str, distribution: JointDensity, y: Tensor, *, on_a_line: bool = False, joint: bool = False
) -> Tensor:
    """Return exact targets that fit a prediction.

    Args:
        metric: Who asks.
        distribution: Predictions, ``batch_shape`` (N,), ``event_shape`` (D,).
        y: Targets, (N, D).
        on_a_line: Whether angles are refused.
        joint: Whether the metric asks for the joint density and samples only, which every ``JointDensity`` has.

    Raises:
        ValueError: Targets of another shape, or angles.
        TypeError: A distribution that does not answer what the metric asks, or targets that are missing, censored or
            rounded.
    """
    if isinstance(distribution, JointDensity) and not (joint or isinstance(distribution, Prediction)):
        raise TypeError(
            f"{metric} needs marginals in closed form, as mixtures have; got {type(distribution).__name__}. "
            "Take log_score, energy_score or variogram_score."
        )
    _checks.instance("distribution", distribution, JointDensity if joint else Prediction)
    refuse_incomplete(metric, y)
    if on_a_line and "angle" in distribution.kinds:
        raise _checks.InputError(f"{metric} needs targets on a line; got an angle.")
    if distribution._validate_args and isinstance(y, Tensor) and bool(y.isnan().any()):
        row = _checks.row(int(y.isnan().any(-1).flatten().nonzero()[0]))
        raise _checks.InputError(f"y must hold numbers for {metric}; got NaN in {row}. Drop rows with missing targets.")
    checked: Tensor = distribution.check_target(y)
    return checked
