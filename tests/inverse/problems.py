"""Inverse problems with known solutions."""

import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes.datasets import make_robot_arm, robot_arm_solutions
from manymodes.distributions import DiagonalNormal, Mixture


def normals(loc, scale=0.03, weights=None) -> Mixture:
    """Return mixtures of normals at places (N, K, D)."""
    loc = torch.as_tensor(loc, dtype=torch.float64)
    weights = torch.ones(loc.shape[:-1]) if weights is None else torch.as_tensor(weights)
    return Mixture(Categorical(weights.double()), DiagonalNormal(loc, torch.full_like(loc, scale)))


def arm(n_rows: int = 60, *, off: float = 0.03) -> tuple[Mixture, Tensor, Tensor]:
    """Return densities around the angles of a robot arm, each mode a little off; wanted positions; all solutions."""
    X, _ = make_robot_arm(n_rows, random_state=0)
    solutions = torch.tensor(robot_arm_solutions(X))
    loc = torch.where(solutions.isnan(), solutions[:, :1] + 0.2, solutions)
    loc = loc + off * torch.randn(loc.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return normals(loc), torch.tensor(X), solutions
