"""One step of the optimiser for all members of a network at once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions.constraints import Scaling
from manymodes.nn import MixtureDensityNetwork
from manymodes.nn.backbones import Dropout
from manymodes.objectives import Objective
from manymodes.training.execution import Execution
from manymodes.training.gradients import Backward
from manymodes.training.rows.data import Rows
from manymodes.training.schedule import Pace, WarmUpAndDecay, dropout_level
from manymodes.training.world import ALONE, World

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
        input_noise: Standard deviation of normal noise on the inputs of every batch, in scaled units.
        target_noise: The same on targets.
        execution: Precision of the network's matrix products, and whether to compile.
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
        self._n_members = network.n_members or 1
        self._input_noise = _checks.number_between("input_noise", input_noise, 0.0, math.inf, including=(0.0,))
        self._target_noise = _checks.number_between("target_noise", target_noise, 0.0, math.inf, including=(0.0,))
        if self._target_noise:
            _refuse_noise_on_targets(network)
        self._clip_norm = _checks.positive("clip_norm", clip_norm)
        weight_decay = _checks.number_between("weight_decay", weight_decay, 0.0, math.inf, including=(0.0,))
        self._parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        n_axes = 1 if network.n_members is None else 2  # of a vector
        matrices = [parameter for parameter in self._parameters if parameter.dim() > n_axes]
        vectors = [parameter for parameter in self._parameters if parameter.dim() <= n_axes]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW([group for group in groups if group["params"]], fused=True)
        for parameter in self._parameters:  # from the first step on there is something to go back to
            self._optimizer.state[parameter] = _nothing_seen(parameter)
        fading = [module for module in network.modules() if isinstance(module, Dropout)]
        self._dropouts = fading if fade_dropout else []
        # Running statistics, say of batch normalisation, which a batch changes on its way forward.
        self._statistics = [buffer for buffer in network.backbone.buffers() if buffer.is_floating_point()]
        self._backward = Backward(network, objective, self._parameters, execution)
        # What is on a CPU can be looked at any time; elsewhere a look would wait for the device.
        self._looks = network.device.type == "cpu"

    def step(self, batch: Rows) -> Tensor:
        """Change the weights by one batch in scaled units, (M, n) rows, or (n,) without members.

        Returns:
            Losses of the members, (M,), NaN where the batch was skipped.
        """
        progress = self._pace.advance()
        lr = self._schedule(progress)
        for dropout in self._dropouts:
            dropout.fade(dropout_level(progress))
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._world.reseed(self._seed, self._pace.step, self._network.device)
        before = [statistic.clone() for statistic in self._statistics]
        losses, gradients = self._backward(self._noisy(batch))
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        self._world.average([*(gradient for _, gradient in self._learning()), losses], batch.y.shape[-2])
        bad = ~torch.isfinite(losses + self._clip())
        if self._looks and not bool(bad.any()):
            self._optimizer.step()
            return losses
        for statistic, value in zip(self._statistics, before, strict=True):
            statistic.copy_(torch.where(bad.any(), value, statistic))
        self._step_without(bad)
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
        state = self._optimizer.state_dict()["state"]
        return {f"{number}.{name}": value for number, kept in state.items() for name, value in kept.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Remember what ``state`` returned."""
        kept: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for key, value in state.items():
            number, name = key.split(".")
            kept[int(number)][name] = value
        self._optimizer.load_state_dict(self._optimizer.state_dict() | {"state": dict(kept)})

    def _noisy(self, batch: Rows) -> Rows:
        """Return the batch with fresh noise on its inputs and targets."""
        x, y = batch.x, batch.y
        if self._input_noise and x.is_floating_point():
            x = x + self._input_noise * torch.randn_like(x)
        if self._target_noise:
            if not isinstance(y, Tensor):
                raise _checks.InputError("target_noise must be 0 for Incomplete targets, which say how exact they are.")
            y = y + self._target_noise * torch.randn_like(y)
        return Rows(x, y, batch.weight, batch.place)

    def _learning(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Return the parameters that have a gradient, and it."""
        return [(parameter, parameter.grad) for parameter in self._parameters if parameter.grad is not None]

    def _clip(self) -> Tensor:
        """Shorten the gradient of each member to the largest norm; return their norms, (M,)."""
        flat = [gradient.reshape(self._n_members, -1) for _, gradient in self._learning()]
        norms: Tensor = torch.stack([torch.linalg.vector_norm(part, dim=-1) for part in flat]).norm(dim=0)
        if not self._looks or bool((norms > self._clip_norm).any()):
            factor = (self._clip_norm / norms.clamp_min(_LEAST_NORM)).clamp_max(1.0)
            for _, gradient in self._learning():
                gradient.mul_(_beside(factor, gradient))
        return norms

    def _step_without(self, bad: Tensor) -> None:
        """Step, but leave members, (M,), whose gradients are not finite as they are."""
        for _, gradient in self._learning():
            gradient.masked_fill_(_beside(bad, gradient), 0.0)
        before = [(value, value.clone()) for value in self._changing()]
        self._optimizer.step()
        for value, old in before:
            undone = _beside(bad, value) if value.dim() else bad.all()  # a count of steps is of all members
            value.copy_(torch.where(undone, old, value))

    def _changing(self) -> Iterator[Tensor]:
        """Yield what a step changes: parameters, and what the optimiser remembers of them."""
        for parameter, _ in self._learning():
            state: dict[str, Tensor] = self._optimizer.state[parameter]
            yield from (parameter.detach(), *state.values())


def _nothing_seen(parameter: Tensor) -> dict[str, Tensor]:
    """Return what AdamW remembers of a parameter before its first step."""
    step = torch.zeros((), dtype=torch.float32, device=parameter.device)
    return {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}


def _beside(of_members: Tensor, value: Tensor) -> Tensor:
    """Return numbers of members, (M,), as they broadcast with a tensor, (M, ...)."""
    return of_members.reshape([-1, *(1 for _ in value.shape[1:])][: value.dim()])


def _refuse_noise_on_targets(network: MixtureDensityNetwork) -> None:
    scalings = network.head.family.scalings(network.head.target_dim)
    support = network.head.support()
    if any(scaling is not Scaling.AFFINE for scaling in scalings) or bool((support.low == support.high).any()):
        raise _checks.InputError("target_noise must be 0 for families of counts, angles or bounded targets, and atoms.")
