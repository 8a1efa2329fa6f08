"""Targets drawn from a known density, and predictions of them that are right, or wrong in a known way."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes.distributions import Concatenation, DiagonalNormal, Mixture, PointMass, Poisson


def normal(n: int, seed: int = 0) -> Mixture:
    """One normal a row, of different places and widths."""
    generator = torch.Generator().manual_seed(seed)
    loc = torch.randn(n, 1, 1, generator=generator, dtype=torch.float64)
    width = 0.5 + torch.rand(n, 1, 1, generator=generator, dtype=torch.float64)
    return Mixture(Categorical(torch.ones(n, 1).double()), DiagonalNormal(loc, width))


def bimodal(n: int, seed: int = 0) -> Mixture:
    """Two answers a row, 4 apart, with probabilities 0.4 and 0.6 and a standard deviation of 0.6."""
    middle = torch.randn(n, 1, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    loc = middle + torch.tensor([[-2.0], [2.0]], dtype=torch.float64)
    weights = Categorical(torch.tensor([[0.4, 0.6]]).double().expand(n, 2))
    return Mixture(weights, DiagonalNormal(loc, torch.full_like(loc, 0.6)))


def counts(n: int) -> Mixture:
    """Zeros beside Poisson counts of few or many events."""
    rate = torch.linspace(0.3, 9.0, n, dtype=torch.float64).reshape(n, 1, 1)
    parts = Concatenation(PointMass(torch.zeros(n, 1, 1).double()), Poisson(rate))
    return Mixture(Categorical(torch.tensor([[0.2, 0.8]]).double().expand(n, 2)), parts)


def beside_an_atom(n: int) -> Mixture:
    """A point mass of 0.3 at 0 beside a normal."""
    loc = torch.linspace(-1.0, 1.0, n, dtype=torch.float64).reshape(n, 1, 1)
    parts = Concatenation(PointMass(torch.zeros_like(loc)), DiagonalNormal(loc, torch.ones_like(loc)))
    return Mixture(Categorical(torch.tensor([[0.3, 0.7]]).double().expand(n, 2)), parts)


def drawn(mixture: Mixture, seed: int = 0) -> Tensor:
    return mixture.sample(generator=torch.Generator().manual_seed(seed))


def stretched(mixture: Mixture, factor: float) -> Mixture:
    """The same with every prediction wider by a factor, about its own mean."""
    parts, mean = mixture.components, mixture.mean.unsqueeze(-2)
    return mixture.with_components(DiagonalNormal(mean + factor * (parts.loc - mean), factor * parts.scale))


def shifted(mixture: Mixture, share: float) -> Mixture:
    """The same with every prediction too high by a share of its standard deviation."""
    parts = mixture.components
    return mixture.with_components(DiagonalNormal(parts.loc + share * mixture.stddev.unsqueeze(-2), parts.scale))


def without_a_mode(mixture: Mixture) -> Mixture:
    """The same with the lighter answer forgotten."""
    weights = Categorical(torch.tensor([[0.0, 1.0]]).double().expand(len(mixture.logits), 2))
    return Mixture(weights, mixture.components)
