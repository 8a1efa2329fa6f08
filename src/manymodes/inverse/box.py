"""Where solutions may lie: bounds, and angles that go around."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from manymodes import _checks

_TURN = 2 * math.pi


class Box(NamedTuple):
    """Bounds of solutions.

    Attributes:
        low: Lowest values, (D,); of angles where the turn begins that they are told in.
        high: Highest values, (D,).
        is_angle: Which dimensions are angles, (D,).
    """

    low: Tensor
    high: Tensor
    is_angle: Tensor

    @classmethod
    def of(cls, bounds: Any, is_angle: Tensor, dtype: torch.dtype) -> Box:
        """Return the box of what the user handed in: None, or numbers or (D,) for the low and the high end.

        Raises:
            ValueError: Other shapes, or a low end that is not below the high one.
        """
        low, high = (-torch.inf, torch.inf) if bounds is None else _pair(bounds)
        low, high = (_end(value, is_angle, dtype) for value in (low, high))
        if not bool((low < high).all()):
            raise _checks.InputError(
                f"bounds must be low ends below high ends; got {low.tolist()} and {high.tolist()}."
            )
        from_high = torch.where(high.isfinite(), high - _TURN, -math.pi)
        start = torch.where(is_angle & ~low.isfinite(), from_high, low)
        return cls(start, torch.where(is_angle, torch.minimum(high, start + _TURN), high), is_angle)

    def inside(self, y: Tensor) -> Tensor:
        """Return the nearest solutions that are inside, (..., D)."""
        turned = torch.where(self.is_angle, self.low + torch.remainder(y - self.low, _TURN), y)
        beyond = self.is_angle & (turned - self.high > self.low + _TURN - turned)  # nearer to the low end
        return torch.where(beyond, self.low, torch.minimum(torch.maximum(turned, self.low), self.high))

    def stops(self, y: Tensor, step: Tensor) -> Tensor:
        """Return which dimensions are at an end and would leave, (..., D)."""
        at_end = ((y <= self.low) & (step < 0)) | ((y >= self.high) & (step > 0))
        return at_end & ~(self.is_angle & (self.high - self.low >= _TURN))


def _pair(bounds: Any) -> tuple[Any, Any]:
    if isinstance(bounds, Sequence | Tensor) and len(bounds) == 2:
        return bounds[0], bounds[1]
    raise TypeError(f"bounds must be a pair of low and high ends; got {bounds!r}.")


def _end(value: Any, is_angle: Tensor, dtype: torch.dtype) -> Tensor:
    end = torch.as_tensor(value, dtype=dtype, device=is_angle.device)
    if end.dim():
        _checks.matches_shape("each of bounds", end.shape, tuple(is_angle.shape), "or be a number")
    return end.expand(is_angle.shape)
