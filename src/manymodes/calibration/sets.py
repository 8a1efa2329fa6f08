"""Nested sets of a prediction: how large one must be to hold a target, and the sets of a size.

Sizes are in nats: s stands for the set outside of which the prediction holds a probability of exp(-s).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Atoms, Prediction, Region
from manymodes.distributions.atoms import take_apart
from manymodes.distributions.line import Line
from manymodes.distributions.regions import above_level

_LAST = {1: 1e-9}  # probability outside the last region that is told by its level, in one dimension
_LAST_OF_SAMPLES = 1e-4  # in several, where levels are shares of samples
_NUDGE = 1e-9  # of sizes: what a set holds to the last digit, an integer say, rounding shall not take out


class Kind(Protocol):
    """A kind of nested sets."""

    def score(self, distribution: Prediction, y: Tensor) -> Tensor:
        """Return the size of the smallest set that holds each target, (N,)."""

    def region(self, distribution: Prediction, size: Tensor) -> Region:
        """Return the sets of sizes, (N,), of predictions of one target dimension."""


class _Central:
    """Intervals between quantiles that leave the same probability on both sides."""

    def score(self, distribution: Prediction, y: Tensor) -> Tensor:
        if distribution.event_shape != (1,):
            raise _checks.InputError(
                f"kind must be 'region' for several target dimensions; got 'central' for {distribution.event_shape[0]}."
            )
        if distribution.components.kinds == ("angle",):
            raise _checks.InputError("kind must be 'region' for angles, which have no ends; got 'central'.")
        exact = distribution.to(torch.float64)
        side = torch.minimum(exact.cdf(y.double()), exact.exceedance(y.double()))  # both count what lies on the target
        return -(2 * side).log().clamp_max(0.0).squeeze(-1)

    def region(self, distribution: Prediction, size: Tensor) -> Region:
        exact = distribution.to(torch.float64)
        tail = 0.5 * (-size * (1 + _NUDGE) - _NUDGE).exp().unsqueeze(-1).to(exact.logits.device)
        low, high = exact.icdf(tail), exact.isf(tail)
        none = low[..., :0]
        everywhere, border = torch.ones_like(low, dtype=torch.bool), torch.full_like(low.squeeze(-1), torch.nan)
        mass = exact.probability(low, high)
        return _in_precision(Region(low, high, mass, everywhere, border, Atoms(none, none, none.bool())), distribution)


class _HighestDensity:
    """Highest-density regions; beyond the last level that can be told from 1, where the density exceeds a level."""

    def score(self, distribution: Prediction, y: Tensor) -> Tensor:
        exact, y = distribution.to(torch.float64), y.double()
        rank = exact.highest_density_rank(y)
        last = _last(exact)
        size = -torch.log1p(-rank)
        far = (1 - rank) < last
        if bool(far.any()) and exact.components.kinds != ("count",):
            rows = far.nonzero().squeeze(-1)
            beyond = _border(exact[rows]) - exact[rows].log_prob(y[rows])
            size = size.index_copy(0, rows, beyond.clamp_min(0.0) - math.log(last))
        return size

    def region(self, distribution: Prediction, size: Tensor) -> Region:
        exact = distribution.to(torch.float64)
        size = size.to(exact.logits.device) * (1 + _NUDGE) + _NUDGE
        last = _last(exact)
        region = exact.highest_density_region(-torch.expm1(-size.clamp_max(-math.log(last))))
        far = size > -math.log(last)
        if bool(far.any()):
            rows = far.nonzero().squeeze(-1)
            region = _put(region, rows, *_wide(exact[rows], size[rows] + math.log(last)))
        return _in_precision(region, distribution)


KINDS: Mapping[str, Kind] = {"central": _Central(), "region": _HighestDensity()}


def _last(distribution: Prediction) -> float:
    return _LAST.get(distribution.event_shape[0], _LAST_OF_SAMPLES)


def _border(distribution: Prediction) -> Tensor:
    """Return the log-density on the border of the last region that is told by its level, (N,)."""
    level = 1 - _last(distribution)
    if distribution.event_shape[0] > 1:
        return distribution.highest_density_level(level)
    return distribution.highest_density_region(level).log_level


def _wide(distribution: Prediction, beyond: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return low, high and mass of intervals, (N, J), so many nats of density beyond the last region."""
    parts = take_apart(Line.of(distribution.logits, distribution.components))
    share = parts.share.exp()
    whole = torch.full_like(beyond, torch.inf).unsqueeze(-1)
    if parts.spread is None or parts.kind == "count":
        return -whole, whole, share.unsqueeze(-1)
    log_level = _border(distribution) - parts.share - beyond.clamp_max(torch.finfo(beyond.dtype).max)
    endless = ~(log_level > -1e6)  # no density is so low that rounding leaves anything of it
    low, high, mass = above_level(parts.spread, torch.where(endless, -1.0, log_level))
    first = torch.arange(low.shape[-1], device=low.device) == 0
    rows = endless.unsqueeze(-1)
    low = torch.where(rows, torch.where(first, -torch.inf, torch.nan), low)
    high = torch.where(rows, torch.where(first, torch.inf, torch.nan), high)
    return low, high, torch.where(rows, first.to(mass), mass) * share.unsqueeze(-1)


def _put(region: Region, rows: Tensor, low: Tensor, high: Tensor, mass: Tensor) -> Region:
    """Return a region with the intervals of some rows in place of its own."""
    width = max(region.low.shape[-1], low.shape[-1])

    def put(old: Tensor, new: Tensor, filler: float) -> Tensor:
        wide, narrow = (torch.nn.functional.pad(x, (0, width - x.shape[-1]), value=filler) for x in (old, new))
        return wide.index_copy(0, rows, narrow)

    low, high = put(region.low, low, torch.nan), put(region.high, high, torch.nan)
    return replace(region, low=low, high=high, mass=put(region.mass, mass, 0.0), mask=~low.isnan())


def _in_precision(region: Region, distribution: Prediction) -> Region:
    """Return a region in the precision of the prediction, its intervals rounded outwards."""
    dtype = distribution.logits.dtype
    if dtype == torch.float64:
        return region
    outwards = [
        torch.nextafter(end.to(dtype), torch.full_like(end, far, dtype=dtype))
        for end, far in ((region.low, -torch.inf), (region.high, torch.inf))
    ]
    atoms = Atoms(region.atoms.location.to(dtype), region.atoms.mass.to(dtype), region.atoms.mask)
    mass, level = region.mass.to(dtype), region.log_level.to(dtype)
    return Region(outwards[0], outwards[1], mass, region.mask, level, atoms)
