"""The contract of a component: what a mixture, a head and every algorithm of this folder ask of a family.

``Component`` is the contract; ``Factorised`` adds what follows where target dimensions are independent given the
component. A family is a final subclass of ``Declared``, see ``distributions.declared``, and of ``Factorised`` where it
can be.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from manymodes import _checks
from manymodes.distributions.limits import surely_none

Kind = Literal["real", "angle", "count", "atom"]
Change = Callable[[Tensor], Tensor]

_NODES = (0.9491079123427585, 0.7415311855993945, 0.4058451513773972, 0.0)  # Gauss-Legendre, 7 points
_SHARES = (0.1294849661688697, 0.2797053914892766, 0.3818300505051189, 0.4179591836734694)


class Component(Distribution, ABC):
    """K components per example: ``batch_shape`` (..., K), ``event_shape`` (D,). Abstract.

    Targets broadcast against (..., K, D). Where a method speaks of "each target dimension", it means the marginal of
    that dimension, and returns (..., K, D).
    """

    everywhere: ClassVar[bool] = True  # whether the density is positive on the whole line
    support = constraints.independent(constraints.real, 1)  # the space that holds every target

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """Constraint of every parameter; components made of others have none of their own."""
        return {}

    # --- what it is ---

    @property
    @abstractmethod
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of each target dimension: ``"real"``, ``"angle"``, ``"count"`` or ``"atom"``."""

    @property
    def groups(self) -> tuple[Component, ...]:
        """Runs of components that are of one class, in the order of the component axis."""
        return (self,)

    @abstractmethod
    def ends(self) -> tuple[Tensor, Tensor]:
        """Return the lower and upper end of the support of each target dimension; infinite where there is none."""

    @abstractmethod
    def turning_points(self) -> Tensor:
        """Return points between which the density of each target dimension has a monotone derivative.

        Modes, inflections, kinks and finite ends of the support, (..., K, D, B), in any order; NaN fills up.
        """

    @property
    def turning_order(self) -> int:
        """3 where ``turning_points`` hold zeros of the third derivative and ``score_slope`` is there; else 2."""
        return 2

    # --- moments of each target dimension ---

    @abstractmethod
    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension, for orders 2 to 4; infinite where it does not exist."""

    @property
    def variance(self) -> Tensor:
        """Variances, (..., K, D)."""
        return self.central_moment(2)

    @abstractmethod
    def lower_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y <= value}] of each target dimension."""

    @abstractmethod
    def upper_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y > value}] of each target dimension."""

    def entropy(self) -> Tensor:
        """Return the differential entropy of the joint density, (..., K), in nats."""
        raise _checks.InputError(
            f"the entropy of {type(self).__name__} has no closed form; use entropy() of a mixture."
        )

    # --- life ---

    @abstractmethod
    def transformed(self, change: Change) -> Self:
        """Return the same distribution with every tensor, seen as (..., K, size), changed by ``change``."""

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> Self:
        """Return the components with their batch shape, (..., K), expanded."""
        return self.transformed(lambda value: value.expand(torch.Size(batch_shape[:-1]) + value.shape[-2:]))

    def select(self, index: Tensor) -> Component:
        """Return chosen components of every row, (S..., ..., J), for ``index`` of that shape."""

        def gather(value: Tensor) -> Tensor:
            value = value.expand(index.shape[:-1] + value.shape[-2:])
            return value.gather(-2, index.unsqueeze(-1).expand(*index.shape, value.shape[-1]))

        return self.transformed(gather)

    # --- sampling ---

    @abstractmethod
    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D)."""

    def sample_at(self, index: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return one sample, (S..., ..., D), of the component that ``index``, (S..., ...), names in each row."""
        return self.select(index.unsqueeze(-1)).sample(generator=generator).squeeze(-2)

    # --- density ---

    @abstractmethod
    def log_prob(self, value: Tensor) -> Tensor:
        """Return joint log-densities, (..., K); -inf outside the support."""

    @abstractmethod
    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of each target dimension by itself."""

    @abstractmethod
    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``; 0 outside the support."""

    def score_slope(self, value: Tensor) -> Tensor:
        """Return the derivative of ``score``; asked for only where ``turning_order`` is 3."""
        raise NotImplementedError

    @abstractmethod
    def gradient(self, value: Tensor) -> Tensor:
        """Return the gradient of ``log_prob`` in ``value``, (..., K, D)."""

    @abstractmethod
    def curvature(self, value: Tensor) -> Tensor:
        """Return positive definite H, (..., K, D, D), for steps H^-1 gradient that climb ``log_prob``.

        Minus the Hessian where the log-density is concave, a majoriser of it elsewhere.
        """

    @abstractmethod
    def interval_log_prob(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the joint log-likelihood, (..., K), of targets known to lie in [low, high].

        Where both ends agree it is a density, where they are -inf and inf the dimension is missing.
        """

    def anchor(self) -> Tensor:
        """Return some point inside the support, (..., K, D), without a gradient: say the mean."""
        return self.mean.detach()

    @abstractmethod
    def rosenblatt(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return log p(y_d | y_1 .. y_d-1) and F(y_d | y_1 .. y_d-1) of every component, (..., K, D) each."""

    # --- probabilities and quantiles of each target dimension ---

    @abstractmethod
    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value) of each target dimension."""

    @abstractmethod
    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value) of each target dimension, accurate in the upper tail."""

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return log P(Y <= value) of each target dimension; finite, with gradient 0, where it underflows."""
        return _safe_log(self.cdf(value))

    def log_sf(self, value: Tensor) -> Tensor:
        """Return log P(Y > value) of each target dimension; finite, with gradient 0, where it underflows."""
        return _safe_log(self.sf(value))

    @abstractmethod
    def icdf(self, value: Tensor) -> Tensor:
        """Return the smallest y with P(Y <= y) >= value, of each target dimension."""

    @abstractmethod
    def isf(self, value: Tensor) -> Tensor:
        """Return the smallest y with P(Y > y) <= value, of each target dimension, accurate for tiny values."""

    # --- distributions made from this one ---

    @abstractmethod
    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Component:
        """Return the distribution of ``shift + scale * Y`` for ``scale`` > 0."""

    @abstractmethod
    def marginal(self, dims: list[int]) -> Component:
        """Return the joint distribution of the chosen target dimensions, numbered from 0."""

    @abstractmethod
    def condition(self, dims: list[int], value: Tensor) -> Component:
        """Return the distribution of the other dimensions, in order, given ``value``, (..., len(dims)), in ``dims``."""

    def widened(self, factor: float) -> Component:
        """Return components whose spread about their centre is ``factor`` times as large."""
        raise _checks.InputError(f"the spread of {type(self).__name__} cannot be changed by a factor.")

    # --- private ---

    def _others(self, dims: list[int]) -> list[int]:
        return [dim for dim in range(self.event_shape[0]) if dim not in dims]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_shape={tuple(self.batch_shape)}, event_shape={tuple(self.event_shape)})"


