"""Small predictions whose pictures are known, and axes without pyplot."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch.distributions import Categorical

from manymodes.distributions import Concatenation, DiagonalNormal, LogNormal, Mixture, PointMass, Poisson

N = 15


@pytest.fixture
def ax():
    """Axes of a figure that pyplot does not know."""
    return Figure().subplots()


@pytest.fixture
def x():
    """An input in ascending order, (N,), not evenly spaced."""
    return np.linspace(0, 1, N) ** 2


@pytest.fixture
def crossing(x):
    """Two normal components that cross at x = 1/2, the second growing with x: (N,), D = 1."""
    t = torch.from_numpy(x)
    loc = torch.stack([4 * t - 2, 2 - 4 * t], -1).unsqueeze(-1)  # (N, K, D)
    weights = torch.stack([0.9 - 0.8 * t, 0.1 + 0.8 * t], -1)
    return Mixture(Categorical(weights), DiagonalNormal(loc, 0.1 + 0.1 * loc.abs()))


@pytest.fixture
def two_modes():
    """Two narrow normal components far apart, alike in each of N rows."""
    loc = torch.tensor([[-1.0], [1.0]], dtype=torch.float64).expand(N, 2, 1)
    return Mixture(Categorical(torch.ones(N, 2)), DiagonalNormal(loc, torch.full_like(loc, 0.1)))


@pytest.fixture
def counts(x):
    """Few or many events, (N,), D = 1."""
    rate = torch.stack([1 + torch.from_numpy(x), 20 + torch.from_numpy(x)], -1).unsqueeze(-1)
    return Mixture(Categorical(torch.tensor([0.4, 0.6]).double().expand(N, 2)), Poisson(rate))


@pytest.fixture
def zero_or_amount(x):
    """A point mass of 0.3 at 0 beside lognormal amounts, (N,), D = 1."""
    zero = torch.zeros(N, 1, 1, dtype=torch.float64)
    parts = Concatenation(PointMass(zero), LogNormal(zero + torch.from_numpy(x)[:, None, None], zero + 0.4))
    return Mixture(Categorical(torch.tensor([0.3, 0.7]).double().expand(N, 2)), parts)


@pytest.fixture
def plane():
    """Two rows of one normal each over three dimensions, of scales 1, 2 and 3."""
    loc = torch.tensor([[[0.0, 0.0, 0.0]], [[10.0, 20.0, 30.0]]], dtype=torch.float64)
    scale = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64).expand_as(loc)
    return Mixture(Categorical(torch.ones(2, 1)), DiagonalNormal(loc, scale))
