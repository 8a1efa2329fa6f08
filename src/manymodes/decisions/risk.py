"""What may go wrong, and how badly: beyond a threshold, and in the worst share of cases."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.decisions.partial import Tail, expected_excess, on_a_line, per_row
from manymodes.distributions import Prediction


@dataclass(frozen=True, eq=False, repr=False)
class ExceedanceRisk:
    """What lies beyond a threshold, of each target dimension by itself.

    Attributes:
        probability: Probability of what reaches the threshold, (S..., N, D).
        expected_excess: How far beyond it targets lie on average, those before it counting 0, likewise.
    """

    probability: Tensor
    expected_excess: Tensor

    @property
    def mean_excess(self) -> Tensor:
        """How far beyond targets lie that do reach it, (S..., N, D); NaN where none can."""
        return self.expected_excess / torch.where(self.probability > 0, self.probability, torch.nan)

    def __repr__(self) -> str:
        rows, chance = self.probability.numel(), float(self.probability.double().mean())
        return f"ExceedanceRisk(targets={rows}, on average probability={chance:.3g})"


def exceedance_risk(distribution: Prediction, threshold: Tensor | float, *, tail: Tail = "upper") -> ExceedanceRisk:
    """Return how probable it is that targets reach a threshold, and how far they go beyond it; exact.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        threshold: A number, one per row, (N,), or targets (S..., N, D), in the units of y.
        tail: ``"upper"``, what is at least the threshold, or ``"lower"``, what is at most the threshold.

    Raises:
        ValueError: Angles, a threshold of another shape or that is not finite, or another tail.
    """
    on_a_line("exceedance_risk", distribution)
    at = per_row("threshold", threshold, distribution)
    excess = expected_excess(distribution, at, tail=tail)
    return ExceedanceRisk(distribution.exceedance(at) if tail == "upper" else distribution.cdf(at), excess)


@dataclass(frozen=True, eq=False, repr=False)
class TailRisk:
    """The worst cases of each target dimension by itself.

    Attributes:
        value_at_risk: Where they begin, (N, D): a quantile.
        expected_shortfall: Their mean, (N, D), also called conditional value at risk.
    """

    value_at_risk: Tensor
    expected_shortfall: Tensor

    def __repr__(self) -> str:
        worst = float(self.expected_shortfall.double().mean()) if self.expected_shortfall.numel() else float("nan")
        return f"TailRisk(rows={len(self.value_at_risk)}, on average expected_shortfall={worst:.4g})"


def tail_risk(distribution: Prediction, level: float = 0.95, *, tail: Tail = "upper") -> TailRisk:
    """Return where the worst cases begin that have a probability of 1 - level, and their mean; exact.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,), of losses say.
        level: Probability in (0, 1) of what is less bad.
        tail: ``"upper"`` where large targets are bad, ``"lower"`` where small ones are.

    Raises:
        ValueError: A level outside (0, 1), angles, or another tail.

    References:
        Rockafellar and Uryasev (2000), Optimization of conditional value-at-risk, Journal of Risk 2(3).
    """
    on_a_line("tail_risk", distribution)
    level = _checks.number_between("level", level, 0.0, 1.0)
    upper = _checks.one_of("tail", tail, {"upper": True, "lower": False})
    begins = distribution.isf(1 - level) if upper else distribution.icdf(1 - level)
    return TailRisk(begins, distribution.expected_shortfall(level, tail=tail))
