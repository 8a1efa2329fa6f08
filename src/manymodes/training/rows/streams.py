"""Rows that are read anew for every pass, for data that does not fit into memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Incomplete
from manymodes.nn import MixtureDensityNetwork
from manymodes.nn.inputs import parts_of
from manymodes.training.randomness import isolated
from manymodes.training.rows.data import Data, Rows, as_rows

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of splitmix64


class Stream:
    """Rows that come block by block, as often as they are asked for.

    Args:
        blocks: Blocks of rows, ``(x, y)`` or ``(x, y, weight)`` as ``fit`` takes them: a list, a ``DataLoader`` or
            whatever else can be gone through more than once, or a function that returns an iterator.
        n_rows: Rows that make a pass, for blocks without end; None for all.
        buffer_rows: Rows that are held in memory and shuffled; half of them leave at a time.
        sample_rows: Rows that are kept from a first pass, drawn at random: scaling, initial locations and validation
            are theirs.

    Attributes:
        found: What a first pass found, where somebody made it already, see ``having``.

    Raises:
        TypeError: Blocks that can be gone through only once.
        ValueError: A number below 1.
    """

    found: Found | None = None

    def __init__(
        self,
        blocks: Iterable[Data] | Callable[[], Iterator[Data]],
        *,
        n_rows: int | None = None,
        buffer_rows: int = 131_072,
        sample_rows: int = 100_000,
    ) -> None:
        if not callable(blocks) and (not isinstance(blocks, Iterable) or isinstance(blocks, Iterator)):
            raise TypeError(
                "data must be a tuple (x, y) or (x, y, weight) of tensors, or blocks of such that can be gone through "
                f"again and again: a list, a DataLoader or training.Stream(function); got {type(blocks).__name__}."
            )
        self._blocks = blocks
        self._n_rows = None if n_rows is None else _checks.integer_at_least("n_rows", n_rows, 1)
        self.buffer_rows = _checks.integer_at_least("buffer_rows", buffer_rows, 2)
        self.sample_rows = _checks.integer_at_least("sample_rows", sample_rows, 2)

    def blocks(self, seed: int | None) -> Iterator[Data]:
        """Go through the blocks once, in an order that a seed decides where that is possible.

        A ``DataLoader`` that shuffles draws its order from torch's global generator when it begins; it is lent a seed.

        Args:
            seed: Of this pass; None for the order in which they are kept.
        """
        with isolated(0 if seed is None else seed):
            blocks = self._blocks() if callable(self._blocks) else iter(self._blocks)
            first = list(islice(blocks, 1))
        return chain(first, blocks)

    def having(self, found: Found) -> Self:
        """Return the same stream, of which it is known what a first pass finds: nobody needs to make one again."""
        known = copy.copy(self)
        known.found = found
        return known

    def part(self, share: float, *, held_out: bool) -> _Part:
        """Return the stream of the rows that a hash of their values holds out, a share of all, or of the others.

        Another hash decides here than the one that ``fit`` holds out validation rows by.
        """
        return _Part(self, _checks.number_between("share", share, 0.0, 1.0), held_out)

    def rows(self, network: MixtureDensityNetwork | None = None, seed: int | None = None) -> Iterator[Rows]:
        """Go through the rows of a pass once, block by block, checked, also for a network where there is one."""
        left = self._n_rows
        for number, block in enumerate(self.blocks(seed), start=1):
            if _is_empty(block):
                continue
            rows = as_rows(f"block {number} of data", block, network)
            if left is not None:
                rows = rows.take(torch.arange(min(left, len(rows))))
                left -= len(rows)
            yield rows
            if left == 0:
                return


@dataclass(frozen=True, eq=False)
class Found:
    """What a pass through a stream found.

    Attributes:
        n_rows: Rows of the pass.
        rows: Some of them, drawn at random.
        mean_weight: Mean weight of a row.
    """

    n_rows: int
    rows: Rows
    mean_weight: float


class _Part(Stream):
    """Some rows of another stream; a part of a part is told by another hash."""

    def __init__(self, whole: Stream, share: float, held_out: bool) -> None:
        super().__init__(whole._blocks, buffer_rows=whole.buffer_rows, sample_rows=whole.sample_rows)
        self._whole, self._share, self._held_out = whole, share, held_out
        self._salt: int = whole._salt + 1 if isinstance(whole, _Part) else 1

    def leaves_out(self, rows: Rows) -> Tensor:
        """Return which rows of the whole belong to the other part, (N,)."""
        out = is_held_out(rows, self._share, salt=self._salt)
        return ~out if self._held_out else out

    def blocks(self, seed: int | None) -> Iterator[Data]:
        """Go through the blocks of the whole, each with the rows of this part alone."""
        return (_as_data(rows) for rows in self.rows(None, seed))

    def rows(self, network: MixtureDensityNetwork | None = None, seed: int | None = None) -> Iterator[Rows]:
        """Go through the rows of this part."""
        for rows in self._whole.rows(network, seed):
            chosen = ~self.leaves_out(rows)
            if bool(chosen.any()):
                yield rows.take(chosen.nonzero().squeeze(-1))


def is_held_out(rows: Rows, share: float, *, salt: int = 0) -> Tensor:
    """Return which rows are held out, (N,): a share of them, told by a hash of their values.

    Equal rows share their fate, whatever their order and whoever reads them. Another ``salt`` is another hash.
    """
    if not share:
        return torch.zeros(len(rows), dtype=torch.bool)
    x = parts_of(rows.x).values()
    y = [rows.y.low, rows.y.high] if isinstance(rows.y, Incomplete) else [rows.y]
    values = [part.detach().cpu().to(torch.float64).reshape(len(rows), -1) for part in (*x, *y)]
    bits = (torch.cat(values, 1) + 0.0).numpy().view(np.uint64)
    with np.errstate(over="ignore"):
        found = np.full(len(rows), _MIX[0] + np.uint64(salt))
        for column in bits.T:
            found = _mixed(found ^ _mixed(column))
    return torch.from_numpy((found >> np.uint64(11)) < np.uint64(share * 2**53))


def _is_empty(block: Any) -> bool:
    """Return whether a block has no rows; what is no block is refused elsewhere."""
    if not isinstance(block, (tuple, list)) or not block:
        return False
    x = next(iter(block[0].values()), None) if isinstance(block[0], Mapping) else block[0]
    return isinstance(x, Tensor) and x.dim() > 0 and len(x) == 0


def _as_data(rows: Rows) -> Data:
    return (rows.x, rows.y) if rows.weight is None else (rows.x, rows.y, rows.weight)


def _mixed(bits: Any) -> Any:
    """Return 64 bits in which each depends on all that went in (Steele, Lea and Flood 2014, splitmix64)."""
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX[1]
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX[2]
    return bits ^ (bits >> np.uint64(31))
