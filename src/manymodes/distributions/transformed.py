"""Components seen through a monotone map: densities with the exact Jacobian, quantiles mapped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, final

import torch
from torch import Tensor
from torch.types import _size

from manymodes import _checks
from manymodes.distributions.blueprints import Blueprint, Slot, Units, as_blueprint
from manymodes.distributions.component import Change, Component
from manymodes.distributions.concatenation import Concatenation
from manymodes.distributions.constraints import Scaling
from manymodes.distributions.declared import Declared
from manymodes.distributions.families.point_mass import PointMass
from manymodes.distributions.limits import around
from manymodes.distributions.transforms import Transform
from manymodes.distributions.wrapped import Wrapped

_LEVELS = (1e-12, 1e-9, 1e-7, 1e-5, 1e-4, 1e-3, 3e-3, *(level / 80 for level in range(1, 40)))  # of turning points


@final
class Transformed(Wrapped):
    r"""The components of z carried to y = T(z).

    .. math:: \log p(y) = \log p_0(z) - \sum_d \log T'(z_d), \qquad z = T^{-1}(y)

    Args:
        base: Continuous components on the whole line.
        transform: Increasing map of every target dimension.

    Raises:
        ValueError: Components of angles, counts or atoms, which have no Jacobian.
    """

    def __init__(self, base: Component, transform: Transform) -> None:
        if any(kind != "real" for kind in base.kinds):
            raise _checks.InputError(f"base must have a density on the line; got {type(base).__name__}.")
        if len(base.groups) > 1:
            raise _checks.InputError("base must be of one family; got several. Transform the groups one by one.")
        self.base, self.transform = base, transform
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @staticmethod
    def of(family: type[Declared] | Blueprint, transform: Transform) -> TransformedBlueprint:
        """Return a blueprint of a family seen through a map."""
        return TransformedBlueprint(as_blueprint(family), transform)

    # --- what it is ---

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return the ends of the support of each target dimension."""
        low, high = self.base.ends()
        bounds = self.transform.ends(low)
        lower = torch.where(low.isfinite(), self.transform.forward(low), bounds[0])
        return lower, torch.where(high.isfinite(), self.transform.forward(high), bounds[1])

    def turning_points(self) -> Tensor:
        """Return quantiles, a grid so fine that the density turns at most once between them, and finite ends."""
        half = torch.tensor([*_LEVELS, 0.5], dtype=torch.float64)
        like = self.base.ends()[0]
        shape = (len(half),) + (1,) * like.dim()
        levels = half.to(like).reshape(shape).expand(shape[:1] + like.shape)
        inner = torch.cat([self.icdf(levels), self.isf(levels)])
        ends = torch.stack([neighbour for end in self.ends() for neighbour in around(end)])
        return torch.cat([inner, ends]).movedim(0, -1)

    # --- life and samples ---

    def transformed(self, change: Change) -> Transformed:
        """Return the same distribution with every tensor changed."""
        return Transformed(self.base.transformed(change), self.transform)

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D)."""
        return self.transform.forward(self.base.sample(sample_shape, generator=generator))

    # --- density ---

    def anchor(self) -> Tensor:
        """Return the base's anchor, carried along."""
        return self.transform.forward(self.base.anchor())

    def log_prob(self, value: Tensor) -> Tensor:
        """Return joint log-densities, (..., K); -inf outside the support."""
        z, inside = self._pulled(value)
        density = self.base.log_prob(z) - self.transform.log_slope(z).sum(-1)
        return torch.where(inside.all(-1), density, -torch.inf)

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself."""
        z, inside = self._pulled(value)
        return torch.where(inside, self.base.marginal_log_prob(z) - self.transform.log_slope(z), -torch.inf)

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``; 0 outside the support."""
        z, inside = self._pulled(value)
        slope = (self.base.score(z) - self.transform.bend(z)) * (-self.transform.log_slope(z)).exp()
        return torch.where(inside, slope, 0.0)

    def gradient(self, value: Tensor) -> Tensor:
        """Return the gradient of ``log_prob`` in ``value``."""
        z, inside = self._pulled(value)
        slope = (self.base.gradient(z) - self.transform.bend(z)) * (-self.transform.log_slope(z)).exp()
        return torch.where(inside, slope, 0.0)

    def curvature(self, value: Tensor) -> Tensor:
        """Return the base's matrices in the units of y."""
        z, _ = self._pulled(value)
        unit = (-self.transform.log_slope(z)).exp()
        return unit.unsqueeze(-1) * self.base.curvature(z) * unit.unsqueeze(-2)

    def interval_log_prob(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the joint log-likelihood, (..., K), of targets known to lie in [low, high]."""
        a, b = self.transform.inverse(low), self.transform.inverse(high)
        exact = low == high
        outside = exact & a.isinf()
        stand_in = torch.zeros_like(a)
        a, b = torch.where(outside, stand_in, a), torch.where(outside, stand_in, b)
        slope = torch.where(exact, self.transform.log_slope(torch.where(exact, a, stand_in)), 0.0)
        known = self.base.interval_log_prob(a, b) - slope.sum(-1)
        return torch.where(outside.any(-1), -torch.inf, known)

    def rosenblatt(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the base's conditional log-densities, with the Jacobian, and cdfs."""
        z, inside = self._pulled(value)
        density, level = self.base.rosenblatt(z)
        return torch.where(inside, density - self.transform.log_slope(z), -torch.inf), level

    # --- probabilities and quantiles ---

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value) of each target dimension."""
        return self.base.cdf(self.transform.inverse(value))

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value) of each target dimension."""
        return self.base.sf(self.transform.inverse(value))

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return log P(Y <= value) of each target dimension."""
        return self.base.log_cdf(self.transform.inverse(value))

    def log_sf(self, value: Tensor) -> Tensor:
        """Return log P(Y > value) of each target dimension."""
        return self.base.log_sf(self.transform.inverse(value))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile of each target dimension."""
        return self.transform.forward(self.base.icdf(value))

    def isf(self, value: Tensor) -> Tensor:
        """Return the upper quantile of each target dimension."""
        return self.transform.forward(self.base.isf(value))

    # --- distributions made from this one ---

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Transformed:
        """Return the distribution of ``shift + scale * Y`` for ``scale`` > 0."""
        return Transformed(self.base, self.transform.affine(shift, scale))

    def marginal(self, dims: list[int]) -> Transformed:
        """Return the joint distribution of the chosen target dimensions."""
        return Transformed(self.base.marginal(dims), self.transform.of(dims))

    def condition(self, dims: list[int], value: Tensor) -> Transformed:
        """Return the distribution of the other dimensions given ``value`` in ``dims``."""
        z = self.transform.of(dims).inverse(value)
        return Transformed(self.base.condition(dims, z), self.transform.of(self._others(dims)))

    def widened(self, factor: float) -> Transformed:
        """Return the widened base seen through the same map."""
        return Transformed(self.base.widened(factor), self.transform)

    # --- private ---

    def _pulled(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return z, with 0 in place of what lies outside the support, and which targets lie inside."""
        z = self.transform.inverse(value)
        inside = z.isfinite()
        return torch.where(inside, z, 0.0), inside


@dataclass(frozen=True)
class TransformedBlueprint:
    """A blueprint seen through a map whose bounds are in the user's units."""

    base: Blueprint
    transform: Transform

    def slots(self, n_components: int, target_dim: int) -> dict[str, Slot]:
        """Return the slots of the base."""
        return self.base.slots(n_components, target_dim)

    def scalings(self, target_dim: int) -> tuple[Scaling, ...]:
        """Return the strictest of the map's scaling and the base's."""
        return tuple(
            max(scaling, self.transform.scaling, key=lambda option: option.value)
            for scaling in self.base.scalings(target_dim)
        )

    def build(
        self, values: Mapping[str, Tensor], batch_shape: torch.Size, target_dim: int, units: Units
    ) -> Transformed:
        """Return the base's components seen through the map in the network's units."""
        return Transformed(self.base.build(values, batch_shape, target_dim, Units()), self.transform.in_units(units))

    def start(self, centres: Tensor, spread: Tensor, units: Units) -> dict[str, Tensor]:
        """Return the base's start at the centres carried back, and spread by the map's slope there."""
        transform = self.transform.in_units(units)
        low, high = transform.ends(centres)
        z = transform.inverse(centres.clamp(low + 0.1 * spread, high - 0.1 * spread)).clamp(-_FAR, _FAR)
        widths = spread * (-transform.log_slope(z)).exp()
        return self.base.start(z, widths.clamp(max=_FAR).mean(0), Units())

    def settled(self, components: Component) -> Component:
        """Return the components seen through a map whose bounds are exact."""
        own = cast(Transformed, components)
        bounded = self.transform.bounds[0] > -torch.inf
        return Transformed(own.base, self.transform if bounded else own.transform)


_FAR = 20.0  # where the logarithm of a start may lie


def through(components: Component, transform: Transform) -> Component:
    """Return components of T(Y); atoms move without a Jacobian."""
    if len(components.groups) > 1:
        return Concatenation(*(through(group, transform) for group in components.groups))
    if isinstance(components, PointMass):
        return PointMass(transform.forward(components.value), validate_args=False)
    return Transformed(components, transform)
