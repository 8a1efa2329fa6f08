"""Two distributions on the line side by side, the truth and a prediction: integrals of what tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from manymodes.distributions import Prediction
from manymodes.distributions.integrals import integral
from manymodes.distributions.limits import filled
from manymodes.distributions.line import Line
from manymodes.distributions.roots import bracketed_root
from manymodes.distributions.shapes import slices
from manymodes.metrics.cdf_distance import known_places

_LEVELS = (1e-13, 1e-16, 1e-20, 1e-25, 1e-31, 1e-38, 1e-48, 1e-62, 1e-85, 1e-120)  # probabilities in tails
_HEAVY = 4.0  # times as far apart as at the first level are quantiles at the last one where tails are heavy
_LITTLE = 1e-5  # of p, see ``Pair.integral``
_LOOKS = 50  # for places where cdfs cross
_ROUNDING = 1e-13  # of probabilities
_ROWS = 2**16  # times components: so many rows at a time bound the memory


class Pair(NamedTuple):
    """Truth and prediction on the line, R rows.

    Attributes:
        p: The truth.
        q: The prediction.
        places: Places where something happens, (E, R), ascending, NaN last.
        far: Places in heavy tails, (B, R).
    """

    p: Line
    q: Line
    places: Tensor
    far: Tensor

    def integral(
        self, f: Callable[[Line, Line, Tensor], Tensor], *, unit: Tensor | float = 1.0, kinks: Tensor | None = None
    ) -> Tensor:
        """Return integrals of a function of both lines and places (Q, P) over all that matters, (R,).

        Where both lines are all but the same, rounding errors are all there is to see, and no panel is fine enough for
        them. So a little of p, whose integral is known, is added first, and taken off in the end.

        Args:
            f: The function >= 0, smooth between the places and its ``kinks``.
            unit: Its units: what integrals may have, (R,).
            kinks: Its kinks, (B, R), NaN filling up.
        """
        ends = torch.stack([self.places[0], filled(self.places, -torch.inf).amax(0)])
        borders = torch.cat([ends, torch.where(self.far.isfinite(), self.far, ends[:1])])
        if kinks is not None:
            borders = torch.cat([borders, torch.where(kinks.isnan(), borders[:1], kinks)])
        width, little = len(self.p.logits) + len(self.q.logits), _LITTLE * torch.as_tensor(unit).to(borders[0])

        def raised(z: Tensor, row: Tensor) -> Tensor:
            p, q = self.p.take(row), self.q.take(row)
            return f(p, q, z) + little.expand(len(self.p))[row] * p.log_prob(z).exp()

        return (integral(raised, self.places, borders, width) - little).clamp_min(0.0)

    def width(self) -> Tensor:
        """Return how far apart the outermost quantiles of the truth's components at .1 and .9 are, (R,)."""
        return _outermost((self.p,), 0.1).diff(dim=0).squeeze(0)

    def crossings(self) -> Tensor:
        """Return places where the cdfs cross, (B, R), NaN filling up: kinks of their gap."""
        # Two that are close may be missed, which costs time only.
        last = int((~self.places.isnan()).sum(0).max()) - 1
        known = self.places[torch.linspace(0, last, min(_LOOKS, last + 1), device=self.places.device).round().long()]
        places = filled(known, 0.0)
        gap_there = torch.where(known.isnan(), 0.0, self.p.cdf(places) - self.q.cdf(places))
        sign = torch.where(gap_there.abs() > _ROUNDING, gap_there.sign(), 0.0)
        row, first = ((sign[1:] * sign[:-1]) < 0).T.nonzero(as_tuple=True)
        p, q = self.p.take(row), self.q.take(row)

        def gap(z: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
            here, there = p.some(which), q.some(which)
            return here.cdf(z) - there.cdf(z), here.log_prob(z).exp() - there.log_prob(z).exp()

        found = bracketed_root(gap, places[first, row], places[first + 1, row])
        number = torch.arange(len(row), device=row.device) - torch.searchsorted(row, row)
        crossings = places.new_full((int(number.max()) + 1 if len(row) else 0, len(self.p)), torch.nan)
        crossings[number, row] = found
        return crossings


@torch.no_grad()
def per_row(distribution: Prediction, truth: Prediction, measure: Callable[[Pair], Tensor]) -> Tensor:
    """Return what measures pairs of lines, with the batch shape of both, some rows at a time."""
    doubles = (one.to(torch.float64) for one in (truth, distribution))  # of single precision, weights sum to 1 anew
    p, q = (Line.of(one.logits, one.components) for one in doubles)
    size = max(1, _ROWS // (len(p.logits) + len(q.logits)))
    values = [truth.logits.new_zeros(0).double(), *(measure(pair) for pair in _pairs(p, q, size))]
    return torch.cat(values).reshape(truth.batch_shape)


def _pairs(p: Line, q: Line, size: int) -> Iterator[Pair]:
    for rows in slices(len(p), size) if len(p) else ():
        both = (p.take(rows), q.take(rows))
        places = torch.cat([part for line in both for part in (line.turning_points(), known_places(line))])
        yield Pair(*both, torch.where(places.isfinite(), places, torch.nan).sort(0).values, _far(both))


def _far(lines: tuple[Line, Line]) -> Tensor:
    """Return the outermost quantiles of both lines far in the tails, (B, R), if some tail is heavy; else none."""
    first, last = (_outermost(lines, level) for level in (_LEVELS[0], _LEVELS[-1]))
    if not bool((last[1] - last[0] > _HEAVY * (first[1] - first[0])).any()):
        return first[:0]
    return torch.cat([_outermost(lines, level) for level in _LEVELS])


def _outermost(lines: tuple[Line, ...], level: float) -> Tensor:
    """Return the lowest and the highest quantile of all components for a probability in one tail, (2, R)."""
    ends = []
    for upper in (False, True):
        quantiles = [line.quantiles(torch.full_like(line.logits[0], level), upper=upper) for line in lines]
        every = filled(torch.cat(quantiles), -torch.inf if upper else torch.inf)
        ends.append(every.amax(0) if upper else every.amin(0))
    return torch.stack(ends)
