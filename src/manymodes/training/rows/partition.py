"""Which rows each member of a network learns from, and which it is judged on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from manymodes import _checks

_ROUNDING = 1e-9  # rows, by which a share of them may miss a whole number


@dataclass(frozen=True, eq=False)
class Partition:
    """Which rows each member learns from, and which others it is judged on.

    A row may come more than once, and then counts as often; rows may be left out of both.

    Attributes:
        learns: Numbers of rows, (M, n), or (n,) without members.
        held_out: Numbers of rows, likewise.
    """

    learns: Tensor
    held_out: Tensor

    @classmethod
    def of_groups(cls, groups: Tensor, share: float, n_members: int | None, generator: torch.Generator) -> Partition:
        """Hold out whole groups: no row is judged by a member that learned from another row of its group.

        As in ``folds``, members hold out one stretch of a random order after another, here an order of groups; a group
        that is more than half of the rows is held out by nobody, if there are others. All members have as many rows of
        each kind as the one with the most: others go through theirs again, from the beginning.

        Args:
            groups: Number of each row's group, (N,).
            share: Share of rows to hold out, about.
            n_members: Number of members, M; None for one network without a member axis.
            generator: Source of the order.

        Raises:
            ValueError: Fewer than two groups.

        Example:
            >>> groups = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
            >>> parts = Partition.of_groups(groups, 0.3, 2, torch.Generator().manual_seed(0))
            >>> [set(groups[learns].tolist()) & set(groups[held_out].tolist())
            ...  for learns, held_out in zip(parts.learns, parts.held_out)]
            [set(), set()]
        """
        stretch = _stretches(groups, share, generator)  # of each row
        small = (2 * stretch.bincount() <= len(groups)).nonzero().squeeze(-1)
        usable = small if len(small) else stretch.bincount().argmin(keepdim=True)
        chosen = [int(usable[member % len(usable)]) for member in range(n_members or 1)]
        rows = torch.randperm(len(groups), generator=generator)
        learns = _as_long([rows[stretch[rows] != number] for number in chosen])
        held_out = _as_long([rows[stretch[rows] == number] for number in chosen])
        return cls(learns, held_out) if n_members is not None else cls(learns[0], held_out[0])


def _stretches(groups: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return the number of each row's stretch, (N,), counted from 0; those of a group are in the same one."""
    names, group = groups.unique(return_inverse=True)
    if len(names) < 2:
        raise _checks.InputError("groups must name at least two groups, one of them to hold out; got one.")
    order = torch.randperm(len(names), generator=generator)
    sizes = group.bincount()[order]
    middle = (sizes.cumsum(0) - 0.5 * sizes) / len(group)
    n_stretches = min(max(2, round(1 / share)), len(names))
    stretch = (middle * n_stretches).long()
    alone = 2 * sizes > len(group)  # no other group is held out with one that is most of the rows
    stretch = torch.where(alone, n_stretches, stretch).unique(return_inverse=True)[1]  # some may be empty
    if int(stretch.max()) == 0:
        stretch[0] = 1
    return torch.empty_like(stretch).scatter(0, order, stretch)[group]


def _as_long(parts: Sequence[Tensor]) -> Tensor:
    """Return numbers of rows, (n1,), (n2,), ..., as long as the longest, (M, n): shorter ones begin again."""
    most = max(map(len, parts))
    return torch.stack([part[torch.arange(most) % len(part)] for part in parts])


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
