"""A mixture on the line: what searches along one target dimension evaluate, rows flattened.

Components come first here and rows last, (K, N): sums over components then run along contiguous rows, which is several
times faster than sums over a short last axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from manymodes.distributions.component import Component
from manymodes.distributions.limits import filled


@dataclass(frozen=True, eq=False)
class Line:
    """Mixtures of one target dimension, one a row.

    Attributes:
        logits: Log-weights, (K, N).
        groups: Runs of components of one class, ``batch_shape`` (K_g, N, 1), ``event_shape`` (1,).
    """

    logits: Tensor
    groups: tuple[Component, ...]

    @staticmethod
    def of(logits: Tensor, components: Component) -> Line:
        """Return the line of a mixture of any batch shape, its rows flattened."""
        dtype = torch.promote_types(logits.dtype, components.ends()[0].dtype)

        def turned(value: Tensor) -> Tensor:
            return value.to(dtype).reshape(-1, *value.shape[-2:]).movedim(1, 0).unsqueeze(-2).contiguous()

        flat = logits.to(dtype).reshape(-1, logits.shape[-1]).T.contiguous()
        return Line(flat, tuple(group.transformed(turned) for group in components.expand(logits.shape).groups))

    def __len__(self) -> int:
        return self.logits.shape[-1]

    def take(self, rows: Tensor | slice) -> Line:
        """Return some rows."""
        groups = tuple(group.transformed(lambda value: value[:, rows]) for group in self.groups)
        return Line(self.logits[:, rows], groups)

    def some(self, rows: Tensor) -> Line:
        """Return rows, ascending and each once; all of them cost nothing."""
        return self if len(rows) == len(self) else self.take(rows)

    @property
    def third_order(self) -> bool:
        """Whether all components know the zeros of their third derivatives, and the slopes of their scores."""
        return all(group.turning_order == 3 for group in self.groups)

    # --- components, (..., K, N) ---

    def parts(self, y: Tensor) -> Tensor:
        """Return log(w_k p_k(y)) at points (..., N)."""
        return self.logits + self._each(lambda group, at: group.marginal_log_prob(at), y)

    def scores(self, y: Tensor) -> Tensor:
        """Return the components' scores at points (..., N)."""
        return self._each(lambda group, at: group.score(at), y)

    def score_slopes(self, y: Tensor) -> Tensor:
        """Return the derivatives of the components' scores at points (..., N)."""
        return self._each(lambda group, at: group.score_slope(at), y).expand(*y.shape[:-1], *self.logits.shape)

    def turning_points(self) -> Tensor:
        """Return the turning points of components with weight, (P, N), ascending, each once, NaN last."""
        points = []
        for group, logits in zip(self.groups, self._split(self.logits), strict=True):
            own = group.turning_points().flatten(2)  # (K_g, N, B)
            there = (logits > -torch.inf).unsqueeze(-1) & own.isfinite()
            points.append(torch.where(there, own, torch.nan).movedim(-1, 1).flatten(0, 1))
        ordered = torch.cat(points).sort(0).values
        again = torch.nn.functional.pad(ordered[1:] == ordered[:-1], (0, 0, 1, 0))
        return ordered.masked_fill(again, torch.nan).sort(0).values if bool(again.any()) else ordered

    def quantiles(self, tail: Tensor, *, upper: bool) -> Tensor:
        """Return the components' quantiles for a probability in one tail, (N,): (K, N); NaN without weight."""
        found = self._each(lambda group, at: group.isf(at) if upper else group.icdf(at), tail)
        return torch.where(self.logits > -torch.inf, found, torch.nan)

    def moments(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the means and variances of every group, (K_g, N, 1, 1) each."""
        return [group.mean for group in self.groups], [group.variance for group in self.groups]

    # --- the mixture, (..., N) ---

    def log_prob(self, y: Tensor) -> Tensor:
        """Return log-densities at points (..., N)."""
        return torch.logsumexp(self.parts(y), -2)

    def log_prob_and_score(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-densities and their derivatives at points (..., N)."""
        log_prob, share = self._shares(y)
        return log_prob, (share * self.scores(y)).sum(-2)

    def score_and_slope(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the derivative of log-densities at points (..., N), and its own where components give it."""
        _, share = self._shares(y)
        scores = self.scores(y)
        score = (share * scores).sum(-2)
        if not self.third_order:
            return score, None
        return score, (share * (self.score_slopes(y) + (scores - score.unsqueeze(-2)).square())).sum(-2)

    def cdf(self, y: Tensor) -> Tensor:
        """Return P(Y <= y) at points (..., N)."""
        return (self.logits.exp() * self._each(lambda group, at: group.cdf(at), y)).sum(-2)

    def sf(self, y: Tensor) -> Tensor:
        """Return P(Y > y) at points (..., N)."""
        return (self.logits.exp() * self._each(lambda group, at: group.sf(at), y)).sum(-2)

    def mass(self, low: Tensor, high: Tensor) -> Tensor:
        """Return P(low < Y <= high), from the tail that loses fewer digits."""
        upper = self.sf(low) - self.sf(high)
        below = self.cdf(low)
        return torch.where(below > 0.5, upper, self.cdf(high) - below).clamp(0.0, 1.0)

    def masses(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the probability of intervals, (N, J), 0 where they are NaN."""
        mass = self.mass(filled(low.T, 0.0), filled(high.T, 0.0)).T
        return torch.where(low.isnan(), 0.0, mass)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return the ends of the support of components with weight, (N,) each."""
        lows, highs = zip(*(group.ends() for group in self.groups), strict=True)
        low, high = (torch.cat([end.flatten(1) for end in ends]) for ends in (lows, highs))
        there = self.logits > -torch.inf
        return torch.where(there, low, torch.inf).amin(0), torch.where(there, high, -torch.inf).amax(0)

    # --- private ---

    def _each(self, f: Callable[[Component, Tensor], Tensor], y: Tensor) -> Tensor:
        at = y[..., None, :, None, None]  # (..., 1, N, 1, 1)
        values = [f(group, at).flatten(-3) for group in self.groups]
        return values[0] if len(values) == 1 else torch.cat(values, -2)

    def _split(self, values: Tensor) -> tuple[Tensor, ...]:
        parts: tuple[Tensor, ...] = values.split([int(group.batch_shape[0]) for group in self.groups])
        return parts

    def _shares(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-densities (..., N) and responsibilities (..., K, N), 0 where there is no density."""
        parts = self.parts(y)
        top = parts.amax(-2, keepdim=True).clamp_min(torch.finfo(parts.dtype).min)
        share = (parts - top).exp()
        total = share.sum(-2, keepdim=True)
        log_prob = (top + total.log()).squeeze(-2)
        return log_prob, share / total.clamp_min(torch.finfo(parts.dtype).tiny)
