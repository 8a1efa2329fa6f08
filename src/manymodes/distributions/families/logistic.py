"""Logistic components: bell-shaped with exponential tails, and every function of them in closed form."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid
from torch.types import _size

from manymodes.distributions import constraints
from manymodes.distributions.declared import Parameter
from manymodes.distributions.families.location_scale import LocationScale

_INFLECTION = math.log(2 + math.sqrt(3))  # where the second derivative of the standard density is 0
_NEAR = 1e-8  # closer to 0 than this, tanh(z / 2) / z is 1/2 in double precision


@final
class Logistic(LocationScale):
    r"""Logistic components, one loc and scale per target dimension.

    .. math:: p(y) = \prod_d \frac{e^{-z_d}}{s_d (1 + e^{-z_d})^2}, \qquad z_d = (y_d - m_d) / s_d

    Args:
        loc: Means and medians, (..., K, D), in the units of y.
        scale: Scales, (..., K, D), in the units of y; standard deviations are pi / sqrt(3) times as large.
        validate_args: Whether values are checked too; shapes always are.

    Raises:
        ValueError: A shape that is not the declared one, or a value outside its constraint.

    References:
        Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions, volume 2, chapter 23.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "loc": Parameter(("D",), constraints.real),
        "scale": Parameter(("D",), constraints.scale),
    }

    def __init__(self, loc: Tensor, scale: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, loc=loc, scale=scale)

    def turning_points(self) -> Tensor:
        """Return zeros of the first two derivatives of the density, (..., K, D, 3)."""
        inflection = _INFLECTION * self.scale
        return torch.stack([self.loc - inflection, self.loc, self.loc + inflection], -1)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension."""
        factor = {2: math.pi**2 / 3, 3: 0.0, 4: 7 * math.pi**4 / 15}[order]
        return factor * self.scale**order

    def entropy(self) -> Tensor:
        """Return the differential entropy, (..., K), in nats."""
        return (2 + self.scale.log()).sum(-1)

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D): the log of a ratio of two exponentials, which reaches far tails."""
        like = self.loc.detach()
        shape = torch.Size((2, *sample_shape)) + like.shape
        draws = like.new_empty(shape).exponential_(generator=generator).clamp_min(torch.finfo(like.dtype).tiny).log()
        return (self.loc + self.scale * (draws[0] - draws[1])).detach()

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself, (..., K, D)."""
        z = self._standardised(value)
        return logsigmoid(z) + logsigmoid(-z) - self.scale.log()

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``, (..., K, D)."""
        return -(0.5 * self._standardised(value)).tanh() / self.scale

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return tanh(z / 2) / z / scale^2, which majorises.

        References:
            Jaakkola and Jordan (2000), Statistics and Computing 10, 25-37.
        """
        z = self._standardised(value).abs().clamp_min(_NEAR)
        limits = torch.finfo(z.dtype)
        return ((0.5 * z).tanh() / z / self.scale / self.scale).clamp(limits.tiny, limits.max)

    def _unit_cdf(self, z: Tensor) -> Tensor:
        return z.sigmoid()

    def _unit_log_cdf(self, z: Tensor) -> Tensor:
        return logsigmoid(z)

    def _unit_quantile(self, level: Tensor) -> Tensor:
        return torch.logit(level)

    def _unit_partial_mean(self, z: Tensor) -> Tensor:
        # z P(Z > z) + log(1 + exp(-z)), which is even in z.
        size = z.abs()
        return size * (-size).sigmoid() - logsigmoid(size)
