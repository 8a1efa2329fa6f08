r"""What is known of one side of a curve from the other: exact conditional densities where both may be noisy.

A number t, uniform between the curve's ends, is seen as :math:`u = g(t) + e` and wanted as :math:`v = h(t) + e'`:

.. math:: p(v \mid u) = \int p(t \mid u)\, p_{e'}(v - h(t))\, dt,
    \qquad p(t \mid u) \propto p_e(u - g(t))

One of g and h is the curve, the other a straight line: the inverse and the forward problem. Every case has a formula of
its own but for normal noise on both sides, where the integral over t is a sum over nodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical
from torch.nn.functional import pad

from manymodes.datasets.curve import Curve
from manymodes.datasets.known_density import known_density
from manymodes.datasets.panels import Formula
from manymodes.datasets.truth import Floats, refuse_impossible
from manymodes.distributions import Beta, DiagonalNormal, Mixture
from manymodes.distributions.shapes import slices
from manymodes.distributions.special import normal_cdf

_LEVELS = (*range(10), 11, 14, 18, 24, 30, 38)  # standard deviations between which normal noise is smooth
_EVEN = 9  # places in a stretch of uniform noise
_RATIO, _STEPS = 1 / 6, 10  # of distances from a pole, and how many
_NODES, _SHARES = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(8))
_NEGLIGIBLE = 1e-17  # of the largest weight of a node
_VALUES = 2**22  # numbers worked on at a time, which bounds the memory
_ROUNDING = 1e-12  # of the reach of a curve: so far beyond it may lie what was seen without noise


@dataclass(frozen=True)
class Noise:
    """Noise about zero.

    Attributes:
        family: ``"uniform"`` or ``"normal"``.
        size: Half its width, or its standard deviation; 0 for none.
    """

    family: str
    size: float

    def draw(self, n: int, rng: np.random.Generator) -> Floats:
        """Return n numbers."""
        uniform = self.family == "uniform"
        return rng.uniform(-self.size, self.size, size=n) if uniform else rng.normal(0.0, self.size, size=n)

    def around(self, loc: Tensor, logits: Tensor) -> Mixture:
        """Return mixtures of noise about places (N, K)."""
        if self.family == "uniform":
            return _uniforms(loc - self.size, loc + self.size, logits)
        loc = loc.unsqueeze(-1)
        parts = DiagonalNormal(loc, torch.full_like(loc, self.size), validate_args=False)
        return Mixture(Categorical(logits=logits, validate_args=False), parts)


def conditional(u: Tensor, seen: Curve, noise_seen: Noise, wanted: Curve, noise_wanted: Noise) -> Mixture:
    """Return the distributions of targets, ``batch_shape`` (N,).

    Args:
        u: Inputs, (N, 1).
        seen: The function g of t that inputs show.
        noise_seen: Their noise; 0 for none.
        wanted: The function h of t that targets show; only one of both functions may bend.
        noise_wanted: Their noise, of the same family; 0 for none, but on one side there is some.
    """
    if not noise_seen.size:
        return _of_roots(u, seen, wanted, noise_wanted)
    if noise_seen.family == "normal":
        if noise_wanted.size:
            return _of_nodes(u, seen, noise_seen.size, wanted, noise_wanted)
        if wanted.amplitude:
            return _bent_normal(u, noise_seen.size, wanted)
        return _before_normal(u, seen, noise_seen.size)
    first, last = _intervals(u, seen, noise_seen.size)
    if noise_wanted.size:
        return _overlaps(first, last, wanted, noise_wanted.size)
    if wanted.amplitude:
        return _bent_uniform(first[:, :1], last[:, :1], wanted)
    return _uniforms(first, last, (last - first).log())


# --- without noise on inputs ---


def _of_roots(u: Tensor, seen: Curve, wanted: Curve, noise: Noise) -> Mixture:
    """Return noise about h of all t with g(t) = u: each is the likelier, the flatter g is there."""
    lowest, highest = _ranges(seen, seen.ends[:-1], seen.ends[1:])
    off = _ROUNDING * float(highest.max() - lowest.min())
    there = (u >= lowest - off) & (u <= highest + off)  # (N, J)
    refuse_impossible(there.any(-1))
    t = seen.inverse(u)
    flatness = -seen.steepness(t).abs().clamp_min(_ROUNDING).log()
    return noise.around(wanted(t), torch.where(there, flatness, -torch.inf))


# --- uniform noise on inputs: t is uniform on intervals ---


def _intervals(u: Tensor, seen: Curve, half: float) -> tuple[Tensor, Tensor]:
    """Return the ends of the intervals of t with |u - g(t)| <= half, (N, J) each, equal where there is none."""
    ends = torch.stack([seen.inverse(u - half), seen.inverse(u + half)])
    low, high = ends.amin(0), ends.amax(0)
    there = high > low
    refuse_impossible(there.any(-1))
    goes_on = there[:, 1:] & there[:, :-1] & (low[:, 1:] == high[:, :-1])  # over a bend
    number = ((there & ~pad(goes_on, (1, 0))).long().cumsum(-1) - 1).clamp_min(0)
    first = torch.full_like(low, torch.inf).scatter_reduce(-1, number, torch.where(there, low, torch.inf), "amin")
    last = torch.full_like(low, -torch.inf).scatter_reduce(-1, number, torch.where(there, high, -torch.inf), "amax")
    none = last < first
    return torch.where(none, low[:, :1], first), torch.where(none, low[:, :1], last)


def _uniforms(low: Tensor, high: Tensor, logits: Tensor) -> Mixture:
    """Return mixtures of uniform distributions between ends (N, K); what has no width must have no weight."""
    ends = (torch.where(high > low, low, 0.0).unsqueeze(-1), torch.where(high > low, high, 1.0).unsqueeze(-1))
    parts = Beta(torch.ones_like(ends[0]), torch.ones_like(ends[0]), *ends, validate_args=False)
    return Mixture(Categorical(logits=logits, validate_args=False), parts)


def _overlaps(first: Tensor, last: Tensor, wanted: Curve, half: float) -> Mixture:
    """Return the distributions of h(t) + e': their density is the length of {t: |v - h(t)| <= half} in intervals."""
    n = first.shape[-1]

    def log_density(v: Tensor, intervals: Tensor) -> Tensor:
        ends = torch.stack([wanted.inverse(v - half), wanted.inverse(v + half)]).unsqueeze(-2)
        low, high = (intervals[..., which].unsqueeze(-1) for which in (slice(n), slice(n, None)))
        overlap = torch.minimum(ends.amax(0), high) - torch.maximum(ends.amin(0), low)  # (..., N, I, J)
        return overlap.clamp_min(0.0).sum((-2, -1)).log().unsqueeze(-1)

    middle = _heights(wanted, _spread(first, last))
    return known_density(log_density, torch.cat([first, last], -1), torch.cat([middle - half, middle + half], -1))


