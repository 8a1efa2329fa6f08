"""What a mixture is made of, as JSON can hold it, and its learned parameters by name.

Components come as groups along the component axis, each of blocks of target dimensions, each of one declared family,
perhaps seen through a logistic map. What the user gave (bounds, places of atoms) is in the user's units; what a network
learned is named, say ``"0.0.loc"`` for the location of the first block of the first group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Component, Declared, Logit, Product, Transformed


class Block(NamedTuple):
    """Some target dimensions of a group, of one declared family."""

    name: str
    dims: list[int]
    family: Declared
    transform: Logit | None


def describe_components(components: Component) -> list[dict[str, Any]]:
    """Return what components, (..., K) in the user's units, are made of: one entry for each group.

    Raises:
        ValueError: Components that have no such description, say truncated ones.
    """
    return [
        {"size": int(group.batch_shape[-1]), "blocks": [_described(block) for block in _blocks(place, group)]}
        for place, group in enumerate(components.groups)
    ]


def learned_parameters(components: Component) -> dict[str, Tensor]:
    """Return the parameters that a network gave, (..., K_g, d, ...) each, by the names of the description."""
    return {
        f"{block.name}.{name}": getattr(block.family, name)
        for place, group in enumerate(components.groups)
        for block in _blocks(place, group)
        for name in _learned(block.family)
    }


def _blocks(place: int, group: Component) -> Iterator[Block]:
    first = 0
    for number, part in enumerate(group.blocks if isinstance(group, Product) else (group,)):
        dims = list(range(first, first + part.event_shape[0]))
        first += len(dims)
        transform = part.transform if isinstance(part, Transformed) else None
        family = part.base if isinstance(part, Transformed) else part
        if not isinstance(family, Declared) or not isinstance(transform, Logit | None):
            raise _checks.InputError(
                f"family must be one of those that MDNRegressor names to be exported; got {type(part).__name__}."
            )
        yield Block(f"{place}.{number}", dims, family, transform)


def _described(block: Block) -> dict[str, Any]:
    family, transform = block.family, block.transform
    given = [name for name, parameter in family.parameters.items() if parameter.default is not None]
    return {
        "family": type(family).__name__,
        "dims": block.dims,
        "parameters": {name: f"{block.name}.{name}" for name in _learned(family)},
        "given": {name: _of_any_row(getattr(family, name)) for name in given},
        "transform": None if transform is None else _bounds(transform, len(block.dims)),
    }


def _learned(family: Declared) -> list[str]:
    return [name for name, parameter in family.parameters.items() if parameter.default is None]


def _of_any_row(value: Tensor) -> list[float]:
    """Return what a user gave, one number for each target dimension, which is the same in every row and component."""
    numbers: list[float] = value.reshape(-1, value.shape[-1])[0].tolist()
    return numbers


def _bounds(transform: Logit, n_dims: int) -> dict[str, Any]:
    low, high = transform.ends(torch.zeros(n_dims, dtype=torch.float64))
    return {"name": "Logit", "low": low.tolist(), "high": high.tolist()}
