"""Beta components on an interval, for shares, percentages and everything with two known bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from torch.types import _size

from manymodes import _checks
from manymodes.distributions import constraints, special
from manymodes.distributions.component import Factorised
from manymodes.distributions.declared import Declared, Parameter
from manymodes.distributions.families.gamma import log_poisson
from manymodes.distributions.limits import around, bounded, positive
from manymodes.distributions.special import normal_cdf


@final
class Beta(Declared, Factorised):
    r"""Beta components on the open interval (low, high), independent between target dimensions.

    .. math:: \log p(y) = \sum_d \left[(a_d - 1) \log u_d + (b_d - 1) \log(1 - u_d) - \log B(a_d, b_d)
        - \log(h_d - l_d)\right], \qquad u_d = (y_d - l_d) / (h_d - l_d)

    Args:
        concentration1: Shapes a, (..., K, D); the mean of u is a / (a + b).
        concentration0: Shapes b, (..., K, D).
        low: Lower ends l in the units of y, a number or a shape that broadcasts to (..., K, D); 0 by default.
        high: Upper ends h likewise; 1 by default.
        validate_args: Whether values are checked too; shapes always are.

    Raises:
        ValueError: A shape that is not the declared one, a value outside its constraint, or ends out of order.

    References:
        Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions, vol. 2, chapter 25.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "concentration1": Parameter(("D",), constraints.concentration),
        "concentration0": Parameter(("D",), constraints.concentration),
        "low": Parameter(("D",), constraints.real, default=0.0),
        "high": Parameter(("D",), constraints.real, default=1.0),
    }
    everywhere: ClassVar[bool] = False

    concentration1: Tensor
    concentration0: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        concentration1: Tensor,
        concentration0: Tensor,
        low: Tensor | float | None = None,
        high: Tensor | float | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(
            validate_args=validate_args,
            concentration1=concentration1,
            concentration0=concentration0,
            low=self._given(0.0 if low is None else low, concentration1),
            high=self._given(1.0 if high is None else high, concentration1),
        )

    @property
    def mean(self) -> Tensor:
        """Means, (..., K, D)."""
        first, second = self._shares()
        return torch.where(first < second, self.low + self._width * first, self.high - self._width * second)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return ``low`` and ``high``."""
        return self.low, self.high

    def turning_points(self) -> Tensor:
        """Return the mode or antimode, both inflections and the ends with their surroundings, (..., K, D, 9).

        NaN fills up. On the unit interval, with α = a - 1, β = b - 1 and c = α + β, the second derivative of the
        density vanishes where c (c - 1) x^2 - 2 α (c - 1) x + α (α - 1) = 0; its discriminant is α β (c - 1).
        """
        alpha, beta = self.concentration1 - 1, self.concentration0 - 1
        total = alpha + beta
        half = alpha * (total - 1)
        root = torch.sqrt(half * beta)  # NaN where there is no inflection
        larger = torch.where(half < 0, half - root, half + root)
        units = [alpha / total, larger / (total * (total - 1)), alpha * (alpha - 1) / larger]
        points = [torch.where((unit > 0) & (unit < 1), self.low + self._width * unit, torch.nan) for unit in units]
        return torch.stack([*points, *around(self.low), *around(self.high)], -1)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension."""
        total, (first, second) = self.concentration1 + self.concentration0, self._shares()
        unit = first * second / (total + 1)
        if order == 3:
            unit = unit * 2 * (second - first) / (total + 2)
        if order == 4:
            unit = unit * 3 * (2 + first * second * (total - 6)) / ((total + 2) * (total + 3))
        return unit * self._width**order

    def lower_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y <= value}], by the cdf for a first concentration larger by 1."""
        larger = self.with_values(concentration1=self.concentration1 + 1)
        return self.low * self.cdf(value) + self._width * self._shares()[0] * larger.cdf(value)

    def upper_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y > value}], by the survival function for a first concentration larger by 1."""
        larger = self.with_values(concentration1=self.concentration1 + 1)
        return self.low * self.sf(value) + self._width * self._shares()[0] * larger.sf(value)

    def entropy(self) -> Tensor:
        """Return the differential entropy, (..., K), in nats."""
        a, b = self.concentration1, self.concentration0
        log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
        slopes = (a - 1) * torch.digamma(a) + (b - 1) * torch.digamma(b) - (a + b - 2) * torch.digamma(a + b)
        return (log_beta - slopes + self._width.log()).sum(-1)

    @classmethod
    def start(cls, centres: Tensor, spread: Tensor, **given: Tensor) -> dict[str, Tensor]:
        """Return parameters to start training from: means at the centres, (K, D), and no pole at an end.

        Args:
            centres: Where targets are dense, (K, D).
            spread: Typical distance of targets from their centre, (D,).
            given: ``low`` and ``high``, (D,), where they are not the default ones.
        """
        low = given.get("low", torch.zeros_like(spread))
        width = given.get("high", torch.ones_like(spread)) - low
        mean = ((centres - low) / width).clamp(0.05, 0.95)
        variance = (spread / width).clamp_min(1e-3).square()
        total = torch.maximum(mean * (1 - mean) / variance - 1, 1 / torch.minimum(mean, 1 - mean))
        return {"concentration1": mean * total, "concentration0": (1 - mean) * total}

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D), from the ratio of two gamma variables."""
        shape = torch.Size(sample_shape) + self.low.shape
        first = _log_gamma_sample(self.concentration1.detach().expand(shape), generator)
        second = _log_gamma_sample(self.concentration0.detach().expand(shape), generator)
        u, v = torch.sigmoid(first - second), torch.sigmoid(second - first)
        return self._clear_of_ends(self._from_units(u, v)).detach()

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself, (..., K, D)."""
        inside, u, v = self._units(value)
        density = standard_log_density(u, v, self.concentration1, self.concentration0) - self._width.log()
        return torch.where(inside, density, -torch.inf)

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``; 0 outside the support."""
        inside, u, v = self._units(value)
        slope = (self.concentration1 - 1) / u - (self.concentration0 - 1) / v
        return bounded(torch.where(inside, slope / self._width, 0.0))

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return minus the derivative of ``score`` where it is positive, else what gives a step inside the ends."""
        inside, u, v = self._units(value)
        concave = ((self.concentration1 - 1) / u / u + (self.concentration0 - 1) / v / v) / self._width.square()
        distance = torch.minimum(u, v) * self._width
        otherwise = torch.maximum(self.score(value).abs() / distance, self.variance.reciprocal())
        return positive(torch.where(inside & (concave > 0), concave, otherwise))

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value) of each target dimension, (..., K, D)."""
        inside, u, v = self._units(value)
        below, _ = beta_tails(u, v, self.concentration1, self.concentration0)
        return torch.where(inside, below, (value >= self.high).to(below.dtype))

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value) of each target dimension, (..., K, D)."""
        inside, u, v = self._units(value)
        _, above = beta_tails(u, v, self.concentration1, self.concentration0)
        return torch.where(inside, above, (value <= self.low).to(above.dtype))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile of each target dimension, (..., K, D); without a gradient."""
        u = special.evaluate("betaincinv", self.concentration1, self.concentration0, value)
        v = special.evaluate("betainccinv", self.concentration0, self.concentration1, value)
        return self._from_units(u, v).detach()

    def isf(self, value: Tensor) -> Tensor:
        """Return y with P(Y > y) = value of each target dimension, (..., K, D); without a gradient."""
        u = special.evaluate("betainccinv", self.concentration1, self.concentration0, value)
        v = special.evaluate("betaincinv", self.concentration0, self.concentration1, value)
        return self._from_units(u, v).detach()

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Beta:
        """Return the distribution of ``shift + scale * Y`` for ``scale`` > 0: both ends move along."""
        return self.with_values(low=shift + scale * self.low, high=shift + scale * self.high)

    def marginal(self, dims: list[int]) -> Beta:
        """Return the same family over the chosen target dimensions."""
        chosen = {name: getattr(self, name)[..., dims] for name in self.parameters}
        return Beta(**chosen, validate_args=False)

    def widened(self, factor: float) -> Self:
        """Return components of the same means whose standard deviations are about ``factor`` times as large."""
        return self.with_values(
            concentration1=self.concentration1 / factor**2, concentration0=self.concentration0 / factor**2
        )

    @property
    def _width(self) -> Tensor:
        return self.high - self.low

    def _shares(self) -> tuple[Tensor, Tensor]:
        """Return a / (a + b) and b / (a + b)."""
        total = self.concentration1 + self.concentration0
        return self.concentration1 / total, self.concentration0 / total

    def _units(self, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return whether values are inside, and their distances from both ends in widths; 1/2 outside."""
        inside = (value > self.low) & (value < self.high)
        y, tiny = torch.where(inside, value, (0.5 * self.low + 0.5 * self.high).detach()), torch.finfo(value.dtype).tiny
        u, v = (y - self.low) / self._width, (self.high - y) / self._width
        return inside, u.clamp_min(tiny), v.clamp_min(tiny)

    def _from_units(self, u: Tensor, v: Tensor) -> Tensor:
        """Return y from its distances from both ends in widths, measured from the nearer one."""
        return torch.where(u < v, self.low + self._width * u, self.high - self._width * v)

    def _clear_of_ends(self, y: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(y, around(self.low)[2]), around(self.high)[0])

    def _check_values(self) -> None:
        super()._check_values()
        wrong = (self.low >= self.high).nonzero()
        if len(wrong):
            index = tuple(wrong[0].tolist())
            raise _checks.InputError(
                f"low must be below high everywhere; got low {self.low[index].item():g} and high "
                f"{self.high[index].item():g} at {index}."
            )