# --- normal noise on inputs ---


def _before_normal(u: Tensor, seen: Curve, scale: float) -> Mixture:
    """Return the distributions of t, for inputs g(t) + e."""
    lowest, highest = _ranges(seen, seen.ends[:-1], seen.ends[1:])
    nearest = (torch.maximum(lowest.min() - u, u - highest.max()) / scale).clamp_min(0.0)
    levels = scale * torch.hypot(nearest, torch.tensor(_LEVELS).to(u))  # (N, L)
    t = [seen.inverse((u + sign * levels).unsqueeze(-1)).flatten(1) for sign in (-1, 1)]
    places = torch.cat([*t, seen.ends.expand(len(u), -1)], -1)
    return known_density(lambda t, at: -0.5 * ((at - seen(t)) / scale).square(), u, places)


def _of_nodes(u: Tensor, seen: Curve, scale: float, wanted: Curve, noise: Noise) -> Mixture:
    """Return noise about h(t) at nodes so dense that both noises are smooth between them."""
    sizes = ((seen, scale), (wanted, noise.size))
    reach = max((curve.slope + curve.amplitude * curve.frequency) / size for curve, size in sizes)
    n_panels = math.ceil(0.5 * (seen.high - seen.low) * reach)
    edges = torch.linspace(seen.low, seen.high, n_panels + 1, dtype=u.dtype)
    width = edges.diff().unsqueeze(-1)
    t = (edges[:-1].unsqueeze(-1) + 0.5 * width * (1 + _NODES)).flatten()
    log_share = (width * _SHARES).log().flatten()
    chosen = []
    for rows in slices(len(u), max(1, _VALUES // len(t))):
        logits = log_share - 0.5 * ((u[rows] - seen(t)) / scale).square()
        logits = logits - logits.amax(-1, keepdim=True)
        most = int((logits > math.log(_NEGLIGIBLE)).sum(-1).max())
        chosen.append(logits.topk(most))
    most = max(part.values.shape[-1] for part in chosen)
    logits = torch.cat([pad(part.values, (0, most - part.values.shape[-1]), value=-torch.inf) for part in chosen])
    index = torch.cat([pad(part.indices, (0, most - part.indices.shape[-1])) for part in chosen])
    return noise.around(wanted(t)[index], logits)


# --- the forward problem with noise on inputs alone ---


def _bent_uniform(low: Tensor, high: Tensor, wanted: Curve) -> Mixture:
    """Return the distributions of h(t), t uniform between ends (N, 1)."""
    return _bent(low, low, high, wanted, lambda t, _: torch.zeros_like(t), lambda t, _: t, _spread(low, high))


def _bent_normal(u: Tensor, scale: float, wanted: Curve) -> Mixture:
    """Return the distributions of h(t), t normal about inputs (N, 1) between the curve's ends."""
    middle, low, high = 0.5 * (wanted.low + wanted.high), *(end.expand_as(u) for end in wanted.ends[[0, -1]])

    def log_p(t: Tensor, at: Tensor) -> Tensor:
        return -0.5 * ((t - at) / scale).square() - math.log(scale * math.sqrt(2 * math.pi))

    def primitive(t: Tensor, at: Tensor) -> Tensor:
        z = (t - at) / scale
        return torch.where(at < middle, -normal_cdf(-z), normal_cdf(z))  # from the tail that keeps its digits

    levels = scale * torch.tensor([-level for level in _LEVELS] + list(_LEVELS)).to(u)
    t = torch.cat([(u + levels).clamp(wanted.low, wanted.high), low, high], -1)
    return _bent(u, low, high, wanted, log_p, primitive, t)


def _bent(
    at: Tensor, low: Tensor, high: Tensor, wanted: Curve, log_p: Formula, primitive: Formula, t: Tensor
) -> Mixture:
    r"""Return the distributions of v = h(t), for t with a density p between ends (N, 1), smooth between places (N, E).

    .. math:: p(v) = \sum_{t: h(t) = v} p(t) / |h'(t)|

    It has poles where h bends. The density p is known by its logarithm and a primitive, functions of t and ``at``, up
    to a factor.
    """
    n = len(wanted.ends) - 1
    first, last = (torch.minimum(torch.maximum(end, low), high) for end in (wanted.ends[:-1], wanted.ends[1:]))
    rises = wanted(wanted.ends[1:]) > wanted(wanted.ends[:-1])
    total = primitive(high, at) - primitive(low, at)
    # The ranges of stretches are compared with targets as they are, so that jumps are where places are.
    parameters = torch.cat([at, total, first, last, *_ranges(wanted, first, last)], -1)

    def log_density(v: Tensor, parameters: Tensor) -> Tensor:
        at, total, _, _, lowest, highest = parameters.split([1, 1, n, n, n, n], -1)
        t = wanted.inverse(v)  # (..., N, J)
        steepness = wanted.steepness(t).abs().clamp_min(torch.finfo(t.dtype).eps ** 0.5)  # less is rounding
        there = (v >= lowest) & (v <= highest) & (highest > lowest)
        parts = torch.where(there, log_p(t, at) - steepness.log() - total.log(), -torch.inf)
        return torch.logsumexp(parts, -1, keepdim=True)

    def cdf(v: Tensor, parameters: Tensor) -> Tensor:
        at, total, first, last, _, _ = parameters.split([1, 1, n, n, n, n], -1)
        t = torch.minimum(torch.maximum(wanted.inverse(v), first), last)
        below = (primitive(t, at) - primitive(torch.where(rises, first, last), at)).abs() / total
        return torch.sum(below, -1, keepdim=True)

    heights = _heights(wanted, t)
    beside = _beside(wanted(wanted.ends[1:-1]), heights.amin(-1, keepdim=True), heights.amax(-1, keepdim=True))
    return known_density(log_density, parameters, torch.cat([heights, beside], -1), cdf=cdf)


def _beside(poles: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return places (N, E) from ``low`` to ``high``, the denser the nearer they are to poles (B,)."""
    shares = _RATIO ** torch.arange(_STEPS, dtype=low.dtype)
    places = [poles.unsqueeze(-1) + sign * shares * (high - low).unsqueeze(-1) for sign in (-1, 1)]
    return torch.minimum(torch.maximum(torch.cat(places, -1).flatten(1), low), high)


# --- curves ---


def _ranges(curve: Curve, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and highest values of stretches between ends."""
    heights = curve(first), curve(last)
    return torch.minimum(*heights), torch.maximum(*heights)


def _spread(first: Tensor, last: Tensor) -> Tensor:
    """Return places in intervals (N, I), ends included, (N, E)."""
    share = torch.linspace(0, 1, _EVEN, dtype=first.dtype)
    return torch.lerp(first.unsqueeze(-1), last.unsqueeze(-1), share).flatten(1)


def _heights(curve: Curve, t: Tensor) -> Tensor:
    """Return the values at places (N, E), and at the bends between them."""
    low, high = t.amin(-1, keepdim=True), t.amax(-1, keepdim=True)
    bends = torch.minimum(torch.maximum(curve.ends, low), high)
    return curve(torch.cat([t, bends], -1))
