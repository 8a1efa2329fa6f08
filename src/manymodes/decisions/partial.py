r"""Partial expectations: how much a target exceeds or falls short of a place, on average.

.. math:: E(Y - t)_+ = E[Y 1\{Y > t\}] - t\,P(Y > t), \qquad E(t - Y)_+ = t\,P(Y \le t) - E[Y 1\{Y \le t\}]
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Normal, Prediction

Tail = Literal["upper", "lower"]


def expected_excess(distribution: Prediction, threshold: Tensor | float, *, tail: Tail = "upper") -> Tensor:
    r"""How far targets lie beyond a threshold on average, (S..., N, D): :math:`E(Y - t)_+`, or :math:`E(t - Y)_+`.

    That is the expected loss where every unit beyond the threshold costs one, and its price where a unit is paid for.
    Of each target dimension by itself, exact, in the units of y.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        threshold: A number, one per row, (N,), or targets (S..., N, D).
        tail: ``"upper"``, what is above counts, or ``"lower"``, what is below.

    Raises:
        ValueError: Angles, a threshold of another shape or that is not finite, or another tail.

    Example:
        >>> from torch.distributions import Categorical
        >>> from manymodes.distributions import DiagonalNormal, Mixture
        >>> rain = Mixture(Categorical(torch.ones(1, 1)), DiagonalNormal(torch.zeros(1, 1, 1), torch.ones(1, 1, 1)))
        >>> expected_excess(rain, 0.0)
        tensor([[0.3989]])
    """
    upper = _checks.one_of("tail", tail, {"upper": True, "lower": False})
    on_a_line("expected_excess", distribution)
    exact = distribution.to(torch.float64)  # the difference of two large numbers, for components other than normal
    place = per_row("threshold", threshold, exact).unsqueeze(-2)
    components = exact.components
    if isinstance(components, Normal):
        parts = _of_normals(components.loc, components.stddev, place, sign=1.0 if upper else -1.0)
    elif upper:
        parts = components.upper_mean(place) - place * components.sf(place)
    else:
        parts = place * components.cdf(place) - components.lower_mean(place)
    weights = exact.weights.unsqueeze(-1)
    excess = torch.where(weights > 0, weights * parts.clamp_min(0.0), 0.0).sum(-2)
    return excess.to(distribution.logits.dtype)


def _of_normals(loc: Tensor, scale: Tensor, place: Tensor, *, sign: float) -> Tensor:
    r"""Return :math:`s\,[\phi(z) - z\,\Phi(-z)]` with z = (t - m) / s, without a difference of large numbers."""
    z = sign * (place - loc) / scale
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    # In the upper tail with the scaled complement of the error function: both terms are of the same tiny size there.
    far = density * (1 - z * math.sqrt(math.pi / 2) * torch.special.erfcx(z.clamp_min(0.0) / math.sqrt(2)))
    return scale * torch.where(z > 0, far, density - z * torch.special.ndtr(-z))


def on_a_line(name: str, distribution: Prediction) -> None:
    """Refuse what is no prediction, and angles, of which none is larger than another."""
    _checks.instance("distribution", distribution, Prediction)
    if "angle" in distribution.components.kinds:
        raise _checks.InputError(
            f"{name} needs targets on a line; got an angle. Take best_action with a cost of yours."
        )


def per_row(name: str, value: Any, distribution: Prediction) -> Tensor:
    """Return a number, one per row, (N,), or one per target, (S..., N, D), as targets, or refuse it."""
    shape = distribution.batch_shape + distribution.event_shape
    try:
        number = torch.as_tensor(value, dtype=distribution.logits.dtype, device=distribution.logits.device)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number or a Tensor of numbers; got {value!r}.") from None
    if number.dim() and number.shape == distribution.batch_shape:
        number = number.unsqueeze(-1).expand(shape)
    elif number.dim():
        _checks.ends_with_shape(name, number.shape, shape, "or be a number or have one for each row")
    if not bool(number.isfinite().all()):
        raise _checks.InputError(f"{name} must be finite; got {float(number[~number.isfinite()][0])}.")
    return number.expand(torch.broadcast_shapes(number.shape, shape))


def positive_per_row(name: str, value: Any, distribution: Prediction) -> Tensor:
    """Return costs likewise, or refuse one that is not > 0."""
    number = per_row(name, value, distribution)
    if not bool((number > 0).all()):
        raise _checks.InputError(f"{name} must be > 0 in every row; got {float(number[~(number > 0)][0]):g}.")
    return number
