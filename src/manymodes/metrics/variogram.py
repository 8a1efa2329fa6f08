"""The variogram score: a proper score of how target dimensions go together."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any, cast

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Component, JointDensity, Normal, Prediction
from manymodes.distributions.families.normal import IndependentNormal
from manymodes.distributions.randomness import default_generator
from manymodes.distributions.special import evaluate
from manymodes.metrics.targets import exact_target

_FAR = 30.0  # standard deviations from 0 beyond which a few terms of an asymptotic series have all digits
_TERMS = 8
_ROUND = 2**22  # numbers drawn at a time


@torch.no_grad()
def variogram_score(
    distribution: JointDensity,
    y: Tensor,
    p: float = 0.5,
    *,
    weights: Tensor | None = None,
    n_samples: int = 200,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Variogram score of order p: whether differences between target dimensions are as large as predicted.

    .. math:: \mathrm{VS}_p(F, y) = \sum_{i,j} w_{ij} \left(|y_i - y_j|^p - \mathbb{E}|Y_i - Y_j|^p\right)^2

    It sees wrong correlations better than the energy score does, but neither a shift of all dimensions nor more than
    the expectations above: proper, not strictly. In the units of y to the power of 2 p; lower is better. Dimensions of
    different units should be standardised first. Carries no gradient.

    Exact for normal components, whatever their covariance. For others estimated without bias from two independent
    halves of the samples: a score may thus be negative, and its standard error falls as 1 / sqrt(n_samples).

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,), D >= 2, without angles.
        y: Targets, (N, D).
        p: Order, in (0, 2]; that for normals is exact for any.
        weights: Weight of each pair, (D, D), >= 0; None for 1. Those of pairs that are far apart should be small.
        n_samples: Samples of each prediction where components are not normal, at least 2.
        generator: Source of randomness; None takes a fixed seed.

    Returns:
        Scores, (N,). Not averaged: the caller decides.

    Raises:
        ValueError: One target dimension, angles, targets or weights of another shape, or an order outside (0, 2].
        TypeError: Targets that are not exact.

    References:
        Scheuerer and Hamill (2015), Variogram-based proper scoring rules for probabilistic forecasts of multivariate
        quantities, Monthly Weather Review 143; the moments of normals: Winkelbauer (2012), Moments and absolute
        moments of the normal distribution, arXiv 1209.4340, eq. 17.
    """
    y = exact_target("variogram_score", distribution, y, on_a_line=True, joint=True)
    p = _checks.number_between("p", p, 0.0, 2.0, including=(2.0,))
    n_samples = _checks.integer_at_least("n_samples", n_samples, 2)
    target_dim = distribution.event_shape[0]
    if target_dim < 2:
        raise _checks.InputError("distribution must have at least 2 target dimensions for variogram_score; got 1.")
    pair_weights = _pair_weights(weights, target_dim, y)
    if isinstance(distribution, Prediction) and isinstance(distribution.components, Normal):
        return _exact(distribution, y.double(), p, pair_weights).to(y.dtype)
    return _estimated(distribution, y, p, pair_weights, n_samples, generator)


def _pair_weights(weights: Tensor | None, target_dim: int, like: Tensor) -> dict[tuple[int, int], float]:
    """Return the weight of each pair i < j, both orders added up, where it is not 0."""
    table = torch.ones(target_dim, target_dim) if weights is None else weights
    _checks.matches_shape("weights", table.shape, (target_dim, target_dim), "to match the target dimensions")
    if not bool((table >= 0).all()):
        raise _checks.InputError(f"weights must be >= 0; got {table[~(table >= 0)][0].item():g}.")
    both = (table + table.T).tolist()
    return {(i, j): both[i][j] for i, j in combinations(range(target_dim), 2) if both[i][j]}


def _exact(distribution: Prediction, y: Tensor, p: float, pairs: dict[tuple[int, int], float]) -> Tensor:
    double = distribution.to(torch.float64)
    components, weights = double.components, double.weights
    score = torch.zeros(torch.broadcast_shapes(y.shape[:-1], double.batch_shape), dtype=y.dtype, device=y.device)
    for (i, j), weight in pairs.items():
        shift = components.mean[..., i] - components.mean[..., j]  # (N, K)
        expected = (weights * _absolute_moment(shift, _spread(components, i, j), p)).sum(-1)
        score = score + weight * ((y[..., i] - y[..., j]).abs() ** p - expected).square()
    return score


def _spread(components: Component, i: int, j: int) -> Tensor:
    """Return the standard deviation of the difference of two target dimensions, (N, K)."""
    if isinstance(components, IndependentNormal):
        return torch.hypot(components.stddev[..., i], components.stddev[..., j])
    factor = cast(Any, components).scale_tril
    spread: Tensor = torch.linalg.vector_norm(factor[..., i, :] - factor[..., j, :], dim=-1)
    return spread


def _absolute_moment(mean: Tensor, scale: Tensor, p: float) -> Tensor:
    """Return E|X|^p of normals."""
    square = (mean / scale).square()
    near = square < _FAR**2
    inside = torch.where(near, square, 0.0)
    unit = 2 ** (p / 2) * math.gamma((1 + p) / 2) / math.sqrt(math.pi)
    like = torch.full((), -p / 2, dtype=mean.dtype, device=mean.device)
    moment = unit * scale**p * evaluate("hyp1f1", like, torch.full_like(like, 0.5), -0.5 * inside)
    ratio = 2 / torch.where(near, _FAR**2, square)
    term = series = torch.ones_like(ratio)
    for k in range(_TERMS):
        term = term * (k - p / 2) * (k + (1 - p) / 2) / (k + 1) * ratio
        series = series + term
    return torch.where(near, moment, mean.abs() ** p * series)


def _estimated(
    distribution: JointDensity,
    y: Tensor,
    p: float,
    pairs: dict[tuple[int, int], float],
    n_samples: int,
    generator: torch.Generator | None,
) -> Tensor:
    generator = default_generator(generator, y.device)
    observed = torch.stack([(y[..., i] - y[..., j]).abs() ** p for i, j in pairs])  # (pairs, ..., N)
    weights = torch.tensor(list(pairs.values()), dtype=y.dtype, device=y.device)
    gaps = [observed - _mean_gaps(distribution, list(pairs), p, half, generator) for half in _halves(n_samples)]
    score: Tensor = torch.tensordot(weights, gaps[0] * gaps[1], 1)
    return score


def _halves(n_samples: int) -> tuple[int, int]:
    return n_samples // 2, n_samples - n_samples // 2


def _mean_gaps(
    distribution: JointDensity, pairs: list[tuple[int, int]], p: float, n_samples: int, generator: torch.Generator
) -> Tensor:
    """Return averages of |Y_i - Y_j|^p over samples, (pairs, N), some samples at a time."""
    total = torch.zeros(len(pairs), *distribution.batch_shape, device=generator.device)
    size = max(1, _ROUND // max(1, distribution.batch_shape.numel() * distribution.event_shape[0]))
    for first in range(0, n_samples, size):
        samples = distribution.sample((min(size, n_samples - first),), generator=generator)
        sums = [((samples[..., i] - samples[..., j]).abs() ** p).sum(0) for i, j in pairs]
        total = total + torch.stack(sums) / n_samples
    return total
