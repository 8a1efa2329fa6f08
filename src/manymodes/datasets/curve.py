"""A line with waves, and its inverse on every stretch where it rises or falls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import numpy as np
import torch
from torch import Tensor

from manymodes.datasets.truth import Floats
from manymodes.distributions.roots import bracketed_root

_CLOSE = 1e-14  # of what f rises or falls on a stretch
_STEPS = 256  # of the table that inverses begin from
_NEWTON = 3  # steps from there, whose errors are squared each time and begin below 1 % of the distance from a bend


@dataclass(frozen=True)
class Curve:
    r"""The function :math:`f(t) = a t + b \sin(c t)` of t in [low, high].

    Attributes:
        slope: a > 0.
        amplitude: b >= 0.
        frequency: c > 0.
        low: Lower end of t.
        high: Upper end of t.
    """

    slope: float
    amplitude: float
    frequency: float
    low: float
    high: float

    @overload
    def __call__(self, t: Tensor) -> Tensor: ...
    @overload
    def __call__(self, t: Floats) -> Floats: ...
    def __call__(self, t: Tensor | Floats) -> Tensor | Floats:
        """Return f(t)."""
        wave = torch.sin(self.frequency * t) if isinstance(t, Tensor) else np.sin(self.frequency * t)
        return self.slope * t + self.amplitude * wave

    def steepness(self, t: Tensor) -> Tensor:
        """Return f'(t)."""
        return self.slope + self.amplitude * self.frequency * torch.cos(self.frequency * t)

    @cached_property
    def ends(self) -> Tensor:
        """The ends of all stretches where f rises or falls, (J + 1,): ``low``, places of f' = 0, ``high``."""
        bends: list[float] = []
        if self.slope < self.amplitude * self.frequency:
            phase = math.acos(-self.slope / (self.amplitude * self.frequency))
            first, last = (math.floor(self.frequency * end / (2 * math.pi)) for end in (self.low, self.high))
            turns = range(first, last + 2)
            bends = [(sign * phase + 2 * math.pi * turn) / self.frequency for turn in turns for sign in (-1, 1)]
        inner = sorted(bend for bend in bends if self.low < bend < self.high)
        return torch.tensor([self.low, *inner, self.high], dtype=torch.float64)

    def inverse(self, value: Tensor) -> Tensor:
        """Return t with f(t) = value on every stretch, (..., J), for values (..., 1).

        The nearer end of the stretch where there is none. Carries the gradient in the values.
        """
        if not self.amplitude:
            return (value / self.slope).clamp(self.low, self.high)
        y, (first, last) = value.detach(), (self.ends[:-1], self.ends[1:])
        at_first, at_last = self(first), self(last)
        share = (y - at_first) / (at_last - at_first)  # (..., J)
        t = self._near(share.clamp(0.0, 1.0))
        for _ in range(_NEWTON):
            t = torch.minimum(torch.maximum(t - (self(t) - y) / self.steepness(t), first), last)
        t = torch.where(share <= 0, first, torch.where(share >= 1, last, t))
        left = (share > 0) & (share < 1) & ((self(t) - y).abs() > _CLOSE * (at_last - at_first).abs())
        if bool(left.any()):  # where f all but bends
            t[left] = self._searched(*(part.expand(t.shape)[left] for part in (y, first, last)))
        return t + (value - y) / self.steepness(t) if value.requires_grad else t

    def _searched(self, value: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return t with f(t) = value between ends, (A,)."""
        return bracketed_root(lambda t, which: (self(t) - value[which], self.steepness(t)), low, high)

    def _near(self, share: Tensor) -> Tensor:
        """Return about where f has covered a share of what it rises or falls on every stretch, (..., J)."""
        step = _STEPS / math.pi * torch.acos(1 - 2 * share)
        before = step.long().clamp_max(_STEPS - 1)
        index = before + (_STEPS + 1) * torch.arange(share.shape[-1])
        table = self._table.flatten()
        return torch.lerp(table[index], table[index + 1], step - before)

    @cached_property
    def _table(self) -> Tensor:
        """Places on every stretch, (J, S + 1), where f has covered shares (1 - cos) / 2 of what it rises or falls.

        At equal steps of the angle they follow one another smoothly, also where f bends.
        """
        first, last = (end.unsqueeze(-1) for end in (self.ends[:-1], self.ends[1:]))
        angle = torch.linspace(0, math.pi, _STEPS + 1, dtype=torch.float64)
        wanted = torch.lerp(self(first), self(last), 0.5 - 0.5 * torch.cos(angle))
        t = self._searched(*(part.expand_as(wanted).flatten() for part in (wanted, first, last)))
        t = t.reshape(wanted.shape)
        return torch.cat([first, t[:, 1:-1], last], -1)
