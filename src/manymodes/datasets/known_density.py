"""Densities on the line that are known by a formula: whatever a mixture answers, of a formula alone.

The formula need not be normalised. Between given places, the ends of the support among them, it is integrated panel by
panel, see ``datasets.panels``: probabilities are right to 1e-10 where places are so dense that a polynomial of degree
ten can follow between them. Where the cdf has a formula too, that is taken instead.
"""

from __future__ import annotations

from typing import ClassVar, Self, final

import torch
from torch import Tensor
from torch.distributions import Categorical
from torch.types import _size

from manymodes.datasets.panels import Formula, Formulas, Moment, Panels, each_once, moments, probabilities
from manymodes.datasets.truth import refuse_impossible
from manymodes.distributions import Factorised, Mixture
from manymodes.distributions.caching import cached
from manymodes.distributions.component import Change, Kind
from manymodes.distributions.limits import around, bounded

_PARTS = 4  # of a panel, between which the density turns at most once


def known_density(log_density: Formula, parameters: Tensor, places: Tensor, *, cdf: Formula | None = None) -> Mixture:
    """Return the distributions of known densities, ``batch_shape`` (N,), ``event_shape`` (1,).

    Each is a mixture of a single component, so that whatever takes a mixture takes it: metrics, modes, plots.

    Args:
        log_density: Function of targets (..., N, 1) and parameters (N, P) that returns log-densities (..., N, 1), up to
            a constant of each row, and differentiable; -inf where the density is 0.
        parameters: What the function knows of each row, (N, P).
        places: Places between which densities are smooth, in any order, (N, E); the outermost are the ends of supports.
        cdf: The cdf as such a function, where there is a formula; densities are normalised then.

    Raises:
        ValueError: A row whose density is 0, or not a number, everywhere.
    """
    places, formulas = each_once(places), Formulas(log_density, cdf)
    masses, log_norm = probabilities(formulas, parameters, places)
    refuse_impossible(log_norm.isfinite().squeeze(-1))
    tensors = (part.unsqueeze(-2) for part in (parameters, places, masses, log_norm))  # of one component, (N, 1, size)
    weights = Categorical(logits=torch.zeros_like(log_norm), validate_args=False)
    return Mixture(weights, KnownDensity(formulas, *tensors))


