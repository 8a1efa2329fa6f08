"""Targets that are not fully known: missing, censored or rounded, each as an interval that holds the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from manymodes import _checks


@dataclass(frozen=True, eq=False)
class Incomplete:
    """Targets of which each dimension is known to lie in [low, high].

    An interval of one point is an exact value, whose density counts; one of (-inf, inf) is missing and tells nothing;
    any other counts with its probability. ``Mixture.log_prob``, and with it ``metrics.log_score``, ``objectives.nll``
    and ``fit``, take it in place of a tensor: all kinds of rows in one likelihood. Where target dimensions are
    correlated, as in ``FullNormal``, a row may hold one interval beside exact and missing values.

    Args:
        low: Lower ends, (N, D), in the units of y.
        high: Upper ends, likewise.

    Raises:
        ValueError: Ends of different shapes, out of order, or NaN.

    Example:
        >>> y = torch.tensor([[1.0, float("nan")], [2.0, 3.0]])
        >>> Incomplete.missing(y).known.tolist()
        [[True, False], [True, True]]
    """

    low: Tensor
    high: Tensor

    def __post_init__(self) -> None:
        for name, end in (("low", self.low), ("high", self.high)):
            _checks.instance(name, end, Tensor)
        _checks.matches_shape("high", self.high.shape, tuple(self.low.shape), "to match low")
        wrong = ~(self.low <= self.high)
        if bool(wrong.any()):
            index = tuple(wrong.nonzero()[0].tolist())
            raise _checks.InputError(
                f"low must be <= high everywhere; got {self.low[index]:g} and {self.high[index]:g} at {index}."
            )

    @classmethod
    def missing(cls, y: Tensor) -> Self:
        """Return targets, (N, D), whose NaN stand for values that nobody knows."""
        gone = y.isnan()
        return cls(y.masked_fill(gone, -torch.inf), y.masked_fill(gone, torch.inf))

    @classmethod
    def censored(cls, y: Tensor, *, left: Tensor | None = None, right: Tensor | None = None) -> Self:
        """Return targets, (N, D), of which some are limits only.

        Args:
            y: Values and limits; NaN is missing.
            left: Where the truth is at most y, (N, D).
            right: Where the truth is at least y, (N, D).
        """
        for name, mask in (("left", left), ("right", right)):
            if mask is not None:
                _checks.matches_shape(name, mask.shape, tuple(y.shape), "to match y")
        if left is not None and right is not None and bool((left & right).any()):
            raise _checks.InputError("left and right must not both mark a value; one that nobody knows is NaN in y.")
        known = cls.missing(y)
        low = known.low if left is None else known.low.masked_fill(left, -torch.inf)
        high = known.high if right is None else known.high.masked_fill(right, torch.inf)
        return cls(low, high)

    @classmethod
    def rounded(cls, y: Tensor, step: float | Tensor) -> Self:
        """Return targets, (N, D), that were rounded to multiples of ``step``, a number or one per dimension."""
        half = 0.5 * torch.as_tensor(step).to(y)
        if not bool((half > 0).all()):
            raise _checks.InputError(f"step must be > 0; got {step}.")
        known = cls.missing(y)
        return cls(known.low - half, known.high + half)

    # --- what tensors of targets can do ---

    @property
    def known(self) -> Tensor:
        """Which values are not missing, (N, D)."""
        return (self.low > -torch.inf) | (self.high < torch.inf)

    @property
    def shape(self) -> torch.Size:
        """Shape of the targets, (N, D)."""
        return self.low.shape

    @property
    def device(self) -> torch.device:
        """Where the targets are."""
        return self.low.device

    def dim(self) -> int:
        """Return the number of axes."""
        return self.low.dim()

    def __len__(self) -> int:
        return len(self.low)

    def __getitem__(self, index: Any) -> Incomplete:
        return self.map(lambda end: end[index])

    def map(self, change: Callable[[Tensor], Tensor]) -> Incomplete:
        """Return targets with both ends changed by an increasing function."""
        return Incomplete(change(self.low), change(self.high))

    def to(self, *where: Any) -> Incomplete:
        """Return targets in another precision or on another device."""
        return self.map(lambda end: end.to(*where))

    def detach(self) -> Incomplete:
        """Return targets without a gradient."""
        return self.map(lambda end: end.detach())

    def points(self) -> Tensor:
        """Return one number for each target, (N, D): its value, middle or finite end; else the column's mean."""
        low, high = self.low, self.high
        middle = torch.where(low.isfinite() & high.isfinite(), 0.5 * low + 0.5 * high, low)
        point = torch.where(low.isfinite(), middle, high)
        known = point.isfinite()
        count = known.sum(0, keepdim=True).clamp_min(1)
        mean = torch.where(known, point, 0.0).sum(0, keepdim=True) / count
        return torch.where(known, point, mean)
