"""What identifies a fit: its settings, and digests of its rows and of its network's sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from manymodes.distributions import Incomplete
from manymodes.nn import MixtureDensityNetwork
from manymodes.training.rows.data import Rows
from manymodes.training.rows.partition import Partition


def plan_of(network: MixtureDensityNetwork, rows: Rows, validation: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes a fit the same fit, as JSON can hold it.

    Args:
        network: The network; its parts, their settings, shapes and precision count, its weights do not.
        rows: Training rows in the user's units.
        validation: What ``fit`` was told of validation rows: a share, numbers of rows, or rows.
        settings: Other settings; functions count by their names.
    """
    shapes = [f"{name} {tuple(value.shape)} {value.dtype}" for name, value in network.named_parameters()]
    shapes += [repr(network), network.device.type]
    held_out = validation if isinstance(validation, float) else digest(_tensors(validation))
    return {
        **{name: _named(value) for name, value in settings.items()},
        "network": hashlib.sha256("\n".join(shapes).encode()).hexdigest()[:12],
        "validation": held_out,
        "rows": digest(_tensors((rows.x, rows.y, rows.weight))),
    }


def digest(tensors: Iterable[Tensor]) -> str:
    """Return what tells tensors apart by their shapes and values."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()[:12]


def _tensors(parts: Any) -> list[Tensor]:
    """Return the tensors in a tensor, in inputs by name, in incomplete targets, or in a sequence of such parts."""
    if parts is None:
        return []
    if isinstance(parts, Tensor):
        return [parts]
    if isinstance(parts, Incomplete):
        return [parts.low, parts.high]
    if isinstance(parts, Partition):
        return [parts.learns, parts.held_out]
    if isinstance(parts, Mapping):
        return [tensor for name in sorted(parts) for tensor in _tensors(parts[name])]
    return [tensor for part in parts for tensor in _tensors(part)]


def _named(value: Any) -> Any:
    """Return a setting as JSON holds it, a function by its name, or what it is made of."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return int(value) if isinstance(value, Integral) else getattr(value, "__qualname__", repr(value))
