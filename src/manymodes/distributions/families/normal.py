"""Normal components: what all have in common, and those without correlation; the others are in ``covariance``."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from torch.types import _size

from manymodes.distributions import constraints
from manymodes.distributions.component import Factorised
from manymodes.distributions.declared import Declared, Parameter
from manymodes.distributions.special import log_normal_cdf, normal_cdf

_HALF_LOG_2PI, _ROOT_2PI = 0.5 * math.log(2 * math.pi), math.sqrt(2 * math.pi)
_TURNS = (-math.sqrt(3), -1.0, 0.0, 1.0, math.sqrt(3))  # zeros of the first three derivatives of exp(-z^2 / 2)


class Normal(Declared):
    r"""Normal components; abstract. Each target dimension by itself is normal, and what follows from that is here.

    .. math:: \log p(y_d) = -\tfrac12 z_d^2 - \log s_d - \tfrac12 \log 2\pi, \qquad z_d = (y_d - m_d) / s_d
    """

    loc: Tensor

    @property
    @abstractmethod
    def stddev(self) -> Tensor:
        """Standard deviation of each target dimension, (..., K, D), not by way of the variance, which may overflow."""

    @property
    def mean(self) -> Tensor:
        """Means, (..., K, D)."""
        return self.loc

    def turning_points(self) -> Tensor:
        """Return zeros of the first three derivatives of the density, (..., K, D, 5)."""
        z = torch.tensor(_TURNS, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc.unsqueeze(-1) + self.stddev.unsqueeze(-1) * z

    @property
    def turning_order(self) -> int:
        """3: zeros of the third derivative are among the turning points."""
        return 3

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension."""
        factor = {2: 1.0, 3: 0.0, 4: 3.0}[order]
        return factor * self.stddev**order

    def lower_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y <= value}] of each target dimension."""
        return self.loc * self.cdf(value) - self.stddev * _unit_density(self._standardised(value))

    def upper_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y > value}] of each target dimension."""
        return self.loc * self.sf(value) + self.stddev * _unit_density(self._standardised(value))

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself, (..., K, D)."""
        z = self._standardised(value)
        peak = (self.stddev.reciprocal() / _ROOT_2PI).log()
        return torch.addcmul(peak, z, z, value=-0.5)

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``, (..., K, D)."""
        return -self._standardised(value) / self.stddev

    def score_slope(self, value: Tensor) -> Tensor:
        """Return -1 / stddev^2, (..., K, D)."""
        return -self.stddev.square().reciprocal()

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value) for each target dimension, (..., K, D)."""
        return normal_cdf(self._standardised(value))

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value) for each target dimension, (..., K, D)."""
        return normal_cdf(-self._standardised(value))

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return log P(Y <= value) of each target dimension."""
        return log_normal_cdf(self._standardised(value))

    def log_sf(self, value: Tensor) -> Tensor:
        """Return log P(Y > value) of each target dimension."""
        return log_normal_cdf(-self._standardised(value))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile of each target dimension, (..., K, D)."""
        quantile: Tensor = self.loc + self.stddev * torch.special.ndtri(value)
        return quantile

    def isf(self, value: Tensor) -> Tensor:
        """Return y with P(Y > y) = value for each target dimension, (..., K, D)."""
        quantile: Tensor = self.loc - self.stddev * torch.special.ndtri(value)
        return quantile

    def _standardised(self, value: Tensor) -> Tensor:
        # Within bounds whose squares are finite: no far target turns responsibilities or gradients into NaN.
        info, value = torch.finfo(self.loc.dtype), value.to(torch.promote_types(value.dtype, self.loc.dtype))
        offset = value.clamp(-info.max / 4, info.max / 4) - self.loc  # finite: gradients of 0 are multiplied by it
        return (offset * self.stddev.reciprocal()).clamp(-(info.max**0.48), info.max**0.48)


class IndependentNormal(Normal, Factorised):
    r"""Normal components without correlation; abstract, see its two final classes.

    .. math:: \log p(y) = -\sum_d \left[\tfrac12 z_d^2 + \log s_d + \tfrac12 \log 2\pi\right],
        \qquad z_d = (y_d - m_d) / s_d

    Args:
        loc: Means, (..., K, D), in the units of y.
        scale: Standard deviations, of the size that the class declares, in the units of y.
        validate_args: Whether values are checked too; shapes always are.

    Raises:
        ValueError: A shape that is not the declared one, or a value outside its constraint.
    """

    scale: Tensor

    def __init__(self, loc: Tensor, scale: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, loc=loc, scale=scale)

    @property
    def stddev(self) -> Tensor:
        """The scales, (..., K, D)."""
        return self.scale.expand_as(self.loc)

    def entropy(self) -> Tensor:
        """Return the differential entropy, (..., K), in nats."""
        return (self.stddev.log() + _HALF_LOG_2PI + 0.5).sum(-1)

    @classmethod
    def start(cls, centres: Tensor, spread: Tensor) -> dict[str, Tensor]:
        """Return parameters to start training from: means at the centres, (K, D), and equal scales."""
        (size,) = cls.parameters["scale"].sizes(centres.shape[1])
        scale = spread if size > 1 else spread.square().mean(-1, keepdim=True).sqrt()
        return {"loc": centres, "scale": scale.expand(len(centres), size)}

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D)."""
        shape = torch.Size(sample_shape) + self.loc.shape
        noise = torch.randn(shape, generator=generator, dtype=self.loc.dtype, device=self.loc.device)
        return (self.loc + self.scale * noise).detach()

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return 1 / scale^2, (..., K, D)."""
        return self.scale.square().reciprocal().expand_as(self.loc)

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> IndependentNormal:
        """Return the distribution of ``shift + scale * Y`` for ``scale`` > 0.

        Spherical components stay spherical only where every dimension is scaled alike.
        """
        new_scale = scale * self.scale
        family = type(self) if new_scale.shape[-1] == self.scale.shape[-1] else DiagonalNormal
        return family(shift + scale * self.loc, new_scale, validate_args=False)

    def widened(self, factor: float) -> Self:
        """Return components whose scales are ``factor`` times as large."""
        return self.with_values(scale=factor * self.scale)


@final
class DiagonalNormal(IndependentNormal):
    """Normal components with one scale per target dimension; ``scale`` has shape (..., K, D)."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "loc": Parameter(("D",), constraints.real),
        "scale": Parameter(("D",), constraints.scale),
    }

    def marginal(self, dims: list[int]) -> DiagonalNormal:
        """Return the same family over the chosen target dimensions."""
        return DiagonalNormal(self.loc[..., dims], self.scale[..., dims], validate_args=False)


@final
class SphericalNormal(IndependentNormal):
    """Normal components with one scale for all target dimensions; ``scale`` has shape (..., K, 1).

    Targets of different units should be standardised first, as ``MixtureDensityNetwork`` does.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "loc": Parameter(("D",), constraints.real),
        "scale": Parameter((1,), constraints.scale),
    }

    def marginal(self, dims: list[int]) -> SphericalNormal:
        """Return the same family over the chosen target dimensions."""
        return SphericalNormal(self.loc[..., dims], self.scale, validate_args=False)


def _unit_density(z: Tensor) -> Tensor:
    return torch.exp(-0.5 * z.square() - _HALF_LOG_2PI)
