"""One step of the optimiser, and one epoch of steps, for all members of a network at once."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.nn import MixtureDensityNetwork
from manymodes.objectives import Objective
from manymodes.training.data import Rows
from manymodes.training.schedule import Pace, WarmUpAndDecay

_MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW
_LEAST_NORM = 1e-12  # a gradient of zero stays zero


class Stepper:
    """AdamW with clipped gradients, which no batch with a non-finite loss or gradient ever reaches.

    Every member has a loss, a gradient norm and a fate of its own, as if it were trained alone.

    Args:
        network: The network to train.
        objective: What to minimise, in scaled units.
        schedule: Learning rate at each share of the fit.
        pace: Tells which share of the fit is over.
        weight_decay: Decay of weight matrices; biases and other vectors do not decay.
        clip_norm: Largest norm of a member's gradient.
    """

    def __init__(
        self,
        network: MixtureDensityNetwork,
        objective: Objective,
        *,
        schedule: WarmUpAndDecay,
        pace: Pace,
        weight_decay: float,
        clip_norm: float,
    ) -> None:
        self._network, self._objective = network, objective
        self._schedule, self._pace = schedule, pace
        self._n_members = network.n_members or 1
        self._clip_norm = _checks.positive("clip_norm", clip_norm)
        weight_decay = _checks.number_between("weight_decay", weight_decay, 0.0, math.inf, including=(0.0,))
        self._parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        n_axes = 1 if network.n_members is None else 2  # of a vector
        matrices = [parameter for parameter in self._parameters if parameter.dim() > n_axes]
        vectors = [parameter for parameter in self._parameters if parameter.dim() <= n_axes]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW([group for group in groups if group["params"]], fused=True)
        # Running statistics, say of batch normalisation, which a batch changes on its way forward.
        self._statistics = [buffer for buffer in network.backbone.buffers() if buffer.is_floating_point()]

    def epoch(self, rows: Rows, index: Tensor, n_batches: int, generator: torch.Generator) -> list[Tensor]:
        """Go once through some rows in scaled units, each member in a random order of its own.

        Args:
            rows: Rows that the members share.
            index: Which of them each member learns from, (M, n), or (n,) without members.
            n_batches: Steps to take, fewer if the time is over.
            generator: Source of the order.

        Returns:
            Losses of the members in each batch, (M,), NaN where it was skipped.
        """
        self._network.train()
        order = torch.rand(index.shape, generator=generator).argsort(-1).to(index.device)
        losses = []
        for batch in index.gather(-1, order).tensor_split(n_batches, dim=-1):
            losses.append(self._step(rows.take(batch)))
            if self._pace.is_over:
                break
        return losses

    def _step(self, batch: Rows) -> Tensor:
        """Change the weights by one batch; return the members' losses, (M,), NaN where they were skipped."""
        lr = self._schedule(self._pace.advance())
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.zero_grad()
        before = [statistic.clone() for statistic in self._statistics]
        losses = member_losses(self._network, batch, self._objective)
        losses.sum().backward()
        norms = self._clip()
        losses = losses.detach()
        bad = ~torch.isfinite(losses + norms)
        if not bool(bad.any()):
            self._optimizer.step()
            return losses
        for statistic, value in zip(self._statistics, before, strict=True):
            statistic.copy_(value)
        if not bool(bad.all()):
            self._step_without(bad.nonzero().squeeze(-1))
        return losses.masked_fill(bad, torch.nan)

    def _clip(self) -> Tensor:
        """Shorten the gradient of each member to the largest norm; return their norms, (M,)."""
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        flat = [gradient.reshape(self._n_members, -1) for gradient in gradients]
        norms: Tensor = torch.stack([torch.linalg.vector_norm(part, dim=-1) for part in flat]).norm(dim=0)
        factor = (self._clip_norm / norms.clamp_min(_LEAST_NORM)).clamp_max(1.0).unsqueeze(-1)
        for part, gradient in zip(flat, gradients, strict=True):
            gradient.copy_((part * factor).reshape(gradient.shape))
        return norms

    def _step_without(self, members: Tensor) -> None:
        """Step, and put back what it did to some members, whose gradients are not finite."""
        state: dict[Tensor, dict[str, Any]] = self._optimizer.state
        kept: list[tuple[Tensor, Tensor]] = []
        for parameter in self._parameters:
            if parameter.grad is not None:
                parameter.grad[members] = 0.0
                moments = [state[parameter][name] for name in _MOMENTS] if parameter in state else []
                kept += [(value, value[members].clone()) for value in (parameter.detach(), *moments)]
        self._optimizer.step()
        for value, old in kept:
            value[members] = old


def member_losses(network: MixtureDensityNetwork, rows: Rows, objective: Objective) -> Tensor:
    """Return the objective of each member on rows of its own in scaled units, (M,); without members, (1,).

    An objective that averages over everything, as one number, is asked member by member.
    """
    distribution = network.scaled_distribution(rows.x)
    loss = objective(distribution, rows.y, rows.weight)
    n_members = network.n_members
    if n_members is None or loss.shape == (n_members,):
        return loss.reshape(-1)
    weights = rows.weight if rows.weight is not None else [None] * n_members
    return torch.stack([objective(distribution[m], rows.y[m], weights[m]) for m in range(n_members)])
