r"""The squared distance between a predicted cdf and that of a target, integrated: what the CRPS and its kin are.

.. math:: \int \left(F(z) - 1\{y \le z\}\right)^2 dz = \int_{-\infty}^y F(z)^2 dz + \int_y^\infty (1 - F(z))^2 dz

No large numbers are subtracted, so far and narrow components keep their digits. On the line the integrals are refined
to 1e-10, see ``distributions.integrals``; of counts they are sums over integers. Angles are in ``metrics.circular``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.distributions.integrals import integral
from manymodes.distributions.lattice import Stretch, stretches
from manymodes.distributions.line import Line
from manymodes.metrics.circular import circular_crps

_TAILS = (1e-13, 1e-6, 0.01, 0.1)  # probabilities in both tails of every component, whose quantiles begin the search
_DEEP = (1e-120, 1e-240)  # where it shows whether there is a mean
_ROWS = 2**16  # times components: so many rows at a time bound the memory
_MOST_INTEGERS = 2**20
_NODES, _SHARES = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(16))

Weight = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Weighing:
    """What counts how much.

    Attributes:
        low: Lower end of the integral.
        high: Upper end, above ``low``.
        of_place: Weight of places z, >= 0; None for 1.
        of_level: Weight of levels of quantiles, in (0, 1), >= 0; None for 1.
    """

    low: float = -torch.inf
    high: float = torch.inf
    of_place: Weight | None = None
    of_level: Weight | None = None

    def below(self, p: Tensor) -> Tensor:
        """Return p^2, or 2 int_0^p v(a) a da, for probabilities p below a place that is below the target."""
        return p.square() if self.of_level is None else _inner(self.of_level, p)

    def above(self, p: Tensor) -> Tensor:
        """Return p^2, or 2 int_0^p v(1 - a) a da, for probabilities p above a place that is above the target."""
        weight = self.of_level
        return p.square() if weight is None else _inner(lambda a: weight(1 - a), p)

    def at(self, z: Tensor) -> Tensor:
        """Return the weight of places."""
        return torch.ones_like(z) if self.of_place is None else self.of_place(z)

    def between(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the integral of the weight of places, 0 where ``low`` is not below ``high``."""
        low, high = low.clamp(self.low, self.high), high.clamp(self.low, self.high)
        length = (high - low).clamp_min(0.0)
        if self.of_place is None:
            return length
        nodes, shares = _NODES.to(length), _SHARES.to(length)
        places = low.unsqueeze(-1) + 0.5 * length.unsqueeze(-1) * (1 + nodes)
        return 0.5 * length * (self.of_place(places) @ shares)


PLAIN = Weighing()


def squared_distance(distribution: Prediction, y: Tensor, weighing: Weighing = PLAIN) -> Tensor:
    """Return the integral of each target dimension by itself, (S..., N, D), for targets of that shape.

    Carries the gradient in the distribution, but for the places of atoms, and in y.
    """
    y = distribution.check_target(y)
    dtype = torch.promote_types(y.dtype, distribution.logits.dtype)
    double = distribution.to(torch.float64)
    shape = torch.broadcast_shapes(y.shape, (*double.batch_shape, *double.event_shape))
    columns = []
    for d, target in enumerate(y.double().expand(shape).unbind(-1)):
        line = Line.of(double.logits, double.components.marginal([d]))
        missing = target.isnan()
        scores = _of_lines(line, torch.where(missing, 0.0, target).flatten(), weighing).reshape(shape[:-1])
        columns.append(torch.where(missing, torch.nan, scores))
    return torch.stack(columns, -1).to(dtype)


