"""Inputs of a network: one tensor, or several by name, which a backbone takes as a dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from manymodes import _checks

Inputs = Tensor | Mapping[str, Tensor]


def mapped(x: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return inputs with every tensor changed."""
    return {name: change(part) for name, part in x.items()} if isinstance(x, Mapping) else change(x)


def parts_of(x: Inputs, name: str = "x") -> dict[str, Tensor]:
    """Return the tensors of inputs under names that a sentence can use: ``x``, or ``x['image']``.

    Raises:
        TypeError: What is neither a tensor nor a mapping of names to tensors.
        ValueError: No tensor at all, or tensors of different numbers of rows.
    """
    if not isinstance(x, Mapping):
        _checks.instance(name, x, Tensor)
        return {name: x}
    if not x:
        raise _checks.InputError(f"{name} must hold at least one tensor; got an empty mapping.")
    parts = {f"{name}[{key!r}]": part for key, part in x.items()}
    for key, part in parts.items():
        _checks.instance(key, part, Tensor)
    (first, leader), *others = parts.items()
    for key, part in others:
        _checks.same_rows(first, len(leader), key, len(part))
    return parts


def n_rows(x: Inputs) -> int:
    """Return the number of rows, N."""
    return len(next(iter(x.values())) if isinstance(x, Mapping) else x)


def precision(x: Inputs, default: Any) -> Any:
    """Return the widest floating-point type among inputs, or a default where all are integers."""
    tensors = x.values() if isinstance(x, Mapping) else [x]
    floating = [part.dtype for part in tensors if part.is_floating_point()]
    return max(floating, key=lambda dtype: dtype.itemsize, default=default)
