"""Log-normal components, for positive targets whose errors are relative; and what families on a half-line share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from torch.types import _size

from manymodes import _checks
from manymodes.distributions import constraints
from manymodes.distributions.component import Factorised
from manymodes.distributions.constraints import Scaling
from manymodes.distributions.declared import Declared, Parameter
from manymodes.distributions.limits import around, bounded, positive
from manymodes.distributions.special import log_normal_cdf, normal_cdf

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@final
class LogNormal(Declared, Factorised):
    r"""Log-normal components: log y is normal in each target dimension by itself.

    .. math:: \log p(y) = -\sum_d \left[\tfrac12 z_d^2 + \log s_d + \log y_d + \tfrac12 \log 2\pi\right],
        \qquad z_d = (\log y_d - m_d) / s_d, \quad y_d > 0

    Args:
        loc: Means of log y, (..., K, D).
        scale: Standard deviations of log y, (..., K, D).
        validate_args: Whether values are checked too; shapes always are.

    Raises:
        ValueError: A shape that is not the declared one, or a value outside its constraint.

    References:
        Johnson, Kotz and Balakrishnan (1994), Continuous Univariate Distributions, vol. 1, chapter 14.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "loc": Parameter(("D",), constraints.real),
        "scale": Parameter(("D",), constraints.scale),
    }
    scaling: ClassVar[Scaling] = Scaling.SCALE
    everywhere: ClassVar[bool] = False

    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Tensor, scale: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, loc=loc, scale=scale)

    @property
    def mean(self) -> Tensor:
        """Means, exp(loc + scale^2 / 2), (..., K, D)."""
        return _exp(self.loc + 0.5 * self.scale.square())

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return 0 and infinity."""
        return torch.zeros_like(self.loc), torch.full_like(self.loc, torch.inf)

    def turning_points(self) -> Tensor:
        """Return the mode, both inflections and the end with its surroundings, (..., K, D, 6).

        With L = 1 + (log y - loc) / scale^2, the first derivative of the density vanishes where L = 0, the second
        where L^2 + L = 1 / scale^2.
        """
        mode, root = self.loc - self.scale.square(), torch.sqrt(1 + 4 * self.scale.square().reciprocal())
        steps = [torch.zeros_like(root), 2 / (1 + root), -0.5 * self.scale.square() * (1 + root)]  # scale^2 L
        points = [torch.exp(mode + step) for step in steps]
        finite = [torch.where(point.isfinite(), point, torch.nan) for point in points]
        return torch.stack([*finite, *around(torch.zeros_like(self.loc))], -1)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension, in logarithms up to the last step."""
        s2 = self.scale.square()
        w = -s2  # log of 1 / w, with w the usual exp(scale^2)
        log_mean, log_excess = self.loc + 0.5 * s2, s2 + torch.log(-torch.expm1(w))  # log(w - 1)
        if order == 2:
            return torch.exp(2 * log_mean + log_excess)
        if order == 3:
            return torch.exp(3 * log_mean + 2 * log_excess + s2 + torch.log1p(2 * w.exp()))
        bracket = torch.log1p(2 * w.exp() + 3 * (2 * w).exp() - 3 * (4 * w).exp())
        return torch.exp(4 * log_mean + 2 * log_excess + 4 * s2 + bracket)

    def lower_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y <= value}] of each target dimension."""
        share = log_normal_cdf(self._standardised(value) - self.scale)
        return _exp(self.loc + 0.5 * self.scale.square() + share)

    def upper_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y > value}] of each target dimension."""
        share = log_normal_cdf(self.scale - self._standardised(value))
        return _exp(self.loc + 0.5 * self.scale.square() + share)

    def entropy(self) -> Tensor:
        """Return the differential entropy, (..., K), in nats."""
        return (self.loc + self.scale.log() + _HALF_LOG_2PI + 0.5).sum(-1)

    @classmethod
    def start(cls, centres: Tensor, spread: Tensor) -> dict[str, Tensor]:
        """Return parameters to start training from: medians at the centres, (K, D), and relative spreads."""
        median = torch.maximum(centres, 0.1 * spread)
        return {"loc": median.log(), "scale": torch.log1p((spread / median).square()).sqrt()}

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D)."""
        shape = torch.Size(sample_shape) + self.loc.shape
        noise = torch.randn(shape, generator=generator, dtype=self.loc.dtype, device=self.loc.device)
        samples = _exp(self.loc + self.scale * noise).detach()
        return samples.clamp_min(torch.finfo(samples.dtype).tiny)  # 0 is outside the support

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself, (..., K, D)."""
        inside, y = _split(value)
        density = -(0.5 * self._standardised(value).square() + self.scale.log() + y.log() + _HALF_LOG_2PI)
        return torch.where(inside, density, -torch.inf)

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``; 0 outside the support."""
        inside, y = _split(value)
        return bounded(torch.where(inside, -(1 + self._standardised(y) / self.scale) / y, 0.0))

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return minus the derivative of ``score`` where it is positive, else what gives a step of at most y."""
        inside, y = _split(value)
        pull = self._standardised(y) / self.scale
        concave = self.scale.square().reciprocal() - 1 - pull
        curvature = torch.where(concave > 0, concave, (1 + pull).abs()) / y / y
        return positive(torch.where(inside, curvature, self.variance.reciprocal()))

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value) of each target dimension, (..., K, D)."""
        return normal_cdf(self._standardised(value))

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value) of each target dimension, (..., K, D)."""
        return normal_cdf(-self._standardised(value))

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return log P(Y <= value) of each target dimension."""
        return log_normal_cdf(self._standardised(value))

    def log_sf(self, value: Tensor) -> Tensor:
        """Return log P(Y > value) of each target dimension."""
        return log_normal_cdf(-self._standardised(value))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile of each target dimension, (..., K, D)."""
        return torch.exp(self.loc + self.scale * torch.special.ndtri(value))

    def isf(self, value: Tensor) -> Tensor:
        """Return y with P(Y > y) = value of each target dimension, (..., K, D)."""
        return torch.exp(self.loc - self.scale * torch.special.ndtri(value))

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> LogNormal:
        """Return the distribution of ``scale * Y`` for ``scale`` > 0; a ``shift`` other than 0 is refused."""
        refuse_shift("LogNormal", shift)
        log_scale = torch.as_tensor(scale, dtype=self.loc.dtype, device=self.loc.device).log()
        return self.with_values(loc=self.loc + log_scale)

    def marginal(self, dims: list[int]) -> LogNormal:
        """Return the same family over the chosen target dimensions."""
        return LogNormal(self.loc[..., dims], self.scale[..., dims], validate_args=False)

    def widened(self, factor: float) -> Self:
        """Return components whose scales of log y are ``factor`` times as large."""
        return self.with_values(scale=factor * self.scale)

    def _standardised(self, value: Tensor) -> Tensor:
        # Within bounds whose squares are finite, which also stand for values outside the support.
        bound = torch.finfo(self.loc.dtype).max ** 0.48
        z = ((_split(value)[1].log() - self.loc) / self.scale).clamp(-bound, bound)
        return torch.where(value <= 0, -bound, torch.where(value < torch.inf, z, bound))


def _split(value: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether values are inside the support, and values with 1 in place of those that are not."""
    inside = (value > 0) & (value < torch.inf)
    return inside, torch.where(inside, value, 1.0)


def _exp(exponent: Tensor) -> Tensor:
    """Return exponentials with a finite number in place of those that overflow."""
    return exponent.clamp_max(math.log(torch.finfo(exponent.dtype).max) - 1e-4).exp()


def refuse_shift(family: str, shift: Tensor | float) -> None:
    """Refuse to shift a family whose support starts at 0."""
    shifted = shift[shift != 0] if isinstance(shift, Tensor) else [shift] if shift != 0 else []
    if len(shifted) > 0:
        raise _checks.InputError(
            f"shift must be 0 for {family}, whose support starts at 0; got {float(shifted[0]):g}; "
            "scale the target without shifting it."
        )
