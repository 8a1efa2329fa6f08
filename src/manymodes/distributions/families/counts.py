"""Components for counts: Poisson, and negative binomial where the variance exceeds the mean."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from torch.types import _size

from manymodes import _checks
from manymodes.distributions import constraints, special
from manymodes.distributions.component import Factorised, Kind
from manymodes.distributions.constraints import Scaling
from manymodes.distributions.declared import Declared, Parameter
from manymodes.distributions.families.beta import beta_tails
from manymodes.distributions.families.gamma import log_poisson, standard_log_density
from manymodes.distributions.limits import positive


class Counts(Declared, Factorised):
    """Components on the non-negative integers; abstract, see its two final classes.

    ``log_prob`` is the log of a probability, -inf at what is no count. Searches see the probability extended to all
    reals >= 0 by the gamma function.
    """

    scaling: ClassVar[Scaling] = Scaling.NONE
    kind: ClassVar[Kind] = "count"
    everywhere: ClassVar[bool] = False

    rate: Tensor

    @property
    def mean(self) -> Tensor:
        """Means, (..., K, D)."""
        return self.rate

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return 0 and infinity."""
        return torch.zeros_like(self.rate), torch.full_like(self.rate, torch.inf)

    def turning_points(self) -> Tensor:
        """Return NaN, (..., K, D, 1): counts are enumerated, not searched between turning points."""
        return torch.full_like(self.rate, torch.nan).unsqueeze(-1)

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-probability of each target dimension by itself, (..., K, D); -inf at what is no count."""
        inside, y = _split(value)
        return torch.where(inside & (value == value.floor()), self._log_mass_at(y), -torch.inf)

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative in ``value`` of the extended log-probability; 0 outside the support."""
        inside, y = _split(value)
        return torch.where(inside, self._slope(y), 0.0)

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return minus the derivative of ``score`` where it is positive, else what gives a step of at most y + 1."""
        _, y = _split(value)
        concave = self._bend(y)
        return positive(torch.where(concave > 0, concave, self._slope(y).abs() / (y + 1)))

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value) of each target dimension, (..., K, D), a step at every count."""
        inside, y = _split(value.detach())
        below, _ = self._tails(y.floor())
        return torch.where(inside, below, (value > 0).to(below.dtype))

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value) of each target dimension, (..., K, D), a step at every count."""
        inside, y = _split(value.detach())
        _, above = self._tails(y.floor())
        return torch.where(inside, above, (value < 0).to(above.dtype))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the smallest count y with P(Y <= y) >= value, (..., K, D); infinite at 1."""
        level, fine = torch.where(value < 1, value, 0.5).double(), self.transformed(torch.Tensor.double)
        found = fine._smallest(lambda count: fine.cdf(count) >= level, value.shape)
        return torch.where(value < 1, found.to(self.rate.dtype), torch.inf)

    def isf(self, value: Tensor) -> Tensor:
        """Return the smallest count y with P(Y > y) <= value, (..., K, D); infinite at 0."""
        level, fine = torch.where(value > 0, value, 0.5).double(), self.transformed(torch.Tensor.double)
        found = fine._smallest(lambda count: fine.sf(count) <= level, value.shape)
        return torch.where(value > 0, found.to(self.rate.dtype), torch.inf)

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Self:
        """Return the components themselves; a ``shift`` other than 0 or a ``scale`` other than 1 is refused."""
        for name, number, neutral in (("shift", shift, 0), ("scale", scale, 1)):
            if bool((torch.as_tensor(number) != neutral).any()):
                got = number.tolist() if isinstance(number, Tensor) else number
                raise _checks.InputError(
                    f"{name} must be {neutral} for {type(self).__name__}, whose values are counts; got {got}; "
                    "leave the target as it is."
                )
        return self

    def marginal(self, dims: list[int]) -> Self:
        """Return the same family over the chosen target dimensions."""
        return self.with_values(**{name: getattr(self, name)[..., dims] for name in self.parameters})

    @abstractmethod
    def _log_mass_at(self, count: Tensor) -> Tensor:
        """Return the extended log-probability at ``count`` >= 0."""

    @abstractmethod
    def _slope(self, count: Tensor) -> Tensor:
        """Return the derivative of ``_log_mass_at`` in ``count``."""

    @abstractmethod
    def _bend(self, count: Tensor) -> Tensor:
        """Return minus the derivative of ``_slope``."""

    @abstractmethod
    def _tails(self, count: Tensor) -> tuple[Tensor, Tensor]:
        """Return P(Y <= count) and P(Y > count) for whole ``count`` >= 0."""

    def _smallest(self, reached: Callable[[Tensor], Tensor], shape: torch.Size) -> Tensor:
        """Return the smallest count that ``reached`` accepts, by bisection of a bracket around the mean."""
        with torch.no_grad():
            shape = torch.broadcast_shapes(shape, self.rate.shape)
            low, high = self._bracket(reached, self.mean.floor().expand(shape))
            while True:
                middle = torch.floor(0.5 * low + 0.5 * high)
                open_ = (middle > low) & (middle < high)
                if not bool(open_.any()):
                    return high
                enough = reached(middle)
                high = torch.where(open_ & enough, middle, high)
                low = torch.where(open_ & ~enough, middle, low)

    def _bracket(self, reached: Callable[[Tensor], Tensor], centre: Tensor) -> tuple[Tensor, Tensor]:
        """Return whole numbers of which the first, -1 or more, is not ``reached`` and the second is."""
        low, high, step = centre, centre, self.variance.sqrt().ceil().expand_as(centre)
        while bool((short := ~reached(high)).any()):
            high, step = torch.where(short, high + step, high), 2 * step
        step = self.variance.sqrt().ceil().expand_as(centre)
        while bool((far := reached(low) & (low >= 0)).any()):
            low, step = torch.where(far, low - step, low), 2 * step
        return low.clamp_min(-1.0), high


