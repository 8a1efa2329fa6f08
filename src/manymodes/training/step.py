"""One step of the optimiser for all members of a network at once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.constraints import Scaling
from manymodes.nn import MixtureDensityNetwork
from manymodes.nn.backbones import Dropout
from manymodes.objectives import Objective
from manymodes.training.precision import autocast
from manymodes.training.rows.data import Rows
from manymodes.training.schedule import Pace, WarmUpAndDecay, dropout_level
from manymodes.training.world import ALONE, World

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
        input_noise: Standard deviation of normal noise on the inputs of every batch, in scaled units.
        target_noise: The same on targets.
        precision: Of the network's matrix products, see ``training.precision``.
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
        input_noise: float = 0.0,
        target_noise: float = 0.0,
        precision: str = "full",
        fade_dropout: bool = True,
        world: World = ALONE,
        seed: int = 0,
    ) -> None:
        self._world, self._seed = world, seed
        self._network, self._objective = network, objective
        self._schedule, self._pace = schedule, pace
        self._precision = precision
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
            dropout.level = dropout_level(progress)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._world.reseed(self._seed, self._pace.step, self._network.device)
        self._optimizer.zero_grad()
        before = [statistic.clone() for statistic in self._statistics]
        losses = member_losses(self._network, self._noisy(batch), self._objective, self._precision)
        losses.sum().backward()
        losses = losses.detach()
        self._world.average([*self._gradients(), losses], batch.y.shape[-2])
        norms = self._clip()
        bad = ~torch.isfinite(losses + norms)
        if not bool(bad.any()):
            self._optimizer.step()
            return losses
        for statistic, value in zip(self._statistics, before, strict=True):
            statistic.copy_(value)
        if not bool(bad.all()):
            self._step_without(bad.nonzero().squeeze(-1))
        return losses.masked_fill(bad, torch.nan)

    def end_epoch(self) -> None:
        """Let all processes have the same running statistics."""
        if self._statistics:
            self._world.average(self._statistics, 1)

    def close(self) -> None:
        """Leave the network to others: whoever trains on, or samples with dropout, finds all of it."""
        for dropout in self._dropouts:
            dropout.level = 1.0

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

    def _clip(self) -> Tensor:
        """Shorten the gradient of each member to the largest norm; return their norms, (M,)."""
        flat = [gradient.view(self._n_members, -1) for gradient in self._gradients()]
        norms: Tensor = torch.stack([torch.linalg.vector_norm(part, dim=-1) for part in flat]).norm(dim=0)
        if bool((norms > self._clip_norm).any()):
            factor = (self._clip_norm / norms.clamp_min(_LEAST_NORM)).clamp_max(1.0).unsqueeze(-1)
            for part in flat:
                part.mul_(factor)
        return norms

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self._parameters if parameter.grad is not None]

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


def _refuse_noise_on_targets(network: MixtureDensityNetwork) -> None:
    scalings = network.head.family.scalings(network.head.target_dim)
    support = network.head.support()
    if any(scaling is not Scaling.AFFINE for scaling in scalings) or bool((support.low == support.high).any()):
        raise _checks.InputError("target_noise must be 0 for families of counts, angles or bounded targets, and atoms.")


def member_losses(network: MixtureDensityNetwork, rows: Rows, objective: Objective, precision: str = "full") -> Tensor:
    """Return the objective of each member on rows of its own in scaled units, (M,); without members, (1,).

    An objective that averages over everything, as one number, is asked member by member.
    """
    with autocast(network, precision):
        distribution = network.scaled_distribution(rows.x, rows.place)
    n_members = network.n_members
    if n_members is None:
        return _scalar(objective(distribution, rows.y, rows.weight)).reshape(1)
    loss = objective(distribution, rows.y, rows.weight)
    if isinstance(loss, Tensor) and loss.shape == (n_members,):
        return loss
    weights = rows.weight if rows.weight is not None else [None] * n_members
    return torch.stack([_scalar(objective(distribution[m], rows.y[m], weights[m])) for m in range(n_members)])


def _scalar(loss: Any) -> Tensor:
    """Return what an objective gave for one member, if it is one number with a gradient."""
    if isinstance(loss, Tensor) and loss.numel() == 1:
        return loss.reshape(())
    got = f"shape {_checks.shape_text(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
    raise _checks.InputError(f"objective must return one number as a tensor, say a mean over rows; got {got}.")
