"""Increasing maps of probabilities: what recalibration does to a cdf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.caching import cached

_ROUNDING = 1e-12


class _Piece(NamedTuple):
    """Where pieces of a map begin: knot, value and slope there, and the slope of the slope."""

    knot: Tensor
    value: Tensor
    slope: Tensor
    bend: Tensor


@final
@dataclass(frozen=True, eq=False)
class PITMap:
    r"""An increasing map G of [0, 1] onto itself whose slope g is piecewise linear.

    So G is once continuously differentiable, and both it and its inverse are exact: quadratics between knots. A slope
    that is positive everywhere leaves no density at zero. Far tails keep their relative accuracy: ask ``mirrored`` for
    :math:`1 - G(u)` as a function of :math:`1 - u`.

    Attributes:
        knots: Places from 0 to 1, ascending, (J,).
        slopes: Slopes there, > 0, (J,); they are scaled such that G(1) is 1.

    Raises:
        ValueError: Knots that do not ascend from 0 to 1, or slopes that are not positive and finite.

    Example:
        >>> PITMap(torch.tensor([0.0, 1.0]), torch.tensor([2.0, 1.0])).forward(torch.tensor(0.5)).item()
        0.58333...
    """

    knots: Tensor
    slopes: Tensor

    def __post_init__(self) -> None:
        for name in ("knots", "slopes"):
            object.__setattr__(self, name, torch.as_tensor(getattr(self, name), dtype=torch.float64).detach())
        _checks.matches_shape("slopes", self.slopes.shape, tuple(self.knots.shape), "to match the knots")
        ends = self.knots[[0, -1]].tolist() if self.knots.dim() == 1 and len(self.knots) > 1 else []
        if ends != [0.0, 1.0] or not bool((self.knots.diff() > 0).all()):
            raise _checks.InputError(f"knots must ascend from 0 to 1; got {self.knots.tolist()}.")
        if not bool(((self.slopes > 0) & self.slopes.isfinite()).all()):
            raise _checks.InputError(f"slopes must be > 0 and finite; got {self.slopes.tolist()}.")
        total = (self.knots.diff() * (self.slopes[1:] + self.slopes[:-1])).sum() / 2
        if abs(total - 1) > _ROUNDING:  # what was scaled once comes back as it is
            object.__setattr__(self, "slopes", self.slopes / total)

    @staticmethod
    def identity() -> PITMap:
        """Return the map that changes nothing."""
        return PITMap(torch.tensor([0.0, 1.0]), torch.ones(2))

    @property
    def changes_nothing(self) -> bool:
        """Whether it is the identity."""
        return bool((self.slopes == 1).all())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PITMap):
            return NotImplemented
        return torch.equal(self.knots, other.knots) and torch.equal(self.slopes, other.slopes)

    def __hash__(self) -> int:
        return hash((*self.knots.tolist(), *self.slopes.tolist()))

    @cached
    def mirrored(self) -> PITMap:
        """The same map seen from the other end: 1 - G(1 - v)."""
        return PITMap(1 - self.knots.flip(0), self.slopes.flip(0))

    def forward(self, u: Tensor) -> Tensor:
        """Return G(u), accurate near 0."""
        at = self._located(u)
        step = u - at.knot
        return torch.where(u >= 1, 1.0, at.value + step * (at.slope + 0.5 * at.bend * step)).clamp(0.0, 1.0)

    def slope(self, u: Tensor) -> Tensor:
        """Return g(u)."""
        at = self._located(u)
        return at.slope + at.bend * (u - at.knot)

    def bend(self, u: Tensor) -> Tensor:
        """Return g'(u) / g(u); at a knot, that of the right side."""
        at = self._located(u)
        return at.bend / (at.slope + at.bend * (u - at.knot))

    def secant(self, low: Tensor, high: Tensor) -> Tensor:
        """Return (G(high) - G(low)) / (high - low), the mean slope in between; the slope where both agree."""
        gap = high - low
        wide = gap > 1e-6
        middle = self.slope(0.5 * (low + high))
        return torch.where(wide, (self.forward(high) - self.forward(low)) / torch.where(wide, gap, 1.0), middle)

    def inverse(self, p: Tensor) -> Tensor:
        """Return u with G(u) = p, accurate near 0."""
        values = self._values.to(p)
        place = (torch.searchsorted(values, p.detach().contiguous(), right=True) - 1).clamp(0, len(values) - 2)
        at = self._at(place, p)
        rest = (p - at.value).clamp_min(0.0)
        root = (at.slope.square() + 2 * at.bend * rest).clamp_min(0.0).sqrt()
        return torch.where(p >= 1, 1.0, at.knot + 2 * rest / (at.slope + root)).clamp(0.0, 1.0)

    @cached
    def _values(self) -> Tensor:
        """G at the knots, (J,)."""
        steps = self.knots.diff() * (self.slopes[1:] + self.slopes[:-1]) / 2
        return torch.nn.functional.pad(steps.cumsum(0), (1, 0))

    def _located(self, u: Tensor) -> _Piece:
        knots = self.knots.to(u)
        place = (torch.searchsorted(knots, u.detach().contiguous(), right=True) - 1).clamp(0, len(knots) - 2)
        return self._at(place, u)

    def _at(self, place: Tensor, like: Tensor) -> _Piece:
        bend = self.slopes.diff() / self.knots.diff()
        return _Piece(*(column.to(like)[place] for column in (self.knots, self._values, self.slopes, bend)))
