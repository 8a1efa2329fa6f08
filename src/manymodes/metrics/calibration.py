"""Whether probabilities mean what they say: the probability integral transform and what follows from it."""

from __future__ import annotations

from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.metrics.targets import refuse_incomplete


def pit(distribution: Prediction, y: Tensor) -> Tensor:
    """Probability integral transform, F_d(y_d); uniform on [0, 1] when predictions are calibrated and have a density.

    Of counts and beside atoms F jumps, and its values cannot be uniform.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).

    Returns:
        Values from 0 to 1 for each target dimension by itself, (N, D).

    Raises:
        TypeError: Targets that are not exact.

    References:
        Dawid (1984), Statistical theory: the prequential approach, J. R. Stat. Soc. A 147.
    """
    refuse_incomplete("pit", y)
    return distribution.cdf(distribution.wrapped(y))


def coverage(distribution: Prediction, y: Tensor, level: float = 0.9) -> Tensor:
    """Whether each target lies in the central interval of the given level: 1 or 0.

    The mean over examples should be near ``level``.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        level: Probability that the interval holds, in (0, 1).

    Returns:
        Indicators for each target dimension by itself, (N, D).

    Raises:
        ValueError: Targets of another shape, or a level outside (0, 1).
        TypeError: Targets that are not exact.
    """
    refuse_incomplete("coverage", y)
    level = _checks.number_between("level", level, 0.0, 1.0)
    if distribution.has_density:  # densities only: the cdf is cheaper than two quantiles
        inside = (pit(distribution, y) - 0.5).abs() <= 0.5 * level
    else:
        low, high = distribution.central_interval(level)
        inside = (y >= low) & (y <= high)
    return inside.to(distribution.mean.dtype)