@final
class Poisson(Counts):
    r"""Poisson components whose target dimensions are independent given the component.

    .. math:: \log P(y) = \sum_d \left[y_d \log\mu_d - \mu_d - \log y_d!\right], \qquad y_d = 0, 1, 2, \dots

    Args:
        rate: Means μ, (..., K, D).
        validate_args: Whether values are checked too; shapes always are.

    Raises:
        ValueError: A shape that is not the declared one, or a value outside its constraint.

    References:
        Johnson, Kemp and Kotz (2005), Univariate Discrete Distributions, chapter 4.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"rate": Parameter(("D",), constraints.rate)}

    def __init__(self, rate: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, rate=rate)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension."""
        return {2: self.rate, 3: self.rate, 4: self.rate * (1 + 3 * self.rate)}[order]

    def lower_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y <= value}] = rate P(Y <= value - 1) of each target dimension."""
        return self.rate * self.cdf(value - 1)

    def upper_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y > value}] = rate P(Y > value - 1) of each target dimension."""
        return self.rate * self.sf(value - 1)

    @classmethod
    def start(cls, centres: Tensor, spread: Tensor) -> dict[str, Tensor]:
        """Return parameters to start training from: means at the centres, (K, D)."""
        return {"rate": torch.maximum(centres, 0.1 * spread)}

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D)."""
        rates = self.rate.detach().expand(torch.Size(sample_shape) + self.rate.shape)
        return torch.poisson(rates, generator=generator)

    def _log_mass_at(self, count: Tensor) -> Tensor:
        return log_poisson(count, self.rate)

    def _slope(self, count: Tensor) -> Tensor:
        return self.rate.log() - torch.digamma(count + 1)

    def _bend(self, count: Tensor) -> Tensor:
        return torch.polygamma(1, count + 1).expand(torch.broadcast_shapes(count.shape, self.rate.shape))

    def _tails(self, count: Tensor) -> tuple[Tensor, Tensor]:
        below = special.cumulative("gammaincc", standard_log_density, self.rate, count + 1)
        above = special.cumulative("gammainc", standard_log_density, self.rate, count + 1)
        return below, above


@final
class NegativeBinomial(Counts):
    r"""Negative binomial components: Poisson whose rate is gamma distributed, independent between dimensions.

    .. math:: \log P(y) = \sum_d \left[\log\frac{\Gamma(y_d + r_d)}{\Gamma(r_d)\, y_d!}
        + r_d \log\frac{r_d}{r_d + \mu_d} + y_d \log\frac{\mu_d}{r_d + \mu_d}\right]

    Args:
        rate: Means μ, (..., K, D).
        total_count: Sizes r, (..., K, D): the variance is μ + μ^2 / r.
        validate_args: Whether values are checked too; shapes always are.

    Raises:
        ValueError: A shape that is not the declared one, or a value outside its constraint.

    References:
        Johnson, Kemp and Kotz (2005), Univariate Discrete Distributions, chapter 5.
        Loader (2000), Fast and accurate computation of binomial probabilities, section 4.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "rate": Parameter(("D",), constraints.rate),
        "total_count": Parameter(("D",), constraints.rate),
    }

    total_count: Tensor

    def __init__(self, rate: Tensor, total_count: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, rate=rate, total_count=total_count)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension."""
        ratio = self.rate / self.total_count
        variance = self.rate * (1 + ratio)
        if order == 2:
            return variance
        if order == 3:
            return variance * (1 + 2 * ratio)
        return variance * (1 + 6 * ratio * (1 + ratio) + 3 * variance)

    def lower_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y <= value}], by the cdf for a size larger by 1."""
        return self.rate * self._size_biased().cdf(value - 1)

    def upper_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y > value}], by the survival function for a size larger by 1."""
        return self.rate * self._size_biased().sf(value - 1)

    @classmethod
    def start(cls, centres: Tensor, spread: Tensor) -> dict[str, Tensor]:
        """Return parameters to start training from: means at the centres, (K, D), and sizes by moments."""
        rate = torch.maximum(centres, 0.1 * spread)
        excess = spread.square() - rate
        size = torch.where(excess > 0, rate.square() / torch.where(excess > 0, excess, 1.0), torch.inf)
        return {"rate": rate, "total_count": size.clamp(0.1, 1e3)}

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D), from gamma distributed rates."""
        sizes = self.total_count.detach().expand(torch.Size(sample_shape) + self.rate.shape)
        rates = torch._standard_gamma(sizes, generator=generator) * (self.rate / self.total_count).detach()
        return torch.poisson(rates, generator=generator)

    def _log_mass_at(self, count: Tensor) -> Tensor:
        stop, again = self._odds()
        total = count + self.total_count
        choose = log_poisson(self.total_count, total * stop) + log_poisson(count, total * again)
        return choose - log_poisson(total, total) + self.total_count.log() - total.log()

    def _slope(self, count: Tensor) -> Tensor:
        rise = torch.digamma(count + self.total_count) - torch.digamma(count + 1)
        return rise + self._odds()[1].log()

    def _bend(self, count: Tensor) -> Tensor:
        return torch.polygamma(1, count + 1) - torch.polygamma(1, count + self.total_count)

    def _tails(self, count: Tensor) -> tuple[Tensor, Tensor]:
        return beta_tails(*self._odds(), self.total_count, count + 1)

    def _odds(self) -> tuple[Tensor, Tensor]:
        """Return r / (r + μ) and μ / (r + μ), which add up to 1."""
        total = self.rate + self.total_count
        return self.total_count / total, self.rate / total

    def _size_biased(self) -> NegativeBinomial:
        """Return what Y - 1 is distributed as when Y is drawn in proportion to its size."""
        return self.with_values(rate=self.rate + self.rate / self.total_count, total_count=self.total_count + 1)


def _split(value: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether values are >= 0 and finite, and values with 0 in place of others, so small that squares exist."""
    inside = (value >= 0) & (value < torch.inf)
    return inside, torch.where(inside, value, 0.0).clamp_max(torch.finfo(value.dtype).max ** 0.48)
