r"""The CRPS of angles, with distances around the circle.

With :math:`S_t = [t, t + \pi)`, which separates two angles for a share of all t that is their distance over
:math:`\pi`, and with the trigonometric moments :math:`\phi_n = \mathbb{E}\, e^{i n Y}`,

.. math:: \mathbb{E}\,d(Y, y) - \tfrac12 \mathbb{E}\,d(Y, Y')
    = \int_0^\pi \left(P(S_t) - 1\{y \in S_t\}\right)^2 dt
    = \frac2\pi \sum_{n = 1, 3, \dots} \frac{|\phi_n - e^{i n y}|^2}{n^2}.

Only odd moments count, since half circles are all that is looked at: two equal heaps on opposite sides score like what
is spread evenly. So the score is proper, but not strictly.

The series is summed for von Mises components that are not very narrow, since their moments vanish soon; the sum of
:math:`n^{-2}`, which does not, is :math:`\pi^2 / 8`. For all others it is the integral.

References:
    Grimit, Gneiting, Berrocal and Johnson (2006), The continuous ranked probability score for circular variables and
    its application to mesoscale forecast ensemble verification, for the definition; Mardia and Jupp (2000), Directional
    Statistics, section 3.5.4, for the moments; Gautschi (1967), Computational aspects of three-term recurrence
    relations, SIAM Review 9, for their recursion.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import VonMises
from manymodes.distributions.integrals import integral
from manymodes.distributions.line import Line

_NARROW = 1e5  # concentration above which the integral is cheaper
_REST = 80.0  # moments of orders above sqrt(80 kappa) are below exp(-40)
_SPARE = 26  # orders beside, for concentrations near 0
_VALUES = 2**18  # moments of components worked on at a time


def circular_crps(line: Line, y: Tensor) -> Tensor:
    """Return the scores of angles (R,)."""
    y = torch.remainder(y + torch.pi, 2 * torch.pi) - torch.pi
    if not bool(y.isfinite().all()):
        raise _checks.InputError("y must be finite where a target is an angle.")
    widest = [group.concentration.flatten(1).amax(0) for group in line.groups if isinstance(group, VonMises)]
    if len(widest) < len(line.groups):
        return _integrated(line, y)
    largest = torch.stack(widest).amax(0).detach()
    order = largest.argsort()
    scores = []
    for rows in _runs(order, largest, len(line.logits)):
        short = bool(largest[rows[-1]] <= _NARROW)
        scores.append(_summed(line.take(rows), y[rows]) if short else _integrated(line.take(rows), y[rows]))
    return torch.cat(scores)[order.argsort()]


def _n_orders(concentration: float) -> int:
    return int(math.sqrt(_REST * concentration)) + _SPARE


def _runs(order: Tensor, largest: Tensor, n_components: int) -> list[Tensor]:
    """Return rows with similar largest concentrations, so many that memory stays bounded; narrow ones together."""
    runs, rest = [], order[largest[order] <= _NARROW]
    while len(rest):
        size = max(1, _VALUES // (n_components * _n_orders(largest[rest[0]].item())))
        size = max(1, min(size, _VALUES // (n_components * _n_orders(largest[rest[:size][-1]].item()))))
        runs.append(rest[:size])
        rest = rest[size:]
    narrow = order[largest[order] > _NARROW]
    return [*runs, narrow] if len(narrow) else runs


def _summed(line: Line, y: Tensor) -> Tensor:
    """Return the series, (R,), for von Mises components."""
    groups = [group for group in line.groups if isinstance(group, VonMises)]
    loc, concentration = (
        torch.cat([getattr(group, name).flatten(1) for group in groups]) for name in ("loc", "concentration")
    )
    lengths = _moment_lengths(concentration, _n_orders(concentration.max().item()))[::2]  # (orders, K, R)
    order = torch.arange(1, 2 * len(lengths), 2, dtype=y.dtype, device=y.device).reshape(-1, 1, 1)
    angle, weighed = order * (loc - y), line.logits.exp() * lengths
    real, imaginary = (weighed * angle.cos()).sum(1), (weighed * angle.sin()).sum(1)  # seen from the target
    terms = (0.5 * (real.square() + imaginary.square()) - real) / order.squeeze(-1).square()
    return math.pi / 4 + 4 / math.pi * terms.sum(0)


def _moment_lengths(concentration: Tensor, n_orders: int) -> Tensor:
    """Return I_n / I_0 for n = 1, 2, ..., (orders, ...), by the recursion of ratios I_n / I_(n - 1) from above."""
    ratios = []
    ratio = concentration / (n_orders + 1 + torch.hypot(torch.full_like(concentration, n_orders + 1), concentration))
    for n in range(n_orders, 0, -1):
        ratio = concentration / (2 * n + concentration * ratio)
        ratios.append(ratio)
    return torch.stack(ratios[::-1]).cumprod(0)


def _integrated(line: Line, y: Tensor) -> Tensor:
    def squared(t: Tensor, row: Tensor) -> Tensor:
        here = line.take(row)
        beyond = here.cdf(t) - here.cdf(t - torch.pi)  # P(Y not in S_t)
        split = turn.detach()[row]
        # From -pi the half circle holds [-pi, t - pi) and [t, pi]; the target is in it up to y, or from y + pi on.
        return torch.where(torch.where(y[row] >= 0, t < split, t > split), beyond, 1 - beyond).square()

    turn = torch.where(y >= 0, y, y + torch.pi)
    ends = [torch.zeros_like(y), torch.full_like(y, torch.pi)]
    with torch.no_grad():
        points = [line.turning_points()]
        points += [group.mean.flatten(1) for group in line.groups if group.kinds[0] == "atom"]
        places = torch.remainder(torch.cat(points), torch.pi)
    score = integral(squared, places, torch.stack([*ends, turn.detach()]), len(line.logits))
    if not y.requires_grad:
        return score
    with torch.no_grad():
        beyond = line.cdf(turn) - line.cdf(turn - torch.pi)
        slope = torch.where(y >= 0, 1.0, -1.0) * (2 * beyond - 1)  # beyond^2 - (1 - beyond)^2
    return score + (turn - turn.detach()) * slope
