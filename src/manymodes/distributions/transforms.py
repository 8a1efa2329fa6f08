r"""Monotone maps from the real line into the support of a target, with exact slopes.

Every map is :math:`y = a + b\, g(z)` with b > 0 and an increasing g, so that maps can be shifted and scaled like
targets: ``Log`` has g = exp, ``Logit`` the logistic function, ``YeoJohnson`` the inverse of Yeo and Johnson's power
transform. Named after what they do to the target, as statisticians do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self, cast, final

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.blueprints import Given, Units
from manymodes.distributions.constraints import Scaling

Setting = Given | Tensor


@dataclass(frozen=True, eq=False)
class Transform(ABC):
    """An increasing map from z, a real number, to y. Abstract.

    Attributes:
        shift: a, a number or one per target dimension, in the units of y.
        scale: b > 0, likewise.
    """

    shift: Setting = 0.0
    scale: Setting = 1.0

    scaling = Scaling.AFFINE
    bounds = (-torch.inf, torch.inf)  # of g

    def __post_init__(self) -> None:
        if torch.compiler.is_compiling():  # values are not known while a network is traced
            return
        with torch.device("cpu"):  # also where "meta" is the default, on which nothing can be looked at
            shift, scale = torch.as_tensor(self.shift), torch.as_tensor(self.scale)
        for name, value in (("shift", shift), ("scale", scale)):
            if not bool(value.isfinite().all()):
                raise _checks.InputError(f"{name} must be finite; got {getattr(self, name)}.")
        if not bool((scale > 0).all()):
            raise _checks.InputError(f"scale must be > 0; got {self.scale}.")

    @abstractmethod
    def _g(self, z: Tensor) -> Tensor:
        """Return g(z)."""

    @abstractmethod
    def _g_inverse(self, u: Tensor) -> Tensor:
        """Return z with g(z) = u, for u inside the bounds."""

    @abstractmethod
    def _log_slope(self, z: Tensor) -> Tensor:
        """Return log g'(z)."""

    @abstractmethod
    def _bend(self, z: Tensor) -> Tensor:
        """Return g''(z) / g'(z), the derivative of the log-slope."""

    def forward(self, z: Tensor) -> Tensor:
        """Return y."""
        return _like(self.shift, z) + _like(self.scale, z) * self._g(z)

    def inverse(self, y: Tensor) -> Tensor:
        """Return z; minus or plus infinity on the bounds and beyond."""
        low, high = self.bounds
        u = (y - _like(self.shift, y)) / _like(self.scale, y)
        inside = (u > low) & (u < high)
        z = self._g_inverse(torch.where(inside, u, self._g(torch.zeros_like(u))))
        return torch.where(inside, z, torch.where(u <= low, -torch.inf, torch.inf))

    def log_slope(self, z: Tensor) -> Tensor:
        """Return log dy/dz."""
        return _like(self.scale, z).log() + self._log_slope(z)

    def bend(self, z: Tensor) -> Tensor:
        """Return the derivative of the log-slope in z."""
        return self._bend(z)

    def ends(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lower and upper bound of y, as tensors like ``like``."""
        shift, scale = _like(self.shift, like), _like(self.scale, like)
        low, high = (torch.full_like(like, bound) for bound in self.bounds)
        return shift + scale * low, shift + scale * high

    def affine(self, shift: Setting, scale: Setting) -> Self:
        """Return the map to ``shift + scale * y``."""
        outer, factor = torch.as_tensor(shift).double(), torch.as_tensor(scale).double()
        moved = outer + factor * torch.as_tensor(self.shift, dtype=torch.float64, device=outer.device)
        scaled = factor * torch.as_tensor(self.scale, dtype=torch.float64, device=factor.device)
        return replace(self, shift=moved, scale=scaled)

    def in_units(self, units: Units) -> Self:
        """Return the map to targets in other units; one without bounds is the same in all units."""
        if self.bounds == (-torch.inf, torch.inf):
            return self
        shift = units.scaled(cast(Given, self.shift))
        return replace(self, shift=shift, scale=Units(0.0, units.scale).scaled(cast(Given, self.scale)))

    def of(self, dims: list[int]) -> Self:
        """Return the map of some target dimensions."""
        return replace(self, shift=_of(self.shift, dims), scale=_of(self.scale, dims))


@final
@dataclass(frozen=True, eq=False)
class Log(Transform):
    """Positive targets through their logarithm: y = exp(z)."""

    scaling = Scaling.SCALE
    bounds = (0.0, torch.inf)

    def _g(self, z: Tensor) -> Tensor:
        return z.exp()

    def _g_inverse(self, u: Tensor) -> Tensor:
        return u.log()

    def _log_slope(self, z: Tensor) -> Tensor:
        return z

    def _bend(self, z: Tensor) -> Tensor:
        return torch.ones_like(z)


@final
@dataclass(frozen=True, eq=False)
class Logit(Transform):
    """Targets between two bounds through their logit: y = low + (high - low) / (1 + exp(-z)).

    Example:
        >>> Logit.on(0.0, 100.0).forward(torch.zeros(1))
        tensor([50.])
    """

    bounds = (0.0, 1.0)

    @classmethod
    def on(cls, low: float, high: float) -> Logit:
        """Return the map onto the open interval (low, high).

        Raises:
            ValueError: ``low`` that is not below ``high``.
        """
        if not -torch.inf < low < high < torch.inf:
            raise _checks.InputError(f"low must be below high, and both finite; got {low} and {high}.")
        return cls(low, high - low)

    def inverse(self, y: Tensor) -> Tensor:
        """Return z, from the distances to both bounds: next to the upper one, a share of the width rounds to 1."""
        low, width = _like(self.shift, y), _like(self.scale, y)
        below, above = (y - low) / width, (low + width - y) / width
        inside = (below > 0) & (above > 0)
        z = torch.where(inside, below, 0.5).log() - torch.where(inside, above, 0.5).log()
        return torch.where(inside, z, torch.where(below <= 0, -torch.inf, torch.inf))

    def _g(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)

    def _g_inverse(self, u: Tensor) -> Tensor:
        return u.log() - (-u).log1p()

    def _log_slope(self, z: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(z) + torch.nn.functional.logsigmoid(-z)

    def _bend(self, z: Tensor) -> Tensor:
        return -torch.tanh(0.5 * z)


@final
@dataclass(frozen=True, eq=False)
class YeoJohnson(Transform):
    r"""Skewed targets through Yeo and Johnson's power transform, which is the identity for ``power`` 1.

    .. math:: z = \frac{(1 + y)^\lambda - 1}{\lambda} \ (y \ge 0), \qquad
        z = -\frac{(1 - y)^{2 - \lambda} - 1}{2 - \lambda} \ (y < 0)

    For :math:`\lambda` in [0, 2] it maps the whole line onto the whole line.

    Attributes:
        power: :math:`\lambda`, a number from 0 to 2.

    Raises:
        ValueError: A power outside [0, 2].

    References:
        Yeo and Johnson (2000), A new family of power transformations, Biometrika 87, eq. 2.1.
    """

    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.number_between("power", self.power, 0.0, 2.0, including=(0.0, 2.0))

    def _g(self, z: Tensor) -> Tensor:
        up, down = z.clamp_min(0.0), (-z).clamp_min(0.0)
        return _root(up, self.power) - _root(down, 2 - self.power)

    def _g_inverse(self, u: Tensor) -> Tensor:
        up, down = u.clamp_min(0.0), (-u).clamp_min(0.0)
        return _power(up, self.power) - _power(down, 2 - self.power)

    def _log_slope(self, z: Tensor) -> Tensor:
        u = self._g(z)
        return torch.where(z >= 0, 1 - self.power, self.power - 1) * u.abs().log1p()

    def _bend(self, z: Tensor) -> Tensor:
        u, slope = self._g(z), self._log_slope(z).exp()
        return (1 - self.power) * slope / (1 + u.abs())


def _power(u: Tensor, power: float) -> Tensor:
    """Return ((1 + u)^p - 1) / p for u >= 0, its limit log(1 + u) at p = 0."""
    log = u.log1p()
    return log if power == 0 else torch.expm1(power * log) / power


def _root(z: Tensor, power: float) -> Tensor:
    """Return the inverse of ``_power``, for z >= 0."""
    return torch.expm1(z) if power == 0 else torch.expm1((power * z).log1p() / power)


def _like(setting: Setting, like: Tensor) -> Tensor:
    return torch.as_tensor(setting).to(like)


def _of(setting: Setting, dims: list[int]) -> Setting:
    value = torch.as_tensor(setting)
    return value[..., dims] if value.dim() else setting
