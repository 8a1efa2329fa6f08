"""Rows for the loop: checked once, split once, scaled once, and then indexed as resident tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Incomplete
from manymodes.nn import MixtureDensityNetwork

Data = Sequence[Tensor | Incomplete]  # (x, y) or (x, y, weight), of which only y may be incomplete


_ROUNDING = 1e-9  # rows, by which a share of them may miss a whole number


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs (N, ...), targets (N, D), known fully or not, and weights (N,), or None where all rows weigh alike.

    ``place`` holds the numbers of rows, (N,), that were taken from resident ones.
    """

    x: Tensor
    y: Tensor | Incomplete
    weight: Tensor | None
    place: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    def points(self) -> Tensor:
        """Return one number for each target, (N, D)."""
        return self.y.points() if isinstance(self.y, Incomplete) else self.y

    def take(self, index: Tensor) -> Rows:
        """Return the rows that ``index`` names, of any shape."""
        weight = None if self.weight is None else self.weight[index]
        return Rows(self.x[index], self.y[index], weight, index if self.place is None else self.place[index])

    def scaled(self, network: MixtureDensityNetwork, mean_weight: float | None = None) -> Rows:
        """Return the rows in the network's scaled units, on its device, weights one on average.

        Args:
            network: Whose units.
            mean_weight: Mean weight where these are not all rows.
        """
        weight = self.weight
        if weight is not None:
            mean = weight.mean() if mean_weight is None else mean_weight
            weight = (weight / mean).to(network.device, network.dtype)
        x, y = self.x.to(network.device), self.y.to(network.device)
        return Rows(network.scale_input(x), network.scale_target(y), weight)


def concatenated(parts: Sequence[Rows]) -> Rows:
    """Return the rows of several parts, one after another; places are forgotten."""
    exact = [part.y for part in parts if isinstance(part.y, Tensor)]
    incomplete = [part.y for part in parts if isinstance(part.y, Incomplete)]
    weights = [part.weight for part in parts if part.weight is not None]
    y: Tensor | Incomplete
    if incomplete:
        y = Incomplete(torch.cat([part.low for part in incomplete]), torch.cat([part.high for part in incomplete]))
    else:
        y = torch.cat(exact)
    return Rows(torch.cat([part.x for part in parts]), y, torch.cat(weights) if weights else None)


def as_rows(name: str, data: Data, network: MixtureDensityNetwork | None) -> Rows:
    """Check ``(x, y)`` or ``(x, y, weight)``, for a network where there is one, and return it as rows."""
    x, y, given = _parts(name, data)
    for part, value in (("x", x), ("y", y), ("weight", given)):
        ends = (value.low, value.high) if isinstance(value, Incomplete) else (value,)
        for end in ends:
            if end is not None:
                refuse_wild(f"{part} in {name}", end, infinite=len(ends) == 2)
    x, y = x.detach(), y.detach()
    if y.dim() != 2:
        raise _checks.InputError(
            f"y in {name} must have shape (N, D), also for D = 1; got {_checks.shape_text(y.shape)}."
        )
    _checks.same_rows("x", len(x), "y", len(y))
    if len(y) == 0:
        raise _checks.InputError(f"{name} must have at least 1 row; got 0.")
    if network is not None:
        network.check_target(y, "y" if name == "data" else f"y in {name}")  # here, where rows have the user's numbers
    if given is None:
        return Rows(x, y, None)
    weight = given.detach().to(torch.float64)
    _checks.matches_shape("weight", weight.shape, (len(y),), "to weigh every row of y")
    if not bool((weight >= 0).all()) or not bool((weight > 0).any()):
        raise _checks.InputError(
            f"weight must be >= 0 everywhere and > 0 somewhere; got {weight.min():g} to {weight.max():g}."
        )
    return Rows(x, y, weight).take((weight > 0).nonzero().squeeze(-1))  # a row of weight 0 is no row


