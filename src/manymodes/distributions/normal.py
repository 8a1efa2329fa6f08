"""Normal components whose target dimensions are independent given the component."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.types import _size

from manymodes.distributions.component import Component, Parameter

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Normal(Component):
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

    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Tensor, scale: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, loc=loc, scale=scale)

    @property
    def mean(self) -> Tensor:
        """Means, (..., K, D)."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Variances, (..., K, D)."""
        return self.scale.square().expand_as(self.loc)

    @classmethod
    def start(cls, centres: Tensor, spread: float) -> dict[str, Tensor]:
        """Return parameters to start training from: means at the centres, (K, D), and equal scales."""
        size = cls.parameters["scale"].size_for(centres.shape[1])
        return {"loc": centres, "scale": torch.full((len(centres), size), spread)}

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D)."""
        shape = torch.Size(sample_shape) + self.loc.shape
        noise = torch.randn(shape, generator=generator, dtype=self.loc.dtype, device=self.loc.device)
        return (self.loc + self.scale * noise).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return joint log-densities, (..., K)."""
        return self.marginal_log_prob(value).sum(-1)

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself, (..., K, D)."""
        return -(0.5 * self._standardised(value).square() + self.scale.log() + _HALF_LOG_2PI)

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value) for each target dimension, (..., K, D)."""
        return normal_cdf(self._standardised(value))

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value) for each target dimension, (..., K, D)."""
        return normal_cdf(-self._standardised(value))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile of each target dimension, (..., K, D)."""
        quantile: Tensor = self.loc + self.scale * torch.special.ndtri(value)
        return quantile

    def isf(self, value: Tensor) -> Tensor:
        """Return y with P(Y > y) = value for each target dimension, (..., K, D)."""
        quantile: Tensor = self.loc - self.scale * torch.special.ndtri(value)
        return quantile

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Normal:
        """Return the distribution of ``shift + scale * Y`` for ``scale`` > 0.

        Spherical components stay spherical only where every dimension is scaled alike.
        """
        new_scale = scale * self.scale
        family = type(self) if new_scale.shape[-1] == self.scale.shape[-1] else DiagonalNormal
        return family(shift + scale * self.loc, new_scale, validate_args=False)

    def _standardised(self, value: Tensor) -> Tensor:
        # Within bounds whose squares are finite: no far target turns responsibilities or gradients into NaN.
        bound = torch.finfo(self.loc.dtype).max ** 0.48
        return ((value - self.loc) / self.scale).clamp_(-bound, bound)


@final
class DiagonalNormal(Normal):
    """Normal components with one scale per target dimension; ``scale`` has shape (..., K, D)."""

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "loc": Parameter("D", constraints.real),
        "scale": Parameter("D", constraints.positive),
    }

    def marginal(self, dims: list[int]) -> DiagonalNormal:
        """Return the same family over the chosen target dimensions."""
        return DiagonalNormal(self.loc[..., dims], self.scale[..., dims], validate_args=False)


@final
class SphericalNormal(Normal):
    """Normal components with one scale for all target dimensions; ``scale`` has shape (..., K, 1).

    Targets of different units should be standardised first, as ``MixtureDensityNetwork`` does.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "loc": Parameter("D", constraints.real),
        "scale": Parameter(1, constraints.positive),
    }

    def marginal(self, dims: list[int]) -> SphericalNormal:
        """Return the same family over the chosen target dimensions."""
        return SphericalNormal(self.loc[..., dims], self.scale, validate_args=False)


def normal_cdf(z: Tensor) -> Tensor:
    """Return the standard normal cdf, accurate in both tails.

    ``torch.special.ndtr`` of torch 2.13 works out (1 + erf) / 2, which is off by 3e-8 at z = -6 and 0 at z = -9.
    """
    probability: Tensor = 0.5 * torch.special.erfc(-math.sqrt(0.5) * z)
    return probability


COVARIANCE_TYPES: Mapping[str, type[Normal]] = {"diag": DiagonalNormal, "spherical": SphericalNormal}
