r"""Every maximum and minimum of densities on the line, certified by interval bounds.

The turning points of the components cut the line into cells where every :math:`p_k'` is monotone, so that its values
at a cell's ends bound it inside. Where the sum of lower bounds is positive, or that of upper bounds negative, the
density rises or falls throughout the cell: certified. Other cells are halved. Where zeros of :math:`p_k'''` are among
the turning points, :math:`p''` is bounded in the same way, and a cell with :math:`p''` of one sign holds one root of
:math:`p'` at most: certified at once. What is left after halving ten times is taken by the signs at its ends; next to
an end of a support, where a density may have a pole, cells are first cut by the ratio of their ends' distances from it.
So no maximum is missed, unless it lies closer to a minimum than a thousandth of the distance between turning points.

Rises and falls in order are then read off: a maximum lies where a rise is followed by a fall. Jumps, at the ends of a
component's support, count as rises and falls, and kinks need no care: turning points come with neighbours there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from manymodes.distributions.limits import filled
from manymodes.distributions.line import Line
from manymodes.distributions.roots import bracketed_root
from manymodes.distributions.shapes import slices

_HALVINGS = 10
_MOST_CUTS = 24  # beside a pole, cuts by ratio come first, some ten from the smallest number to 1
_ROOM = 1 << _MOST_CUTS  # keys that a cell leaves to what it is cut into
_RATIO = 4.0  # of the distances of both ends from a pole: cells beyond are cut by ratio
_JUMP = 1e-6  # of log-density between neighbouring numbers: more is no rounding
_MODERATE = 1e30  # of factors, so that their products with relative densities are right or vanish
_CHUNK = 1_000_000  # values of (points, rows, components) at a time, which bounds the memory


class Extrema(NamedTuple):
    """Maxima and minima of densities in ascending order; NaN fills up.

    Attributes:
        maximum: Places of local maxima, (N, J).
        minimum: Places of the minima between them, (N, J - 1).
    """

    maximum: Tensor
    minimum: Tensor


def find_extrema(line: Line, *, share: float = 0.0) -> Extrema:
    """Return all local maxima and minima; see the module's description.

    Args:
        line: Mixtures on the line.
        share: How near is near enough, as a share of the distance between turning points; 0 for the last digits.
    """
    width = len(line.take(slice(0, 1)).turning_points()) * len(line.logits)
    parts = [_extrema(line.take(rows), share) for rows in slices(len(line), max(1, _CHUNK // width))]
    longest = max((part.maximum.shape[-1] for part in parts), default=1)
    maxima, minima = zip(*((_fill(p.maximum, longest), _fill(p.minimum, longest - 1)) for p in parts), strict=True)
    return Extrema(torch.cat(maxima), torch.cat(minima))


class _Cells(NamedTuple):
    """Cells [a, b] of rows, with log w p, score and, at order 3, its slope at both ends, (2, K, A) each.

    ``key`` grows from left to right in a row, and leaves room for halves; ``left_pole`` and ``right_pole`` are ends of
    supports close by, or NaN; ``halvings`` counts halvings.
    """

    row: Tensor
    key: Tensor
    a: Tensor
    b: Tensor
    left_pole: Tensor
    right_pole: Tensor
    halvings: Tensor
    ends: list[Tensor]

    def take(self, index: Tensor) -> _Cells:
        row, key, a, b, left, right, halvings = (column[index] for column in self[:-1])
        return _Cells(row, key, a, b, left, right, halvings, [end[..., index] for end in self.ends])


class _Moves(NamedTuple):
    """Rises (+1) and falls (-1) of rows between two places; ``key`` tells their order within a row."""

    row: Tensor
    key: Tensor
    start: Tensor
    stop: Tensor
    sign: Tensor


def _extrema(line: Line, share: float) -> Extrema:
    points = line.turning_points()
    cells, moves = _first_pass(line, points)
    for cut in range(1, _MOST_CUTS + 1):
        if len(cells.row) == 0:
            break
        cells = _halves(line, cells, _ROOM >> cut)
        rise, resolved, flat = _judge(
            cells.a, cells.b, cells.ends, last=(cells.halvings >= _HALVINGS) | (cut == _MOST_CUTS)
        )
        certified = (rise != 0).nonzero().squeeze(-1)
        moves.append(_moves_of(cells.take(certified), rise[certified]))
        moves.extend(_moves_inside(cells.take(resolved.nonzero().squeeze(-1))))
        cells = cells.take((~resolved & ~flat & (rise == 0)).nonzero().squeeze(-1))
    return _read_off(line, points, _Moves(*(torch.cat(column) for column in zip(*moves, strict=True))), share)


def _first_pass(line: Line, points: Tensor) -> tuple[_Cells, list[_Moves]]:
    """Return the cells between turning points that are left to halve, and the moves in the others."""
    at = filled(points, 0.0)  # (P, N)
    values = [line.parts(at), line.scores(at)] + ([line.score_slopes(at)] if line.third_order else [])
    a, b = points[:-1], points[1:]
    rise, resolved, flat = _judge(
        a, b, [torch.stack([value[:-1], value[1:]]) for value in values], last=torch.zeros_like(a, dtype=torch.bool)
    )
    there = a < b
    rise = torch.where(there, rise, 0)
    # Of cells in a row that all rise, or all fall, the first and the last tell everything.
    inner = torch.nn.functional.pad((rise[1:-1] == rise[:-2]) & (rise[1:-1] == rise[2:]), (0, 0, 1, 1))
    certified = (rise != 0) & ~inner

    # A neighbouring number as the turning point before, or after, says that the density may have a pole there.
    beside = torch.nn.functional.pad(there & (b - a <= _least_width(a, b)), (0, 0, 1, 1))
    before, after = (torch.nn.functional.pad(end, (0, 0, *side)) for end, side in ((a, (1, 0)), (b, (0, 1))))
    left, right = torch.where(beside[:-2], before[:-1], torch.nan), torch.where(beside[2:], after[1:], torch.nan)

    def chosen(which: Tensor) -> _Cells:
        cell, row = which.nonzero(as_tuple=True)
        ends = [torch.stack([value[cell, :, row].T, value[cell + 1, :, row].T]) for value in values]
        at_a, at_b, *poles = (place[cell, row] for place in (a, b, left, right))
        return _Cells(row, (cell + 1) * 4 * _ROOM, at_a, at_b, poles[0], poles[1], torch.zeros_like(row), ends)

    cell, row = certified.nonzero(as_tuple=True)
    sure = _Moves(row, (cell + 1) * 4 * _ROOM + 1, a[cell, row], b[cell, row], rise[cell, row])
    moves = [sure, *_moves_inside(chosen(resolved & there))]
    return chosen(~resolved & ~flat & (rise == 0) & there), moves


def _judge(a: Tensor, b: Tensor, ends: list[Tensor], *, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return whether each cell certainly rises (1) or falls (-1), or is resolved otherwise, or flat.

    Args:
        a: Left ends, (..., A).
        b: Right ends.
        ends: log w p, score and perhaps its slope at both ends, (2, ..., K, A).
        last: Which cells count as resolved, whatever they are, (..., A).
    """
    parts, scores, *slopes = ends
    up, down, flat = _sign(parts, scores)
    rise = up.int() - down.int()
    least = _least_width(a, b)
    resolved = (b - a <= least) | last
    if slopes:
        convex, concave, _ = _sign(parts, scores.square() + slopes[0])
        resolved = resolved | convex | concave
    jump = _jump(a, b, parts) != 0
    return rise * ~jump, resolved & ((rise == 0) | jump), flat & ~jump