@final
class KnownDensity(Factorised):
    """Components on the line whose density is known by a formula, see ``known_density``.

    Args:
        formulas: Functions of targets (..., K, 1) and parameters (..., K, P).
        parameters: What they know of each component, (..., K, P).
        places: Places between which densities are smooth, ascending, (..., K, E).
        masses: Probabilities between them, (..., K, E - 1).
        log_norm: Logs of the integrals of the formula, (..., K, 1).
    """

    everywhere: ClassVar[bool] = False

    def __init__(
        self, formulas: Formulas, parameters: Tensor, places: Tensor, masses: Tensor, log_norm: Tensor
    ) -> None:
        self.formulas, self.parameters = formulas, parameters
        self.places, self.masses, self.log_norm = places, masses, log_norm
        super().__init__(places.shape[:-1], torch.Size([1]), validate_args=False)

    # --- what it is ---

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The one dimension is real."""
        return ("real",)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return the ends of the support, (..., K, 1)."""
        return self.places[..., :1], self.places[..., -1:]

    def turning_points(self) -> Tensor:
        """Return the places with their neighbours, and some between, (..., K, 1, B)."""
        low, width = self.places[..., :-1], self.places.diff(dim=-1)
        between = [low + part / _PARTS * width for part in range(1, _PARTS)]
        return torch.cat([*around(self.places), *between], -1).unsqueeze(-2)

    # --- moments ---

    @cached
    def mean(self) -> Tensor:
        """Means, (..., K, 1)."""
        return self._moments(lambda y: y).sum(-1, keepdim=True)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order], (..., K, 1)."""
        return self._moments(lambda y: (y - self.mean) ** order).sum(-1, keepdim=True)

    def lower_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y <= value}]."""
        return self._beyond(value, lambda y: y, upper=False)

    def upper_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y > value}]."""
        return self._beyond(value, lambda y: y, upper=True)

    # --- life and samples ---

    def transformed(self, change: Change) -> Self:
        """Return the same components with every tensor, seen as (..., K, size), changed by ``change``."""
        tensors = (change(part) for part in (self.parameters, self.places, self.masses, self.log_norm))
        return type(self)(self.formulas, *tensors)

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, 1): quantiles of uniform levels."""
        shape = torch.Size((*sample_shape, *self.batch_shape, 1))
        level = torch.rand(shape, generator=generator, dtype=torch.float64, device=self.places.device)
        return self.icdf(level)

    # --- density ---

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return log-densities, (..., K, 1); -inf outside the support."""
        inside, y = self._inside(value)
        return torch.where(inside, self.formulas.log_density(y, self.parameters) - self.log_norm, -torch.inf)

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``, by the chain rule; 0 where there is none."""
        inside, y = self._inside(value)
        with torch.enable_grad():
            y = y.expand(inside.shape).detach().requires_grad_()
            height = self.formulas.log_density(y, self.parameters.detach())
            (slope,) = torch.autograd.grad(height.masked_fill(height.isinf(), 0.0).sum(), y)
        return bounded(torch.where(inside & ~slope.isnan(), slope, 0.0))

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return 1 / variance."""
        return self.variance.reciprocal().expand(torch.broadcast_shapes(value.shape, self.log_norm.shape))

    # --- probabilities and quantiles ---

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value), (..., K, 1)."""
        return self._beyond(value, None, upper=False).clamp(0.0, 1.0)

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value), (..., K, 1)."""
        return self._beyond(value, None, upper=True).clamp(0.0, 1.0)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the smallest y with P(Y <= y) >= value; without a gradient."""
        return self._quantile(value, upper=False)

    def isf(self, value: Tensor) -> Tensor:
        """Return y with P(Y > y) = value, accurate for tiny values; without a gradient."""
        return self._quantile(value, upper=True)

    # --- distributions made from this one ---

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> KnownDensity:
        """Return the distribution of ``shift + scale * Y`` for ``scale`` > 0."""

        def moved(formula: Formula) -> Formula:
            return lambda value, parameters: formula((value - shift) / scale, parameters)

        cdf = None if self.formulas.cdf is None else moved(self.formulas.cdf)
        formulas = Formulas(moved(self.formulas.log_density), cdf)
        log_norm = self.log_norm + torch.as_tensor(scale).to(self.log_norm).log()
        return KnownDensity(formulas, self.parameters, shift + scale * self.places, self.masses, log_norm)

    def marginal(self, dims: list[int]) -> KnownDensity:
        """Return itself: there is one target dimension."""
        return self

    # --- private ---

    def _inside(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return which targets lie in the support, (..., K, 1), and targets pulled inside."""
        low, high = self.ends()
        return (value >= low) & (value <= high), torch.minimum(torch.maximum(value, low), high)

    def _moments(self, g: Moment) -> Tensor:
        """Return the integrals of g(y) p(y) over every panel, (..., K, E - 1)."""
        return moments(g, self.formulas, self.parameters, self.places, self.log_norm)

    def _panels(self, g: Moment | None = None) -> Panels:
        """Return the panels of all components, one a row."""
        masses = self.masses if g is None else self._moments(g)
        parameters, places, log_norm, masses = (
            part.reshape(-1, part.shape[-1]) for part in (self.parameters, self.places, self.log_norm, masses)
        )
        return Panels(self.formulas, parameters, places, log_norm, masses, g)

    def _beyond(self, value: Tensor, g: Moment | None, *, upper: bool) -> Tensor:
        """Return the integral of g(y) p(y), or of p alone, above targets or up to them, (S..., ..., K, 1)."""
        at, shape = self._by_row(value)
        return self._panels(g).beyond(at, upper=upper).reshape(shape)

    @torch.no_grad()
    def _quantile(self, level: Tensor, *, upper: bool) -> Tensor:
        wanted, shape = self._by_row(level)
        return self._panels().quantile(wanted, upper=upper).reshape(shape)

    def _by_row(self, value: Tensor) -> tuple[Tensor, torch.Size]:
        """Return numbers (S..., ..., K, 1) as (S, R), one row a component, and their shape."""
        shape = torch.broadcast_shapes(value.shape, self.log_norm.shape)
        first = shape[: len(shape) - self.log_norm.dim()].numel()
        return value.to(self.places.dtype).expand(shape).reshape(first, self.batch_shape.numel()), shape
