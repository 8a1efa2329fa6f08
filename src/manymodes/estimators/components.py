"""The number of components by evidence: more than enough are fitted, and those that validation rows do not miss go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.nn import MixtureDensityNetwork
from manymodes.training.rows.data import Rows


@dataclass(frozen=True)
class ComponentSearch:
    """How many components the rows that were held out ask for.

    Attributes:
        losses: Mean negative log-likelihood of rows held out with 1, 2, ... components, in scaled units.
        errors: Standard error of the difference between each and the best, over rows.
        chosen: Smallest number whose loss is within one standard error of the best.
    """

    losses: tuple[float, ...]
    errors: tuple[float, ...]
    chosen: int

    def reason(self) -> str:
        """Return a sentence that says why this number was chosen."""
        best = 1 + min(range(len(self.losses)), key=self.losses.__getitem__)
        gap = self.losses[self.chosen - 1] - self.losses[best - 1]
        told = (
            f"{self.chosen} of {len(self.losses)} components were kept: on rows held out in the search they lose "
            f"{gap:.3f} nats to the best number, {best}, within one standard error "
            f"({self.errors[self.chosen - 1]:.3f})"
        )
        if self.chosen == 1:
            return told + "."
        below = self.losses[self.chosen - 2] - self.losses[best - 1]
        return told + f"; {self.chosen - 1} would lose {below:.3f} ({self.errors[self.chosen - 2]:.3f})."


@torch.no_grad()
def search_components(network: MixtureDensityNetwork, rows: Rows, held_out: Tensor, members: slice) -> ComponentSearch:
    """Remove components of a fitted network one by one, for each member those that its held-out rows miss least.

    A component goes in one of two ways, whichever costs less: pruned, so that the others share its weight in
    proportion, or merged with another into the normal of the same mean and variance.

    Args:
        network: A network with members and more components than needed, diagonal or spherical normals.
        rows: Its rows, in the user's units.
        held_out: Numbers of those that each member did not learn from, (M, n).
        members: Which members are asked.
    """
    scaled = rows.scaled(network).take(held_out.to(network.device))
    if not isinstance(scaled.y, Tensor):
        raise _checks.InputError("n_components='auto' needs exact targets; got Incomplete.")
    mixture = network.eval().scaled_distribution(scaled.x)[members]
    y = scaled.y[members].double().unsqueeze(-2)
    state = _State(mixture.logits.double(), mixture.components.mean.double(), mixture.components.variance.double())
    weight = torch.ones_like(y[..., 0, 0]) if scaled.weight is None else scaled.weight[members].double()  # (M, n)
    scores = [state.score(y)]
    for _ in range(mixture.n_components - 1):
        state = _without_one(state, y, weight)
        scores.append(state.score(y))
    losses = -torch.stack(scores[::-1]).flatten(1) * weight.flatten()  # (K, rows of all members)
    gap = losses - losses[losses.mean(-1).argmin()]
    errors = gap.std(-1) / math.sqrt(losses.shape[-1])
    chosen = 1 + int((gap.mean(-1) <= errors).nonzero()[0])
    return ComponentSearch(tuple(losses.mean(-1).tolist()), tuple(errors.tolist()), chosen)


class _State(NamedTuple):
    """Normals that are left: log-weights (M, n, K), means and variances (M, n, K, D)."""

    logits: Tensor
    mean: Tensor
    variance: Tensor

    def score(self, y: Tensor) -> Tensor:
        """Return the log-density of each row, (M, n), for targets (M, n, 1, D); log-weights need not sum to one."""
        z = (y - self.mean).square() / self.variance
        parts = self.logits - 0.5 * (z + (2 * math.pi * self.variance).log()).sum(-1)
        return torch.logsumexp(parts, -1) - torch.logsumexp(self.logits, -1)

    def pruned(self, k: int) -> _State:
        """Return the state without one component."""
        rest = [j for j in range(self.logits.shape[-1]) if j != k]
        return _State(self.logits[..., rest], self.mean[..., rest, :], self.variance[..., rest, :])

    def merged(self, j: int, k: int) -> _State:
        """Return the state with component k merged into j, which comes before it."""
        pair = torch.stack([self.logits[..., j], self.logits[..., k]], -1)
        share = torch.softmax(pair, -1)[..., :1]
        mean = share * self.mean[..., j, :] + (1 - share) * self.mean[..., k, :]
        variance = share * self.variance[..., j, :] + (1 - share) * self.variance[..., k, :]
        variance = variance + share * (1 - share) * (self.mean[..., j, :] - self.mean[..., k, :]).square()
        rest = self.pruned(k)
        parts = _State(*(part.clone() for part in rest))
        parts.logits[..., j] = torch.logsumexp(pair, -1)
        parts.mean[..., j, :], parts.variance[..., j, :] = mean, variance
        return parts


def _without_one(state: _State, y: Tensor, weight: Tensor) -> _State:
    """Return the state of every member without the component that its rows miss least."""
    n_components = state.logits.shape[-1]
    options = [state.pruned(k) for k in range(n_components)]
    options += [state.merged(j, k) for k in range(n_components) for j in range(k)]
    chosen = torch.stack([(option.score(y) * weight).mean(-1) for option in options]).argmax(0)  # (M,)
    members = torch.arange(len(chosen), device=chosen.device)
    return _State(*(torch.stack(parts)[chosen, members] for parts in zip(*options, strict=True)))
