r"""Integrals of many rows at once, refined where they need it: Gauss and Kronrod's rule, panel by panel.

Every row starts with a few panels between known places. A panel whose error may matter is cut at the middle one of the
known places inside, or else in its middle, until the errors of a row do not matter beside its integral. So narrow and
wide features side by side cost no more than what they need, and jumps at known places cost nothing. Two more values
next to the ends of a panel tell whether something hides there: a heavy tail, or half of a narrow component.

References:
    Piessens, de Doncker-Kapenga, Ueberhuber and Kahaner (1983), QUADPACK, sections 2.2.1 and 3.4, for the rule and the
    error it is believed to make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from numpy.polynomial.legendre import legvander
from torch import Tensor

Integrand = Callable[[Tensor, Tensor], Tensor]  # of places (Q, P) and the rows (P,) they belong to

_NODES = (
    0.991455371120812639206854697526329,
    0.949107912342758524526189684047851,
    0.864864423359769072789712788640926,
    0.741531185599394439863864773280788,
    0.586087235467691130294144691258240,
    0.405845151377397166906606412076961,
    0.207784955007898467600689403773245,
    0.0,
)
_SHARES = (
    0.022935322010529224963732008058970,
    0.063092092629978553290700663189204,
    0.104790010322250183839876322541518,
    0.140653259715525918745189590510238,
    0.169004726639267902826583426598550,
    0.190350578064785409913256402421014,
    0.204432940075298892414161999234649,
    0.209482141084727828012999174891714,
)
_COARSE_SHARES = (  # of every other node
    0.129484966168869693270611432679082,
    0.279705391489276667901467771423780,
    0.381830050505118944950369775488975,
    0.417959183673469387755102040816327,
)
_GUARD = 1 - 1e-8  # next to the ends, where much of an integral may hide
_START = 13  # panels of a row to begin with
_ENOUGH = 1e-10  # of a row's integral: the error of a panel that does not matter
_MOST_CUTS = 1100  # to the smallest numbers beside 0, where a pole may stand
_VALUES = 2**18  # numbers worked on at a time, so few that they stay in the cache


class _Panels(NamedTuple):
    """Panels, (P,) each: their row, their ends, and the ranks of the known places at or beyond their ends."""

    row: Tensor
    low: Tensor
    high: Tensor
    first: Tensor
    last: Tensor

    def take(self, which: Tensor | slice) -> _Panels:
        return _Panels(*(column[which] for column in self))

    def chunks(self, width: int) -> Iterator[_Panels]:
        """Yield runs of panels for an integrand that works on ``width`` numbers at each place."""
        size = max(1, _VALUES // (17 * width))
        return (self.take(slice(start, start + size)) for start in range(0, len(self.row), size))


def integral(f: Integrand, places: Tensor, borders: Tensor, width: int = 1) -> Tensor:
    """Return the integrals of every row from its first to its last place, (R,).

    An error of 1e-10 of the integral of absolute values is aimed at. Where the integrand carries a gradient, so does
    the integral: that of the sum over the panels found, whose places are constants.

    Args:
        f: Integrand of places (Q, P) and the rows (P,) they belong to, at least piecewise smooth.
        places: Known places, (E, R): ends, kinks, jumps and what else tells where something happens; NaN counts not.
        borders: Places where panels end from the beginning, (B, R), likewise; at least one a row that is finite.
        width: How many numbers the integrand works on at each place.
    """
    with torch.no_grad():
        total, panels = _refined(f, _started(places, borders), places, borders, width)
    if not torch.is_grad_enabled() or not len(panels.row) or not _carries_gradient(f, panels):
        return total
    parts = [_rule(f, chunk)[0] for chunk in panels.chunks(width)]
    return torch.zeros_like(total).index_add(0, panels.row, torch.cat(parts))


def _carries_gradient(f: Integrand, panels: _Panels) -> bool:
    return _rule(f, panels.take(slice(0, 1)))[0].requires_grad


def _known(places: Tensor, borders: Tensor) -> tuple[Tensor, Tensor]:
    """Return all places in order, (E + B, R), and the ranks of the borders, (B, R)."""
    every = torch.cat([torch.where(places.isfinite(), places, borders[0]), borders])
    ordered, order = every.sort(0)
    return ordered, order.argsort(0)[len(places) :]


def _started(places: Tensor, borders: Tensor) -> _Panels:
    """Return the first panels: between borders and a few places, which follow one another by rank."""
    ordered, ranks = _known(places, borders)
    last = len(ordered) - 1
    spread = torch.linspace(0, last, min(_START, last) + 1, device=places.device).round().long()
    rank = torch.cat([spread.unsqueeze(-1).expand(-1, ordered.shape[1]), ranks]).sort(0).values
    at = ordered.gather(0, rank)
    row = torch.arange(ordered.shape[1], device=places.device).expand(len(rank) - 1, -1)
    panels = _Panels(row, at[:-1], at[1:], rank[:-1], rank[1:])
    return _Panels(*(column.flatten() for column in panels)).take((at[1:] > at[:-1]).flatten())


def _refined(f: Integrand, panels: _Panels, places: Tensor, borders: Tensor, width: int) -> tuple[Tensor, _Panels]:
    """Return the integrals, (R,), and the panels that make them."""
    ordered, _ = _known(places, borders)
    done, kept = torch.zeros_like(ordered[0]), []
    size_done = torch.zeros_like(done)  # of the integrand's absolute values, beside which errors are judged
    for _ in range(_MOST_CUTS):
        if not len(panels.row):
            break
        results = [_rule(f, chunk) for chunk in panels.chunks(width)]
        value, error, size = (torch.cat(parts) for parts in zip(*results, strict=True))
        total = size_done.index_add(0, panels.row, size)
        halves = _halves(panels, ordered)
        # A panel with no number inside cannot be cut, and what is not a number cannot be mended.
        open_ = (error > _ENOUGH * total[panels.row]) & (halves[0].high > panels.low) & (halves[1].low < panels.high)
        kept.append(panels.take(~open_))
        done = done.index_add(0, panels.row[~open_], value[~open_])
        size_done = size_done.index_add(0, panels.row[~open_], size[~open_])
        panels = _joined([half.take(open_) for half in halves])
    if len(panels.row):  # what is left is as good as it gets
        rest = torch.cat([_rule(f, chunk)[0] for chunk in panels.chunks(width)])
        done, kept = done.index_add(0, panels.row, rest), [*kept, panels]
    return done, _joined(kept) if kept else panels


def _halves(panels: _Panels, ordered: Tensor) -> tuple[_Panels, _Panels]:
    """Return both parts of panels: cut at the middle one of the places inside, or in the middle."""
    rank = (panels.first + panels.last) // 2
    place = ordered[rank, panels.row]
    inside = (place > panels.low) & (place < panels.high) & (rank > panels.first)
    cut = torch.where(inside, place, 0.5 * panels.low + 0.5 * panels.high)
    # Places that repeat an end are left aside, since there may be others beyond them.
    first = torch.where(place <= panels.low, rank, panels.first)
    last = torch.where(place >= panels.high, rank, panels.last)
    down = panels._replace(high=cut, first=first, last=torch.where(inside, rank, last))
    return down, panels._replace(low=cut, first=torch.where(inside, rank, first), last=last)


def _joined(parts: list[_Panels]) -> _Panels:
    return _Panels(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _rule(f: Integrand, panels: _Panels) -> tuple[Tensor, Tensor, Tensor]:
    """Return integrals over panels, the errors they are believed to have, and those of absolute values, (P,) each."""
    nodes, shares, coarse, ends = (part.to(panels.low) for part in _RULE)
    half = 0.5 * panels.high - 0.5 * panels.low
    places = 0.5 * panels.low + 0.5 * panels.high + nodes.unsqueeze(-1) * half
    values = f(places, panels.row)
    fine = shares @ values
    gap = (fine - coarse @ values).abs()
    spread = shares @ (values - 0.5 * fine).abs()
    error = spread * (200 * gap / spread.clamp_min(torch.finfo(gap.dtype).tiny)).clamp_max(1.0) ** 1.5
    hidden = (1 - _NODES[0]) * (ends @ values).abs().sum(0)
    return half * fine, half * torch.maximum(error, hidden), half * (shares @ values.abs())


def _mirrored(values: tuple[float, ...], sign: float) -> Tensor:
    return torch.tensor([*(sign * value for value in values[:-1]), *reversed(values)], dtype=torch.float64)


def _nodes_and_shares() -> tuple[Tensor, ...]:
    """Return the nodes on [-1, 1], ascending, the shares of the fine and the coarse rule, and those of both ends.

    The last, (2, 17), tell how far values next to the ends are from the polynomial through the other nodes.
    """
    nodes, shares, coarse = _mirrored(_NODES, -1.0), _mirrored(_SHARES, 1.0), torch.zeros(15, dtype=torch.float64)
    coarse[1::2] = _mirrored(_COARSE_SHARES, 1.0)
    guards = torch.tensor([-_GUARD, _GUARD], dtype=torch.float64)
    beside = torch.linalg.solve(_legendre(nodes).T, _legendre(guards).T).T  # (2, 15)
    every = torch.cat([guards[:1], nodes, guards[1:]])
    ends = torch.cat([torch.eye(2, dtype=torch.float64)[:, :1], -beside, torch.eye(2, dtype=torch.float64)[:, 1:]], 1)
    return every, *(torch.nn.functional.pad(part, (1, 1)) for part in (shares, coarse)), ends


def _legendre(x: Tensor) -> Tensor:
    """Return Legendre polynomials of order 0 to 14, (n, 15)."""
    return torch.from_numpy(legvander(x.numpy(), 14))


_RULE = _nodes_and_shares()
