"""One step of the optimiser, and one epoch of steps."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from manymodes import _checks
from manymodes.nn import MixtureDensityNetwork
from manymodes.objectives import Objective
from manymodes.training.data import Rows


class Stepper:
    """AdamW with clipped gradients, which no batch with a non-finite loss or gradient ever reaches.

    Args:
        network: The network to train.
        objective: What to minimise, in scaled units.
        lr: Learning rate of each step, a function of the step's number.
        weight_decay: Decay of weight matrices; biases and other vectors do not decay.
        clip_norm: Largest norm of the gradient.
    """

    def __init__(
        self,
        network: MixtureDensityNetwork,
        objective: Objective,
        *,
        lr: Callable[[int], float],
        weight_decay: float,
        clip_norm: float,
    ) -> None:
        self._network, self._objective, self._lr = network, objective, lr
        self._clip_norm = _checks.positive("clip_norm", clip_norm)
        weight_decay = _checks.number_between("weight_decay", weight_decay, 0.0, math.inf, including=(0.0,))
        self._parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        matrices = [parameter for parameter in self._parameters if parameter.dim() > 1]
        vectors = [parameter for parameter in self._parameters if parameter.dim() <= 1]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW([group for group in groups if group["params"]], fused=True)
        # Running statistics, say of batch normalisation, which a batch changes on its way forward.
        self._statistics = [buffer for buffer in network.backbone.buffers() if buffer.is_floating_point()]
        self._n_steps = 0

    def epoch(self, rows: Rows, n_batches: int, generator: torch.Generator) -> list[Tensor]:
        """Go once through rows in scaled units, in random order; return the losses of the finite batches."""
        self._network.train()
        batches = torch.randperm(len(rows), generator=generator).to(rows.y.device).chunk(n_batches)
        losses = [self._step(rows.take(index)) for index in batches]
        return [loss for loss in losses if loss is not None]

    def _step(self, batch: Rows) -> Tensor | None:
        """Change the weights by one batch; return its loss, or None if it was skipped."""
        lr = self._lr(self._n_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._n_steps += 1
        self._optimizer.zero_grad()
        before = [statistic.clone() for statistic in self._statistics]
        loss = self._objective(self._network.scaled_distribution(batch.x), batch.y, batch.weight)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        loss = loss.detach()
        if not bool(torch.isfinite(loss + norm)):
            for statistic, value in zip(self._statistics, before, strict=True):
                statistic.copy_(value)
            return None
        self._optimizer.step()
        return loss
