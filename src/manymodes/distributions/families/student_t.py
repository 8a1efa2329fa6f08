"""Student's t components: bell-shaped with tails that fall like a power, for targets with outliers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.types import _size

from manymodes.distributions import constraints, special
from manymodes.distributions.declared import Parameter
from manymodes.distributions.families.location_scale import LocationScale

_START_DF = 5.0  # heavier tails than a normal's, with four moments
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_FAR = 1e9  # of sqrt(df): beyond it the tail is a pure power to double precision
_MAX_STEPS = 60
_LARGE = 10.0  # above it, differences of lgamma lose digits and Stirling's series has all of them
_STIRLING = (-1 / 8, 1 / 192, -1 / 640, 17 / 14336, -31 / 18432, 691 / 180224)  # of x^-1, x^-3, x^-5 ...


@final
class StudentT(LocationScale):
    r"""Student's t components, one df, loc and scale per target dimension.

    .. math:: p(y) = \prod_d \frac{\Gamma((\nu_d + 1) / 2)}{\Gamma(\nu_d / 2) \sqrt{\pi \nu_d}\, s_d}
        \left(1 + \frac{z_d^2}{\nu_d}\right)^{-(\nu_d + 1) / 2}, \qquad z_d = (y_d - m_d) / s_d

    Args:
        df: Degrees of freedom > 1, (..., K, D); the smaller, the heavier the tails.
        loc: Means, (..., K, D), in the units of y.
        scale: Scales, (..., K, D), in the units of y; smaller than the standard deviation.
        validate_args: Whether values are checked too; shapes always are.

    Raises:
        ValueError: A shape that is not the declared one, or a value outside its constraint.

    References:
        Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions, volume 2, chapter 28.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "df": Parameter(("D",), constraints.degrees_of_freedom),
        "loc": Parameter(("D",), constraints.real),
        "scale": Parameter(("D",), constraints.scale),
    }
    df: Tensor

    def __init__(self, df: Tensor, loc: Tensor, scale: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, df=df, loc=loc, scale=scale)

    def turning_points(self) -> Tensor:
        """Return zeros of the first two derivatives of the density, (..., K, D, 3)."""
        inflection = self.scale * (self.df / (self.df + 2)).sqrt()
        return torch.stack([self.loc - inflection, self.loc, self.loc + inflection], -1)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension; infinite unless df > order."""
        exists = self.df > order
        df = torch.where(exists, self.df, order + 1.0)
        if order == 2:
            moment = self.scale.square() * (df / (df - 2))
        elif order == 3:
            moment = torch.zeros_like(df)
        else:
            moment = 3 * self.scale**4 * (df / (df - 2)) * (df / (df - 4))
        return torch.where(exists, moment, torch.inf)

    def entropy(self) -> Tensor:
        """Return the differential entropy, (..., K), in nats."""
        spread = 0.5 * (self.df + 1) * _digamma_step(0.5 * self.df)
        return (spread - _log_peak(self.df) + self.scale.log()).sum(-1)

    @classmethod
    def start(cls, centres: Tensor, spread: Tensor) -> dict[str, Tensor]:
        """Return parameters to start training from, (K, D) each: means at the centres and 5 degrees of freedom."""
        return {"df": torch.full_like(centres, _START_DF), "loc": centres, "scale": spread.expand_as(centres)}

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D): a normal over the root of an independent gamma."""
        shape = torch.Size(sample_shape) + self.loc.shape
        noise = torch.randn(shape, generator=generator, dtype=self.loc.dtype, device=self.loc.device)
        half_df = 0.5 * self.df.detach().expand(shape)
        gamma = torch._standard_gamma(half_df, generator=generator).clamp_min(torch.finfo(noise.dtype).tiny)
        return (self.loc + self.scale * noise * (half_df / gamma).sqrt()).detach()

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself, (..., K, D)."""
        return _unit_log_density(self._standardised(value), self.df) - self.scale.log()

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``, (..., K, D)."""
        z = self._standardised(value)
        size = torch.hypot(self.df.sqrt(), z)  # of the square root of df + z^2, which may overflow itself
        return -(self.df + 1) * (z / size) / size / self.scale

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return (df + 1) / (df + z^2) / scale^2, which majorises: iteratively reweighted least squares.

        References:
            Lange, Little and Taylor (1989), Journal of the American Statistical Association 84, 881-896.
        """
        size = torch.hypot(self.df.sqrt(), self._standardised(value))
        limits = torch.finfo(size.dtype)
        return ((self.df + 1) / size / size / self.scale / self.scale).clamp(limits.tiny, limits.max)

    def _standardised(self, value: Tensor, power: float = 0.9) -> Tensor:
        return super()._standardised(value, power)  # tails are so heavy that far targets count

    def _unit_cdf(self, z: Tensor) -> Tensor:
        return _unit_cdf(z, self.df)

    def _unit_log_cdf(self, z: Tensor) -> Tensor:
        return _unit_log_cdf(z, self.df)

    def _unit_quantile(self, level: Tensor) -> Tensor:
        return _unit_quantile(level, self.df)  # no gradient reaches df or the level

    def _unit_partial_mean(self, z: Tensor) -> Tensor:
        # f(z) (df + z^2) / (df - 1)
        log_square = 2 * torch.hypot(self.df.sqrt(), z).log()
        return (_unit_log_density(z, self.df) + log_square).exp() / (self.df - 1)


def _unit_log_density(z: Tensor, df: Tensor) -> Tensor:
    ratio = z.abs() / df.sqrt()
    small, large = ratio.clamp_max(1.0), ratio.clamp_min(1.0)
    # log(1 + ratio^2), whose square overflows in far tails.
    log_sum = torch.where(ratio < 1, small.square().log1p(), 2 * large.log() + large.reciprocal().square().log1p())
    return _log_peak(df) - 0.5 * (df + 1) * log_sum


def _log_peak(df: Tensor) -> Tensor:
    """Return the log-density at z = 0."""
    x = 0.5 * df
    small, large = x.clamp_max(_LARGE), x.clamp_min(_LARGE)
    exact = torch.lgamma(small + 0.5) - torch.lgamma(small) - 0.5 * small.log()
    series = sum(share * large ** -(2 * i + 1) for i, share in enumerate(_STIRLING))
    return torch.where(x < _LARGE, exact, series) - _HALF_LOG_2PI


def _digamma_step(x: Tensor) -> Tensor:
    """Return digamma(x + 1/2) - digamma(x), the derivative of what ``_log_peak`` works out."""
    small, large = x.clamp_max(_LARGE), x.clamp_min(_LARGE)
    exact = torch.digamma(small + 0.5) - torch.digamma(small)
    powers = (-(2 * i + 1) * share * large ** -(2 * i + 2) for i, share in enumerate(_STIRLING))
    return torch.where(x < _LARGE, exact, 0.5 / large + sum(powers))


def _unit_cdf(z: Tensor, df: Tensor) -> Tensor:
    far = z < -_FAR * df.sqrt()  # SciPy's cdf is 0 where z^2 overflows
    near = special.cumulative("stdtr", _unit_log_density, torch.where(far, 0.0, z), df)
    return torch.where(far, _unit_log_power_tail(torch.where(far, z, -1.0), df).exp(), near)


def _unit_log_cdf(z: Tensor, df: Tensor) -> Tensor:
    lower = torch.where(z > 0, -z, z)
    far = lower < -_FAR * df.sqrt()
    near = special.cumulative("stdtr", _unit_log_density, torch.where(far, 0.0, lower), df)
    near = near.clamp_min(torch.finfo(near.dtype).tiny).log()
    log_tail = torch.where(far, _unit_log_power_tail(torch.where(far, lower, -1.0), df), near)
    return torch.where(z > 0, (-log_tail.exp()).log1p(), log_tail)


def _unit_log_power_tail(z: Tensor, df: Tensor) -> Tensor:
    """Return the log of what the cdf tends to for z -> -infinity, f(z) |z| / df."""
    return _unit_log_density(z, df) + (-z).log() - df.log()


@torch.no_grad()
def _unit_quantile(level: Tensor, df: Tensor) -> Tensor:
    """Return z with P(Z <= z) = level, from the tail that keeps its digits."""
    dtype = torch.result_type(level, df)
    level, df = torch.broadcast_tensors(level.double(), df.double())
    tail = torch.where(level > 0.5, 1 - level, level)
    inside = (tail > 0) & (tail < 0.5)
    size = _upper_quantile(torch.where(inside, tail, 0.25), df)
    size = torch.where(inside, size, torch.where(tail == 0.5, 0.0, tail + torch.inf))
    return torch.where(level > 0.5, size, -size).to(dtype)


def _upper_quantile(tail: Tensor, df: Tensor) -> Tensor:
    """Return z > 0 with P(Z > z) = tail < 1/2, by Newton's steps on log P over log z, which is concave and falls.

    They start from z^2 = df (exp(w^2 / df) - 1) with a normal quantile w (Wallace 1959), which errs by a bounded
    factor in far tails. SciPy 1.17's own inverse does not reach tails where z^2 overflows.
    """
    square = torch.special.ndtri(tail).square() / df
    log_z = 0.5 * (df.log() + torch.where(square < 1, square.expm1().log(), square + (-(-square).exp()).log1p()))
    for _ in range(_MAX_STEPS):
        z = log_z.exp()
        log_tail = _unit_log_cdf(-z, df)
        slope = (_unit_log_density(z, df) + log_z - log_tail).exp()
        step = ((log_tail - tail.log()) / slope).clamp(-1.0, 1.0)
        log_z = log_z + step
        size = step.abs() * torch.minimum(z, log_z.abs().clamp_min(1.0).reciprocal())
        if bool((size <= 1e-13 * torch.where(z < 1, 1e-3, 1.0)).all()):
            break
    return log_z.exp()
