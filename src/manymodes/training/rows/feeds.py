"""Where the batches of an epoch come from: from resident rows, or from a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.nn import MixtureDensityNetwork
from manymodes.training.rows.data import Rows, Split, concatenated
from manymodes.training.rows.sampling import Sample
from manymodes.training.rows.streams import Stream, is_held_out
from manymodes.training.world import ALONE, World


class Feed(Protocol):
    """Batches of training rows in scaled units, (M, n) rows at a time, or (n,) without members."""

    def batches(self, n_batches: int, *, first: int) -> Iterator[Rows]:
        """Yield the batches of an epoch, of which there are so many, from the first on that is wanted."""

    def state(self) -> dict[str, Tensor]:
        """Return what it takes to yield the rest of them again."""

    def load_state(self, state: Mapping[str, Tensor], n_steps: int) -> None:
        """Go on where ``state`` was taken, after so many batches of the whole fit."""


class ResidentFeed:
    """Batches of rows that are in memory: each member goes through its rows in a random order of its own.

    Args:
        parts: The rows in scaled units.
        generator: Source of the orders, the same in all processes; rows on a GPU are ordered by one there.
        world: Processes that take a share of every batch each.
        even: Whether all batches have the same number of rows, so that a few rows wait for the next epoch.
    """

    def __init__(self, parts: Split, generator: torch.Generator, world: World = ALONE, *, even: bool = False) -> None:
        device = parts.train_index.device
        if device.type != "cpu":
            generator = torch.Generator(device).manual_seed(generator.initial_seed())
        self._parts, self._generator, self._world, self._even = parts, generator, world, even
        self._before_epoch = generator.get_state()  # within one: the order is drawn at its beginning

    def batches(self, n_batches: int, *, first: int = 0) -> Iterator[Rows]:
        """Go once through the training rows."""
        index = self._parts.train_index
        order = torch.rand(index.shape, generator=self._generator, device=index.device).argsort(-1)
        rows = index.gather(-1, order)
        parts = rows.split(rows.shape[-1] // n_batches, -1) if self._even else rows.tensor_split(n_batches, -1)
        for batch in parts[first:n_batches]:
            yield self._parts.train.take(self._world.share(batch))
        self._before_epoch = self._generator.get_state()

    def state(self) -> dict[str, Tensor]:
        """Return the generator's state before this epoch."""
        return {"generator": self._before_epoch}

    def load_state(self, state: Mapping[str, Tensor], n_steps: int) -> None:
        """Draw the order of this epoch again."""
        self._before_epoch = state["generator"]
        self._generator.set_state(self._before_epoch)


class StreamFeed:
    """Batches of a stream without end, one pass after another, the same for all members.

    Args:
        stream: The stream.
        network: Its scaling is applied; it must have learned it.
        sample: What the first pass found.
        batch_size: Rows of a batch.
        seed: Seed of the order.
        world: Processes that take a share of every batch each; all of them read all rows, which costs little.
    """

    def __init__(
        self,
        stream: Stream,
        network: MixtureDensityNetwork,
        sample: Sample,
        batch_size: int,
        seed: int,
        world: World = ALONE,
    ) -> None:
        self._world = world
        self._stream, self._network, self._sample = stream, network, sample
        self._batch_size, self._seed = batch_size, seed
        self._passes: list[int] = []  # number of batches in each one that is over
        self._endless = self._all_passes()

    def batches(self, n_batches: int, *, first: int = 0) -> Iterator[Rows]:
        """Yield the next batches."""
        return map(self._scaled, islice(self._endless, n_batches - first))

    def state(self) -> dict[str, Tensor]:
        """Return how many batches each pass had that is over."""
        return {"passes": torch.tensor(self._passes, dtype=torch.int64)}

    def load_state(self, state: Mapping[str, Tensor], n_steps: int) -> None:
        """Read this pass again, as far as it went; those that are over need not be read."""
        self._passes = state["passes"].tolist()
        for _ in islice(self._endless, n_steps - sum(self._passes)):
            pass

    def _all_passes(self) -> Iterator[Rows]:
        while True:
            n_batches = 0
            for batch in self._pass((self._seed + len(self._passes)) % 2**32):
                yield batch
                n_batches += 1
            if not n_batches:
                raise _checks.InputError("data must have rows in every pass; its stream has none left.")
            self._passes.append(n_batches)

    def _pass(self, seed: int) -> Iterator[Rows]:
        """Go through the rows to learn from once, shuffled within a buffer; rows that make no whole batch are left."""
        generator = torch.Generator().manual_seed(seed)
        waiting: list[Rows] = []
        for rows in self._stream.rows(self._network, seed):
            learns = ~is_held_out(rows, self._sample.share)
            waiting.append(rows.take(learns.nonzero().squeeze(-1)))
            if sum(map(len, waiting)) >= self._stream.buffer_rows:
                mixed = _shuffled(waiting, generator)
                n_out = min(len(mixed), max(1, len(mixed) // 2 // self._batch_size) * self._batch_size)
                yield from _cut(mixed.take(torch.arange(n_out)), self._batch_size)
                waiting = [mixed.take(torch.arange(n_out, len(mixed)))]
        if waiting:
            yield from _cut(_shuffled(waiting, generator), self._batch_size)

    def _scaled(self, batch: Rows) -> Rows:
        own = batch.take(self._world.share(torch.arange(len(batch))))
        rows = own.scaled(self._network, mean_weight=self._sample.found.mean_weight)
        n_members = self._network.n_members
        return rows if n_members is None else rows.take(torch.arange(len(rows)).expand(n_members, -1))


def _cut(rows: Rows, batch_size: int) -> Iterator[Rows]:
    """Cut rows into whole batches; fewer rows than one make one."""
    for part in torch.arange(len(rows)).split(batch_size):
        if len(part) and (len(part) == batch_size or len(rows) < batch_size):
            yield rows.take(part)


def _shuffled(waiting: list[Rows], generator: torch.Generator) -> Rows:
    rows = concatenated(waiting)
    return rows.take(torch.randperm(len(rows), generator=generator))
