"""Truncation: a family whose target dimensions are kept within [low, high]."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, final

import torch
from torch import Tensor
from torch.types import _size

from manymodes import _checks
from manymodes.distributions.blueprints import Blueprint, Given, Slot, Units, as_blueprint, fits_dimensions
from manymodes.distributions.component import Change, Component, Factorised
from manymodes.distributions.constraints import Scaling
from manymodes.distributions.declared import Declared
from manymodes.distributions.limits import around
from manymodes.distributions.quadrature import central_moment
from manymodes.distributions.wrapped import Wrapped

_DOUBLINGS = 60


@final
class Truncated(Wrapped, Factorised):
    r"""Components restricted to [low, high], and scaled up to probability one there.

    .. math:: p(y) = \frac{p_0(y)}{F_0(h) - F_0(l)}, \qquad l \le y \le h

    Both ends belong to the support. Everything is worked out from the tail that keeps more digits.

    Args:
        base: Continuous components whose target dimensions are independent.
        low: Lower ends, (..., K, D), (D,) or a number; -inf for none.
        high: Upper ends, likewise; inf for none.
        validate_args: Whether ``low < high`` is checked.

    Raises:
        ValueError: Components that cannot be truncated, or ``low >= high``.
    """

    base: Factorised

    def __init__(
        self, base: Component, low: Tensor | float, high: Tensor | float, *, validate_args: bool | None = None
    ) -> None:
        if not isinstance(base, Factorised) or any(kind != "real" for kind in base.kinds):
            raise _checks.InputError(
                f"base must be continuous components with independent target dimensions; got {type(base).__name__}."
            )
        self.base = base
        like = base.anchor()
        for name, end in (("low", low), ("high", high)):
            if torch.as_tensor(end).dim() == 1:
                _checks.matches_shape(name, torch.as_tensor(end).shape, tuple(base.event_shape), "or be a number")
        self.low = torch.as_tensor(low, dtype=like.dtype, device=like.device).expand_as(like)
        self.high = torch.as_tensor(high, dtype=like.dtype, device=like.device).expand_as(like)
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)
        if validate_args is not False and not bool((self.low < self.high).all()):
            raise _checks.InputError(f"low must be below high everywhere; got {low} and {high}.")

    @staticmethod
    def of(family: type[Declared] | Blueprint, low: Given = -torch.inf, high: Given = torch.inf) -> TruncatedBlueprint:
        """Return a blueprint of a family kept within [low, high], numbers or one per target dimension."""
        return TruncatedBlueprint(as_blueprint(family), low, high)

    # --- what it is ---

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return the ends of the support of each target dimension."""
        low, high = self.base.ends()
        return torch.maximum(low, self.low), torch.minimum(high, self.high)

    def turning_points(self) -> Tensor:
        """Return the turning points of the base inside, and the ends with their neighbours."""
        points = self.base.turning_points()
        inside = (points >= self.low.unsqueeze(-1)) & (points <= self.high.unsqueeze(-1))
        ends = [neighbour for end in (self.low, self.high) for neighbour in around(end)]
        return torch.cat([torch.where(inside, points, torch.nan), torch.stack(ends, -1)], -1)

    @property
    def turning_order(self) -> int:
        """That of the base."""
        return self.base.turning_order

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension."""
        endless = (self.low == -torch.inf) | (self.high == torch.inf)
        none = endless & (self.base.central_moment(order) == torch.inf)
        return torch.where(none, torch.inf, central_moment(self, order))

    # --- life and samples ---

    def transformed(self, change: Change) -> Truncated:
        """Return the same distribution with every tensor changed."""
        return Truncated(self.base.transformed(change), change(self.low), change(self.high), validate_args=False)

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D), by the quantile of a uniform level."""
        like = self.low
        shape = torch.Size(sample_shape) + like.shape
        level = torch.rand(shape, generator=generator, dtype=torch.float64, device=like.device)
        with torch.no_grad():
            double = self.transformed(lambda value: value.double())
            return double.icdf(level).to(like.dtype).clamp(like, self.high)

    # --- density ---

    def anchor(self) -> Tensor:
        """Return the base's anchor, pulled inside."""
        return self._pulled(self.base.anchor())

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself; -inf outside."""
        inside = self._inside(value)
        density = self.base.marginal_log_prob(self._pulled(value)) - self._log_mass_kept()
        return torch.where(inside, density, -torch.inf)

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``; 0 outside."""
        return torch.where(self._inside(value), self.base.score(self._pulled(value)), 0.0)

    def score_slope(self, value: Tensor) -> Tensor:
        """Return the derivative of ``score``; 0 outside."""
        return torch.where(self._inside(value), self.base.score_slope(self._pulled(value)), 0.0)

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return the base's."""
        return self.base.marginal_curvature(self._pulled(value))

    # --- probabilities and quantiles ---

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value) of each target dimension."""
        return self.log_cdf(value).exp()

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value) of each target dimension."""
        return self.log_sf(value).exp()

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return log P(Y <= value) of each target dimension."""
        below = self._between(self.low, self._pulled(value))
        return torch.where(value < self.low, -torch.inf, below)

    def log_sf(self, value: Tensor) -> Tensor:
        """Return log P(Y > value) of each target dimension."""
        above = self._between(self._pulled(value), self.high)
        return torch.where(value >= self.high, -torch.inf, above)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile of each target dimension."""
        return self._quantile(value, 1 - value)

    def isf(self, value: Tensor) -> Tensor:
        """Return the upper quantile of each target dimension."""
        return self._quantile(1 - value, value)

    # --- distributions made from this one ---

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Truncated:
        """Return the distribution of ``shift + scale * Y`` for ``scale`` > 0."""
        low, high = shift + scale * self.low, shift + scale * self.high
        return Truncated(self.base.affine(shift, scale), low, high, validate_args=False)

    def marginal(self, dims: list[int]) -> Truncated:
        """Return the joint distribution of the chosen target dimensions."""
        return Truncated(self.base.marginal(dims), self.low[..., dims], self.high[..., dims], validate_args=False)

    def widened(self, factor: float) -> Truncated:
        """Return the truncation, at the same ends, of the widened base."""
        return Truncated(self.base.widened(factor), self.low, self.high, validate_args=False)

    # --- private ---

    def _inside(self, value: Tensor) -> Tensor:
        # In the coarser precision of the two, as for an atom: a bound of 0.1 is met by a target of 0.1 in either.
        coarser = min(value.dtype, self.low.dtype, key=lambda dtype: torch.finfo(dtype).bits)
        y = value.to(coarser)
        return (y >= self.low.to(coarser)) & (y <= self.high.to(coarser))

    def _pulled(self, value: Tensor) -> Tensor:
        """Return targets pulled inside the ends, so that nothing outside reaches a formula."""
        return torch.minimum(torch.maximum(value, self.low), self.high)

    def log_mass(self, low: Tensor, high: Tensor) -> Tensor:
        """Return log P(low <= Y <= high) of each target dimension; -inf where nothing of it lies inside."""
        outside = (high < self.low) | (low > self.high)
        return torch.where(outside, -torch.inf, self._between(self._pulled(low), self._pulled(high)))

    def _log_mass_kept(self) -> Tensor:
        return self.base.log_mass(self.low, self.high)

    def _between(self, low: Tensor, high: Tensor) -> Tensor:
        return (self.base.log_mass(low, high) - self._log_mass_kept()).clamp_max(0.0)

    def _quantile(self, below: Tensor, above: Tensor) -> Tensor:
        """Return y with shares ``below`` and ``above`` of the kept mass on its sides."""
        lower = self.base.cdf(self.low) * above + self.base.cdf(self.high) * below
        upper = self.base.sf(self.low) * above + self.base.sf(self.high) * below
        y = torch.where(upper < lower, self.base.isf(upper), self.base.icdf(lower))
        smallest = self._log_mass_kept() + torch.minimum(below, above).clamp_min(torch.finfo(y.dtype).tiny).log()
        deep = (smallest < 0.85 * math.log(torch.finfo(y.dtype).tiny)).expand_as(y)
        if bool(deep.any()):
            y = torch.where(deep, self._deep_quantile(below, above), y)
        return self._pulled(torch.where(below <= 0, self.low, torch.where(above <= 0, self.high, y)))

    def _deep_quantile(self, below: Tensor, above: Tensor) -> Tensor:
        """Return quantiles where the base's probabilities underflow, by bisection of logarithms from the nearer end."""
        right = self.base.log_sf(self.low) < self.base.log_cdf(self.high)  # the interval lies in the upper tail
        start, side = torch.where(right, self.low, self.high), torch.where(right, 1.0, -1.0)
        target = torch.where(right, below, above).log() + self._log_mass_kept()

        def reached(distance: Tensor) -> Tensor:
            y = self._pulled(start + side * distance)
            return self.base.log_mass(torch.minimum(start, y), torch.maximum(start, y)) >= target

        near = torch.zeros_like(target)
        far = self.base.score(start).abs().reciprocal().expand_as(target)
        for _ in range(_DOUBLINGS):
            enough = reached(far)
            if bool(enough.all()):
                break
            far = torch.where(enough, far, 4 * far)
        for _ in range(2 * _DOUBLINGS):
            if not bool((far - near > 4 * torch.finfo(far.dtype).eps * far).any()):
                break
            middle = torch.where(near > 0.25 * far, 0.5 * near + 0.5 * far, (near.clamp_min(1e-12 * far) * far).sqrt())
            enough = reached(middle)
            near, far = torch.where(enough, near, middle), torch.where(enough, middle, far)
        return start + side * far


