r"""Dependence of a path's steps on each other: a Gaussian copula between the distributions of single steps.

Each target's place in its distribution is a normal score,

.. math:: z_{hd} = \Phi^{-1}\left( F_{hd}(y_{hd} \mid y_{h1} \dots y_{h,d-1}) \right),

by Rosenblatt's transform, independent within a step where the step's joint distribution is right. Over steps scores
are correlated, since what pushes a series up now does so for a while. Paths are drawn with that correlation and mapped
back: at every step they have exactly the distribution that was predicted.

References:
    Rosenblatt (1952), Remarks on a multivariate transformation; Nelsen (2006), An Introduction to Copulas, section 2.3;
    Ledoit and Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices, on shrinkage.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from manymodes.distributions import Mixture

_FURTHEST = 5.0  # normal scores beyond it count as it: no outlier makes a correlation
_TOWARDS_LAGS = (0.0, 0.5, 1.0)
_TOWARDS_NONE = (0.01, 0.05, 0.2, 0.5, 1.0)
_CAUTIOUS = (1.0, 0.2)
_LEAST = 1e-6  # eigenvalue of a correlation
_NUMBERS = 2**22  # worked on at a time, which bounds the memory
_FEWEST = 8  # rows that tell anything of a correlation


@dataclass(frozen=True, eq=False)
class Dependence:
    """Correlation of normal scores over the steps and targets of a path.

    Attributes:
        correlation: Positive definite, (H D, H D), with the identity for the targets of one step.
        target_dim: Target dimensions, D.
    """

    correlation: Tensor
    target_dim: int

    @classmethod
    def of(cls, scores: Tensor, is_later: Tensor) -> Dependence:
        """Return the dependence that held-out scores show, shrunk as far as halves of them say.

        Shrunk towards the correlation that only the distance of two steps determines, and towards none: how far is what
        makes later scores most likely after earlier ones, and earlier ones after later ones.

        Args:
            scores: Normal scores of held-out rows, (N, H, D), NaN where missing.
            is_later: Which rows are those of the later half, (N,).
        """
        _, horizon, target_dim = scores.shape
        size = horizon * target_dim
        if not len(scores) or size == 1:
            return cls(torch.eye(size, dtype=scores.dtype), target_dim)
        z = scores.clamp(-_FURTHEST, _FURTHEST)
        z = (z / z.square().nanmean(0).sqrt().nan_to_num(nan=1.0).clamp_min(_LEAST)).flatten(1)
        if min(int(is_later.sum()), int((~is_later).sum())) < _FEWEST:  # no halves to compare: distances alone
            return cls(_apart_within(_shrunk(_correlation(z), horizon, *_CAUTIOUS), horizon), target_dim)
        best = max(
            product(_TOWARDS_LAGS, _TOWARDS_NONE),
            key=lambda shrinkage: sum(
                _log_likelihood(_shrunk(_correlation(z[half]), horizon, *shrinkage), _telling(z[~half]))
                for half in (is_later, ~is_later)
            ),
        )
        return cls(_apart_within(_shrunk(_correlation(z), horizon, *best), horizon), target_dim)

    def draw(self, n_paths: int, n_rows: int, horizon: int, generator: torch.Generator) -> Tensor:
        """Return normal scores of paths, (S, N, h, D), for the first steps of the horizon."""
        size = horizon * self.target_dim
        lower = torch.linalg.cholesky(self.correlation[:size, :size])
        noise = torch.randn(n_paths, n_rows, size, generator=generator, dtype=lower.dtype)
        scores: Tensor = (noise @ lower.mT).unflatten(-1, (horizon, self.target_dim))
        return scores


@torch.no_grad()
def normal_scores(mixture: Mixture, y: Tensor) -> Tensor:
    """Return the normal scores of targets, (N, H, D), NaN where one is missing, or one before it in the same step."""
    known = y.isnan().cumsum(-1) == 0
    filled = torch.where(known, y, mixture.mean)
    columns = []
    for d in range(y.shape[-1]):
        own = _given_those_before(mixture, filled, d)
        at = filled[..., d : d + 1]
        low, high = own.cdf(at), own.sf(at)
        z = torch.where(low < high, torch.special.ndtri(low), -torch.special.ndtri(high))
        columns.append(z.clamp(-2 * _FURTHEST, 2 * _FURTHEST))
    return torch.cat(columns, -1).where(known, torch.nan)


@torch.no_grad()
def paths_at(mixture: Mixture, scores: Tensor) -> Tensor:
    """Return the paths, (S, N, H, D), that have such normal scores, (S, N, H, D), under a prediction (N, H)."""
    n_paths, n_rows, horizon, target_dim = scores.shape
    size = max(_NUMBERS // (n_paths * horizon * mixture.n_components * target_dim**2), 1)
    firsts = range(0, max(n_rows, 1), size)
    return torch.cat([_paths_at(mixture[first : first + size], scores[:, first : first + size]) for first in firsts], 1)


def _paths_at(mixture: Mixture, scores: Tensor) -> Tensor:
    if scores.shape[-1] > 1:
        mixture = mixture.expand(scores.shape[:-1])
    y = torch.zeros_like(scores)
    for d in range(scores.shape[-1]):
        own = _given_those_before(mixture, y, d)
        z = scores[..., d : d + 1]
        low = own.icdf(torch.special.ndtr(z.clamp_max(0.0)))
        high = own.isf(torch.special.ndtr(-z.clamp_min(0.0)))
        y[..., d : d + 1] = torch.where(z < 0, low, high)
    return y


def _given_those_before(mixture: Mixture, y: Tensor, d: int) -> Mixture:
    """Return the distribution of a target given those before it."""
    own = mixture.marginal(list(range(d + 1)))
    return own if d == 0 else own.conditional(list(range(d)), y[..., :d])


def _correlation(z: Tensor) -> Tensor:
    """Return the correlation of columns (N, C) about 0, of the rows where both are known."""
    known = (~z.isnan()).to(z.dtype)
    filled = z.nan_to_num(nan=0.0)
    products = filled.mT @ filled
    squares = filled.square().mT @ known  # of the first, where the second is known
    scale = (squares * squares.mT).sqrt()
    return torch.where(scale > 0, products / scale.clamp_min(_LEAST), torch.eye(len(scale), dtype=z.dtype))


def _shrunk(correlation: Tensor, horizon: int, towards_lags: float, towards_none: float) -> Tensor:
    """Return a correlation, (H D, H D), nearer to one of distances alone and to none, and positive definite."""
    lags = _by_lag(correlation, horizon)
    mixed = (1 - towards_lags) * correlation + towards_lags * lags
    eye = torch.eye(len(correlation), dtype=correlation.dtype)
    mixed = (1 - towards_none) * mixed + towards_none * eye
    values, vectors = torch.linalg.eigh(0.5 * (mixed + mixed.mT))
    positive = vectors * values.clamp_min(_LEAST) @ vectors.mT
    size = positive.diagonal().sqrt()
    shrunk: Tensor = positive / size.unsqueeze(-1) / size
    return shrunk


def _by_lag(correlation: Tensor, horizon: int) -> Tensor:
    """Return the correlation with those of all pairs of steps that are equally far apart replaced by their mean."""
    blocks = correlation.unflatten(0, (horizon, -1)).unflatten(-1, (horizon, -1))  # (H, D, H, D)
    steps = torch.arange(horizon)
    lag = (steps[:, None] - steps) + horizon - 1  # (H, H), from 0
    flat = blocks.permute(0, 2, 1, 3).flatten(0, 1)  # (H H, D, D)
    total = torch.zeros(2 * horizon - 1, *flat.shape[1:], dtype=flat.dtype).index_add(0, lag.flatten(), flat)
    mean = total / lag.flatten().bincount()[:, None, None]
    return mean[lag].permute(0, 2, 1, 3).reshape(correlation.shape)


def _log_likelihood(correlation: Tensor, z: Tensor) -> float:
    lower = torch.linalg.cholesky(correlation)
    white = torch.linalg.solve_triangular(lower, z.mT, upper=False)
    return float(-0.5 * white.square().mean(1).sum() - lower.diagonal().log().sum())


def _telling(z: Tensor) -> Tensor:
    """Return the rows all of which is known if there are enough, or all rows with 0 for what is missing."""
    complete = z[~z.isnan().any(-1)]
    return complete if len(complete) >= _FEWEST else z.nan_to_num(nan=0.0)


def _apart_within(correlation: Tensor, horizon: int) -> Tensor:
    """Return the correlation after a change of scores that leaves those of one step uncorrelated."""
    target_dim = len(correlation) // horizon
    if target_dim == 1:
        return correlation
    blocks = correlation.unflatten(0, (horizon, -1)).unflatten(-1, (horizon, -1))
    own = torch.stack([blocks[h, :, h] for h in range(horizon)])
    change = torch.block_diag(*torch.linalg.inv(torch.linalg.cholesky(own)))
    apart: Tensor = change @ correlation @ change.mT
    return apart
