"""Components made of others: what products and concatenations share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from manymodes.distributions.component import Component


class Composite(Component):
    """Components whose parts are asked one by one and whose answers are joined; abstract."""

    @property
    @abstractmethod
    def parts(self) -> tuple[Component, ...]:
        """What it is made of."""

    @abstractmethod
    def _join(self, ask: Callable[..., Tensor], value: Tensor | None = None) -> Tensor:
        """Return the answers of all parts, each asked with its own share of ``value``, as one tensor (..., K, D)."""

    @property
    def everywhere(self) -> bool:  # type: ignore[override]
        """Whether the density is positive everywhere."""
        return all(part.everywhere for part in self.parts)

    @property
    def turning_order(self) -> int:
        """The lowest order of the parts."""
        return min(part.turning_order for part in self.parts)

    @property
    def mean(self) -> Tensor:
        """Means, (..., K, D)."""
        return self._join(lambda part: part.mean)

    def central_moment(self, order: int) -> Tensor:
        """Return E[(Y - mean)^order] of each target dimension."""
        return self._join(lambda part: part.central_moment(order))

    def lower_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y <= value}] of each target dimension."""
        return self._join(lambda part, y: part.lower_mean(y), value)

    def upper_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y > value}] of each target dimension."""
        return self._join(lambda part, y: part.upper_mean(y), value)

    def anchor(self) -> Tensor:
        """Return the parts' anchors, (..., K, D)."""
        return self._join(lambda part: part.anchor())

    def score(self, value: Tensor) -> Tensor:
        """Return the derivative of ``marginal_log_prob`` in ``value``, atoms left aside."""
        return self._join(lambda part, y: part.score(y), value)

    def score_slope(self, value: Tensor) -> Tensor:
        """Return the derivative of ``score``."""
        return self._join(lambda part, y: part.score_slope(y), value)

    def gradient(self, value: Tensor) -> Tensor:
        """Return the gradient of ``log_prob`` in ``value``, atoms left aside."""
        return self._join(lambda part, y: part.gradient(y), value)

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value) of each target dimension."""
        return self._join(lambda part, y: part.cdf(y), value)

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value) of each target dimension."""
        return self._join(lambda part, y: part.sf(y), value)

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return log P(Y <= value) of each target dimension."""
        return self._join(lambda part, y: part.log_cdf(y), value)

    def log_sf(self, value: Tensor) -> Tensor:
        """Return log P(Y > value) of each target dimension."""
        return self._join(lambda part, y: part.log_sf(y), value)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile of each target dimension."""
        return self._join(lambda part, y: part.icdf(y), value)

    def isf(self, value: Tensor) -> Tensor:
        """Return the upper quantile of each target dimension."""
        return self._join(lambda part, y: part.isf(y), value)


def padded(points: list[Tensor]) -> list[Tensor]:
    """Return tensors (..., B) with their last axis filled up with NaN to the longest."""
    longest = max(point.shape[-1] for point in points)
    return [torch.nn.functional.pad(point, (0, longest - point.shape[-1]), value=torch.nan) for point in points]
