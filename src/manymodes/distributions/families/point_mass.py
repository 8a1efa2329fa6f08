"""Point masses: places that hold probability by themselves, such as exact zeros or a ceiling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
from torch import Tensor
from torch.types import _size

from manymodes import _checks
from manymodes.distributions import constraints
from manymodes.distributions.component import Factorised, Kind
from manymodes.distributions.declared import Declared, Parameter


@final
class PointMass(Declared, Factorised):
    """All probability in one point per component.

    The dominating measure is the Lebesgue measure plus one unit at every atom: ``log_prob`` is 0, the logarithm of a
    probability, at the point and -inf elsewhere. Beside continuous components, see ``Concatenation``, those contribute
    nothing at an atom. A target is on the atom when both are the same number in the coarser of their two precisions.

    Args:
        value: Where, (..., K, D), in the units of y.
        validate_args: Whether values are checked too; shapes always are.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {"value": Parameter(("D",), constraints.real, default=0.0)}
    kind: ClassVar[Kind] = "atom"
    everywhere: ClassVar[bool] = False

    value: Tensor

    def __init__(self, value: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, value=value)

    @property
    def mean(self) -> Tensor:
        """The points, (..., K, D)."""
        return self.value

    def ends(self) -> tuple[Tensor, Tensor]:
        """Return the points, twice."""
        return self.value, self.value

    def turning_points(self) -> Tensor:
        """Return NaN, (..., K, D, 1): there is no density to turn."""
        return torch.full_like(self.value, torch.nan).unsqueeze(-1)

    def central_moment(self, order: int) -> Tensor:
        """Return 0: nothing varies."""
        return torch.zeros_like(self.value)

    def lower_mean(self, value: Tensor) -> Tensor:
        """Return the point where it is at most ``value``, else 0."""
        return self.value * self.cdf(value)

    def upper_mean(self, value: Tensor) -> Tensor:
        """Return the point where it is above ``value``, else 0."""
        return self.value * self.sf(value)

    @classmethod
    def start(cls, centres: Tensor, spread: Tensor, **_: Tensor) -> dict[str, Tensor]:
        """Return nothing: the user says where atoms are."""
        return {}

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return the points, (S..., ..., K, D)."""
        return self.value.expand(torch.Size(sample_shape) + self.value.shape).detach()

    def at(self, value: Tensor) -> Tensor:
        """Return which targets lie on the point, (..., K, D)."""
        coarser = min(value.dtype, self.value.dtype, key=lambda dtype: torch.finfo(dtype).bits)
        return value.to(coarser) == self.value.to(coarser)

    def marginal_log_prob(self, value: Tensor) -> Tensor:
        """Return 0 on the point and -inf elsewhere, (..., K, D)."""
        return torch.zeros_like(self.value).masked_fill(~self.at(value), -torch.inf)

    def score(self, value: Tensor) -> Tensor:
        """Return 0: there is no density."""
        return torch.zeros(
            torch.broadcast_shapes(value.shape, self.value.shape), dtype=value.dtype, device=value.device
        )

    def marginal_curvature(self, value: Tensor) -> Tensor:
        """Return 1."""
        return torch.ones_like(self.score(value))

    def cdf(self, value: Tensor) -> Tensor:
        """Return 1 from the point on, else 0."""
        return ((value >= self.value) | self.at(value)).to(self.value.dtype)

    def sf(self, value: Tensor) -> Tensor:
        """Return 1 below the point, else 0."""
        return 1 - self.cdf(value)

    def icdf(self, value: Tensor) -> Tensor:
        """Return the point, whatever the level."""
        return self.value.expand(torch.broadcast_shapes(value.shape, self.value.shape))

    def isf(self, value: Tensor) -> Tensor:
        """Return the point, whatever the level."""
        return self.icdf(value)

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> Self:
        """Return the point of ``shift + scale * Y``."""
        return type(self)(shift + scale * self.value, validate_args=False)

    def marginal(self, dims: list[int]) -> PointMass:
        """Return the chosen coordinates."""
        return PointMass(self.value[..., dims], validate_args=False)

    def widened(self, factor: float) -> Self:
        """Return the same points: they have no width."""
        _checks.positive("factor", factor)
        return self
