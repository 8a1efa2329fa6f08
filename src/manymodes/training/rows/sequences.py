"""Rows whose targets stand at every step of a sequence: packed ones are padded, and padded steps weigh nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from manymodes import _checks
from manymodes.distributions import Incomplete
from manymodes.nn.inputs import Inputs
from manymodes.nn.steps import STEPS, as_inputs, real_steps, unpacked


def padded(name: str, x: Any, y: Any, weight: Any) -> tuple[Inputs, Tensor | Incomplete, Tensor | None]:
    """Return inputs, targets and weights of which none is packed any more.

    Raises:
        ValueError: Targets or weights that are packed in another way than the inputs, or where the inputs are not.
    """
    for part, value in (("y", y), ("weight", weight)):
        if isinstance(value, PackedSequence):
            alike = isinstance(x, PackedSequence) and torch.equal(value.batch_sizes, x.batch_sizes)
            if not (alike and _same_order(value, x)):
                raise _checks.InputError(
                    f"{part} in {name} must be packed as x is, sequence by sequence; got other lengths. Pack both with "
                    "the same lengths."
                )
    own_y = unpacked(y)[0] if isinstance(y, PackedSequence) else y
    own_weight = unpacked(weight)[0] if isinstance(weight, PackedSequence) else weight
    return as_inputs(x), own_y, own_weight


def of_steps(x: Inputs, y: Tensor | Incomplete, weight: Tensor | None) -> Tensor | None:
    """Return weights as the targets need them: (N, T) where these stand at every step, 0 where a step is padded."""
    if y.dim() == 2:
        return weight
    real = real_steps(x)
    if real is not None:
        _checks.matches_shape("y", y.shape, ("N", real.shape[1], "D"), f"to match x[{STEPS!r}]")
        real = real.to(torch.float64)
    if weight is None:
        return real
    weight = (weight if weight.dim() == 2 else weight.unsqueeze(-1)).expand(y.shape[:-1])
    return weight if real is None else weight * real


def without_idle_steps(y: Tensor | Incomplete, weight: Tensor | None) -> Tensor | Incomplete:
    """Return targets whose steps of weight 0 hold something legal: the first target that counts, or nothing known."""
    if weight is None or weight.dim() == 1 or bool((weight > 0).all()):
        return y
    idle = (weight == 0).unsqueeze(-1)
    if isinstance(y, Incomplete):
        return Incomplete(y.low.masked_fill(idle, -torch.inf), y.high.masked_fill(idle, torch.inf))
    return torch.where(idle, y[weight > 0][0], y)


def _same_order(one: PackedSequence, other: PackedSequence) -> bool:
    orders = [packed.sorted_indices for packed in (one, other)]
    if orders[0] is None or orders[1] is None:
        return orders[0] is orders[1]
    return torch.equal(orders[0], orders[1])
