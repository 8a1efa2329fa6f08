"""Where mixture components start: centres spread over the targets."""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes.nn.scaling import fences

_LLOYD_STEPS = 25
_MAX_ROWS = 20_000  # enough rows to place a handful of centres


def spread_start(
    y: Tensor, n_components: int, generator: torch.Generator, *, can_differ: bool
) -> tuple[Tensor, Tensor]:
    """Return where components start, (K, D), and how far targets of shape (N, D) keep from there, (D,).

    Args:
        y: Targets.
        n_components: Number of components, K.
        generator: Source of randomness.
        can_differ: Whether components may have distances of their own, (K, D): where there are gross outliers, a last
            component is as wide as they are far. It takes them over, and the others learn what is left.
    """
    width = y.std(0, correction=0)
    width = torch.where(width > 0, width, 1.0)  # distances between targets count every dimension alike
    centres = spread_centres(y / width, n_components, generator) * width  # (K, D)
    nearest = centres[torch.cdist(y / width, centres / width).argmin(-1)]
    square, (low, high) = (y - nearest).square(), fences(y)
    near = (y >= low) & (y <= high)
    typical = (square.where(near, 0.0).sum(0) / near.sum(0)).sqrt()
    if bool(near.all()) or not can_differ or n_components == 1:
        return centres, typical
    far = square.mean(0).sqrt()
    return centres, torch.cat([typical.expand(n_components - 1, -1), far.unsqueeze(0)])


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
