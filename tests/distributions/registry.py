"""The registry of component families: every test in test_families.py runs over each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats

from manymodes.distributions import Component, DiagonalNormal, SphericalNormal


@dataclass(frozen=True)
class Family:
    """A family, legal parameters for it, and SciPy's univariate distribution of one dimension of one component."""

    cls: type[Component]
    parameters: Callable[[tuple[int, ...], int], dict[str, torch.Tensor]]
    scipy: Callable[[dict[str, torch.Tensor], tuple[int, ...], int], object]


def _normal(size: int | None):
    def parameters(batch: tuple[int, ...], target_dim: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(7)
        loc = 2 * torch.randn(*batch, target_dim, generator=generator, dtype=torch.float64)
        width = target_dim if size is None else size
        scale = torch.rand(*batch, width, generator=generator, dtype=torch.float64) + 0.2
        return {"loc": loc, "scale": scale}

    return parameters


def _scipy_normal(parameters: dict[str, torch.Tensor], index: tuple[int, ...], dim: int):
    scale = parameters["scale"][index]
    return stats.norm(float(parameters["loc"][index][dim]), float(scale[min(dim, len(scale) - 1)]))


FAMILIES = [
    Family(DiagonalNormal, _normal(None), _scipy_normal),
    Family(SphericalNormal, _normal(1), _scipy_normal),
]

RTOL = 1e-9
K, D = 3, 2


def component(family: Family, batch: tuple[int, ...] = (4, K), target_dim: int = D) -> Component:
    return family.cls(**family.parameters(batch, target_dim), validate_args=True)


def scipy_log_prob(family: Family, batch: tuple[int, ...], target_dim: int, y: np.ndarray) -> np.ndarray:
    """Return joint log-densities of every component at one point y, (D,), by SciPy."""
    parameters = family.parameters(batch, target_dim)
    out = np.zeros(batch)
    for index in np.ndindex(*batch):
        out[index] = sum(family.scipy(parameters, index, d).logpdf(y[d]) for d in range(target_dim))
    return out
