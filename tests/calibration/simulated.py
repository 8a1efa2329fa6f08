"""Bimodal data whose density is known, and predictions that are wrong in one way each."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes.distributions import DiagonalNormal, Mixture

DOUBLE = torch.float64


def simulated(n: int, *, factor: float = 1.0, shift: float = 0.0, seed: int = 0) -> tuple[Mixture, Mixture, Tensor]:
    """Return predictions with scales times a factor and means moved, the true density, and targets of it, (N, 1)."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(n, generator=generator, dtype=DOUBLE) - 1
    loc = torch.stack([2 * x - 1, 2 - x], -1).unsqueeze(-1)
    scale = torch.full_like(loc, 0.4) * (1.2 + x[:, None, None])
    weights = Categorical(torch.tensor([0.4, 0.6], dtype=DOUBLE).expand(n, 2))
    true = Mixture(weights, DiagonalNormal(loc, scale))
    return Mixture(weights, DiagonalNormal(loc + shift, factor * scale)), true, true.sample(generator=generator)
