"""Whether probabilities mean what they say: the probability integral transform and what follows from it."""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.distributions.randomness import default_generator
from manymodes.metrics.targets import exact_target


def pit(distribution: Prediction, y: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    r"""Probability integral transform, F_d(y_d); uniform on [0, 1] when predictions are calibrated.

    Of counts and at atoms F jumps; there a number is drawn between both sides of the jump, which makes it uniform, too:

    .. math:: F(y-) + V (F(y) - F(y-)), \qquad V \sim U(0, 1).

    Angles are counted from -pi.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        generator: Source of randomness, where F jumps; None takes a fixed seed.

    Returns:
        Values from 0 to 1 for each target dimension by itself, (N, D).

    Raises:
        TypeError: Targets that are not exact.

    References:
        Dawid (1984), Statistical theory: the prequential approach, J. R. Stat. Soc. A 147; Smith (1985), Diagnostic
        checks of non-standard time series models, Journal of Forecasting 4; Czado, Gneiting and Held (2009), Predictive
        model assessment for count data, Biometrics 65, section 2.
    """
    y = exact_target("pit", distribution, y)
    y = distribution.wrapped(y)
    at = distribution.cdf(y).clamp(0.0, 1.0)  # weights may add up to a rounding error more than 1
    if distribution.has_density:
        return at
    before = distribution.cdf(torch.nextafter(y.detach(), torch.full_like(y, -torch.inf))).clamp(0.0, 1.0)
    groups = distribution.components.groups
    jumps = [any(group.kinds[d] in ("count", "atom") for group in groups) for d in range(y.shape[-1])]
    return torch.where(torch.tensor(jumps, device=at.device), between(before, at, generator), at)


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
    y = exact_target("coverage", distribution, y)
    level = _checks.number_between("level", level, 0.0, 1.0)
    if distribution.has_density:  # densities only: the cdf is cheaper than two quantiles
        inside = (pit(distribution, y) - 0.5).abs() <= 0.5 * level
    else:
        low, high = distribution.central_interval(level)
        inside = (y >= low) & (y <= high)
    return torch.where(y.isnan(), torch.nan, inside.to(distribution.logits.dtype))


def between(low: Tensor, high: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return numbers drawn between two others."""
    generator = default_generator(generator, low.device)
    share = torch.rand(low.shape, generator=generator, dtype=low.dtype, device=low.device)
    return low + share * (high - low)
