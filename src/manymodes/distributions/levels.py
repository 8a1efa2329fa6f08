r"""The level of a density above which a given probability lies.

Every maximum has two stretches beside it where the density is monotone, so that a level is crossed once or not at all
in each. The unknowns are the log-level :math:`\tau` and the end e of every stretch that is crossed; the equations are
:math:`\log p(e) = \tau` and :math:`M = \alpha`, M being the probability between the ends. Linearised together, with the
ends eliminated, they give :math:`\tau` a step of

.. math:: (\alpha - M - \textstyle\sum_e c_e (\tau - \log p(e))) / \sum_e c_e, \qquad c_e = \pm p(e) / u(e),

u being the derivative of the log-density. Ends and level stay between bounds, of which each step moves one where it
tells on which side the solution is. What has not converged after some rounds is left to two nested bracketed searches,
which are slower and sure.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from manymodes.distributions.line import Line
from manymodes.distributions.roots import bracketed_root

_STEPS, _ROUNDS = 4, 6  # Newton's steps in a round; after a round, rows that are done are set aside
_USUAL = 4.0  # of log-density: levels are seldom higher above their least possible value
_CHUNK = 4096  # rows at a time, which keeps the work in the cache
_NEAR, _FAR = 0.3, 3.0  # of log-density: how wrong ends may be for bounds of the level, and for a step of it


class Slopes(NamedTuple):
    """Stretches where densities are monotone: from a maximum, its peak, down to a foot, (M,) each.

    Attributes:
        row: Row of each stretch, ascending.
        side: -1 left of its maximum, +1 right of it.
        peak: The maximum.
        at_peak: Log-density there.
        foot: The other place.
        at_foot: Log-density there.
    """

    row: Tensor
    side: Tensor
    peak: Tensor
    at_peak: Tensor
    foot: Tensor
    at_foot: Tensor

    def belong(self, rows: Tensor, n_rows: int) -> Tensor:
        """Return the numbers of the stretches that belong to some rows."""
        chosen = torch.zeros(n_rows, dtype=torch.bool, device=rows.device)
        chosen[rows] = True
        return chosen[self.row].nonzero().squeeze(-1)

    def take(self, own: Tensor, rows: Tensor) -> Slopes:
        """Return some stretches, their rows numbered among ``rows``, ascending."""
        return Slopes(torch.searchsorted(rows, self.row[own]), *(column[own] for column in self[1:]))


class _Bounds(NamedTuple):
    """What is known so far: the level between bounds, (N,), and every end between two places, (M,)."""

    log_level: Tensor
    low: Tensor
    high: Tensor
    end: Tensor
    inner: Tensor
    at_inner: Tensor
    outer: Tensor
    at_outer: Tensor

    def take(self, rows: Tensor, own: Tensor) -> _Bounds:
        return _Bounds(*(column[rows] for column in self[:3]), *(column[own] for column in self[3:]))

    def put(self, rows: Tensor, own: Tensor, part: _Bounds) -> _Bounds:
        of_rows = (old.index_copy(0, rows, new) for old, new in zip(self[:3], part[:3], strict=True))
        return _Bounds(*of_rows, *(old.index_copy(0, own, new) for old, new in zip(self[3:], part[3:], strict=True)))


def solve(line: Line, slopes: Slopes, level: Tensor, least: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-level of every row, (N,), and the end of every stretch, (M,).

    Args:
        line: Mixtures on the line.
        slopes: Their stretches.
        level: Probabilities, (N,).
        least: Log-levels above which more than that lies, (N,).
        most: Log-levels above which nothing lies, (N,).
    """
    normal = torch.special.ndtri(0.5 + 0.5 * level)  # a normal density's level, from its top
    start = torch.minimum(torch.maximum(most - 0.5 * normal.square(), 0.9 * least + 0.1 * most), least + _USUAL)
    end = _parabola(slopes.peak, slopes.at_peak, slopes.foot, slopes.at_foot, start[slopes.row])
    known = _Bounds(start, least, most, end, slopes.peak, slopes.at_peak, slopes.foot, slopes.at_foot)
    rows = torch.arange(len(line), device=level.device)
    own = torch.arange(len(slopes.row), device=level.device)
    for _ in range(_ROUNDS):
        left = []
        for some in rows.split(_CHUNK):
            mine = own[_between(slopes.row[own], some)]
            part, settled = _newton(line.take(some), slopes.take(mine, some), level[some], known.take(some, mine))
            known = known.put(some, mine, part)
            left.append(some[~settled])
        rows = torch.cat(left)
        own = slopes.belong(rows, len(line))
        if len(rows) == 0:
            return known.log_level, known.end
    log_level, end = _nested(line.take(rows), slopes.take(own, rows), level[rows], least[rows], most[rows])
    return known.log_level.index_copy(0, rows, log_level), known.end.index_copy(0, own, end)


def _between(row: Tensor, some: Tensor) -> slice:
    """Return where, among ascending rows, those from the first to the last of some stand."""
    ends = torch.searchsorted(row, some[[0, -1]] + torch.tensor([0, 1], device=row.device)).tolist()
    return slice(*ends)


def _enough(like: Tensor) -> float:
    """Return how near a probability, or a log-density, must come: what rounding allows."""
    return float(torch.finfo(like.dtype).eps ** 0.75)


