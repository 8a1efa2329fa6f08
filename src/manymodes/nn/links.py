"""Links: one map for every constraint, from raw numbers of a network into legal parameters, and back.

The floor, ``min_scale``, is real: no width falls below it, whatever the network gives. A concentration, the inverse
square of a width, stays below ``min_scale`` to the power -2 for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions.constraints import Constraint

from manymodes.distributions import constraints
from manymodes.distributions.blueprints import Slot

Shape = tuple[int, ...]
Floor = float | Tensor  # one number, or one for each number of a parameter

_LEAST_EXCESS = 0.1  # of the floor: nearer to it, a gradient would hardly move what starts there
_LARGEST_LOG = 60.0  # exp(60) is 1e26: sizes beyond overflow in single precision when they are squared


class Link(NamedTuple):
    """A map and its inverse; both take the shape of one component's parameter and the smallest width.

    Attributes:
        forward: From raw numbers (..., K, n) to parameters (..., K, *shape).
        inverse: Back.
    """

    forward: Callable[[Tensor, Shape, Floor], Tensor]
    inverse: Callable[[Tensor, Shape, Floor], Tensor]

    def size(self, slot: Slot) -> int:
        """Return how many raw numbers a slot takes for one example."""
        if slot.constraint is constraints.scale_tril:
            return slot.n_components * _triangle(slot.shape)
        return slot.numel


def _elementwise(forward: Callable[[Tensor, Floor], Tensor], inverse: Callable[[Tensor, Floor], Tensor]) -> Link:
    return Link(
        lambda raw, shape, floor: forward(raw, floor).unflatten(-1, shape),
        lambda value, shape, floor: inverse(value, floor).flatten(-len(shape)),
    )


def _above(value: Tensor, floor: Floor, width: Floor) -> Tensor:
    """Return raw numbers for which ``floor`` + softplus(raw) is ``value``, or a tenth of a width above the floor."""
    excess = (value - floor).maximum(torch.as_tensor(_LEAST_EXCESS * width).to(value))
    return excess + torch.log(-torch.expm1(-excess))


def _concentration(raw: Tensor, floor: Floor) -> Tensor:
    return torch.pow(floor + F.softplus(raw), -2)


def _concentration_inverse(value: Tensor, floor: Floor) -> Tensor:
    return _above(value**-0.5, floor, floor)


def _rate(raw: Tensor, floor: Floor) -> Tensor:
    return raw.clamp(-_LARGEST_LOG, _LARGEST_LOG).exp()


def _scale_tril(raw: Tensor, shape: Shape, floor: Floor) -> Tensor:
    diagonal = floor + F.softplus(raw[..., : shape[0]])
    rows, columns = torch.tril_indices(shape[0], shape[1], offset=-1, device=raw.device)
    lower = raw.new_zeros(*raw.shape[:-1], *shape)
    lower[..., rows, columns] = raw[..., shape[0] :]
    return lower + torch.diag_embed(diagonal)


def _scale_tril_inverse(value: Tensor, shape: Shape, floor: Floor) -> Tensor:
    rows, columns = torch.tril_indices(shape[0], shape[1], offset=-1, device=value.device)
    diagonal = value.diagonal(dim1=-2, dim2=-1)
    return torch.cat([_above(diagonal, floor, floor), value[..., rows, columns]], -1)


def _triangle(shape: Shape) -> int:
    return math.comb(shape[0] + 1, 2)


LINKS: Mapping[Constraint, Link] = {
    constraints.real: _elementwise(lambda raw, _: raw, lambda value, _: value),
    constraints.scale: _elementwise(
        lambda raw, floor: floor + F.softplus(raw), lambda value, floor: _above(value, floor, floor)
    ),
    constraints.rate: _elementwise(_rate, lambda value, _: value.log().clamp(-_LARGEST_LOG, _LARGEST_LOG)),
    constraints.concentration: _elementwise(_concentration, _concentration_inverse),
    constraints.degrees_of_freedom: _elementwise(
        lambda raw, floor: 1 + floor + F.softplus(raw), lambda value, floor: _above(value, 1 + floor, floor)
    ),
    constraints.scale_tril: Link(_scale_tril, _scale_tril_inverse),
}