@dataclass(frozen=True, eq=False)
class Split:
    """Rows that are resident in the network's scaled units, and which of them each member trains and is judged on.

    Attributes:
        train: Rows to learn from.
        train_index: Which of them, (M, n), or (n,) without members.
        held_out: Rows that choose the best epoch; the same as ``train`` where they were drawn from the data.
        held_out_index: Which of them, likewise.
    """

    train: Rows
    train_index: Tensor
    held_out: Rows
    held_out_index: Tensor

    def scaled(self, network: MixtureDensityNetwork) -> Split:
        """Return the split with its rows in the network's scaled units, on its device."""
        train = self.train.scaled(network)
        held_out = train if self.held_out is self.train else self.held_out.scaled(network)
        indices = (index.to(network.device) for index in (self.train_index, self.held_out_index))
        return Split(train, next(indices), held_out, next(indices))


def folds(n_rows: int, share: float, n_members: int | None, generator: torch.Generator) -> Tensor:
    """Draw the rows that each member holds out: a share of them, at least one, (M, n), or (n,) without members.

    Members hold out one stretch of a random order after another, and then begin again: with a share of 1 / F the
    members m, m + F, ... hold out the same rows, and F in a row hold out all. Where the stretches do not fit exactly
    they overlap by a row.
    """
    n_held_out = max(1, math.ceil(share * n_rows - _ROUNDING))
    if n_rows < 2 or n_held_out >= n_rows:
        raise _checks.InputError(
            f"data must have at least {n_held_out + 1} rows, {n_held_out} of them for validation; got {n_rows}."
        )
    order = torch.randperm(n_rows, generator=generator)
    n_stretches = min(round(1 / share), n_rows)
    first = torch.arange(n_members or 1) % n_stretches * n_rows // n_stretches
    held_out = order[(first[:, None] + torch.arange(n_held_out)) % n_rows]
    return held_out if n_members is not None else held_out[0]


def split(rows: Rows, validation: Tensor | Rows, n_members: int | None) -> Split:
    """Split rows by the numbers of those that are held out, (M, n) or (n,), or take rows that are given for that."""
    if isinstance(validation, Rows):
        leading = () if n_members is None else (n_members,)
        every, given = (torch.arange(len(part)).expand(*leading, -1) for part in (rows, validation))
        return Split(rows, every, validation, given)
    held_out = validation.cpu()
    learns = torch.ones(*held_out.shape[:-1], len(rows), dtype=torch.bool).scatter(-1, held_out, value=False)
    rest = learns.nonzero()[:, -1].reshape(*held_out.shape[:-1], -1)
    return Split(rows, rest, rows, held_out)


def refuse_wild(name: str, value: Tensor, *, infinite: bool) -> None:
    """Refuse values whose squares overflow, and infinite ones unless they are ends of intervals."""
    if not value.is_floating_point():
        return
    legal = value.abs() <= _checks.LARGEST
    legal = legal | value.isinf() if infinite else legal
    if not bool(legal.all()):
        row = int((~legal).reshape(len(value), -1).any(-1).nonzero()[0])
        rule = "within" if infinite else "finite and within"
        raise _checks.InputError(
            f"{name} must be {rule} ±{_checks.LARGEST:g}; got another value first in {_checks.row(row)}. Drop those "
            "rows or fill them in."
        )


def _parts(name: str, data: Data) -> tuple[Tensor, Tensor | Incomplete, Tensor | None]:
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise TypeError(f"{name} must be a tuple (x, y) or (x, y, weight) of tensors; got {_kind(data)}.")
    kinds = {"x": (Tensor, "a torch tensor"), "y": (Tensor | Incomplete, "a torch tensor or Incomplete")}
    for part, value in zip(("x", "y", "weight"), data, strict=False):
        kind, words = kinds.get(part, kinds["x"])
        if not isinstance(value, kind):
            raise TypeError(f"{part} in {name} must be {words}; got {type(value).__name__}.")
    parts: tuple[Any, ...] = (*data, None)
    return parts[0], parts[1], parts[2]


def _kind(data: object) -> str:
    name = type(data).__name__
    return f"a {name} of {len(data)}" if isinstance(data, (tuple, list)) else name