def _newton(line: Line, slopes: Slopes, level: Tensor, known: _Bounds) -> tuple[_Bounds, Tensor]:
    """Return what is known after some of Newton's steps, and which rows are done, (N,)."""
    row, side, enough = slopes.row, slopes.side, _enough(level)
    here = line.take(row)
    base, none = here.cdf(slopes.peak), torch.zeros_like(level)
    for _ in range(_STEPS):
        log_level, low, high, end, *_ = known
        want = log_level[row]
        whole = slopes.at_foot >= want
        fixed = whole | (slopes.at_peak <= want)
        end = torch.where(fixed, torch.where(whole, slopes.foot, slopes.peak), end)
        log_prob, score = here.log_prob_and_score(end)
        mass = none.index_add(0, row, side * (here.cdf(end) - base))
        miss = torch.where(fixed, 0.0, want - log_prob)
        worst = none.scatter_reduce(0, row, miss.abs(), "amax")
        settled = ((mass - level).abs() <= enough) & (worst <= enough * (1 + log_level.abs()))
        if bool(settled.all()):
            return known._replace(end=end), settled
        change = torch.where(fixed, 0.0, side * log_prob.exp() / score)
        total, pull = none.index_add(0, row, change), none.index_add(0, row, change * miss)
        excess = mass + pull - level
        sure = (excess.abs() > 2 * pull.abs()) & (worst < _NEAR)
        low = torch.where(sure & (excess > 0), log_level, low)
        high = torch.where(sure & (excess < 0), log_level, high)
        proposal = log_level - excess / total
        proposal = torch.where((proposal > low) & (proposal < high), proposal, 0.5 * low + 0.5 * high)
        log_level = torch.where(settled | (worst > _FAR), log_level, proposal)
        bounds = _narrowed(slopes, known, end, log_prob, log_level[row])
        moved = end + (log_level[row] - log_prob) / score
        between = (side * (moved - bounds[0]) > 0) & (side * (bounds[2] - moved) > 0)
        moved = torch.where(between, moved, _parabola(*bounds, log_level[row]))
        known = _Bounds(log_level, low, high, torch.where(settled[row], end, moved), *bounds)
    return known, settled


def _narrowed(
    slopes: Slopes, known: _Bounds, end: Tensor, log_prob: Tensor, want: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the inner and outer bound of every end, with their log-densities, for a new level."""
    above, below = log_prob > known.log_level[slopes.row], log_prob < known.log_level[slopes.row]
    at_inner, at_outer = torch.where(above, log_prob, known.at_inner), torch.where(below, log_prob, known.at_outer)
    inner, outer = torch.where(above, end, known.inner), torch.where(below, end, known.outer)
    near, far = at_inner > want, at_outer < want  # a bound for another level may be none for this one
    return (
        torch.where(near, inner, slopes.peak),
        torch.where(near, at_inner, slopes.at_peak),
        torch.where(far, outer, slopes.foot),
        torch.where(far, at_outer, slopes.at_foot),
    )


def _parabola(inner: Tensor, at_inner: Tensor, outer: Tensor, at_outer: Tensor, want: Tensor) -> Tensor:
    """Return where a parabola with its top at the inner place, through the outer one, has a log-density."""
    share = (at_inner - want) / (at_inner - at_outer)
    share = share.nan_to_num(0.5).clamp(1e-3, 1.0).sqrt().clamp_max(0.9)
    return inner + share * (outer - inner)


def _nested(line: Line, slopes: Slopes, level: Tensor, least: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-levels (N,) and ends (M,) by a bracketed search whose every step searches for the ends."""

    def excess(log_level: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        own = slopes.belong(which, len(line))
        _, mass, slope = above(line.take(which), slopes.take(own, which), log_level)
        return mass - level[which], slope

    log_level = bracketed_root(excess, least, most, enough=_enough(level))
    _, mass, _ = above(line, slopes, log_level)
    # At a flat top, or a jump, no level holds exactly that much: take the lower one.
    short = mass < level - 1e-7
    log_level = torch.where(short, log_level - 1e-6 * (1 + log_level.abs()), log_level)
    return log_level, above(line, slopes, log_level)[0]


def above(line: Line, slopes: Slopes, log_level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where each stretch crosses its row's log-level, (M,), the mass above it, (N,), and the mass's slope."""
    row, want = slopes.row, log_level[slopes.row]
    whole = slopes.at_foot >= want
    fixed, start = whole | (slopes.at_peak <= want), torch.where(whole, slopes.foot, slopes.peak)
    here = line.take(row)

    def height(y: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        log_prob, slope = here.some(which).log_prob_and_score(y)
        return log_prob - want[which], slope

    peak, foot = (torch.where(fixed, start, place) for place in (slopes.peak, slopes.foot))
    end = bracketed_root(height, peak, foot, enough=4 * torch.finfo(want.dtype).eps)
    mass = here.mass(torch.minimum(slopes.peak, end), torch.maximum(slopes.peak, end))
    _, score = here.log_prob_and_score(end)
    change = torch.where(fixed, 0.0, want.exp() / score.abs()).nan_to_num(0.0, 0.0, 0.0)
    none = torch.zeros_like(log_level)
    return end, none.index_add(0, row, mass), -none.index_add(0, row, change)