@dataclass(frozen=True)
class TruncatedBlueprint:
    """A blueprint kept within bounds that are given in the user's units."""

    base: Blueprint
    low: Given
    high: Given

    def slots(self, n_components: int, target_dim: int) -> dict[str, Slot]:
        """Return the slots of the base."""
        fits_dimensions("low", self.low, target_dim)
        fits_dimensions("high", self.high, target_dim)
        return self.base.slots(n_components, target_dim)

    def scalings(self, target_dim: int) -> tuple[Scaling, ...]:
        """Return the base's scaling."""
        return self.base.scalings(target_dim)

    def build(self, values: Mapping[str, Tensor], batch_shape: torch.Size, target_dim: int, units: Units) -> Truncated:
        """Return the truncated components."""
        base = self.base.build(values, batch_shape, target_dim, units)
        low, high = (units.scaled(end).to(base.ends()[0]) for end in (self.low, self.high))
        return Truncated(base, low, high, validate_args=False)

    def start(self, centres: Tensor, spread: Tensor, units: Units) -> dict[str, Tensor]:
        """Return the base's start."""
        return self.base.start(centres, spread, units)

    def settled(self, components: Component) -> Component:
        """Return the truncation with its ends set exactly."""
        own = cast(Truncated, components)
        low, high = (Units().scaled(end).to(own.low) for end in (self.low, self.high))
        return Truncated(self.base.settled(own.base), low, high, validate_args=False)