def _least_width(a: Tensor, b: Tensor) -> Tensor:
    """Return the width of a cell of neighbouring numbers."""
    limits = torch.finfo(a.dtype)
    return 4 * limits.eps * torch.maximum(a.abs(), b.abs()) + 8 * limits.tiny


def _relative(parts: Tensor) -> Tensor:
    """Return densities at both ends, (2, ..., K, A), each relative to the largest there."""
    top = parts.amax(-2, keepdim=True)
    return (parts - top.clamp_min(torch.finfo(parts.dtype).min)).exp()


def _sign(parts: Tensor, factor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where a sum of terms, exp(parts) times a factor, is > 0, < 0, or 0 throughout a cell.

    Terms are monotone between both ends of the cell, where they are given, (2, ..., K, A).
    """
    low, high = _bounds(parts, factor)
    least, most = low.sum(-2), high.sum(-2)
    rounding = 8 * torch.finfo(parts.dtype).eps
    # Terms of one sign do not cancel, and may underflow at one end.
    positive = (least > rounding * low.abs().sum(-2)) | ((low.amin(-2) >= 0) & (most > 0))
    negative = (most < -rounding * high.abs().sum(-2)) | ((high.amax(-2) <= 0) & (least < 0))
    return positive, negative, (least == 0) & (most == 0)


def _bounds(parts: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lower and the upper ends of terms, (..., K, A), each relative to the largest of its own.

    Beside a pole a density of e^300 meets a score of 1e300: only their product has a size that can be compared.
    """
    if bool((factor.abs() < _MODERATE).all()):  # which is cheaper
        terms = (parts - parts.amax((0, -2), keepdim=True).clamp_min(torch.finfo(parts.dtype).min)).exp() * factor
        return torch.minimum(terms[0], terms[1]), torch.maximum(terms[0], terms[1])
    size, sign = parts + factor.abs().log(), factor.sign()
    first_is_upper = (sign[0] > sign[1]) | ((sign[0] == sign[1]) & (sign[0] * size[0] > sign[1] * size[1]))
    bounds = []
    for first in (~first_is_upper, first_is_upper):
        own = torch.where(first, size[0], size[1])
        top = own.amax(-2, keepdim=True).clamp_min(torch.finfo(parts.dtype).min)
        bounds.append(torch.where(first, sign[0], sign[1]) * (own - top).exp())
    return bounds[0], bounds[1]


def _jump(a: Tensor, b: Tensor, parts: Tensor) -> Tensor:
    """Return the sign of a jump of the density within a cell of neighbouring numbers, else 0."""
    near = b - a <= _least_width(a, b)
    if not bool(near.any()):
        return torch.zeros_like(a, dtype=torch.int32)
    density = torch.logsumexp(parts, -2)  # (2, ..., A)
    step = torch.where(density[0] == density[1], 0.0, density[1] - density[0])
    return torch.where(near & (step.abs() > _JUMP), step.sign(), 0.0).int()


def _moves_of(cells: _Cells, sign: Tensor) -> _Moves:
    return _Moves(cells.row, cells.key + 1, cells.a, cells.b, sign)


def _moves_inside(cells: _Cells) -> list[_Moves]:
    """Return the slope at the left end, a jump, and the slope at the right end of resolved cells."""
    eps = torch.finfo(cells.a.dtype).eps
    terms = _relative(cells.ends[0]) * cells.ends[1]
    slope, rounding = terms.sum(-2), 8 * eps * terms.abs().sum(-2)
    signs = torch.where(slope.abs() > rounding, slope.sign(), 0.0).int()
    return [
        _Moves(cells.row, cells.key, cells.a, cells.a, signs[0]),
        _moves_of(cells, _jump(cells.a, cells.b, cells.ends[0])),
        _Moves(cells.row, cells.key + 2, cells.b, cells.b, signs[1]),
    ]


def _halves(line: Line, cells: _Cells, room: int) -> _Cells:
    """Return both halves of every cell, the right one with a key 4 times ``room`` larger."""
    middle, by_ratio = _middle(cells)
    both = ~by_ratio & ~cells.left_pole.isnan() & ~cells.right_pole.isnan()
    there = line.take(cells.row)
    centres = [there.parts(middle), there.scores(middle)]
    if len(cells.ends) > 2:
        centres.append(there.score_slopes(middle))
    return _Cells(
        cells.row.repeat(2),
        torch.cat([cells.key, cells.key + 4 * room]),
        torch.cat([cells.a, middle]),
        torch.cat([middle, cells.b]),
        torch.cat([cells.left_pole, torch.where(both, torch.nan, cells.left_pole)]),
        torch.cat([torch.where(both, torch.nan, cells.right_pole), cells.right_pole]),
        (cells.halvings + (~by_ratio).long()).repeat(2),
        [
            torch.stack([torch.cat([end[0], centre], -1), torch.cat([centre, end[1]], -1)])
            for end, centre in zip(cells.ends, centres, strict=True)
        ],
    )


def _middle(cells: _Cells) -> tuple[Tensor, Tensor]:
    """Return where to cut cells, and whether by the ratio of distances from a pole rather than in halves."""
    middle = 0.5 * cells.a + 0.5 * cells.b
    left, right = cells.left_pole, cells.right_pole
    near, far = (
        torch.where(left.isnan(), right - cells.b, cells.a - left),
        torch.where(left.isnan(), right - cells.a, cells.b - left),
    )
    by_ratio = (far > _RATIO * near) & (left.isnan() | right.isnan())
    distance = near.abs().sqrt() * far.abs().sqrt()
    by_ratio_middle = torch.where(left.isnan(), right - distance, left + distance)
    by_ratio = by_ratio & (by_ratio_middle > cells.a) & (by_ratio_middle < cells.b)
    return torch.where(by_ratio, by_ratio_middle, middle), by_ratio


def _read_off(line: Line, points: Tensor, moves: _Moves, share: float) -> Extrema:
    """Return maxima where a rise is followed by a fall, minima where a fall is followed by a rise."""
    moves = _in_order(points, moves)
    turn = (moves.row[1:] == moves.row[:-1]) & (moves.sign[1:] != moves.sign[:-1])
    where = turn.nonzero().squeeze(-1)
    row, falls = moves.row[where], moves.sign[where] > 0
    low, high = moves.stop[where], moves.start[where + 1]
    low, high = torch.minimum(low, high), torch.maximum(low, high)
    here = line.take(row)

    def slope(y: Tensor, which: Tensor) -> tuple[Tensor, Tensor | None]:
        return here.some(which).score_and_slope(y)

    place = bracketed_root(slope, low, high, share=share)
    # A jump may stand at an end of the bracket, and a flat top between: the best of ends and root is taken.
    options = torch.stack([place, low, high])
    height = here.log_prob(options) * torch.where(falls, 1.0, -1.0)
    rounding = 64 * torch.finfo(place.dtype).eps * (1 + height[0].abs())
    chosen = torch.where((height[1:] > height[0] + rounding).any(0), 1 + height[1:].argmax(0), 0)
    place = options.gather(0, chosen.unsqueeze(0)).squeeze(0)
    return Extrema(_padded(row[falls], place[falls], len(line)), _padded(row[~falls], place[~falls], len(line)))


def _in_order(points: Tensor, moves: _Moves) -> _Moves:
    """Return moves that are no 0 in ascending order, between a rise from nothing and a fall to nothing."""
    rows = torch.arange(points.shape[-1], device=points.device)
    n_keys = 4 * _ROOM * (len(points) + 2)
    first, last = points[0], filled(points, -torch.inf).amax(0)
    ends = [
        _Moves(rows, torch.full_like(rows, key), place, place, torch.full_like(rows, sign, dtype=torch.int32))
        for key, place, sign in ((0, first, 1), (n_keys - 1, last, -1))
    ]
    there = moves.sign != 0
    moved = _Moves(*(column[there] for column in moves))
    moves = _Moves(*(torch.cat(column) for column in zip(ends[0], moved, ends[1], strict=True)))
    index = (moves.row * n_keys + moves.key).argsort()
    return _Moves(*(column[index] for column in moves))


def _padded(row: Tensor, place: Tensor, n_rows: int) -> Tensor:
    """Return places, ascending by row, as (N, most of a row), NaN filling up."""
    count = torch.bincount(row, minlength=n_rows)
    start = count.cumsum(0) - count
    column = torch.arange(len(row), device=row.device) - start[row]
    out = place.new_full((n_rows, int(count.max()) if len(count) else 0), torch.nan)
    out[row, column] = place
    return out


def _fill(places: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(places, (0, max(width, 0) - places.shape[-1]), value=torch.nan)
