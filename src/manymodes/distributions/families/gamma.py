"""Gamma components, for positive targets such as waiting times and amounts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from torch.types import _size

from manymodes.distributions import constraints, special
from manymodes.distributions.component import Factorised
from manymodes.distributions.constraints import Scaling
from manymodes.distributions.declared import Declared, Parameter
from manymodes.distributions.families.lognormal import refuse_shift
from manymodes.distributions.limits import around, bounded, positive

_LARGE = 16.0  # from here on, Stirling's series below is exact in double precision
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)  # Abramowitz and Stegun (1964), 6.1.41


@final
class Gamma(Declared, Factorised):
    r"""Gamma components whose target dimensions are independent given the component.

    .. math:: \log p(y) = \sum_d \left[(a_d - 1) \log x_d - x_d - \log\Gamma(a_d) - \log s_d\right],
        \qquad x_d = y_d / s_d > 0

    Args:
        concentration: Shapes a, (..., K, D); the mean is ``concentration * scale``.
        scale: Scales s, (..., K, D), in the units of y.
        validate_args: Whether values are checked too; shapes always are.

    Raises:
        ValueError: A shape that is not the declared one, or a value outside its constraint.

    References:
        Johnson, Kotz and Balakrishnan (1994), Continuous Univariate Distributions, vol. 1, chapter 17.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "concentration": Parameter(("D",), constraints.concentration),
        "scale": Parameter(("D",), constraints.rate),
    }
    scaling: ClassVar[Scaling] = Scaling.SCALE
    everywhere: ClassVar[bool] = False

    concentration: Tensor
    scale: Tensor

    def __init__(self, concentration: Tensor, scale: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, concentration=concentration, scale=scale)

    @property
    def mean(self) -> Tensor:
        """Means, (..., K, D)."""
        return self.concentration * self.scale

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return 0 and infinity."""
        return torch.zeros_like(self.scale), torch.full_like(self.scale, torch.inf)

    def turning_points(self) -> Tensor:
        """Return the mode, both inflections and the end with its surroundings, (..., K, D, 6); NaN fills up."""
        mode = self.concentration - 1
        points = [self.scale * (mode + sign * mode.clamp_min(0.0).sqrt()) for sign in (-1, 0, 1)]
        real = [torch.where(point > 0, point, torch.nan) for point in points]
        return torch.stack([*real, *around(torch.zeros_like(self.scale))], -1)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension."""
        a = self.concentration
        return {2: a, 3: 2 * a, 4: 3 * a * (a + 2)}[order] * self.scale**order

    def lower_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y <= value}], the mean times the cdf for a concentration larger by 1."""
        return self.mean * self.with_values(concentration=self.concentration + 1).cdf(value)

    def upper_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y > value}], the mean times the survival function for a concentration larger by 1."""
        return self.mean * self.with_values(concentration=self.concentration + 1).sf(value)

    def entropy(self) -> Tensor:
        """Return the differential entropy, (..., K), in nats."""
        a = self.concentration
        return (a + self.scale.log() + torch.lgamma(a) + (1 - a) * torch.digamma(a)).sum(-1)

    @classmethod
    def start(cls, centres: Tensor, spread: Tensor) -> dict[str, Tensor]:
        """Return parameters to start training from: means at the centres, (K, D), and no pole at 0."""
        mean = torch.maximum(centres, 0.1 * spread)
        concentration = (mean / spread).square().clamp_min(1.0)
        return {"concentration": concentration, "scale": mean / concentration}

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D)."""
        shapes = self.concentration.detach().expand(torch.Size(sample_shape) + self.concentration.shape)
        samples = self.scale * torch._standard_gamma(shapes, generator=generator)
        return samples.detach().clamp_min(torch.finfo(samples.dtype).tiny)  # 0 is outside the support

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself, (..., K, D)."""
        inside, y = self._split(value)
        density = standard_log_density(y / self.scale, self.concentration) - self.scale.log()
        return torch.where(inside, density, -torch.inf)

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``; 0 outside the support."""
        inside, y = self._split(value)
        return bounded(torch.where(inside, (self.concentration - 1) / y - self.scale.reciprocal(), 0.0))

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return minus the derivative of ``score`` where it is positive, else what gives a step of at most y."""
        inside, y = self._split(value)
        concave = (self.concentration - 1) / y / y
        curvature = torch.where(concave > 0, concave, self.score(value).abs() / y)
        return positive(torch.where(inside, curvature, self.variance.reciprocal()))

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value) of each target dimension, (..., K, D)."""
        inside, y = self._split(value)
        below = special.cumulative("gammainc", standard_log_density, y / self.scale, self.concentration)
        return torch.where(inside, below, (value > 0).to(below.dtype))

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value) of each target dimension, (..., K, D)."""
        inside, y = self._split(value)
        above = special.cumulative("gammaincc", standard_log_density, y / self.scale, self.concentration)
        return torch.where(inside, above, (value <= 0).to(above.dtype))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile of each target dimension, (..., K, D); without a gradient."""
        return self.scale.detach() * special.evaluate("gammaincinv", self.concentration, value)

    def isf(self, value: Tensor) -> Tensor:
        """Return y with P(Y > y) = value of each target dimension, (..., K, D); without a gradient."""
        return self.scale.detach() * special.evaluate("gammainccinv", self.concentration, value)

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Gamma:
        """Return the distribution of ``scale * Y`` for ``scale`` > 0; a ``shift`` other than 0 is refused."""
        refuse_shift("Gamma", shift)
        return self.with_values(scale=scale * self.scale)

    def marginal(self, dims: list[int]) -> Gamma:
        """Return the same family over the chosen target dimensions."""
        return Gamma(self.concentration[..., dims], self.scale[..., dims], validate_args=False)

    def widened(self, factor: float) -> Self:
        """Return components of the same means whose standard deviations are ``factor`` times as large."""
        return self.with_values(concentration=self.concentration / factor**2, scale=self.scale * factor**2)

    def _split(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return whether values are inside the support, and values with the scale in place of those that are not."""
        inside, scale = (value > 0) & (value < torch.inf), self.scale.detach()
        y = torch.where(inside, value, scale)
        return inside, torch.minimum(y, scale * torch.finfo(scale.dtype).max ** 0.48)  # y / scale has a finite square