def standard_log_density(u: Tensor, v: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the log-density of beta variables at u = 1 - v, accurate for large concentrations too.

    References:
        Loader (2000), Fast and accurate computation of binomial probabilities, section 4.
    """
    total = first + second
    choose = log_poisson(first, total * u) + log_poisson(second, total * v) - log_poisson(total, total)
    return choose + first.log() + second.log() - total.log() - u.log() - v.log()


def beta_tails(u: Tensor, v: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return P(U <= u) and P(U > u) of beta variables, for u + v = 1, from the smaller of the two."""
    low = u <= v
    x, a, b = torch.where(low, u, v), torch.where(low, first, second), torch.where(low, second, first)
    # SciPy's values may be NaN for concentrations above 1e18, where the distribution is normal to all digits.
    z = ((a + b).sqrt() * (x * (b / a).sqrt() - (1 - x) * (a / b).sqrt())).detach()
    below, above = (special.cumulative(name, _log_slope, x, a, b) for name in ("betainc", "betaincc"))
    below = torch.where(below.isnan(), normal_cdf(z), below)
    above = torch.where(above.isnan(), normal_cdf(-z), above)
    return torch.where(low, below, above), torch.where(low, above, below)


def _log_slope(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return standard_log_density(x, 1 - x, a, b)


def _log_gamma_sample(concentration: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return logarithms of standard gamma variables, which themselves underflow for small concentrations.

    A gamma variable is one of a concentration larger by 1, times a uniform one to the power 1 / concentration.

    References:
        Marsaglia and Tsang (2000), A simple method for generating gamma variables, section 6.
    """
    larger = torch._standard_gamma(concentration + 1, generator=generator).log()
    exponential = torch.empty_like(larger).exponential_(generator=generator)  # minus log of a uniform one
    return larger - (exponential / concentration).clamp_max(torch.finfo(larger.dtype).max / 4)
