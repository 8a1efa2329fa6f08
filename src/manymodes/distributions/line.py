"""A mixture on the line: what searches along one target dimension evaluate, rows flattened."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from manymodes.distributions.component import Component


@dataclass(frozen=True, eq=False)
class Line:
    """Mixtures of one target dimension, one a row.

    Attributes:
        logits: Log-weights, (N, K).
        components: Components, ``batch_shape`` (N, K), ``event_shape`` (1,).
    """

    logits: Tensor
    components: Component

    @staticmethod
    def of(logits: Tensor, components: Component) -> Line:
        """Return the line of a mixture of any batch shape, its rows flattened."""
        flat = logits.reshape(-1, logits.shape[-1])
        expanded = components.expand(logits.shape)
        return Line(flat, expanded.transformed(lambda value: value.reshape(-1, *value.shape[-2:])))

    def __len__(self) -> int:
        return len(self.logits)

    def take(self, rows: Tensor | slice) -> Line:
        """Return some rows."""
        return Line(self.logits[rows], self.components.transformed(lambda value: value[rows]))

    def parts(self, y: Tensor) -> Tensor:
        """Return log(w_k p_k(y)) for points (..., N): (..., N, K)."""
        return self.logits + self.components.marginal_log_prob(y[..., None, None]).squeeze(-1)

    def scores(self, y: Tensor) -> Tensor:
        """Return the components' scores at points (..., N): (..., N, K)."""
        return self.components.score(y[..., None, None]).squeeze(-1)

    def score_slopes(self, y: Tensor) -> Tensor:
        """Return the derivatives of the components' scores at points (..., N): (..., N, K)."""
        return self.components.score_slope(y[..., None, None]).squeeze(-1).expand(*y.shape, self.logits.shape[-1])

    def log_prob(self, y: Tensor) -> Tensor:
        """Return log-densities at points (..., N)."""
        return torch.logsumexp(self.parts(y), -1)

    def log_prob_and_score(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-densities and their derivatives at points (..., N)."""
        parts = self.parts(y)
        log_prob = torch.logsumexp(parts, -1)
        share = (parts - log_prob.unsqueeze(-1)).exp().nan_to_num(0.0)
        return log_prob, (share * self.scores(y)).sum(-1)

    def score_and_slope(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the derivative of log-densities at points (..., N), and its own where the family gives it."""
        share, scores = torch.softmax(self.parts(y), -1).nan_to_num(0.0), self.scores(y)
        score = (share * scores).sum(-1)
        if self.components.turning_order < 3:
            return score, None
        return score, (share * (self.score_slopes(y) + (scores - score.unsqueeze(-1)).square())).sum(-1)

    def cdf(self, y: Tensor) -> Tensor:
        """Return P(Y <= y) at points (..., N)."""
        return (self.logits.exp() * self.components.cdf(y[..., None, None]).squeeze(-1)).sum(-1)

    def sf(self, y: Tensor) -> Tensor:
        """Return P(Y > y) at points (..., N)."""
        return (self.logits.exp() * self.components.sf(y[..., None, None]).squeeze(-1)).sum(-1)

    def mass(self, low: Tensor, high: Tensor) -> Tensor:
        """Return P(low < Y <= high), from the tail that loses fewer digits."""
        upper = self.sf(low) - self.sf(high)
        lower = self.cdf(high) - self.cdf(low)
        return torch.where(self.cdf(low) > 0.5, upper, lower).clamp(0.0, 1.0)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return the ends of the support of components with weight, (N,) each."""
        low, high = (end.squeeze(-1) for end in self.components.ends())
        there = self.logits > -torch.inf
        return torch.where(there, low, torch.inf).amin(-1), torch.where(there, high, -torch.inf).amax(-1)