def standard_log_density(value: Tensor, concentration: Tensor) -> Tensor:
    """Return the log-density of gamma variables of scale 1, accurate for large concentrations too."""
    x = _in_range(value)
    return log_poisson(concentration, x) + concentration.log() - x.log()


def log_poisson(count: Tensor, rate: Tensor) -> Tensor:
    r"""Return log of the Poisson probability, extended to every real ``count`` >= 0, without loss of digits.

    .. math:: y \log\mu - \mu - \log\Gamma(y + 1) = -y\,\phi(\mu / y - 1) - \delta(y) - \tfrac12 \log 2 \pi y,
        \qquad \phi(t) = t - \log(1 + t)

    with Stirling's error δ. The left side loses digits where its large terms cancel, the right side does not. Gamma,
    beta and negative binomial densities are sums of such terms.

    References:
        Loader (2000), Fast and accurate computation of binomial probabilities, sections 3 and 4.
    """
    rate, large = _in_range(rate), count >= _LARGE
    few, many = torch.where(large, 1.0, count), torch.where(large, count, _LARGE)
    direct = few * rate.log() - rate - torch.lgamma(few + 1)
    saddle = -many * _deviance(many, rate) - _stirling_error(many) - 0.5 * torch.log(2 * math.pi * many)
    return torch.where(large, saddle, direct)


def _deviance(count: Tensor, rate: Tensor) -> Tensor:
    excess = (rate - count) / count
    near = excess.abs() < 0.5
    small = torch.where(near, excess, 0.0)
    return torch.where(near, small - torch.log1p(small), excess - (rate.log() - count.log()))


def _stirling_error(count: Tensor) -> Tensor:
    inverse = count.reciprocal()
    square, total = inverse.square(), torch.zeros_like(count)
    for coefficient in reversed(_STIRLING):
        total = total * square + coefficient
    return total * inverse


def _in_range(value: Tensor) -> Tensor:
    """Return positive values kept where neither their logarithms nor products with them are infinite."""
    limits = torch.finfo(value.dtype)
    return value.clamp(limits.tiny, limits.max**0.96)
