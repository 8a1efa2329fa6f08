"""Scaling as part of the network: buffers that are learned from data once and saved with the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions.constraints import Scaling


class Standardizer(nn.Module):
    """Maps each column to mean 0 and standard deviation 1, (N, F) -> (N, F).

    Until ``learn`` is called it changes nothing. Statistics are kept in float64 and differences are taken
    there, so that large offsets (years, timestamps) cost no precision when the network works in float32; casts of
    the network, say ``network.float()``, leave them as they are.

    Args:
        constant_scale: Scale of a column that is constant: 1 only shifts it; infinity maps it to 0 whatever it
            becomes later, which is right for inputs, since no weight has learned what a change of it means.

    Attributes:
        loc: Mean of each column, (F,), or a scalar 0.
        scale: Standard deviation of each column, (F,), or a scalar 1.
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, *, constant_scale: float = 1.0) -> None:
        super().__init__()
        self._constant_scale = constant_scale
        self.register_buffer("loc", torch.zeros((), dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    def learn(self, values: Tensor, scalings: Sequence[Scaling] | None = None) -> None:
        """Take the mean and standard deviation of each column of ``values``, (N, F).

        Args:
            values: Rows to learn from.
            scalings: How each column may be scaled; None standardises all. A column that may only be scaled is divided
                by its root mean square.
        """
        values = values.detach().to(self.loc.device, torch.float64)
        _checks.matches_shape("values", values.shape, ("N", "F"), "to be standardised column by column")
        low, high = values.aminmax(dim=0)
        middle = 0.5 * low + 0.5 * high
        reach = torch.where(high > low, 0.5 * high - 0.5 * low, 1.0)
        # Statistics of values within [-1, 1]: their squares neither overflow nor vanish.
        unit = (values - middle) / reach
        self.loc = middle + reach * unit.mean(0)
        self.scale = torch.where(high > low, reach * unit.std(0, correction=0), self._constant_scale)
        for column, scaling in enumerate(scalings or ()):
            if scaling is not Scaling.AFFINE:
                self.scale[column] = _size(values[:, column]) if scaling is Scaling.SCALE else 1.0
                self.loc[column] = 0.0

    def forward(self, values: Tensor) -> Tensor:
        """Return standardised values, (N, F), in float64 once it has learned."""
        return (values - self.loc) / self.scale

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        loc, scale = self.loc, self.scale
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.loc, self.scale = loc.to(self.loc.device), scale.to(self.scale.device)
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Before `learn` the buffers are scalars: take the shape of what is loaded.
        for name in ("loc", "scale"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.empty_like(stored, device=self.loc.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _size(column: Tensor) -> Tensor:
    """Return the root mean square, of which no square overflows or vanishes; 1 where all is 0."""
    largest = column.abs().amax()
    largest = torch.where(largest > 0, largest, 1.0)
    size = largest * (column / largest).square().mean().sqrt()
    return torch.where(size > 0, size, 1.0)
