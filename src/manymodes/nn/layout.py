"""How a run of raw numbers becomes a mixture: logits first, then every parameter that the family declares."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from manymodes.distributions import Mixture
from manymodes.distributions.blueprints import Blueprint, Slot, Units
from manymodes.distributions.log_weights import LogWeights
from manymodes.nn.links import LINKS, Floor
from manymodes.nn.support import Support

# The smallest scale that a parameter may stand for, or one for each of its numbers.
FloorOf = Callable[[Slot, Tensor], Floor]


@final
class Layout:
    """The raw numbers of a mixture: K logits and, for every parameter, K times its size, each mapped by its link.

    Args:
        family: What the components are.
        n_components: Number of components, K.
        target_dim: Number of target dimensions, D.

    Attributes:
        size: How many raw numbers a mixture takes.
    """

    def __init__(self, family: Blueprint, n_components: int, target_dim: int) -> None:
        self._family, self._n_components, self._target_dim = family, n_components, target_dim
        self._sizes = {name: LINKS[slot.constraint].size(slot) for name, slot in self.slots().items()}
        self.size = n_components + sum(self._sizes.values())

    def mixture(self, raw: Tensor, floor: FloorOf, units: Units) -> Mixture:
        """Return the mixtures, ``batch_shape`` (...), for raw numbers, (..., size)."""
        logits, parts = self.split(raw)
        slots, values = self.slots(), {}
        for name, part in parts.items():
            slot = slots[name]
            numbers = part.unflatten(-1, (slot.n_components, -1))  # (..., K, n)
            values[name] = LINKS[slot.constraint].forward(numbers, slot.shape, floor(slot, part))
        components = self._family.build(values, logits.shape, self._target_dim, units)
        return Mixture(LogWeights(torch.log_softmax(logits, -1)), components, validate_args=False)

    def start(self, raw: Tensor, centres: Tensor, typical: Tensor, floor: FloorOf, units: Units) -> None:
        """Write the raw numbers of a mixture to start from over others, (..., size), as ``Blueprint.start`` has it."""
        logits, parts = self.split(raw)
        logits.zero_()
        slots = self.slots()
        for name, value in self._family.start(centres, typical, units).items():
            slot = slots[name]
            inverse = LINKS[slot.constraint].inverse(value, slot.shape, floor(slot, value))
            parts[name].copy_(inverse.flatten())  # the same for every member

    @torch.no_grad()
    def support(self, floor: FloorOf) -> Support:
        """Return where targets may lie, in the user's units."""
        with torch.device("cpu"):  # also while a network is made without memory, on the device "meta"
            components = self.mixture(torch.zeros(self.size, dtype=torch.float64), floor, Units()).components
            return Support.of(self._family.settled(components.transformed(torch.Tensor.double)))

    def split(self, raw: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Cut raw numbers, (..., size), into logits, (..., K), and those of every parameter."""
        logits, *parts = raw.split([self._n_components, *self._sizes.values()], dim=-1)
        return logits, dict(zip(self._sizes, parts, strict=True))

    def slots(self) -> dict[str, Slot]:
        """Return what the numbers after the logits stand for, in their order."""
        # Not kept: constraints are known by identity, which copies of a network lose.
        return self._family.slots(self._n_components, self._target_dim)
