r"""A whole mixture on the line as one component, its probabilities moved by an increasing map.

With the mixture's cdf F and a map G of slope g,

.. math:: H(y) = G(F(y)), \qquad h(y) = g(F(y))\, f(y), \qquad H^{-1}(q) = F^{-1}(G^{-1}(q)).

Where F jumps, so does H: an atom holds :math:`G(F(a)) - G(F(a^-))`, and so does an integer of counts. Atoms stand
beside the rest as components of their own, see ``remapped``; what is left is divided by its probability.

References:
    Ranjan and Gneiting (2010), Combining probability forecasts, J. R. Stat. Soc. B 72, section 3 (for beta maps).
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Self, final

import torch
from torch import Tensor
from torch.distributions import Categorical
from torch.types import _size

from manymodes.distributions.caching import cached
from manymodes.distributions.component import Change, Component, Factorised, Kind
from manymodes.distributions.concatenation import Concatenation
from manymodes.distributions.integrals import integral
from manymodes.distributions.limits import around
from manymodes.distributions.mixture import Mixture
from manymodes.distributions.pit_map import PITMap

_STEPS = (1e-15, 1e-6, 0.01, 0.1)  # in both tails of components
_GRID = (1e-18, *(level / 80 for level in range(1, 41)))  # and of the mixture: probabilities


_BESIDE = 1e-9  # of a knot: how far on its sides the slope is looked at
_INTEGERS = 512  # at a time
_STEEP = 8.0  # slopes of maps: above, quantiles are cheaper than samples of which few are kept


class _Atoms(NamedTuple):
    """Atoms of every component's mixture, (..., K, A) each: where, with which probability, before the map and after."""

    place: Tensor
    old_mass: Tensor
    mass: Tensor