def _of_lines(line: Line, y: Tensor, weighing: Weighing) -> Tensor:
    """Return the integrals for targets (S R,), of which every run of R belongs to the lines."""
    if not len(y):
        return y
    scores = []
    for which in torch.arange(len(y), device=y.device).split(max(1, _ROWS // len(line.logits))):
        part = line.some(which) if len(y) == len(line) == len(which) else line.take(which % len(line))
        scores.append(_of_rows(part, y[which], weighing))
    return torch.cat(scores)


def _of_rows(line: Line, y: Tensor, weighing: Weighing) -> Tensor:
    kinds = {group.kinds[0] for group in line.groups} - {"atom"}
    if kinds == {"angle"}:
        return circular_crps(line, y)
    wanted = y.clamp(weighing.low, weighing.high)  # what lies outside a range scores as its end
    known = wanted.isfinite()
    within = torch.where(known, wanted, 0.0)
    score = _over_integers(line, within, weighing) if _on_integers(line) else _on_line(line, within, weighing)
    score = torch.where(known & ~_is_infinite(line, weighing), score, torch.inf)
    if not y.requires_grad:
        return score
    with torch.no_grad():
        gap = weighing.below(line.cdf(within)) - weighing.above(line.sf(within))
        slope = torch.where(wanted == y, weighing.at(within) * gap, 0.0)
    return score + (within - within.detach()) * slope


# --- the line ---


def _on_line(line: Line, y: Tensor, weighing: Weighing) -> Tensor:
    """Return the integrals, (R,), for finite targets inside the ends."""

    def squared(z: Tensor, row: Tensor) -> Tensor:
        below = z[0] < at[row]  # panels end at targets
        sides = []
        for which, tail, rule in ((below, Line.cdf, weighing.below), (~below, Line.sf, weighing.above)):
            chosen = which.nonzero().squeeze(-1)
            place = z[:, chosen]
            sides.append((chosen, weighing.at(place) * rule(tail(line.take(row[chosen]), place))))
        values = torch.cat([value for _, value in sides], 1)
        return values[:, torch.cat([chosen for chosen, _ in sides]).argsort()]

    at = y.detach()
    with torch.no_grad():
        places = known_places(line).clamp(weighing.low, weighing.high)
    return integral(squared, places, at.unsqueeze(0), len(line.logits))


def known_places(line: Line) -> Tensor:
    """Return quantiles of all components, among them atoms, ends of supports, and integers beside a density, (E, R)."""
    tails = torch.tensor(_TAILS, dtype=torch.float64, device=line.logits.device).unsqueeze(-1).expand(-1, len(line))
    middle = torch.full_like(line.logits[0], 0.5)
    quantiles = [line.quantiles(tails, upper=False), line.quantiles(tails, upper=True)]
    parts = [part.flatten(0, 1) for part in (*quantiles, line.quantiles(middle, upper=False).unsqueeze(0))]
    return torch.cat([*parts, torch.stack(line.ends()), *_integers(line)])


def _integers(line: Line) -> Iterator[Tensor]:
    """Yield the integers between which counts beside a density have a constant cdf, (E, R)."""
    counts = [group for group in line.groups if group.kinds[0] == "count"]
    tail = torch.full((1, len(line), 1, 1), _TAILS[0], dtype=torch.float64, device=line.logits.device)
    for group in counts:
        first, last = (ends.flatten(1) for ends in (group.icdf(tail), group.isf(tail)))
        most = int((last - first).max()) + 1
        if most > _MOST_INTEGERS:
            raise _checks.InputError(
                f"counts beside a density must spread over at most {_MOST_INTEGERS:,} integers for scores of the cdf; "
                f"got {most:,}."
            )
        steps = torch.arange(most, dtype=first.dtype, device=first.device).reshape(-1, 1, 1)
        yield torch.minimum(first + steps, last).flatten(0, 1)


def _is_infinite(line: Line, weighing: Weighing) -> Tensor:
    """Return which rows have no mean towards an end of the integral that is infinite.

    There tails hold so much that u Q(u), with the quantile at a probability u beyond, does not fall as u vanishes.
    """
    infinite = torch.zeros_like(line.logits[0], dtype=torch.bool)
    if all(group.kinds[0] != "real" for group in line.groups):
        return infinite
    levels = torch.tensor(_DEEP, dtype=torch.float64, device=line.logits.device).unsqueeze(-1).expand(-1, len(line))
    with torch.no_grad():
        for upper, end, support in zip((False, True), (weighing.low, weighing.high), line.ends(), strict=True):
            if abs(end) == torch.inf and bool(support.isinf().any()):
                near, far = line.quantiles(levels, upper=upper).abs()
                grows = (far > 1) & (far * _DEEP[1] >= near * _DEEP[0])
                infinite = infinite | grows.any(0)
    return infinite


# --- the integers ---


def _on_integers(line: Line) -> bool:
    """Return whether all probability lies on integers, some of it on counts."""
    kinds = {group.kinds[0] for group in line.groups}
    atoms = [group.mean for group in line.groups if group.kinds[0] == "atom"]
    return "count" in kinds <= {"count", "atom"} and all(bool((atom == atom.round()).all()) for atom in atoms)


def _over_integers(line: Line, y: Tensor, weighing: Weighing) -> Tensor:
    return torch.cat([_of_stretch(stretch, y[stretch.rows].detach(), weighing) for stretch in stretches(line)])


def _of_stretch(stretch: Stretch, y: Tensor, weighing: Weighing) -> Tensor:
    """Return the integrals for targets (n,): the cdf is constant between two integers."""
    mass = stretch.log_prob.exp()
    end = stretch.integer[:, -1:] + 1
    before, beyond = torch.minimum(stretch.integer[:, :1], y.unsqueeze(-1)), torch.maximum(end, y.unsqueeze(-1))
    edges = torch.cat([before, stretch.integer, end, beyond], -1)  # with a cell at each end, maybe of no width
    low, high, at = edges[:, :-1], edges[:, 1:], y.unsqueeze(-1)
    below = torch.nn.functional.pad(mass.cumsum(-1), (1, 0))
    below = torch.cat([below, torch.ones_like(at)], -1)
    above = torch.nn.functional.pad(mass.flip(-1).cumsum(-1).flip(-1), (0, 2))
    above = torch.cat([torch.ones_like(at), above[:, 1:]], -1)
    left = weighing.between(low, torch.minimum(high, at))
    right = weighing.between(torch.maximum(low, at), high)
    return (weighing.below(below) * left + weighing.above(above) * right).sum(-1)


def _inner(weight: Weight, p: Tensor) -> Tensor:
    """Return 2 int_0^p w(a) a da by Gauss and Legendre's rule."""
    nodes, shares = _NODES.to(p), _SHARES.to(p)
    levels = 0.5 * p.unsqueeze(-1) * (1 + nodes)
    return p * ((weight(levels) * levels) @ shares)
