"""Laplace components: a sharp peak and exponential tails; their likelihood is least absolute deviations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.types import _size

from manymodes.distributions import constraints
from manymodes.distributions.declared import Parameter
from manymodes.distributions.families.location_scale import LocationScale

_LOG_2 = math.log(2)


@final
class Laplace(LocationScale):
    r"""Laplace components, one loc and scale per target dimension.

    .. math:: \log p(y) = -\sum_d \left[|z_d| + \log 2 s_d\right], \qquad z_d = (y_d - m_d) / s_d

    Args:
        loc: Means and medians, (..., K, D), in the units of y.
        scale: Mean absolute deviations, (..., K, D), in the units of y.
        validate_args: Whether values are checked too; shapes always are.

    Raises:
        ValueError: A shape that is not the declared one, or a value outside its constraint.

    References:
        Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions, volume 2, chapter 24.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "loc": Parameter(("D",), constraints.real),
        "scale": Parameter(("D",), constraints.scale),
    }

    def __init__(self, loc: Tensor, scale: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, loc=loc, scale=scale)

    def turning_points(self) -> Tensor:
        """Return the kink and its two neighbours among floating-point numbers, (..., K, D, 3)."""
        loc = self.loc.detach()
        infinite = torch.full_like(loc, torch.inf)
        return torch.stack([torch.nextafter(loc, -infinite), loc, torch.nextafter(loc, infinite)], -1)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension."""
        factor = {2: 2.0, 3: 0.0, 4: 24.0}[order]
        return factor * self.scale**order

    def entropy(self) -> Tensor:
        """Return the differential entropy, (..., K), in nats."""
        return (1 + _LOG_2 + self.scale.log()).sum(-1)

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D): an exponential distance to either side."""
        like = self.loc.detach()
        shape = torch.Size(sample_shape) + like.shape
        size = like.new_empty(shape).exponential_(generator=generator)
        left = torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device) < 0.5
        return (self.loc + self.scale * torch.where(left, -size, size)).detach()

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself, (..., K, D)."""
        return -(self._standardised(value).abs() + _LOG_2 + self.scale.log())

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``, (..., K, D); 0 at the kink."""
        return -self._standardised(value).sign() / self.scale

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return ``1 / (scale |value - loc|)``, which majorises: iteratively reweighted least squares.

        Bounded at the kink, where it would be infinite: a step ends within a rounding error of scale.

        References:
            Schlossmacher (1973), Journal of the American Statistical Association 68, 857-859.
        """
        limits = torch.finfo(self.scale.dtype)
        distance = self._standardised(value).abs().clamp_min(limits.eps)
        return (1 / distance / self.scale / self.scale).clamp(limits.tiny, limits.max)

    def _unit_cdf(self, z: Tensor) -> Tensor:
        # Clamped on both sides, so that the branch that is not taken leaves no NaN in gradients.
        return torch.where(z <= 0, 0.5 * z.clamp_max(0.0).exp(), 1 - 0.5 * (-z.clamp_min(0.0)).exp())

    def _unit_log_cdf(self, z: Tensor) -> Tensor:
        return torch.where(z <= 0, z - _LOG_2, (-0.5 * (-z.clamp_min(0.0)).exp()).log1p())

    def _unit_quantile(self, level: Tensor) -> Tensor:
        lower = level <= 0.5
        tail = torch.where(lower, level, 1 - level)
        return torch.where(lower, 1.0, -1.0).to(level.dtype) * (2 * tail).log()

    def _unit_partial_mean(self, z: Tensor) -> Tensor:
        return 0.5 * (1 + z.abs()) * (-z.abs()).exp()