@final
class Remapped(Factorised):
    """What of a remapped mixture on the line is spread out: all of it, but for atoms.

    Args:
        logits: Log-weights of the mixtures, (..., K, J), one mixture for each of K components here.
        inner: Their components, ``batch_shape`` (..., K, J), ``event_shape`` (1,).
        pit_map: The map.
    """

    everywhere: ClassVar[bool] = False

    def __init__(self, logits: Tensor, inner: Component, pit_map: PITMap) -> None:
        self.logits, self.inner, self.pit_map = logits, inner.expand(logits.shape), pit_map
        super().__init__(logits.shape[:-1], torch.Size([1]), validate_args=False)

    # --- what it is ---

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of what is spread out."""
        return self.inner.kinds

    @cached
    def mixture(self) -> Mixture:
        """The mixtures before the map, ``batch_shape`` (..., K)."""
        return Mixture(Categorical(logits=self.logits, validate_args=False), self.inner, validate_args=False)

    @cached
    def atoms(self) -> _Atoms:
        """The atoms that stand beside; none beside counts, whose integers they share."""
        groups = [] if self.kinds == ("count",) else [part for part in self._runs() if part[0].kinds == ("atom",)]
        none = self.logits.new_zeros(*self.batch_shape, 0)
        place = torch.cat([none, *(group.mean.squeeze(-1) for group, _ in groups)], -1)
        old = torch.cat([none, *(logits.exp() for _, logits in groups)], -1)
        return _Atoms(place, old, old * self._secant(place.movedim(-1, 0).unsqueeze(-1)).squeeze(-1).movedim(0, -1))

    @cached
    def rest(self) -> Tensor:
        """The probability of what is spread out, (..., K)."""
        return (1 - self.atoms.mass.sum(-1)).clamp(0.0, 1.0)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return the ends of the support, (..., K, 1)."""
        low, high = self._own.ends()
        there = (self._own_logits > -torch.inf).unsqueeze(-1)
        return torch.where(there, low, torch.inf).amin(-2), torch.where(there, high, -torch.inf).amax(-2)

    def turning_points(self) -> Tensor:
        """Return turning points before the map, its knots and jumps, and a grid so fine that the density turns once."""
        with torch.no_grad():
            own = self._own.turning_points().flatten(-3)  # (..., K, P)
            grid = [self._places(_levels(_GRID, own), upper=upper) for upper in (False, True)]
            return torch.cat([own, self._kinks(), *grid], -1).unsqueeze(-2)

    # --- moments ---

    @cached
    def mean(self) -> Tensor:
        """Means, (..., K, 1)."""
        return self._known(self._moment(1), self._own.mean)

    @cached
    def variance(self) -> Tensor:
        """Variances, (..., K, 1).

        Of Student-t components with 2 < df < 3, what lies beyond a probability of 1e-18 is missing: 21 % at df = 2.1,
        1.5 % at 2.3.
        """
        return self._known(self._moment(2, self.mean), self._own.central_moment(2))

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order], (..., K, 1); infinite where it does not exist."""
        if order == 2:
            return self.variance
        return self._known(self._moment(order, self.mean), self._own.central_moment(order))

    def lower_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y <= value}]."""
        return self._known(self._moment(1, high=value), self._own.mean)

    def upper_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y > value}]."""
        return self._known(self._moment(1, low=value), self._own.mean)

    # --- life and samples ---

    def transformed(self, change: Change) -> Self:
        """Return the same components with every tensor, seen as (..., K, size), changed by ``change``."""
        inner = self.inner.transformed(lambda value: change(value.flatten(-2)).unflatten(-1, value.shape[-2:]))
        return type(self)(change(self.logits), inner, self.pit_map)

    def anchor(self) -> Tensor:
        """Return the anchor of the heaviest component before the map."""
        heaviest = self._own_logits.argmax(-1, keepdim=True).unsqueeze(-1)
        return self._own.anchor().gather(-2, heaviest).squeeze(-2)

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, 1): those before the map, each kept as often as its density grows.

        Where the map is steep, quantiles of uniform levels.

        References:
            Von Neumann (1951), Various techniques used in connection with random digits, National Bureau of Standards
            Applied Mathematics Series 12 (for rejection).
        """
        shape = torch.Size((*sample_shape, *self.batch_shape, 1))
        with torch.no_grad():
            if float(self.pit_map.slopes.max()) > _STEEP:
                return self.icdf(self._uniform(shape, generator).to(self.logits))
            alone = self.transformed(lambda value: value.reshape(-1, 1, value.shape[-1]))
            return alone._kept_samples(self._numbers.expand(shape).flatten(), generator).reshape(shape)

    def _kept_samples(self, owner: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return samples, (R,), of the components, (B, 1), that ``owner`` names."""
        steepest = self.pit_map.slopes.max().to(owner.device)
        samples = torch.empty(len(owner), dtype=self.logits.dtype, device=owner.device)
        left = torch.arange(len(owner), device=owner.device)
        while len(left):
            here = self._of(owner[left])
            drawn = here._before.sample(generator=generator)  # (R, 1, 1)
            samples[left] = drawn.flatten()
            rejected = self._uniform(drawn.shape, generator) * steepest >= here._gain(drawn)
            left = left[rejected.flatten()]
        return samples

    # --- density ---

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return log-densities, of counts log-probabilities, (..., K, 1)."""
        return torch.logsumexp(self._parts(value), -2) + self._gain(value).log() - self.rest.log().unsqueeze(-1)

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``; 0 outside the support."""
        parts = self._parts(value)
        density = torch.logsumexp(parts, -2).exp()
        own = (self._shares(parts) * self._own.score(value.unsqueeze(-2))).sum(-2)
        return own + torch.where(density > 0, self.pit_map.bend(self._cdf(value)) * density, 0.0)

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return the curvature before the map, averaged over components by their share in the density."""
        share = self._shares(self._parts(value))
        curvature: Tensor = self._own.marginal_curvature(value.unsqueeze(-2))  # type: ignore[attr-defined]
        return (share * curvature).sum(-2)

    # --- probabilities and quantiles ---

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value), (..., K, 1)."""
        return self._spread(
            self.pit_map.forward(self._cdf(value)), self.atoms.place.unsqueeze(-2) <= value.unsqueeze(-1)
        )

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value), accurate in the upper tail."""
        above = self.pit_map.mirrored.forward(self._sf(value))
        return self._spread(above, self.atoms.place.unsqueeze(-2) > value.unsqueeze(-1))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the smallest y with P(Y <= y) >= value."""
        return self._quantile(value, upper=False)

    def isf(self, value: Tensor) -> Tensor:
        """Return the smallest y with P(Y > y) <= value, accurate for tiny values."""
        return self._quantile(value, upper=True)

    # --- distributions made from this one ---

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Remapped:
        """Return the distribution of ``shift + scale * Y`` for ``scale`` > 0."""
        return Remapped(self.logits, self.inner.affine(shift, scale), self.pit_map)

    def marginal(self, dims: list[int]) -> Remapped:
        """Return itself: there is one target dimension."""
        return self

    def widened(self, factor: float) -> Remapped:
        """Return the same map of the widened mixture."""
        return Remapped(self.logits, self.inner.widened(factor), self.pit_map)

    # --- private ---

    def _runs(self) -> list[tuple[Component, Tensor]]:
        """Return the groups before the map with their log-weights."""
        groups = self.inner.groups
        return list(zip(groups, self.logits.split([int(g.batch_shape[-1]) for g in groups], -1), strict=True))

    @cached
    def _own_runs(self) -> list[tuple[Component, Tensor]]:
        """The groups of what is spread out: of counts with the atoms on their integers."""
        return [run for run in self._runs() if self.kinds == ("count",) or run[0].kinds != ("atom",)]

    @cached
    def _own(self) -> Component:
        """The components of what is spread out, before the map."""
        groups = [group for group, _ in self._own_runs]
        return groups[0] if len(groups) == 1 else Concatenation(*groups)

    @cached
    def _own_logits(self) -> Tensor:
        """Their log-weights, (..., K, J)."""
        return torch.cat([logits for _, logits in self._own_runs], -1)

    @cached
    def _before(self) -> Mixture:
        """What is spread out, before the map."""
        there = (self._own_logits > -torch.inf).any(-1, keepdim=True)
        logits = torch.where(there, self._own_logits, 0.0)  # where there is nothing, anything: it has no weight
        return Mixture(Categorical(logits=logits, validate_args=False), self._own, validate_args=False)

    @property
    def _numbers(self) -> Tensor:
        """Numbers of the components in a list of them, (..., K, 1)."""
        number = torch.arange(self.batch_shape.numel(), device=self.logits.device)
        return number.reshape(*self.batch_shape, 1)

    def _of(self, rows: Tensor) -> Self:
        """Return some components of a list of them, (B, 1)."""
        return self.transformed(lambda value: value[rows])

    def _uniform(self, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64, device=self.logits.device)

    def _gain(self, value: Tensor) -> Tensor:
        """Return the factor by which the map changes densities, of counts probabilities."""
        return self._secant(value) if self.kinds == ("count",) else self.pit_map.slope(self._cdf(value))

    def _parts(self, value: Tensor) -> Tensor:
        return self._own_logits.unsqueeze(-1) + self._own.marginal_log_prob(value.unsqueeze(-2))  # (..., K, J, 1)

    def _shares(self, parts: Tensor) -> Tensor:
        nowhere = (parts == -torch.inf).all(-2, keepdim=True)
        return torch.where(nowhere, 0.0, torch.softmax(parts.masked_fill(nowhere, 0.0), -2))

    def _cdf(self, value: Tensor) -> Tensor:
        return (self.mixture.weights.unsqueeze(-1) * self.inner.cdf(value.unsqueeze(-2))).sum(-2).clamp(0.0, 1.0)

    def _sf(self, value: Tensor) -> Tensor:
        return (self.mixture.weights.unsqueeze(-1) * self.inner.sf(value.unsqueeze(-2))).sum(-2).clamp(0.0, 1.0)

    def _secant(self, value: Tensor) -> Tensor:
        """Return the mean slope of the map over the jump at ``value``."""
        before = torch.nextafter(value, torch.full_like(value, -torch.inf))
        return self.pit_map.secant(self._cdf(before), self._cdf(value))

    def _spread(self, probability: Tensor, counted: Tensor) -> Tensor:
        """Return a probability of the whole, less that of the atoms counted in, as one of what is spread out."""
        if not self.atoms.place.shape[-1]:
            return probability
        beside = torch.where(counted, self.atoms.mass.unsqueeze(-2), 0.0).sum(-1)
        return ((probability - beside) / self.rest.unsqueeze(-1)).clamp(0.0, 1.0)

    def _quantile(self, level: Tensor, *, upper: bool) -> Tensor:
        """Return places with a probability in one tail, (..., K, 1), by the inverses of map and mixture."""
        level = level.expand(torch.broadcast_shapes(level.shape, (*self.batch_shape, 1)))
        if self.atoms.place.shape[-1]:
            place = self.atoms.place.movedim(-1, 0).unsqueeze(-1)  # (A, ..., K, 1)
            place = place.reshape(len(place), *(1,) * (level.dim() - place.dim() + 1), *place.shape[1:])
            at = (self.sf if upper else self.cdf)(place)
            mass = self.atoms.mass.movedim(-1, 0).unsqueeze(-1).reshape(place.shape)
            level = level * self.rest.unsqueeze(-1) + torch.where(at < level, mass, 0.0).sum(0)
        pit_map = self.pit_map.mirrored if upper else self.pit_map
        return (self.mixture.isf if upper else self.mixture.icdf)(pit_map.inverse(level))

    def _kinks(self) -> Tensor:
        """Return where the density may jump or have a kink, with places beside, (..., K, Q): knots, and atoms."""
        knots = self.pit_map.knots[1:-1].to(self.logits)
        knots = torch.cat([(1 - _BESIDE) * knots, knots, (1 + _BESIDE) * knots])
        return torch.cat([self._places(knots, upper=False), *around(self.atoms.place)], -1)

    def _places(self, levels: Tensor, *, upper: bool) -> Tensor:
        """Return quantiles of the mixtures before the map at levels (Q,), (..., K, Q)."""
        at = levels.reshape(-1, *(1,) * (len(self.batch_shape) + 1))
        return (self.mixture.isf if upper else self.mixture.icdf)(at).squeeze(-1).movedim(0, -1)

    def _moment(
        self, order: int, centre: Tensor | None = None, *, low: Tensor | None = None, high: Tensor | None = None
    ) -> Tensor:
        """Return E[(Y - centre)^order] of what lies above ``low`` and at most at ``high``, (S..., ..., K, 1)."""
        shape = torch.broadcast_shapes(
            (*self.batch_shape, 1), *(end.shape for end in (centre, low, high) if end is not None)
        )
        ends = [
            torch.full_like(self.logits[..., :1], default) if end is None else end
            for end, default in ((centre, 0.0), (low, -torch.inf), (high, torch.inf))
        ]
        about, first, last = (end.double().expand(shape).flatten() for end in ends)
        owner = self._numbers.expand(shape).flatten()
        alone = self.transformed(lambda value: value.double().reshape(-1, 1, value.shape[-1]))
        sums = alone._sum_over_integers if self.kinds == ("count",) else alone._integral
        return sums(order, about, first, last, owner).reshape(shape).to(self.logits.dtype)

    def _integral(self, order: int, centre: Tensor, low: Tensor, high: Tensor, owner: Tensor) -> Tensor:
        """Return moments between ends, (R,), of the components, (B, 1), that ``owner`` names, by quadrature."""
        with torch.no_grad():
            steps = _levels(_STEPS, self.logits).reshape(-1, *(1,) * (self.logits.dim() + 1))
            quantiles = torch.cat([self._own.icdf(steps), self._own.isf(steps)])  # (Q, B, 1, J, 1)
            own = [self._own.turning_points().flatten(1), quantiles.movedim(0, -1).flatten(1)]
            places = torch.cat([*own, self._kinks().flatten(1)], 1)
        ends = (torch.where(places.isfinite(), places, far) for far in (torch.inf, -torch.inf))
        lowest, highest = next(ends).amin(-1)[owner], next(ends).amax(-1)[owner]
        borders = torch.stack([low.clamp(lowest, highest), high.clamp(lowest, highest)])
        within = places[owner].T
        within = torch.where((within > borders[0]) & (within < borders[1]), within, torch.nan)

        def integrand(y: Tensor, row: Tensor) -> Tensor:
            here = self._of(owner[row])
            density = here.marginal_log_prob(y[..., None, None]).exp().flatten(-3)
            return (y - centre[row]) ** order * density

        return integral(integrand, within, borders, self.logits.shape[-1])

    def _sum_over_integers(self, order: int, centre: Tensor, low: Tensor, high: Tensor, owner: Tensor) -> Tensor:
        """Return the same moments of counts, (R,)."""
        tiny = _levels(_GRID[:1], self.logits)
        first, last = int(self._places(tiny, upper=False).min()), int(self._places(tiny, upper=True).max())
        total = torch.zeros_like(centre)
        for start in range(first, last + 1, _INTEGERS):
            y = torch.arange(start, min(start + _INTEGERS, last + 1), device=centre.device).to(centre).unsqueeze(-1)
            probability = self.marginal_log_prob(y[..., None, None]).exp().flatten(-3)[:, owner]  # (Q, R)
            total = total + torch.where((y > low) & (y <= high), (y - centre) ** order * probability, 0.0).sum(0)
        return total

    def _known(self, moment: Tensor, inner: Tensor) -> Tensor:
        """Return a moment, infinite where that of some component before the map is."""
        there = (self._own_logits > -torch.inf).unsqueeze(-1)
        infinite = torch.where(there & inner.isinf(), inner, 0.0).sum(-2)
        return torch.where(infinite == 0, moment, infinite)


def _levels(levels: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(levels, dtype=torch.float64).to(like)
