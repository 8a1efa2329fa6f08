r"""Highest-density regions on the line: the smallest sets that hold a given probability.

The set where the density exceeds a level t is a union of intervals, one around every maximum whose density exceeds t,
joined where the minimum between them does too. Its ends are roots of :math:`\log p = \log t`, each within a stretch
where the density is monotone; its probability M(t) comes from the cdf, and falls as t grows. The level with
:math:`M(t) = \alpha` is found in ``distributions.levels``.

An atom holds probability on no length: atoms enter first, the heaviest first, and the intervals hold what is missing,
which makes the region the shortest that holds the level. Of counts, the most probable integers are taken until the
level is reached. Angles are cut at -pi: an interval across the cut is two.

References:
    Hyndman (1996), Computing and graphing highest density regions, The American Statistician 50.
"""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes.distributions.atoms import take_apart
from manymodes.distributions.lattice import smallest_set, stretches
from manymodes.distributions.levels import Slopes, above, solve
from manymodes.distributions.limits import filled
from manymodes.distributions.line import Line
from manymodes.distributions.results import Atoms, Region
from manymodes.distributions.turning import find_extrema


def find_region(line: Line, level: Tensor) -> Region:
    """Return the highest-density regions of mixtures on the line for levels in (0, 1), (N,)."""
    parts = take_apart(line)
    atoms, missing = _atoms_taken(parts.atoms, level)
    if parts.spread is None or len(line) == 0:
        none = level.new_zeros(len(line), 0)
        return Region(none, none, none, none.bool(), level.new_full((len(line),), torch.nan), atoms)
    share = parts.share.exp()
    within = torch.where(missing > 0, missing / share, 0.0).clamp(0.0, 1.0)
    if parts.kind == "count":
        low, high, mass, border = _integers(parts.spread, within)
    else:
        low, high, mass, border = _intervals(parts.spread, within)
    mask = ~low.isnan() & (within > 0).unsqueeze(-1)
    mass = torch.where(mask, mass * share.unsqueeze(-1), 0.0)
    low, high = torch.where(mask, low, torch.nan), torch.where(mask, high, torch.nan)
    return Region(low, high, mass, mask, border + parts.share, atoms)


def _atoms_taken(atoms: Atoms, level: Tensor) -> tuple[Atoms, Tensor]:
    """Return the heaviest atoms that reach the level, or all, and the probability that is still missing."""
    before = atoms.mass.cumsum(-1) - atoms.mass
    taken = atoms.mask & (before < level.unsqueeze(-1))
    mass = torch.where(taken, atoms.mass, 0.0)
    location = torch.where(taken, atoms.location, torch.nan)
    return Atoms(location, mass, taken), (level - mass.sum(-1)).clamp_min(0.0)


# --- a density on the line ---


