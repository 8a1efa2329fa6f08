"""Components that change another run of components: what truncation and transforms share."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from manymodes.distributions import quadrature
from manymodes.distributions.component import Component, Kind


class Wrapped(Component):
    """Components around a ``base``, whose moments come from quadrature; abstract."""

    everywhere: ClassVar[bool] = False
    base: Component

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kind of each target dimension: that of the base."""
        return self.base.kinds

    @property
    def mean(self) -> Tensor:
        """Means, (..., K, D)."""
        return quadrature.mean(self)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension."""
        return torch.where(self.mean.isinf(), torch.inf, quadrature.central_moment(self, order))

    def lower_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y <= value}] of each target dimension."""
        return quadrature.lower_mean(self, value)

    def upper_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y > value}] of each target dimension."""
        return quadrature.upper_mean(self, value)
