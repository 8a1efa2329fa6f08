"""Shapes that go together."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def common_shape(shapes: Iterable[torch.Size]) -> torch.Size:
    """Return the shape that all broadcast to; equal ones are not sent through torch, which takes its time."""
    first, *others = shapes
    return first if all(other == first for other in others) else torch.broadcast_shapes(first, *others)


def slices(n: int, size: int) -> list[slice]:
    """Return slices of at most ``size`` that make up n rows; an empty one where there are none."""
    return [slice(start, min(start + size, n)) for start in range(0, max(n, 1), size)]