class Factorised(Component):
    """A component whose target dimensions are independent given the component. Abstract."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Return joint log-densities, (..., K); -inf outside the support."""
        density = self.marginal_log_prob(value)
        return density.squeeze(-1) if self.event_shape[0] == 1 else density.sum(-1)

    def gradient(self, value: Tensor) -> Tensor:
        """Return the gradient of ``log_prob`` in ``value``, (..., K, D)."""
        return self.score(value)

    def curvature(self, value: Tensor) -> Tensor:
        """Return the diagonal matrices of ``marginal_curvature``, (..., K, D, D)."""
        return torch.diag_embed(self.marginal_curvature(value))

    @abstractmethod
    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return h > 0 of each target dimension, such that a step of score / h climbs its log-density."""

    def interval_log_prob(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the joint log-likelihood, (..., K), of targets known to lie in [low, high]."""
        return self.marginal_interval_log_prob(low, high).sum(-1)

    def marginal_interval_log_prob(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the log-likelihood of each target dimension that is known to lie in [low, high]."""
        exact = low == high
        middle = self.anchor().to(low.dtype)  # stands in where a value is not needed: no NaN from there
        density = self.marginal_log_prob(torch.where(exact, low, middle))
        missing = (low == -torch.inf) & (high == torch.inf)
        inside = self.log_mass(torch.where(exact | missing, -torch.inf, low), torch.where(exact, torch.inf, high))
        return torch.where(missing, 0.0, torch.where(exact, density, inside))

    def log_mass(self, low: Tensor, high: Tensor) -> Tensor:
        """Return log P(low <= Y <= high) of each target dimension, from the tail that loses fewer digits."""
        stepped = [kind in ("count", "atom") for kind in self.kinds]
        if any(stepped):  # a closed interval holds its lower end: what lies below it is P(Y <= the number before it)
            own = self.ends()[0].dtype  # in the coarser precision of the two, as atoms are met
            coarser = low.to(min(low.dtype, own, key=lambda dtype: torch.finfo(dtype).bits))
            before = torch.nextafter(coarser, torch.full_like(coarser, -torch.inf)).to(low.dtype)
            low = torch.where(torch.tensor(stepped, device=low.device), before, low)
        upper = self.sf(low) < 0.5
        large = torch.where(upper, self.log_sf(low), self.log_cdf(high))
        small = torch.where(upper, self.log_sf(high), self.log_cdf(low))
        first, last = self.ends()  # beyond them there is nothing; elsewhere a tail may underflow, but is something
        nothing = torch.where(upper, (high == torch.inf) & (low < last), (low == -torch.inf) & (high > first))
        gap = (large - small.masked_fill(nothing, -torch.inf)).clamp_min(0.0)
        narrow = (gap < torch.finfo(gap.dtype).eps ** (1 / 3)) & (high > low) & (high - low).isfinite()
        narrow = narrow & ~torch.tensor(stepped, device=low.device)
        wide = torch.where(narrow | (gap == 0), 1.0, gap)
        mass = torch.where(gap == 0, -torch.inf, large + torch.log(-torch.expm1(-wide)))
        if surely_none(narrow):
            return mass
        return torch.where(narrow, self._narrow_log_mass(low, high, narrow), mass)

    def _narrow_log_mass(self, low: Tensor, high: Tensor, narrow: Tensor) -> Tensor:
        """Return the log of the density's integral by Gauss and Legendre's rule, without a difference."""
        middle = self.anchor().to(low.dtype)
        centre = torch.where(narrow, 0.5 * low + 0.5 * high, middle)
        half = torch.where(narrow, 0.5 * high - 0.5 * low, 1.0)
        points = [sign * node for node in _NODES for sign in ((1, -1) if node else (1,))]
        shares = [share for node, share in zip(_NODES, _SHARES, strict=True) for _ in ((1, -1) if node else (1,))]
        terms = [self.marginal_log_prob(centre + point * half) for point in points]
        weighted = torch.stack([term + torch.log(half * share) for term, share in zip(terms, shares, strict=True)])
        return torch.logsumexp(weighted, 0)

    def rosenblatt(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-density and the cdf of each target dimension, which do not depend on the others."""
        return self.marginal_log_prob(value), self.cdf(value)

    def condition(self, dims: list[int], value: Tensor) -> Component:
        """Return the marginal of the other dimensions: what is given tells nothing about them."""
        return self.marginal(self._others(dims))


def _safe_log(probability: Tensor) -> Tensor:
    return probability.clamp_min(torch.finfo(probability.dtype).tiny).log()
