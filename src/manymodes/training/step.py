"""One step of a fit for all members of a network at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.constraints import Scaling
from manymodes.nn import MixtureDensityNetwork, TableScaling
from manymodes.nn.backbones import Dropout
from manymodes.nn.inputs import mapped
from manymodes.objectives import Objective
from manymodes.training.execution import Execution
from manymodes.training.gradients import Backward
from manymodes.training.optimizer import MemberAdamW
from manymodes.training.rows.data import Rows
from manymodes.training.schedule import Pace, WarmUpAndDecay, dropout_level
from manymodes.training.world import ALONE, World


class Stepper:
    """Takes steps: noise, losses and gradients, their mean over processes, and what the optimiser makes of them.

    Args:
        network: The network to train.
        objective: What to minimise, in scaled units.
        schedule: Learning rate at each share of the fit.
        pace: Tells which share of the fit is over.
        weight_decay: Decay of weight matrices; biases and other vectors do not decay.
        clip_norm: Largest norm of a member's gradient.
        execution: Precision of the network's matrix products, and whether to compile.
        input_noise: Standard deviation of normal noise on the inputs of every batch, in scaled units.
        target_noise: The same on targets.
        fade_dropout: Whether dropout fades early in the fit.
        world: Processes that take a share of every batch each.
        seed: Of what is random in the steps of several processes.
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
        execution: Execution,
        input_noise: float = 0.0,
        target_noise: float = 0.0,
        fade_dropout: bool = True,
        world: World = ALONE,
        seed: int = 0,
    ) -> None:
        self._world, self._seed = world, seed
        self._network = network
        self._schedule, self._pace = schedule, pace
        self._input_noise = _checks.number_between("input_noise", input_noise, 0.0, math.inf, including=(0.0,))
        self._target_noise = _checks.number_between("target_noise", target_noise, 0.0, math.inf, including=(0.0,))
        if self._target_noise:
            _refuse_noise_on_targets(network)
        self._optimizer = MemberAdamW(network, weight_decay=weight_decay, clip_norm=clip_norm)
        self._backward = Backward(network, objective, self._optimizer.parameters, execution)
        fading = [module for module in network.modules() if isinstance(module, Dropout)]
        self._dropouts = fading if fade_dropout else []
        # Running statistics, say of batch normalisation, which a batch changes on its way forward.
        self._statistics = [buffer for buffer in network.backbone.buffers() if buffer.is_floating_point()]

    def step(self, batch: Rows) -> Tensor:
        """Change the weights by one batch in scaled units, (M, n) rows, or (n,) without members.

        Returns:
            Losses of the members, (M,), NaN where the batch was skipped.
        """
        progress = self._pace.advance()
        lr = self._schedule(progress)
        for dropout in self._dropouts:
            dropout.fade(dropout_level(progress))
        self._world.reseed(self._seed, self._pace.step, self._network.device)
        before = [statistic.clone() for statistic in self._statistics]
        losses, gradients = self._backward(self._noisy(batch))
        known = [gradient for gradient in gradients if gradient is not None]
        self._world.average([*known, losses], batch.y.shape[0 if self._network.n_members is None else 1])
        bad = self._optimizer.step(gradients, losses, lr)
        if bad is None:
            return losses
        for statistic, value in zip(self._statistics, before, strict=True):
            statistic.copy_(torch.where(bad.any(), value, statistic))
        return losses.masked_fill(bad, torch.nan)

    @property
    def agrees(self) -> bool:
        """Whether all processes have one state within an epoch, too: running statistics are averaged at its end."""
        return self._world.is_alone or not self._statistics

    def end_epoch(self) -> None:
        """Let all processes have the same running statistics."""
        if self._statistics:
            self._world.average(self._statistics, 1)

    def close(self) -> None:
        """Leave the network to others: whoever trains on, or samples with dropout, finds all of it."""
        for dropout in self._dropouts:
            dropout.fade(1.0)

    def state(self) -> dict[str, Tensor]:
        """Return what the optimiser remembers, as tensors."""
        return self._optimizer.state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Remember what ``state`` returned."""
        self._optimizer.load_state(state)

    def _noisy(self, batch: Rows) -> Rows:
        """Return the batch with fresh noise on its inputs and targets."""
        x, y = batch.x, batch.y
        if self._input_noise:
            x = mapped(x, self._with_noise)
        if self._target_noise:
            if not isinstance(y, Tensor):
                raise _checks.InputError("target_noise must be 0 for Incomplete targets, which say how exact they are.")
            y = y + self._target_noise * torch.randn_like(y)
        return Rows(x, y, batch.weight, batch.place)

    def _with_noise(self, x: Tensor) -> Tensor:
        if not x.is_floating_point():
            return x
        noise = self._input_noise * torch.randn_like(x)
        scaling = self._network.input_scaling
        if isinstance(scaling, TableScaling) and scaling.gaps:
            noise[..., -len(scaling.gaps) :] = 0.0  # they say what is missing
        return x + noise


def _refuse_noise_on_targets(network: MixtureDensityNetwork) -> None:
    scalings = network.head.family.scalings(network.head.target_dim)
    support = network.head.support()
    if any(scaling is not Scaling.AFFINE for scaling in scalings) or bool((support.low == support.high).any()):
        raise _checks.InputError("target_noise must be 0 for families of counts, angles or bounded targets, and atoms.")
