"""Several processes that fit one network together, through ``torch.distributed``; one process is a world of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from manymodes import _checks

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes of a fit; all of them have the same data and settings.

    Every process takes its share of each batch, gradients are averaged over all rows, and all weights stay alike.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> World:
        """Return the world that ``torch.distributed`` was initialised with, or this process alone."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def is_alone(self) -> bool:
        """Whether there is one process only."""
        return self.size == 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that speaks and writes."""
        return self.rank == 0

    def share(self, index: Tensor) -> Tensor:
        """Return this process's part of the last axis."""
        return index[..., self.rank :: self.size]

    def agreed(self, value: T) -> T:
        """Return the value that the first process has."""
        if self.is_alone:
            return value
        values: list[Any] = [value]
        dist.broadcast_object_list(values, src=0)
        first: T = values[0]
        return first

    def check_same(self, facts: dict[str, Any]) -> None:
        """Refuse processes that would do different things.

        Raises:
            ValueError: A fact that differs from that of the first process.
        """
        if self.is_alone:
            return
        told: list[dict[str, Any]] = [{}] * self.size
        dist.all_gather_object(told, facts)
        for name in facts:
            for rank, other in enumerate(told):
                if other.get(name) != told[0].get(name):
                    raise _checks.InputError(
                        f"{name} must be the same in all processes; got {told[0].get(name)!r} in process 0 and "
                        f"{other.get(name)!r} in process {rank}. Hand the same data and settings to all."
                    )

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Give all processes the tensors of the first."""
        if not self.is_alone:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def average(self, tensors: Sequence[Tensor], n_rows: int) -> None:
        """Average tensors over all processes, in place; each counts as often as it had rows.

        They travel in one message.
        """
        if self.is_alone:
            return
        count = tensors[0].new_tensor([float(n_rows)])
        message = torch.cat([*(tensor.detach().flatten() * n_rows for tensor in tensors), count])
        dist.all_reduce(message)
        *parts, total = message.split([*(tensor.numel() for tensor in tensors), 1])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.detach().copy_((part / total).view_as(tensor))

    def reseed(self, seed: int, step: int, device: torch.device) -> None:
        """Give every process random numbers of its own, which a step decides: for dropout and noise."""
        if self.is_alone:
            return
        own = (seed + 1_000_003 * step + 7919 * self.rank) % 2**63
        torch.default_generator.manual_seed(own)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(own)


ALONE = World()
