"""What a fit learns from: rows that are in memory, or a stream; both are split, sampled and fed alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from manymodes import _checks
from manymodes.nn import MixtureDensityNetwork
from manymodes.training.rows.data import Data, Rows, Split, as_rows, split
from manymodes.training.rows.feeds import Feed, ResidentFeed, StreamFeed
from manymodes.training.rows.partition import Partition, folds
from manymodes.training.rows.sampling import take_sample
from manymodes.training.rows.streams import Stream
from manymodes.training.world import World

Validation = float | Data | Tensor | Partition

_LONGEST_EPOCH = 2000  # steps with a stream, between two looks at the validation rows


class Source(ABC):
    """Rows for a network, and which of them are held out; abstract.

    Attributes:
        rows: The rows in the user's units, of a stream some of them.
        longest_epoch: Most steps of an epoch; None for those of a pass.
    """

    rows: Rows
    longest_epoch: int | None = None

    @abstractmethod
    def split(self, generator: torch.Generator) -> Split:
        """Return the rows with those that each member holds out."""

    @abstractmethod
    def n_train(self, parts: Split) -> int:
        """Return how many rows a member learns from."""

    @abstractmethod
    def feed(
        self, parts: Split, batch_size: int, generator: torch.Generator, world: World, *, even: bool = False
    ) -> Feed:
        """Return where batches come from, given the split in scaled units; even ones have as many rows each."""


def source_of(network: MixtureDensityNetwork, data: Any, validation: Validation) -> Source:
    """Return what was handed in as data, checked for a network, together with what was said of validation rows."""
    is_list_of_blocks = isinstance(data, list) and all(isinstance(part, (tuple, list)) for part in data)
    if is_list_of_blocks or not isinstance(data, (tuple, list, Tensor, dict)):
        return _Streamed(network, data if isinstance(data, Stream) else Stream(data), validation)
    return _Resident(network, data, validation)


class _Resident(Source):
    """Rows that are in memory: each member may hold out others."""

    def __init__(self, network: MixtureDensityNetwork, data: Any, validation: Validation) -> None:
        self.rows = as_rows("data", data, network)
        n_given = int(data[1].batch_sizes[0]) if isinstance(data[1], PackedSequence) else len(data[1])
        if isinstance(validation, (Tensor, Partition)) and len(self.rows) < n_given:
            raise _checks.InputError(
                "validation must not be numbers of rows where weights are 0; drop those rows first."
            )
        self._network = network
        given = isinstance(validation, (tuple, list, Tensor, Partition))
        self._validation = validation if given else _share(validation)

    def split(self, generator: torch.Generator) -> Split:
        network, validation, n_rows = self._network, self._validation, len(self.rows)
        if isinstance(validation, (tuple, list)):
            return split(self.rows, as_rows("validation", validation, network), network.n_members)
        if isinstance(validation, Partition):
            for part in (validation.learns, validation.held_out):
                _checked_numbers(part, network.n_members, n_rows, may_repeat=True)
            return split(self.rows, validation, network.n_members)
        if isinstance(validation, Tensor):
            held_out = _checked_numbers(validation, network.n_members, n_rows)
        else:
            held_out = folds(n_rows, _share(validation), network.n_members, generator)
        return split(self.rows, held_out, network.n_members)

    def n_train(self, parts: Split) -> int:
        return parts.train_index.shape[-1]

    def feed(
        self, parts: Split, batch_size: int, generator: torch.Generator, world: World, *, even: bool = False
    ) -> Feed:
        return ResidentFeed(parts, generator, world, even=even)


class _Streamed(Source):
    """A stream: all members hold out the same rows, and those of the sample that are held out judge every epoch."""

    longest_epoch = _LONGEST_EPOCH

    def __init__(self, network: MixtureDensityNetwork, stream: Stream, validation: Validation) -> None:
        if isinstance(validation, (Tensor, Partition)):
            raise _checks.InputError("validation must be a share or rows of their own for a stream, not row numbers.")
        if network.retrieval is not None:
            raise _checks.InputError("data must be in memory for retrieval, as tensors; got a stream.")
        self._network, self._stream = network, stream
        own = as_rows("validation", validation, network) if isinstance(validation, (tuple, list)) else None
        self._sample = take_sample(stream, network, _share(validation) if own is None else 0.0)
        self.rows, self._held_out = self._sample.train, self._sample.held_out if own is None else own

    def split(self, generator: torch.Generator) -> Split:
        return split(self.rows, self._held_out, self._network.n_members)

    def n_train(self, parts: Split) -> int:
        return max(1, round(self._sample.found.n_rows * (1 - self._sample.share)))

    def feed(
        self, parts: Split, batch_size: int, generator: torch.Generator, world: World, *, even: bool = False
    ) -> Feed:
        return StreamFeed(self._stream, self._network, self._sample, batch_size, generator.initial_seed(), world)


def _share(validation: Any) -> float:
    return _checks.number_between("validation", validation, 0.0, 1.0)


def _checked_numbers(numbers: Tensor, n_members: int | None, n_rows: int, *, may_repeat: bool = False) -> Tensor:
    """Return numbers of rows to hold out, (M, n), or (n,) without members, if they can be that."""
    if numbers.is_floating_point() or numbers.dtype == torch.bool:
        raise _checks.InputError(f"validation must hold numbers of rows, integers; got {numbers.dtype}.")
    n_held_out = numbers.shape[-1] if numbers.dim() else 0
    shape = (n_held_out,) if n_members is None else (n_members, n_held_out)
    _checks.matches_shape("validation", numbers.shape, shape, "to name rows that each member holds out")
    _checks.integer_at_least("the number of rows in validation", n_held_out, 1, None if may_repeat else n_rows - 1)
    _checks.integer_at_least("the smallest row number in validation", int(numbers.min()), 0)
    _checks.integer_at_least("the largest row number in validation", int(numbers.max()), 0, n_rows - 1)
    ordered = numbers.sort(-1).values
    if not may_repeat and bool((ordered[..., 1:] == ordered[..., :-1]).any()):
        raise _checks.InputError("validation must name no row twice for the same member.")
    return numbers.long()
