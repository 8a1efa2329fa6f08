"""Mixtures of thousands of normals as such of a few dozen."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes.distributions import DiagonalNormal, FullNormal, LowRankNormal, Mixture, Normal, SphericalNormal


@torch.no_grad()
def fewer(mixture: Mixture, n_components: int) -> Mixture:
    """Return a mixture of at most so many normals, a power of two, each with the moments of those it replaces.

    Components are put into groups as a k-d tree puts points: halved again and again, along what they differ in most,
    which is their means, in units of the whole mixture's spread, or the logarithms of their spreads. Mean and
    covariance of the whole stay exactly as they are, apart from correlations that the family cannot hold.

    Args:
        mixture: Normal components, (N,) of events (D,).
        n_components: Greatest number of components.

    References:
        Bentley (1975), Multidimensional binary search trees used for associative searching, CACM 18.
    """
    if mixture.n_components <= n_components:
        return mixture
    components = mixture.components
    if not isinstance(components, Normal):
        raise TypeError(f"fewer components need normal ones; got {type(components).__name__}.")
    levels = int(math.log2(n_components))
    logits, mean, covariance, spread = _padded(mixture, components, 2**levels)
    whole = mixture.stddev.unsqueeze(-2).clamp_min(torch.finfo(mean.dtype).tiny)
    places = torch.cat([mean / whole, spread.log() - whole.log()], -1)  # (N, K, 2 D)
    groups = _grouped(places, logits.exp(), levels)  # (N, G, K / G)
    return _merged(logits, mean, covariance, groups, type(components))


def _padded(mixture: Mixture, components: Normal, unit: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return logits, means, covariances and spreads of components, filled up by such without weight to full units."""
    n = mixture.n_components
    index = torch.arange(-(-n // unit) * unit)
    logits = torch.where(index < n, mixture.logits[..., index.clamp_max(n - 1)], -torch.inf)
    index = index.clamp_max(n - 1)
    mean, spread = (
        part.expand(*logits.shape[:-1], n, -1)[..., index, :] for part in (components.mean, components.stddev)
    )
    if isinstance(components, (FullNormal, LowRankNormal)):
        covariance = components.covariance_matrix[..., index, :, :]
    else:
        covariance = torch.diag_embed(spread.square())
    return logits, mean, covariance, spread


def _grouped(places: Tensor, weights: Tensor, levels: int) -> Tensor:
    """Return the numbers of the components of each group, (N, 2^levels, K / 2^levels)."""
    order = torch.arange(places.shape[-2]).expand(*places.shape[:-1]).unsqueeze(-2)  # (N, 1, K)
    for _ in range(levels):
        own = _taken(places, order)  # (N, G, n, 2 D)
        weight = weights.gather(-1, order.flatten(-2)).reshape(order.shape).unsqueeze(-1)
        share = weight / weight.sum(-2, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
        middle = (share * own).sum(-2, keepdim=True)
        axis = (share * (own - middle).square()).sum(-2).argmax(-1)  # (N, G)
        along = own.gather(-1, axis[..., None, None].expand(*own.shape[:-1], 1)).squeeze(-1)
        order = order.gather(-1, along.argsort(-1))
        order = order.unflatten(-1, (2, -1)).flatten(-3, -2)
    return order


def _merged(logits: Tensor, mean: Tensor, covariance: Tensor, groups: Tensor, family: type[Normal]) -> Mixture:
    """Return one normal for each group, with the weight, mean and covariance of the group."""
    own = logits.gather(-1, groups.flatten(-2)).reshape(groups.shape)
    together = own.logsumexp(-1)  # (N, G)
    empty = (together == -torch.inf).unsqueeze(-1)
    share = torch.where(empty, 1 / groups.shape[-1], (own - together.unsqueeze(-1).nan_to_num(neginf=0.0)).exp())
    means = _taken(mean, groups)  # (N, G, n, D)
    centre = (share.unsqueeze(-1) * means).sum(-2)
    off = means - centre.unsqueeze(-2)
    within = _taken(covariance.flatten(-2), groups).unflatten(-1, covariance.shape[-2:])
    spread = (share[..., None, None] * (within + off.unsqueeze(-1) * off.unsqueeze(-2))).sum(-3)
    weights = Categorical(logits=together, validate_args=False)
    if family in (DiagonalNormal, SphericalNormal):
        scale = spread.diagonal(dim1=-2, dim2=-1).sqrt()
        return Mixture(weights, DiagonalNormal(centre, scale, validate_args=False))
    return Mixture(weights, FullNormal(centre, torch.linalg.cholesky(spread), validate_args=False))


def _taken(values: Tensor, index: Tensor) -> Tensor:
    """Return the values (N, K, F) of some components, (N, G, n), as (N, G, n, F)."""
    flat = index.flatten(-2).unsqueeze(-1).expand(*index.shape[:-2], -1, values.shape[-1])
    taken: Tensor = values.gather(-2, flat).unflatten(-2, index.shape[-2:])
    return taken
