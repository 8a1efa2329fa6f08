r"""Every maximum and minimum of densities on the line, certified by interval bounds.

The turning points of the components cut the line into cells where every :math:`p_k'` is monotone, so that its values
at a cell's ends bound it inside. Where the sum of lower bounds is positive, or that of upper bounds negative, the
density rises or falls throughout the cell: certified. Other cells are halved. Where zeros of :math:`p_k'''` are among
the turning points, :math:`p''` is bounded in the same way, and a cell with :math:`p''` of one sign holds one root of
:math:`p'` at most: certified at once. What is left after halving ten times is taken by the signs at its ends. So no
maximum is missed, unless it lies closer to a minimum than a thousandth of the distance between turning points.

Rises and falls in order are then read off: a maximum lies where a rise is followed by a fall. Jumps, at the ends of a
component's support, count as rises and falls, and kinks need no care: turning points come with neighbours there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from manymodes.distributions.line import Line
from manymodes.distributions.roots import bracketed_root

_HALVINGS = 10
_ROOM = 1 << _HALVINGS  # keys that a cell leaves to what it is cut into
_JUMP = 1e-6  # of log-density between neighbouring numbers: more is no rounding
_CHUNK = 400_000  # values of (points, rows, components) at a time, which bounds the memory


class Extrema(NamedTuple):
    """Maxima and minima of densities in ascending order; NaN fills up.

    Attributes:
        maximum: Places of local maxima, (N, J).
        minimum: Places of the minima between them, (N, J - 1).
    """

    maximum: Tensor
    minimum: Tensor


def find_extrema(line: Line) -> Extrema:
    """Return all local maxima and minima; see the module's description."""
    points = line.components.turning_points()
    width = points.shape[-1] * line.logits.shape[-1] ** 2
    parts = [_extrema(line.take(rows)) for rows in _slices(len(line), max(1, _CHUNK // width))]
    longest = max((part.maximum.shape[-1] for part in parts), default=1)
    maxima, minima = zip(*((_fill(p.maximum, longest), _fill(p.minimum, longest - 1)) for p in parts), strict=True)
    return Extrema(torch.cat(maxima), torch.cat(minima))


class _Cells(NamedTuple):
    """Cells [a, b] of rows, and for both ends (2, A, K): log w p, score and its slope (None at order 2).

    ``key`` grows from left to right in a row, and leaves room for halves.
    """

    row: Tensor
    key: Tensor
    a: Tensor
    b: Tensor
    parts: Tensor
    scores: Tensor
    slopes: Tensor | None

    def take(self, index: Tensor) -> _Cells:
        slopes = None if self.slopes is None else self.slopes[:, index]
        ends = self.parts[:, index], self.scores[:, index], slopes
        return _Cells(self.row[index], self.key[index], self.a[index], self.b[index], *ends)


class _Moves(NamedTuple):
    """Rises (+1) and falls (-1) of rows between two places; ``key`` tells their order within a row."""

    row: Tensor
    key: Tensor
    start: Tensor
    stop: Tensor
    sign: Tensor


def _extrema(line: Line) -> Extrema:
    points = _sorted_points(line)
    cells = _first_cells(line, points)
    moves = []
    for halving in range(_HALVINGS + 1):
        rise, resolved, flat = _judge(cells, last=halving == _HALVINGS)
        certified = (rise != 0).nonzero().squeeze(-1)
        moves.append(_moves_of(cells.take(certified), rise[certified]))
        moves.extend(_moves_inside(cells.take(resolved.nonzero().squeeze(-1))))
        cells = _halves(line, cells.take((~resolved & ~flat & (rise == 0)).nonzero().squeeze(-1)), _ROOM >> halving + 1)
        if len(cells.row) == 0:
            break
    return _read_off(line, points, _Moves(*(torch.cat(column) for column in zip(*moves, strict=True))))


def _sorted_points(line: Line) -> Tensor:
    """Return the turning points of components with weight, (N, P), ascending, NaN last."""
    points = line.components.turning_points().squeeze(-2)  # (N, K, B)
    points = torch.where((line.logits > -torch.inf).unsqueeze(-1) & points.isfinite(), points, torch.nan)
    return points.flatten(1).sort(-1).values


def _first_cells(line: Line, points: Tensor) -> _Cells:
    at = points.T.nan_to_num(0.0)  # (P, N)
    third = line.components.turning_order == 3
    values = line.parts(at), line.scores(at), line.score_slopes(at) if third else None
    a, b = points[:, :-1], points[:, 1:]
    row, cell = (a < b).nonzero(as_tuple=True)
    ends = [None if value is None else torch.stack([value[cell, row], value[cell + 1, row]]) for value in values]
    low, high = a[row, cell], b[row, cell]
    return _Cells(row, (cell + 1) * 4 * _ROOM, low, high, ends[0], ends[1], ends[2])  # type: ignore[arg-type]


def _judge(cells: _Cells, *, last: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return whether each cell certainly rises (1) or falls (-1), or is resolved otherwise, or flat."""
    weight = _relative(cells.parts)  # (2, A, K)
    lower, upper, rounding = _bounds(weight * cells.scores)
    rise = (lower > rounding).int() - (upper < -rounding).int()
    flat = (lower == 0) & (upper == 0)
    eps = torch.finfo(cells.a.dtype).eps
    least = 4 * eps * torch.maximum(cells.a.abs(), cells.b.abs()) + 8 * torch.finfo(cells.a.dtype).tiny
    resolved = (cells.b - cells.a <= least) | last
    if cells.slopes is not None:
        bend_low, bend_high, bend_rounding = _bounds(weight * (cells.scores.square() + cells.slopes))
        resolved = resolved | (bend_low > bend_rounding) | (bend_high < -bend_rounding)
    jump = _jump(cells, least) != 0
    return rise * ~jump, resolved & ((rise == 0) | jump), flat & ~jump


def _relative(parts: Tensor) -> Tensor:
    """Return densities at both ends relative to the largest of all, (2, A, K)."""
    top = parts.amax((0, -1), keepdim=True)
    return torch.where(parts == -torch.inf, 0.0, (parts - top.clamp_min(torch.finfo(parts.dtype).min)).exp())


def _bounds(ends: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return lower and upper bounds of a sum of monotone terms, given at both ends (2, A, K), and its rounding."""
    rounding = 8 * torch.finfo(ends.dtype).eps * ends.abs().amax(0).sum(-1)
    return ends.amin(0).sum(-1), ends.amax(0).sum(-1), rounding


def _jump(cells: _Cells, least: Tensor) -> Tensor:
    """Return the sign of a jump of the density within a cell of neighbouring numbers, else 0."""
    density = torch.logsumexp(cells.parts, -1)  # (2, A)
    step = torch.where(density[0] == density[1], 0.0, density[1] - density[0])
    return torch.where((cells.b - cells.a <= least) & (step.abs() > _JUMP), step.sign(), 0.0).int()


def _moves_of(cells: _Cells, sign: Tensor) -> _Moves:
    return _Moves(cells.row, cells.key + 1, cells.a, cells.b, sign)


def _moves_inside(cells: _Cells) -> list[_Moves]:
    """Return the slope at the left end, a jump, and the slope at the right end of resolved cells."""
    eps = torch.finfo(cells.a.dtype).eps
    terms = _relative(cells.parts) * cells.scores
    slope, rounding = terms.sum(-1), 8 * eps * terms.abs().sum(-1)
    signs = torch.where(slope.abs() > rounding, slope.sign(), 0.0).int()
    least = 4 * eps * torch.maximum(cells.a.abs(), cells.b.abs()) + 8 * torch.finfo(cells.a.dtype).tiny
    return [
        _Moves(cells.row, cells.key, cells.a, cells.a, signs[0]),
        _moves_of(cells, _jump(cells, least)),
        _Moves(cells.row, cells.key + 2, cells.b, cells.b, signs[1]),
    ]


def _halves(line: Line, cells: _Cells, room: int) -> _Cells:
    """Return both halves of every cell, the right one with a key 4 times ``room`` larger."""
    if len(cells.row) == 0:
        return cells
    middle = 0.5 * cells.a + 0.5 * cells.b
    there = line.take(cells.row)
    parts, scores = there.parts(middle), there.scores(middle)
    slopes = None if cells.slopes is None else there.score_slopes(middle)

    def halved(ends: Tensor, centre: Tensor) -> Tensor:
        return torch.stack([torch.cat([ends[0], centre]), torch.cat([centre, ends[1]])])

    return _Cells(
        cells.row.repeat(2),
        torch.cat([cells.key, cells.key + 4 * room]),
        torch.cat([cells.a, middle]),
        torch.cat([middle, cells.b]),
        halved(cells.parts, parts),
        halved(cells.scores, scores),
        None if cells.slopes is None or slopes is None else halved(cells.slopes, slopes),
    )


def _read_off(line: Line, points: Tensor, moves: _Moves) -> Extrema:
    """Return maxima where a rise is followed by a fall, minima where a fall is followed by a rise."""
    moves = _in_order(points, moves)
    turn = (moves.row[1:] == moves.row[:-1]) & (moves.sign[1:] != moves.sign[:-1])
    where = turn.nonzero().squeeze(-1)
    row, falls = moves.row[where], moves.sign[where] > 0
    low, high = moves.stop[where], moves.start[where + 1]
    low, high = torch.minimum(low, high), torch.maximum(low, high)
    here = line.take(row)

    def slope(y: Tensor, which: Tensor) -> tuple[Tensor, Tensor | None]:
        return here.take(which).score_and_slope(y)

    place = bracketed_root(slope, low, high)
    # A jump may stand at an end of the bracket, and a flat top between: the best of ends and root is taken.
    options = torch.stack([place, low, high])
    height = here.log_prob(options) * torch.where(falls, 1.0, -1.0)
    chosen = torch.where((height[1:] > height[0] + _JUMP).any(0), 1 + height[1:].argmax(0), 0)
    place = options.gather(0, chosen.unsqueeze(0)).squeeze(0)
    return Extrema(_padded(row[falls], place[falls], len(line)), _padded(row[~falls], place[~falls], len(line)))


def _in_order(points: Tensor, moves: _Moves) -> _Moves:
    """Return moves that are no 0 in ascending order, between a rise from nothing and a fall to nothing."""
    rows = torch.arange(len(points), device=points.device)
    n_keys = 4 * _ROOM * (points.shape[-1] + 2)
    first, last = points[:, 0], points.nan_to_num(-torch.inf).amax(-1)
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


def _slices(n: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n)) for start in range(0, max(n, 1), size)]
