"""Where mixture components start: centres spread over the targets."""

from __future__ import annotations

import torch
from torch import Tensor

_LLOYD_STEPS = 25
_MAX_ROWS = 20_000  # enough rows to place a handful of centres


def spread_centres(y: Tensor, n_centres: int, generator: torch.Generator) -> Tensor:
    """Return centres, (K, D), spread over targets of shape (N, D).

    In one dimension the quantiles (k + 1/2) / K; in several, k-means centres after k-means++ seeding
    (Arthur and Vassilvitskii 2007).
    """
    if len(y) > _MAX_ROWS:
        chosen = torch.randperm(len(y), generator=generator)[:_MAX_ROWS]
        y = y[chosen.to(y.device)]
    if y.shape[1] == 1:
        levels = (torch.arange(n_centres, dtype=y.dtype, device=y.device) + 0.5) / n_centres
        return torch.quantile(y, levels, dim=0)
    return _k_means(y, n_centres, generator)


def _k_means(y: Tensor, n_centres: int, generator: torch.Generator) -> Tensor:
    centres = _seed(y, n_centres, generator)
    for _ in range(_LLOYD_STEPS):
        nearest = torch.cdist(y, centres).argmin(-1)
        members = torch.zeros(n_centres, len(y), dtype=y.dtype, device=y.device)
        members[nearest, torch.arange(len(y), device=y.device)] = 1.0
        count = members.sum(-1, keepdim=True)
        centres = torch.where(count > 0, members @ y / count.clamp_min(1), centres)
    return centres


def _seed(y: Tensor, n_centres: int, generator: torch.Generator) -> Tensor:
    """Choose rows as first centres, each with probability by its squared distance from those chosen."""
    first = torch.randint(len(y), (1,), generator=generator).to(y.device)
    centres = y[first]
    for _ in range(n_centres - 1):
        distance = torch.cdist(y, centres).amin(-1).square().cpu()
        chance = distance if bool(distance.sum() > 0) else torch.ones_like(distance)
        centres = torch.cat([centres, y[torch.multinomial(chance, 1, generator=generator).to(y.device)]])
    return centres
