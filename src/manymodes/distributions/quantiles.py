r"""Quantiles of a mixture, one target dimension at a time: a bracket and safeguarded Newton steps.

The quantile of a mixture lies between the smallest and the largest quantile of its components, since the
mixture's cdf is an average of theirs. Inside that bracket Newton's method solves :math:`\log T(y) = \log p`, where
T is the tail that holds at most one half, the cdf or the survival function, so that far tails keep their relative
accuracy. A step that leaves the bracket, or that moves far across it, is replaced by bisection (as ``rtsafe``, Press
et al., Numerical Recipes, section 9.4), which makes the search as sure as bisection and usually quadratic.

Where the cdf jumps the quantile is the smallest y with F(y) >= q: integers are bisected among integers, and an atom
whose jump holds the level is taken exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from manymodes.distributions.component import Component

_MAX_STEPS = 200  # bisection alone needs about 64 for float64 brackets of ordinary width
_CHUNK = 40_000  # of values (S..., N, K, D) at a time, which keeps the work in the cache


class Tails(NamedTuple):
    """A mixture seen from the tail that each level asks for, with weights (..., K, 1)."""

    weights: Tensor
    components: Component
    upper: Tensor  # (S..., N, D)

    def of(self, y: Tensor) -> Tensor:
        """Return P(Y_d > y_d) where ``upper``, else P(Y_d <= y_d), (S..., N, D)."""
        at, side = y.unsqueeze(-2), self.upper.unsqueeze(-2)
        if bool(side.all()):
            parts = self.components.sf(at)
        elif not bool(side.any()):
            parts = self.components.cdf(at)
        else:
            parts = torch.where(side, self.components.sf(at), self.components.cdf(at))
        return (self.weights * parts).sum(-2)

    def reached(self, y: Tensor, tail: Tensor) -> Tensor:
        """Return whether F(y) is at least the level."""
        value = self.of(y)
        return torch.where(self.upper, value <= tail, value >= tail)


def tail_quantile(weights: Tensor, components: Component, tail: Tensor, upper: Tensor) -> Tensor:
    """Return y with P(Y_d > y_d) = tail where ``upper``, else P(Y_d <= y_d) = tail, (S..., N, D).

    Args:
        weights: Weights of the components, (N, K).
        components: Components, ``batch_shape`` (N, K), ``event_shape`` (D,).
        tail: Probabilities in [0, 1/2], (S..., N, D).
        upper: Which tail, (S..., N, D).
    """
    with torch.no_grad():
        rows = max(1, _CHUNK // max(1, weights.shape[-1] * tail.shape[-1]))
        if weights.dim() != 2 or tail.dim() != 2 or len(weights) <= rows or len(components.groups) > 1:
            return _quantile(weights, components, tail, upper)
        parts = []
        for start in range(0, len(weights), rows):
            chunk = slice(start, start + rows)
            some = components.transformed(lambda value, chunk=chunk: value[chunk])  # type: ignore[misc]
            parts.append(_quantile(weights[chunk], some, tail[chunk], upper[chunk]))
        return torch.cat(parts)


def _quantile(weights: Tensor, components: Component, tail: Tensor, upper: Tensor) -> Tensor:
    tails = Tails(weights.unsqueeze(-1), components, upper)
    low, high = _bracket(tails, tail)
    exact = (low == high) | (tail == 0)  # one component, equal components, or a level of 0 or 1
    found = torch.where(exact, torch.where(upper, high, low), torch.nan)
    counts = torch.tensor([kind == "count" for kind in components.kinds], device=tail.device)
    if bool(counts.any()):
        found = torch.where(counts, _among_integers(tails, tail, low, high), found)
    found = _on_atoms(tails, tail, found)
    # Where the cdf jumps, Newton's steps would lead nowhere, all two hundred of them.
    searched = _newton_inside(tails, tail, low, high, ~found.isnan())
    return torch.where(found.isnan(), searched, found)


def _bracket(tails: Tails, tail: Tensor) -> tuple[Tensor, Tensor]:
    share, side = tail.unsqueeze(-2), tails.upper.unsqueeze(-2)
    if bool(side.all()):
        ends = tails.components.isf(share)
    elif not bool(side.any()):
        ends = tails.components.icdf(share)
    else:
        ends = torch.where(side, tails.components.isf(share), tails.components.icdf(share))  # (S..., N, K, D)
    possible = tails.weights > 0
    low = torch.where(possible, ends, torch.inf).amin(-2)
    return low, torch.where(possible, ends, -torch.inf).amax(-2)


def _newton_inside(tails: Tails, tail: Tensor, low: Tensor, high: Tensor, done: Tensor) -> Tensor:
    y = torch.where(done, low, 0.5 * low + 0.5 * high)
    target, sign = tail.log(), torch.where(tails.upper, -1.0, 1.0).to(y.dtype)
    for _ in range(_MAX_STEPS):
        if bool(done.all()):
            break
        share = tails.of(y)
        excess = share.log() - target
        density = (tails.weights * tails.components.marginal_log_prob(y.unsqueeze(-2)).exp()).sum(-2)
        too_high = (excess > 0) ^ tails.upper
        high = torch.where(too_high, y, high)
        low = torch.where(too_high, low, y)
        newton = y - sign * excess * share / density
        middle = 0.5 * low + 0.5 * high
        tolerance = 2 * torch.finfo(y.dtype).eps * torch.maximum(low.abs(), high.abs())
        # A Newton step that moves far across the bracket is no better than halving it.
        inside = (newton > low) & (newton < high) & ((newton - y).abs() < 0.5 * (high - low))
        trusted = inside | ((newton - y).abs() <= tolerance)
        proposal = torch.where(trusted, newton, middle)
        settled = ((proposal - y).abs() <= tolerance) | (high - low <= tolerance) | (excess == 0)
        y = torch.where(done | (excess == 0), y, proposal)
        done = done | settled
    return y


def _among_integers(tails: Tails, tail: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the smallest integer that reaches the level, by bisection between integers."""
    low = torch.where(low.isfinite(), low.floor() - 1, -1.0)
    high = torch.where(high.isfinite(), high.ceil(), low)
    for _ in range(_MAX_STEPS):
        if not bool((high - low > 1).any()):
            break
        middle = ((low + high) / 2).floor()
        reached = tails.reached(middle, tail)
        high = torch.where(reached & (middle > low), middle, high)
        low = torch.where(~reached & (middle < high), middle, low)
    never = (tail == 0) & tails.upper  # no count is the largest
    first = torch.where((tail == 0) & ~tails.upper, tails.components.ends()[0].amin(-2), high)
    return torch.where(never, torch.inf, first)


def _on_atoms(tails: Tails, tail: Tensor, found: Tensor) -> Tensor:
    """Return the atom whose jump holds the level, where there is one, else what was found."""
    for group in tails.components.groups:
        pointed = [kind == "atom" for kind in group.kinds]
        for place in _different(group.mean) if any(pointed) else ():
            at = place.expand_as(found)
            before = torch.nextafter(at, torch.full_like(at, -torch.inf))
            holds = tails.reached(at, tail) & ~tails.reached(before, tail) & torch.tensor(pointed, device=at.device)
            found = torch.where(holds, at, found)
    return found


def _different(places: Tensor) -> list[Tensor]:
    """Return the places of components, (..., K, D), without repetitions: pooled members have the same atoms."""
    kept: list[Tensor] = []
    for place in places.unbind(-2):
        if not any(torch.equal(place, other) for other in kept):
            kept.append(place)
    return kept
