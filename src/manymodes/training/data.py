"""Rows for the loop: checked once, split once, scaled once, and then indexed as resident tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.nn import MixtureDensityNetwork


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs (N, ...), targets (N, D) and weights (N,), or None where all rows weigh alike."""

    x: Tensor
    y: Tensor
    weight: Tensor | None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: Tensor) -> Rows:
        """Return the rows that ``index`` names."""
        weight = None if self.weight is None else self.weight[index]
        return Rows(self.x[index], self.y[index], weight)

    def scaled(self, network: MixtureDensityNetwork) -> Rows:
        """Return the rows in the network's scaled units, on its device, weights one on average."""
        weight = self.weight
        if weight is not None:
            weight = (weight / weight.mean()).to(network.device, network.dtype)
        x, y = self.x.to(network.device), self.y.to(network.device)
        return Rows(network.scale_input(x), network.scale_target(y), weight)


def as_rows(name: str, data: Sequence[Tensor]) -> Rows:
    """Check ``(x, y)`` or ``(x, y, weight)`` and return it as rows."""
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise TypeError(f"{name} must be a tuple (x, y) or (x, y, weight) of tensors; got {_kind(data)}.")
    for part, value in zip(("x", "y", "weight"), data, strict=False):
        if not isinstance(value, Tensor):
            raise TypeError(f"{part} in {name} must be a torch tensor; got {type(value).__name__}.")
        legal = value.abs() <= _checks.LARGEST if value.is_floating_point() else None
        if legal is not None and not bool(legal.all()):
            row = int((~legal).reshape(len(value), -1).any(-1).nonzero()[0])
            raise _checks.InputError(
                f"{part} in {name} must be finite and within ±{_checks.LARGEST:g}; got another value first in "
                f"{_checks.row(row)}. Drop those rows or fill them in."
            )
    x, y = data[0].detach(), data[1].detach()
    if y.dim() != 2:
        raise _checks.InputError(
            f"y in {name} must have shape (N, D), also for D = 1; got {_checks.shape_text(y.shape)}."
        )
    _checks.same_rows("x", len(x), "y", len(y))
    if len(y) == 0:
        raise _checks.InputError(f"{name} must have at least 1 row; got 0.")
    if len(data) == 2:
        return Rows(x, y, None)
    weight = data[2].detach().to(torch.float64)
    _checks.matches_shape("weight", weight.shape, (len(y),), "to weigh every row of y")
    if not bool((weight >= 0).all()) or not bool((weight > 0).any()):
        raise _checks.InputError(
            f"weight must be >= 0 everywhere and > 0 somewhere; got {weight.min():g} to {weight.max():g}."
        )
    return Rows(x, y, weight).take((weight > 0).nonzero().squeeze(-1))  # a row of weight 0 is no row


def split(rows: Rows, fraction: float, generator: torch.Generator) -> tuple[Rows, Rows]:
    """Draw ``fraction`` of the rows, at least one, as validation rows: (training rows, validation rows)."""
    n_validation = max(1, round(fraction * len(rows)))
    if len(rows) < 2 or n_validation >= len(rows):
        raise _checks.InputError(
            f"data must have at least {n_validation + 1} rows, {n_validation} of them for validation; got {len(rows)}."
        )
    order = torch.randperm(len(rows), generator=generator).to(rows.y.device)
    return rows.take(order[n_validation:]), rows.take(order[:n_validation])


def _kind(data: object) -> str:
    name = type(data).__name__
    return f"a {name} of {len(data)}" if isinstance(data, (tuple, list)) else name
