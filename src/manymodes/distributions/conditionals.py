"""One-dimensional mixtures that follow each other: what an autoregressive density is made of, and how it is indexed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.mixture import Mixture


class Conditionals(ABC):
    """One-dimensional mixtures p(y_d | x, y_<d) of every target dimension d, all in one pass. Abstract.

    Attributes:
        n_members: Number of ensemble members, M; None for no member axis. With members the first axis of all arguments
            and of what is returned is theirs.
    """

    n_members: int | None = None

    @abstractmethod
    def __call__(self, context: Tensor, y: Tensor, dims: slice = slice(None)) -> Mixture:
        """Return the mixtures of some target dimensions, ``batch_shape`` (..., d), ``event_shape`` (1,).

        Args:
            context: What is known of each row, (..., C).
            y: Targets, (..., D), that broadcast against it; each mixture depends on those before its own only.
            dims: Which dimensions are asked for.
        """

    def member(self, index: int) -> Conditionals:
        """Return those of one member."""
        raise NotImplementedError


def in_order(order: Sequence[int] | None, target_dim: int) -> tuple[int, ...]:
    """Return target dimensions in the order of a product, or refuse what does not name every one once."""
    given = tuple(range(target_dim)) if order is None else tuple(order)
    if sorted(given) != list(range(target_dim)):
        raise _checks.InputError(
            f"order must name each of the {target_dim} target dimensions once, counted from 0; got {list(given)}."
        )
    return given


def keeps_members(first: Any, n_members: int) -> bool:
    """Return whether an index leaves the first axis as it is: a colon, or all its numbers in a column of their own."""
    if isinstance(first, Tensor):
        return first.dim() > 1 and len(first) == n_members and first.flatten().tolist() == list(range(n_members))
    return isinstance(first, slice) and first == slice(None)


def first_of(index: Any, n_axes: int) -> Any:
    """Return what an index says of the first of so many axes."""
    first, *rest = index if isinstance(index, tuple) else (index,)
    if first is not Ellipsis:
        return first
    named = sum(part.dim() if isinstance(part, Tensor) and part.dtype == torch.bool else 1 for part in rest)
    return slice(None) if named < n_axes else rest[0]
