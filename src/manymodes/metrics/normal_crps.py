r"""The CRPS of mixtures of normals in one dimension, with its gradient, in memory that does not grow with K^2.

With :math:`a = y - m`, the standard normal density :math:`\varphi` and cdf :math:`\Phi`,

.. math:: \mathbb{E}|a + s Z| = |a| + B(a, s), \qquad
    \frac{\partial}{\partial a} \mathbb{E}|a + s Z| = 2 \Phi(a / s) - 1, \qquad
    \frac{\partial}{\partial s} \mathbb{E}|a + s Z| = 2 \varphi(a / s).

These slopes cost little beside the value, so they are worked out with it: that is faster than to record every step, and
nothing of the size of all pairs of components is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from manymodes.distributions.special import normal_cdf

_PAIRS = {"cpu": 2**15}  # worked on at a time: so few that they stay in the cache of a core
_MOST_PAIRS = 2**22  # on other devices
_FAR = 40.0  # scales: nothing is left beyond, and infinity times zero is not a number


def normal_crps(weights: Tensor, loc: Tensor, scale: Tensor, y: Tensor) -> Tensor:
    r"""Return the CRPS of R mixtures in one dimension, (R,).

    The double sum is arranged so that no two large numbers are subtracted:

    .. math:: \mathrm{CRPS} = \sum_k w_k B(a_k, s_k) + \tfrac12 \sum_{jk} w_j w_k
        \left[ 2 \min(|a_j|, |a_k|)\, 1\{a_j a_k > 0\} - B(m_j - m_k, \sqrt{s_j^2 + s_k^2}) \right].

    Args:
        weights: Weights, (K, R); they sum to one.
        loc: Means, (K, R).
        scale: Standard deviations, (K, R).
        y: Targets, (R,).

    References:
        Grimit, Gneiting, Berrocal and Johnson (2006), The continuous ranked probability score for
        circular variables and its application to mesoscale forecast ensemble verification, eq. 5.
    """
    arguments = (weights, loc, scale, y)
    if torch.is_grad_enabled() and any(argument.requires_grad for argument in arguments):
        score: Tensor = _WithSlopes.apply(*arguments)  # type: ignore[no-untyped-call]
        return score
    return torch.cat([_score(*part, slopes=False)[0] for part in _chunks(*arguments)])


class _WithSlopes(torch.autograd.Function):
    """The score, whose slopes are worked out on the way forward."""

    @staticmethod
    def forward(ctx: Any, *arguments: Tensor) -> Tensor:
        score, *slopes = _score_and_slopes(*arguments)
        ctx.save_for_backward(*arguments, *slopes)
        return score

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        arguments, slopes = ctx.saved_tensors[:4], ctx.saved_tensors[4:]
        if torch.is_grad_enabled():  # a second derivative may be asked for: slopes as functions, not as numbers
            _, *slopes = _score_and_slopes(*arguments)
        return tuple(grad * slope for slope in slopes)


def _score_and_slopes(*arguments: Tensor) -> list[Tensor]:
    parts = [_score(*part, slopes=True) for part in _chunks(*arguments)]
    return [torch.cat(pieces, -1) for pieces in zip(*parts, strict=True)]


def _chunks(weights: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield runs of rows, at least one at a time."""
    n_pairs = len(weights) * (len(weights) - 1) // 2
    if torch.compiler.is_compiling():  # fused code keeps no pairs at all
        return iter([(weights, *others)])
    n_rows = max(_PAIRS.get(weights.device.type, _MOST_PAIRS) // max(n_pairs, 1), 1)
    return zip(*(value.split(n_rows, -1) for value in (weights, *others)), strict=True)


def _score(weights: Tensor, loc: Tensor, scale: Tensor, y: Tensor, *, slopes: bool) -> tuple[Tensor, ...]:
    """Return the score and, if they are asked for, its slopes in weights, loc, scale and y."""
    first, second = torch.triu_indices(len(loc), len(loc), 1, device=loc.device)
    offset = y - loc
    target = _Folded(offset, scale)
    reach = torch.hypot(scale[first], scale[second])
    pair = _Folded(loc[first] - loc[second], reach)  # (pairs, R)
    between = _twice_shared(offset[first], offset[second]) - pair.excess
    alone = offset.abs() - scale / math.sqrt(math.pi)
    both = weights[first] * weights[second]
    score = (weights * (target.excess + weights * alone)).sum(0) + (both * between).sum(0)
    if not slopes:
        return (score,)
    in_y = weights * target.slope_in_offset
    in_gap, in_reach = both * pair.slope_in_offset, both * pair.slope_in_scale / reach
    in_weights = [target.excess + 2 * weights * alone, weights[second] * between, weights[first] * between]
    in_loc = [-in_y, -in_gap, in_gap]
    in_scale = [
        weights * (target.slope_in_scale - weights / math.sqrt(math.pi)),
        -in_reach * scale[first],
        -in_reach * scale[second],
    ]
    by_component = (
        own.index_add(0, first, as_first).index_add(0, second, as_second)
        for own, as_first, as_second in (in_weights, in_loc, in_scale)
    )
    return score, *by_component, in_y.sum(0)


class _Folded:
    """E|a + s Z|: its slopes, and its excess over |a|, B(a, s) = 2 s (phi(z) - z Phi(-z)) with z = |a| / s."""

    def __init__(self, offset: Tensor, scale: Tensor) -> None:
        z = (offset.abs() / scale).clamp_max(_FAR)
        self._sign, self._tail = offset.sign(), normal_cdf(-z)
        self._density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
        self.excess = 2 * scale * (self._density - z * self._tail).clamp_min(0)

    @property
    def slope_in_offset(self) -> Tensor:
        return self._sign * (1 - 2 * self._tail)

    @property
    def slope_in_scale(self) -> Tensor:
        return 2 * self._density


def _twice_shared(first: Tensor, second: Tensor) -> Tensor:
    """Return 2 min(|a|, |b|) where both lie on one side of 0, else 0."""
    return 2 * (torch.minimum(first, second).clamp_min(0) - torch.maximum(first, second).clamp_max(0))
