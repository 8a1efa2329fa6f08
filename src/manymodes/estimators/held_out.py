"""Which rows a fit holds out: some at random, whole groups, the last ones, or rows of their own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.training import Partition
from manymodes.training.randomness import isolated
from manymodes.training.rows.data import Data
from manymodes.training.rows.partition import folds


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Which rows choose the best epochs, and the winners of a race.

    Attributes:
        share: Share of the rows.
        groups: Number of each row's group, (N,), which are held out as a whole; None for none.
        last: Whether the last rows are held out, as those of a time to come.
        rows: Rows of their own, ``(x, y)``, which choose the epochs in place of a share; None for none.
    """

    share: float
    groups: Tensor | None = None
    last: bool = False
    rows: Data | None = None

    def of_fit(self, n_all: int, n_members: int | None, seed: int | None) -> float | Data | Tensor | Partition:
        """Return what ``training.fit`` is told."""
        if self.rows is not None:
            return self.rows
        if self.groups is None and not self.last:
            return self.share
        return self._drawn(n_all, self.share, n_members, seed, None)

    def of_race(
        self, rows: Tensor | None, n_all: int, n_folds: int, share: float, seed: int | None
    ) -> Tensor | Partition:
        """Return folds, each a share of all rows, or of those with some numbers: (folds, n)."""
        return self._drawn(n_all if rows is None else len(rows), share, n_folds, seed, rows)

    def _drawn(
        self, n_all: int, share: float, n_members: int | None, seed: int | None, rows: Tensor | None
    ) -> Tensor | Partition:
        if self.last:
            n_held_out = max(1, math.ceil(share * n_all))
            if n_held_out >= n_all:
                raise _checks.InputError(f"X must have at least 2 rows, 1 of them for validation; got {n_all}.")
            last = torch.arange(n_all - n_held_out, n_all)
            return last if n_members is None else last.expand(n_members, -1)
        with isolated(seed) as generator:
            if self.groups is None:
                return folds(n_all, share, n_members, generator)
            groups = self.groups if rows is None else self.groups[rows]
            return Partition.of_groups(groups, share, n_members, generator)


def repeated(held_out: Tensor | Partition, times: int) -> Tensor | Partition:
    """Return the folds of one candidate for several."""
    if isinstance(held_out, Partition):
        return Partition(held_out.learns.repeat(times, 1), held_out.held_out.repeat(times, 1))
    return held_out.repeat(times, 1)
