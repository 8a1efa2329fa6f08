r"""Mixtures of more or fewer components: members pooled, negligible components dropped, similar ones merged.

What is lost is bounded. Dropping components of total weight :math:`\epsilon` gives q with
:math:`KL(q \| p) \le -\log(1 - \epsilon)`, since q is at most :math:`p / (1 - \epsilon)`. Merging components into the
normal of the same mean and covariance gives q with

.. math:: KL(p \| q) \le \tfrac12 \sum_g \Big( w_g \log\det P_g - \sum_{i \in g} w_i \log\det P_i \Big),

the sum over merged groups g, because the log-sum inequality bounds the divergence by those of the groups, a normal's
cross-entropy with the moments it matches is its own entropy, and entropy is concave. Runnalls' cost of one merge is one
step of that telescoping sum.

References:
    Runnalls (2007), Kullback-Leibler approach to Gaussian mixture reduction, IEEE TAES 43, eq. 21.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.component import Component
from manymodes.distributions.concatenation import Concatenation
from manymodes.distributions.declared import Declared
from manymodes.distributions.families import DiagonalNormal, FullNormal, LowRankNormal, Normal, SphericalNormal


def concatenated(parts: list[Component]) -> Component:
    """Return components one after another along the component axis, as one family where they are of one."""
    first = parts[0]
    if isinstance(first, Declared) and all(_alike(first, part) for part in parts):
        leading = torch.broadcast_shapes(*(part.batch_shape[:-1] for part in parts))
        whole = [part.expand(leading + part.batch_shape[-1:]) for part in parts]
        axes = {name: -1 - len(parameter.shape) for name, parameter in first.parameters.items()}
        values = {name: torch.cat([getattr(part, name) for part in whole], axis) for name, axis in axes.items()}
        return type(first)(**values, validate_args=False)
    return Concatenation(*parts)


def _alike(first: Declared, other: Component) -> bool:
    """Return whether two runs of components are of one family and, where it has one, of one rank."""
    if type(other) is not type(first):
        return False
    axes = {name: len(parameter.shape) for name, parameter in first.parameters.items()}
    return all(getattr(first, name).shape[-n:] == getattr(other, name).shape[-n:] for name, n in axes.items())


def pooled_axis(logits: Tensor, components: Component, dim: int) -> tuple[Tensor, Component]:
    """Return weights and components with one batch axis, of M members, folded into the components."""
    n_members = logits.shape[dim]
    logits = logits.movedim(dim, -2).flatten(-2) - math.log(n_members)

    def fold(value: Tensor) -> Tensor:
        return value.expand(*value.shape).movedim(dim, -3).flatten(-3, -2)

    if len(components.groups) == 1:
        return logits, components.transformed(fold)
    # Groups follow one another along the component axis: bring the weights into their order.
    sizes = [group.batch_shape[-1] for group in components.groups]
    owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes)).repeat(n_members)
    order = owner.argsort(stable=True).to(logits.device)
    return logits[..., order], components.transformed(fold)


def pruned(logits: Tensor, components: Component, max_kl: float) -> tuple[Tensor, Component]:
    """Return weights and components without the lightest, whose weights together keep the bound."""
    _checks.positive("max_kl", max_kl)
    weights = logits.exp()
    light, order = weights.sort(-1)
    spare = -torch.expm1(torch.tensor(-max_kl, dtype=weights.dtype, device=weights.device))
    drop = light.cumsum(-1) <= spare
    drop[..., -1] = False  # the heaviest stays, whatever rounding says
    dropped = torch.zeros_like(weights, dtype=torch.bool).scatter(-1, order, drop)
    kept = torch.log_softmax(logits.masked_fill(dropped, -torch.inf), -1)
    return _compressed(kept, components)


def _compressed(logits: Tensor, components: Component) -> tuple[Tensor, Component]:
    """Return the components that some row still needs; those of one family row by row."""
    n_kept = max(int((logits > -torch.inf).sum(-1).max()), 1) if logits.numel() else logits.shape[-1]
    if len(components.groups) > 1 or n_kept == logits.shape[-1]:
        return logits, components
    index = logits.argsort(dim=-1, descending=True, stable=True)[..., :n_kept].sort(-1).values
    return logits.gather(-1, index), components.select(index)


# --- merging normals ---


class _Clusters(NamedTuple):
    """Normals as weights (N, K), means (N, K, D) and covariances (N, K, D, D), in double precision."""

    weight: Tensor
    mean: Tensor
    covariance: Tensor


def merged(logits: Tensor, components: Component, max_kl: float) -> tuple[Tensor, Component]:
    """Return weights and components with similar normals merged, the cheapest pair first, while the bound holds."""
    _checks.positive("max_kl", max_kl)
    if not isinstance(components, Normal):
        raise _checks.InputError(f"merging needs normal components; got {type(components).__name__}.")
    family, dtype = type(components), logits.dtype
    double = components.transformed(lambda value: value.double())
    covariance = _covariance(double)
    clusters = _Clusters(logits.double().exp().expand(covariance.shape[:-2]), double.mean, covariance)
    spent, untouched = torch.zeros_like(clusters.weight[..., 0]), True
    for _ in range(logits.shape[-1] - 1):
        cost, pair = _cheapest(clusters, family)
        allowed = spent + cost <= max_kl
        if not bool(allowed.any()):
            break
        clusters, untouched = _merge(clusters, pair, allowed, family), False
        spent = torch.where(allowed, spent + cost, spent)
    if untouched:
        return logits, components
    result = _normals(clusters, family).transformed(lambda value: value.to(dtype))
    return _compressed(clusters.weight.log().to(dtype), result)


def _covariance(components: Normal) -> Tensor:
    if isinstance(components, (FullNormal, LowRankNormal)):
        return components.covariance_matrix
    return torch.diag_embed(components.variance)


def _cheapest(clusters: _Clusters, family: type[Normal]) -> tuple[Tensor, Tensor]:
    """Return the least cost of merging a pair, (N,), and the pair, (N, 2)."""
    weight, mean, covariance = clusters
    first, second = weight.unsqueeze(-1), weight.unsqueeze(-2)
    together = first + second
    share = torch.where(together > 0, first / together, 0.5)
    both = _combined(
        share,
        (mean.unsqueeze(-2), mean.unsqueeze(-3)),
        (covariance.unsqueeze(-3), covariance.unsqueeze(-4)),
        family,
    )[1]
    own = _half_log_det(covariance)
    cost = together * _half_log_det(both) - first * own.unsqueeze(-1) - second * own.unsqueeze(-2)
    n = weight.shape[-1]
    legal = (first > 0) & (second > 0) & torch.ones(n, n, dtype=torch.bool, device=weight.device).tril(-1)
    least, index = torch.where(legal, cost.clamp_min(0.0), torch.inf).flatten(-2).min(-1)
    return least, torch.stack([index // n, index % n], -1)


def _merge(clusters: _Clusters, pair: Tensor, allowed: Tensor, family: type[Normal]) -> _Clusters:
    """Return clusters with the second of each allowed pair folded into the first."""
    weight, mean, covariance = clusters
    places = [torch.nn.functional.one_hot(index, weight.shape[-1]).bool() for index in pair.unbind(-1)]
    weights, means, covariances = ([_picked(values, place) for place in places] for values in clusters)
    total = weights[0] + weights[1]
    share = torch.where(total > 0, weights[0] / total, 0.5)
    new_mean, new_covariance = _combined(share, (means[0], means[1]), (covariances[0], covariances[1]), family)
    into, out_of = (place & allowed.unsqueeze(-1) for place in places)
    return _Clusters(
        torch.where(into, total.unsqueeze(-1), weight.masked_fill(out_of, 0.0)),
        torch.where(into.unsqueeze(-1), new_mean.unsqueeze(-2), mean),
        torch.where(into[..., None, None], new_covariance.unsqueeze(-3), covariance),
    )


def _picked(values: Tensor, place: Tensor) -> Tensor:
    """Return the cluster, (N, ...), that ``place``, (N, K), marks among values (N, K, ...)."""
    marks = place.reshape(*place.shape, *(1,) * (values.dim() - place.dim()))
    return torch.where(marks, values, 0.0).sum(place.dim() - 1)


def _combined(
    share: Tensor, means: tuple[Tensor, Tensor], covariances: tuple[Tensor, Tensor], family: type[Normal]
) -> tuple[Tensor, Tensor]:
    """Return the mean and covariance of two normals, the first with weight ``share``, as the family can hold them."""
    part = share.unsqueeze(-1)
    mean = part * means[0] + (1 - part) * means[1]
    gap = (part * (1 - part)).sqrt() * (means[0] - means[1])
    part = part.unsqueeze(-1)
    covariance = part * covariances[0] + (1 - part) * covariances[1] + gap.unsqueeze(-1) * gap.unsqueeze(-2)
    if family is DiagonalNormal:
        covariance = torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1))
    if family is SphericalNormal:
        variance = covariance.diagonal(dim1=-2, dim2=-1)
        covariance = torch.diag_embed(variance.mean(-1, keepdim=True).expand_as(variance))
    return mean, covariance


def _half_log_det(covariance: Tensor) -> Tensor:
    log_det: Tensor = torch.linalg.slogdet(covariance).logabsdet
    return 0.5 * log_det


def _normals(clusters: _Clusters, family: type[Normal]) -> Normal:
    """Return components of these moments; those of low rank become full."""
    if family in (DiagonalNormal, SphericalNormal):
        scale = clusters.covariance.diagonal(dim1=-2, dim2=-1).sqrt()
        if family is SphericalNormal:
            return SphericalNormal(clusters.mean, scale[..., :1], validate_args=False)
        return DiagonalNormal(clusters.mean, scale, validate_args=False)
    scale_tril, failed = torch.linalg.cholesky_ex(clusters.covariance)
    if bool((failed != 0).any()):
        raise _checks.InputError("merging needs covariances that are not nearly singular; prune or keep them instead.")
    return FullNormal(clusters.mean, scale_tril, validate_args=False)
