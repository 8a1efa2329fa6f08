"""Rows for the loop: checked once, split once, scaled once, and then indexed as resident tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from manymodes import _checks
from manymodes.distributions import Incomplete
from manymodes.nn import MixtureDensityNetwork, TableScaling
from manymodes.nn.inputs import mapped, n_rows, parts_of
from manymodes.training.rows.partition import Partition
from manymodes.training.rows.sequences import of_steps, padded, without_idle_steps

Data = Sequence[Any]  # (x, y) or (x, y, weight): tensors, but x may be several by name, y Incomplete, and all packed


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs (N, ...), targets (N, D), known fully or not, and weights (N,), or None where all rows weigh alike.

    Targets at every step of a sequence are (N, T, D), and their weights (N, T), 0 where there is no step or no target.
    Inputs are one tensor, or several by name. ``place`` holds the numbers of rows, (N,), that were taken from resident
    ones.
    """

    x: Any
    y: Tensor | Incomplete
    weight: Tensor | None
    place: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    def points(self) -> Tensor:
        """Return one number for each target, (N, D)."""
        return self.y.points() if isinstance(self.y, Incomplete) else self.y

    def known_targets(self) -> Tensor | Incomplete:
        """Return the targets of all rows and steps that count, (n, D)."""
        if self.y.dim() == 2 or self.weight is None:
            return self.y
        return self.y[self.weight > 0]

    def of_steps(self, n_leading: int) -> tuple[Tensor | Incomplete, Tensor | None]:
        """Return targets (..., N T, D) and weights (..., N T), each step a row, after so many leading axes."""
        y, weight = self.y, self.weight
        if y.dim() == n_leading + 2:
            return y, weight
        flat = y.map(lambda end: end.flatten(n_leading, -2)) if isinstance(y, Incomplete) else y.flatten(n_leading, -2)
        return flat, None if weight is None else weight.flatten(n_leading)

    def take(self, index: Tensor) -> Rows:
        """Return the rows that ``index`` names, of any shape."""
        weight = None if self.weight is None else self.weight[index]
        place = index if self.place is None else self.place[index]
        return Rows(mapped(self.x, lambda part: part[index]), self.y[index], weight, place)

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
        x, y = mapped(self.x, lambda part: part.to(network.device)), self.y.to(network.device)
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
    inputs = [parts_of(part.x) for part in parts]
    x = {name: torch.cat([own[name] for own in inputs]) for name in inputs[0]}
    first = parts[0].x
    whole = dict(zip(first, x.values(), strict=True)) if isinstance(first, Mapping) else x["x"]
    return Rows(whole, y, torch.cat(weights) if weights else None)


def as_rows(name: str, data: Data, network: MixtureDensityNetwork | None) -> Rows:
    """Check ``(x, y)`` or ``(x, y, weight)``, for a network where there is one, and return it as rows."""
    x, y, given = padded(name, *_parts(name, data))
    for part, tensor in parts_of(x).items():
        refuse_wild(f"{part} in {name}", _without_gaps(tensor, network), infinite=False)
    x, y = mapped(x, torch.Tensor.detach), y.detach()
    if y.dim() not in (2, 3):
        raise _checks.InputError(
            f"y in {name} must have shape (N, D), also for D = 1, or (N, T, D) with a target at every step; got "
            f"{_checks.shape_text(y.shape)}."
        )
    _checks.same_rows("x", n_rows(x), "y", len(y))
    if len(y) == 0:
        raise _checks.InputError(f"{name} must have at least 1 row; got 0.")
    weight = of_steps(x, y, None if given is None else _checked_weight(name, given, y))
    y = without_idle_steps(y, weight)
    for end in (y.low, y.high) if isinstance(y, Incomplete) else (y,):
        refuse_wild(f"y in {name}", end, infinite=isinstance(y, Incomplete))
    if network is not None:
        network.check_target(y, "y" if name == "data" else f"y in {name}")  # here, where rows have the user's numbers
    rows = Rows(x, y, weight)
    if given is None or weight is None:
        return rows
    return rows.take((weight > 0).reshape(len(y), -1).any(-1).nonzero().squeeze(-1))  # a row of weight 0 is no row


def _checked_weight(name: str, given: Tensor, y: Tensor | Incomplete) -> Tensor:
    """Return weights in double precision, if they are fit to weigh rows (N,), or steps (N, T)."""
    refuse_wild(f"weight in {name}", given, infinite=False)
    weight = given.detach().to(torch.float64)
    if weight.shape != y.shape[:-1]:
        _checks.matches_shape("weight", weight.shape, (len(y),), "to weigh every row of y")
    if not bool((weight >= 0).all()) or not bool((weight > 0).any()):
        raise _checks.InputError(
            f"weight must be >= 0 everywhere and > 0 somewhere; got {weight.min():g} to {weight.max():g}."
        )
    return weight


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


def split(rows: Rows, validation: Tensor | Rows | Partition, n_members: int | None) -> Split:
    """Split rows by the numbers of those that are held out, (M, n) or (n,), or take rows that are given for that."""
    if isinstance(validation, Partition):
        return Split(rows, validation.learns.cpu(), rows, validation.held_out.cpu())
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
    legal = value.isfinite() & (value.abs() <= _checks.LARGEST)
    legal = legal | value.isinf() if infinite else legal
    if not bool(legal.all()):
        row = int((~legal).reshape(len(value), -1).any(-1).nonzero()[0])
        rule = "within" if infinite else "finite and within"
        raise _checks.InputError(
            f"{name} must be {rule} ±{_checks.LARGEST:g}; got another value first in {_checks.row(row)}. Drop those "
            "rows or fill them in."
        )


def _without_gaps(x: Tensor, network: MixtureDensityNetwork | None) -> Tensor:
    """Return inputs with 0 where a network takes a missing number."""
    scaling = None if network is None else network.input_scaling
    if not isinstance(scaling, TableScaling) or not scaling.gaps or x.dim() != 2 or x.shape[1] <= max(scaling.gaps):
        return x
    filled = x.clone()
    filled[:, scaling.gaps] = filled[:, scaling.gaps].nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
    return filled


def _parts(name: str, data: Data) -> tuple[Any, Any, Any]:
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise TypeError(f"{name} must be a tuple (x, y) or (x, y, weight) of tensors; got {_kind(data)}.")
    kinds: dict[str, tuple[Any, str]] = {
        "x": (Tensor | Mapping | PackedSequence, "a torch tensor, or several by name"),
        "y": (Tensor | Incomplete | PackedSequence, "a torch tensor or Incomplete"),
        "weight": (Tensor | PackedSequence, "a torch tensor"),
    }
    for part, value in zip(kinds, data, strict=False):
        kind, words = kinds[part]
        if not isinstance(value, kind):
            raise TypeError(f"{part} in {name} must be {words}; got {type(value).__name__}.")
    parts: tuple[Any, ...] = (*data, None)
    return parts[0], parts[1], parts[2]


def _kind(data: object) -> str:
    name = type(data).__name__
    return f"a {name} of {len(data)}" if isinstance(data, (tuple, list)) else name
