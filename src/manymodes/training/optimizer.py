"""The optimiser: AdamW for members side by side, none of which can harm another."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from manymodes import _checks
from manymodes.nn import MixtureDensityNetwork
from manymodes.training.gradients import Gradients

_LEAST_NORM = 1e-12  # a gradient of zero stays zero


class MemberAdamW:
    """AdamW with clipped gradients, which no loss or gradient that is not finite ever reaches.

    Every member has a gradient norm and a fate of its own, as if it were trained alone.

    Args:
        network: The network to train.
        weight_decay: Decay of weight matrices; biases and other vectors do not decay.
        clip_norm: Largest norm of a member's gradient.

    Attributes:
        parameters: What is trained.

    References:
        Loshchilov and Hutter (2019), Decoupled weight decay regularization.
    """

    def __init__(self, network: MixtureDensityNetwork, *, weight_decay: float, clip_norm: float) -> None:
        self._clip_norm = _checks.positive("clip_norm", clip_norm)
        weight_decay = _checks.number_between("weight_decay", weight_decay, 0.0, math.inf, including=(0.0,))
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._n_members = network.n_members or 1
        n_axes = 1 if network.n_members is None else 2  # of a vector
        matrices = [parameter for parameter in self.parameters if parameter.dim() > n_axes]
        vectors = [parameter for parameter in self.parameters if parameter.dim() <= n_axes]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self._adamw = torch.optim.AdamW([group for group in groups if group["params"]], fused=True)
        for parameter in self.parameters:  # from the first step on there is something to go back to
            self._adamw.state[parameter] = _nothing_seen(parameter)
        # What is on a CPU can be looked at any time; elsewhere a look would wait for the device.
        self._looks = network.device.type == "cpu"

    def step(self, gradients: Gradients, losses: Tensor, lr: float) -> Tensor | None:
        """Change the weights of all members whose losses, (M,), and gradients are finite.

        Args:
            gradients: Of each parameter, or None; they are changed in place.
            losses: What they are gradients of.
            lr: Learning rate.

        Returns:
            Which members were left as they are, (M,); None where it is known that none was.
        """
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        for group in self._adamw.param_groups:
            group["lr"] = lr
        bad = ~torch.isfinite(losses + self._clip())
        if self._looks and not bool(bad.any()):
            self._adamw.step()
            return None
        self._step_without(bad)
        return bad

    def state(self) -> dict[str, Tensor]:
        """Return what the optimiser remembers, as tensors."""
        state = self._adamw.state_dict()["state"]
        return {f"{number}.{name}": value for number, kept in state.items() for name, value in kept.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Remember what ``state`` returned."""
        kept: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for key, value in state.items():
            number, name = key.split(".")
            kept[int(number)][name] = value
        self._adamw.load_state_dict(self._adamw.state_dict() | {"state": dict(kept)})

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
        self._adamw.step()
        for value, old in before:
            undone = _beside(bad, value) if value.dim() else bad.all()  # a count of steps is of all members
            value.copy_(torch.where(undone, old, value))

    def _learning(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Return the parameters that have a gradient, and it."""
        return [(parameter, parameter.grad) for parameter in self.parameters if parameter.grad is not None]

    def _changing(self) -> Iterator[Tensor]:
        """Yield what a step changes: parameters, and what the optimiser remembers of them."""
        for parameter, _ in self._learning():
            state: dict[str, Tensor] = self._adamw.state[parameter]
            yield from (parameter.detach(), *state.values())


def _nothing_seen(parameter: Tensor) -> dict[str, Tensor]:
    """Return what AdamW remembers of a parameter before its first step."""
    step = torch.zeros((), dtype=torch.float32, device=parameter.device)
    return {"step": step, "exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}


def _beside(of_members: Tensor, value: Tensor) -> Tensor:
    """Return numbers of members, (M,), as they broadcast with a tensor, (M, ...)."""
    return of_members.reshape([-1, *(1 for _ in value.shape[1:])][: value.dim()])
