"""Numbers next to the ends of supports, and at the ends of what floating point can say."""

from __future__ import annotations

import torch
from torch import Tensor


def around(end: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the numbers just below, at and just above an end of a support, none denormal; NaN where it is infinite."""
    infinity, tiny = torch.full_like(end, torch.inf), torch.finfo(end.dtype).tiny
    below = torch.minimum(torch.nextafter(end, -infinity), end - tiny)
    above = torch.maximum(torch.nextafter(end, infinity), end + tiny)
    finite = end.isfinite()
    points = [torch.where(finite, point, torch.nan) for point in (below, end, above)]
    return points[0], points[1], points[2]


def surely_none(mask: Tensor) -> bool:
    """Return whether a mask is False everywhere; where ``torch.vmap`` lets nobody look, it may be anything."""
    try:
        return not bool(mask.any())
    except RuntimeError:
        return False


def filled(values: Tensor, filler: float) -> Tensor:
    """Return values with a filler in place of NaN; infinities stay what they are."""
    return torch.where(values.isnan(), filler, values)


def bounded(score: Tensor) -> Tensor:
    """Return scores with the largest finite numbers in place of infinite ones: next to an end they overflow."""
    largest = torch.finfo(score.dtype).max
    return score.clamp(-largest, largest)


def positive(curvature: Tensor) -> Tensor:
    """Return curvatures with the smallest and largest positive numbers in place of 0 and infinity."""
    limits = torch.finfo(curvature.dtype)
    return curvature.clamp(limits.tiny, limits.max)
