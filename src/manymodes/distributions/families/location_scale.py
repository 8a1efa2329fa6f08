"""Symmetric families of a location and a scale: what follows from z = (y - loc) / scale alone."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

import torch
from torch import Tensor

from manymodes.distributions.component import Factorised
from manymodes.distributions.declared import Declared


class LocationScale(Declared, Factorised):
    """Components symmetric about ``loc``, whose ``scale`` stretches them; abstract.

    A family implements the functions of the standardised variable z, whose names begin with ``_unit``.
    """

    loc: Tensor
    scale: Tensor

    @property
    def mean(self) -> Tensor:
        """Means, (..., K, D)."""
        return self.loc

    @classmethod
    def start(cls, centres: Tensor, spread: Tensor) -> dict[str, Tensor]:
        """Return parameters to start training from, (K, D) each: means at the centres and equal scales."""
        return {"loc": centres, "scale": spread.expand_as(centres)}

    def lower_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y <= value}] of each target dimension."""
        return self.loc * self.cdf(value) - self.scale * self._partial_mean(value)

    def upper_mean(self, value: Tensor) -> Tensor:
        """Return E[Y 1{Y > value}] of each target dimension."""
        return self.loc * self.sf(value) + self.scale * self._partial_mean(value)

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(Y <= value) for each target dimension, (..., K, D)."""
        return torch.where(value == -torch.inf, 0.0, self._unit_cdf(self._standardised(value)))

    def sf(self, value: Tensor) -> Tensor:
        """Return P(Y > value) for each target dimension, (..., K, D)."""
        return torch.where(value == torch.inf, 0.0, self._unit_cdf(-self._standardised(value)))

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return log P(Y <= value) of each target dimension."""
        return self._unit_log_cdf(self._standardised(value))

    def log_sf(self, value: Tensor) -> Tensor:
        """Return log P(Y > value) of each target dimension."""
        return self._unit_log_cdf(-self._standardised(value))

    def icdf(self, value: Tensor) -> Tensor:
        """Return the quantile of each target dimension, (..., K, D)."""
        return self.loc + self.scale * self._unit_quantile(value)

    def isf(self, value: Tensor) -> Tensor:
        """Return y with P(Y > y) = value for each target dimension, (..., K, D)."""
        return self.loc - self.scale * self._unit_quantile(value)

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Self:
        """Return the distribution of ``shift + scale * Y`` for ``scale`` > 0."""
        return self.with_values(loc=shift + scale * self.loc, scale=scale * self.scale)

    def marginal(self, dims: list[int]) -> Self:
        """Return the same family over the chosen target dimensions."""
        return self.transformed(lambda value: value[..., dims])

    def widened(self, factor: float) -> Self:
        """Return components whose scales are ``factor`` times as large."""
        return self.with_values(scale=factor * self.scale)

    # --- of the standardised variable ---

    @abstractmethod
    def _unit_cdf(self, z: Tensor) -> Tensor:
        """Return P(Z <= z)."""

    @abstractmethod
    def _unit_log_cdf(self, z: Tensor) -> Tensor:
        """Return log P(Z <= z)."""

    @abstractmethod
    def _unit_quantile(self, level: Tensor) -> Tensor:
        """Return z with P(Z <= z) = level."""

    @abstractmethod
    def _unit_partial_mean(self, z: Tensor) -> Tensor:
        """Return E[Z 1{Z > z}], which is even in z."""

    def _partial_mean(self, value: Tensor) -> Tensor:
        return torch.where(value.isinf(), 0.0, self._unit_partial_mean(self._standardised(value)))

    def _standardised(self, value: Tensor, power: float = 0.48) -> Tensor:
        # Bounded before the division: infinite targets, and tiny scales, leave no NaN in gradients.
        largest = torch.finfo(self.loc.dtype).max
        reach = (largest**power * self.scale.detach()).clamp_max(largest)
        return (value - self.loc).clamp(-reach, reach) / self.scale
