"""Which proposals become candidates: ranked, told apart, and spread out."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from manymodes.inverse.candidates import Candidates


def ranked(found: Candidates, enough: float) -> Candidates:
    """Return proposals with those first whose error is at most enough, by density, and then the others by error."""
    by_density = found.log_prob.argsort(dim=-1, descending=True, stable=True)  # entries that are none come last
    error = found.error.clamp_min(enough).gather(-1, by_density)
    return found.take(by_density.gather(-1, error.argsort(dim=-1, stable=True)))


def told_apart(found: Candidates, apart: Tensor) -> Candidates:
    """Return proposals, best first, without those near a better one, which gets their probability.

    Args:
        found: Proposals, (N, P), in order.
        apart: Distance in each dimension up to which two are one, (N, D).
    """
    mask, mass, from_mode = found.mask.clone(), found.mass.clone(), found.from_mode.clone()
    for j in range(1, mask.shape[-1]):
        gap = found.wrapped(found.y[:, :j] - found.y[:, j : j + 1]).abs()  # (N, j, D)
        near = mask[:, :j] & (gap <= apart.unsqueeze(1)).all(-1)
        better = near & (near.cumsum(-1) == 1)
        mass[:, :j] += better * mass[:, j : j + 1]
        from_mode[:, :j] |= better & from_mode[:, j : j + 1]
        mask[:, j] &= ~near.any(-1)
    return replace(found, mass=mass, from_mode=from_mode).only(mask)


def best_of(found: Candidates, n_candidates: int) -> Candidates:
    """Return the best candidates of each row, (N, C)."""
    return _front(found, found.mask & (found.mask.cumsum(-1) <= n_candidates))


def far_apart(found: Candidates, n_candidates: int, enough: float, unit: Tensor) -> Candidates:
    """Return the best and then right ones of each row, each the farthest from those before, (N, C), in their order.

    Where no right one is left, the best of the others.

    Args:
        found: Candidates, (N, P), best first.
        n_candidates: How many of each row are kept at most.
        enough: Error up to which they are right.
        unit: How large changes of solutions usually are, (N, D).
    """
    right = found.mask & (found.error <= enough)
    place = torch.arange(found.mask.shape[-1], device=found.mask.device, dtype=found.error.dtype)
    worth = torch.where(right, torch.inf, -1 - place).masked_fill(~found.mask, -torch.inf)
    chosen = torch.zeros_like(found.mask)
    for _ in range(min(n_candidates, found.mask.shape[-1])):
        best = worth.argmax(-1, keepdim=True)  # (N, 1)
        chosen |= (place == best) & (worth > -torch.inf)
        own = found.y.gather(1, best.unsqueeze(-1).expand(-1, -1, found.y.shape[-1]))
        distance = torch.linalg.vector_norm(found.wrapped(found.y - own) / unit.unsqueeze(1), dim=-1)
        worth = torch.where(right, torch.minimum(worth, distance), worth).masked_fill(chosen, -torch.inf)
    return _front(found, chosen)


def _front(found: Candidates, chosen: Tensor) -> Candidates:
    """Return chosen candidates, (N, P), in their order and without gaps, (N, C)."""
    most = int(chosen.sum(-1).max()) if len(chosen) else 0
    return found.only(chosen).take((~chosen).to(torch.int8).argsort(dim=-1, stable=True)[:, :most])