def _intervals(line: Line, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return low, high and mass of intervals, (N, J) each, and the log-density on their border, (N,)."""
    # A place that is off by the root of a rounding error leaves the density at an extremum right to the last digit.
    extrema = find_extrema(line, share=0.3 * torch.finfo(level.dtype).eps ** 0.5)
    peak, valley = extrema.maximum, extrema.minimum
    least = _least_log_level(line, level)
    slopes = slopes_beside(line, peak, valley, least)
    most = torch.where(peak.isnan(), -torch.inf, _at(line, peak)).amax(-1)
    log_level, ends = solve(line, slopes, level, torch.minimum(least, most), most)
    low, high = _joined(line, peak, valley, ends, log_level)
    return low, high, line.masses(low, high), log_level


def above_level(line: Line, log_level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return low, high and mass of intervals, (N, J) each, where a density on the line exceeds a log-level, (N,)."""
    peak, valley = find_extrema(line, share=0.3 * torch.finfo(log_level.dtype).eps ** 0.5)
    ends, _, _ = above(line, slopes_beside(line, peak, valley, log_level), log_level)
    low, high = _joined(line, peak, valley, ends, log_level)
    return low, high, line.masses(low, high)


def slopes_beside(line: Line, peak: Tensor, valley: Tensor, least: Tensor) -> Slopes:
    """Return both stretches beside every maximum, in the order (row, maximum, side).

    Args:
        line: Mixtures on the line.
        peak: Their maxima, (N, J).
        valley: The minima between them, (N, J - 1).
        least: Log-densities, (N,), to which the outermost stretches lead down, unless the support ends before.
    """
    lowest, highest = _feet(line, peak, least)
    left = torch.cat([lowest.unsqueeze(-1), valley], -1)  # (N, J)
    inner = torch.nn.functional.pad(valley, (0, 1), value=torch.nan)
    last = torch.arange(peak.shape[-1], device=peak.device) == (~peak.isnan()).sum(-1, keepdim=True) - 1
    right = torch.where(last, highest.unsqueeze(-1), inner)
    row, which = (~peak.isnan()).nonzero(as_tuple=True)
    feet = torch.stack([left[row, which], right[row, which]], -1).flatten()
    row, peaks = row.repeat_interleave(2), peak[row, which].repeat_interleave(2)
    here = line.take(row)
    side = torch.tensor([-1.0, 1.0], dtype=peak.dtype, device=peak.device).repeat(len(row) // 2)
    # At an end of the support the density is that of the numbers beside it: there may be a pole, which holds something.
    inside = torch.nextafter(feet, peaks)
    at_end = (feet == torch.where(side < 0, *(end[row] for end in line.ends()))) & feet.isfinite()
    at_feet = here.log_prob(torch.where(at_end, inside, feet))
    return Slopes(row, side, peaks, here.log_prob(peaks), feet, at_feet)


def _least_log_level(line: Line, level: Tensor) -> Tensor:
    r"""Return a bound below the log-level.

    What lies outside the region holds :math:`1 - \alpha`; of that, at least half lies inside an interval that holds all
    but :math:`(1 - \alpha) / 2`, and the density there is at most t: so t times the interval's length is not less.
    """
    outside = 0.5 * (1 - level)
    low, high = _bulk(line, 0.5 * outside)
    return outside.log() - (high - low).clamp_min(torch.finfo(low.dtype).tiny).log()


def _bulk(line: Line, tail: Tensor) -> tuple[Tensor, Tensor]:
    """Return places with at most ``tail`` beyond each, from the components' quantiles."""
    low, high = line.quantiles(tail, upper=False), line.quantiles(tail, upper=True)
    return filled(low, torch.inf).amin(0), filled(high, -torch.inf).amax(0)


def _feet(line: Line, peak: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """Return places left and right of all maxima where the density is at most the least level, or support ends."""
    low, high = _bulk(line, torch.full_like(least, 0.01))
    first, last = filled(peak, torch.inf).amin(-1), filled(peak, -torch.inf).amax(-1)
    ends = line.ends()
    feet = []
    for start, outer, end, sign in ((first, low, ends[0], -1.0), (last, high, ends[1], 1.0)):
        reach = (sign * (outer - start)).clamp_min(1e-3 * (high - low)).clamp_min(torch.finfo(low.dtype).tiny)
        for _ in range(2000):
            foot = start + sign * reach
            foot = torch.maximum(foot, end) if sign < 0 else torch.minimum(foot, end)
            far = (line.log_prob(foot) <= least) | (foot == end)
            if bool(far.all()):
                break
            reach = torch.where(far, reach, 2 * reach)
        feet.append(foot)
    return feet[0], feet[1]


def _joined(line: Line, peak: Tensor, valley: Tensor, ends: Tensor, log_level: Tensor) -> tuple[Tensor, Tensor]:
    """Return intervals around maxima, joined where the minimum between them is above the level."""
    there = ~peak.isnan()
    low, high = torch.full_like(peak, torch.nan), torch.full_like(peak, torch.nan)
    low[there], high[there] = ends[0::2], ends[1::2]
    kept = there & (_at(line, peak) > log_level.unsqueeze(-1))
    joined = kept[:, 1:] & kept[:, :-1] & (high[:, :-1] >= low[:, 1:])
    opens = kept & ~torch.nn.functional.pad(joined, (1, 0))
    number = (opens.long().cumsum(-1) - 1).clamp_min(0)
    count = int(opens.sum(-1).max()) if len(opens) else 0
    first = low.new_full((len(low), max(count, 1)), torch.inf)
    first = first.scatter_reduce(-1, number, torch.where(kept, low, torch.inf), "amin")
    last = torch.full_like(first, -torch.inf)
    last = last.scatter_reduce(-1, number, torch.where(kept, high, -torch.inf), "amax")
    empty = last < first
    return torch.where(empty, torch.nan, first), torch.where(empty, torch.nan, last)


def _at(line: Line, places: Tensor) -> Tensor:
    """Return log-densities at places (N, J); NaN stays NaN."""
    return torch.where(places.isnan(), torch.nan, line.log_prob(filled(places.T, 0.0)).T)


# --- counts ---


def _integers(line: Line, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return runs of integers, (N, J), their mass and the lowest log-probability among them, (N,)."""
    found: tuple[list[Tensor], ...] = ([], [], [], [])
    for stretch in stretches(line):
        taken, lowest = smallest_set(stretch, level[stretch.rows])
        opens = taken & ~torch.nn.functional.pad(taken, (1, 0))[:, :-1]
        closes = taken & ~torch.nn.functional.pad(taken, (0, 1))[:, 1:]
        number = (opens.long().cumsum(-1) - 1).clamp_min(0)
        count = max(int(opens.sum(-1).max()), 1)
        low = stretch.integer.new_full((len(taken), count), torch.nan)
        high, mass = low.clone(), torch.zeros_like(low)
        low[opens.nonzero()[:, 0], number[opens]] = stretch.integer[opens]
        high[closes.nonzero()[:, 0], number[closes]] = stretch.integer[closes]
        mass = mass.scatter_add(-1, number, torch.where(taken, stretch.log_prob.exp(), 0.0))
        for part, values in zip(found, (low, high, mass, lowest), strict=True):
            part.append(values)
    *intervals, borders = found
    widest = max((low.shape[-1] for low in intervals[0]), default=0)
    empty = level.new_zeros(0, widest)
    low, high, mass = (torch.cat([empty, *(_fill(part, widest) for part in parts)]) for parts in intervals)
    return low, high, mass, torch.cat([level.new_zeros(0), *borders])


def _fill(values: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(values, (0, width - values.shape[-1]), value=torch.nan)
