"""What a network asks of its head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions.blueprints import Blueprint, Units, as_blueprint
from manymodes.distributions.declared import Declared
from manymodes.nn.members import MemberLinear
from manymodes.nn.support import Support

OWN_UNITS = Units()
SMALL_START = 0.1  # of the usual initial weights: at first the biases speak, and they are spread over y


class Head(nn.Module, ABC):
    """Maps features to a distribution, (N, in_features) -> ``batch_shape`` (N,), ``event_shape`` (D,). Abstract.

    Args:
        in_features: Number of features that the backbone returns.
        target_dim: Number of target dimensions, D.
        n_components: Number of mixture components, K.
        family: Class of the components, or a blueprint.
        min_scale: Smallest scale, or one for each target dimension, in the units of the head's targets.
        n_members: Number of members side by side, M; None for one head without a member axis.

    Attributes:
        min_scale: Smallest scale in each target dimension, D of them.
        floors: The same as a tensor, (D,), where the parameters are.
        linear: The layer that takes the features.

    Raises:
        ValueError: A size below 1 or one that does not fit, or ``min_scale`` <= 0.
    """

    floors: Tensor
    linear: nn.Linear | MemberLinear

    def __init__(
        self,
        in_features: int,
        *,
        target_dim: int,
        n_components: int,
        family: type[Declared] | Blueprint,
        min_scale: float | Sequence[float],
        n_members: int | None,
    ) -> None:
        super().__init__()
        self.in_features = _checks.integer_at_least("in_features", in_features, 1)
        self.target_dim = _checks.integer_at_least("target_dim", target_dim, 1)
        self.n_components = _checks.integer_at_least("n_components", n_components, 1)
        given = list(min_scale) if isinstance(min_scale, Sequence) else [min_scale] * self.target_dim
        self.min_scale = [_checks.positive("min_scale", scale) for scale in given]
        _checks.matches_shape("min_scale", (len(given),), (self.target_dim,), "or be a number")
        with torch.device("cpu"):  # no state of the network: also there while it is made without memory
            self.register_buffer("floors", torch.tensor(self.min_scale, dtype=torch.float64), persistent=False)
        self.family = as_blueprint(family)
        self.n_members = None if n_members is None else _checks.integer_at_least("n_members", n_members, 1)

    @abstractmethod
    def forward(self, features: Tensor, units: Units = OWN_UNITS) -> Any:
        """Return the distribution for features of shape (..., in_features).

        Args:
            features: What the backbone returns.
            units: Units of the head's targets, in which values that the user gave, say bounds, are expressed.
        """

    @abstractmethod
    def unscaled(self, distribution: Any, shift: Tensor, scale: Tensor) -> Any:
        """Return what ``forward`` returned in the user's units: of ``shift + scale * Y``, (D,) each."""

    @abstractmethod
    def spread(self, y: Tensor, generator: torch.Generator, units: Units = OWN_UNITS) -> None:
        """Spread the initial locations over the targets, (N, D), so that no run starts on their mean."""

    @abstractmethod
    def support(self) -> Support:
        """Return where targets may lie, in the user's units; it depends on the family alone, not on the weights."""

    def extra_repr(self) -> str:
        """Return sizes and family, for the printed module."""
        sizes = f"target_dim={self.target_dim}, n_components={self.n_components}, n_members={self.n_members}"
        return f"{sizes}, min_scale={_shortest(self.min_scale)}, family={self.family!r}"

    def check_spread(self, y: Tensor) -> None:
        """Refuse targets of another shape than (N, D)."""
        _checks.matches_shape("y", y.shape, ("N", self.target_dim), "to match the head's target_dim")


def _shortest(scales: list[float]) -> str:
    """Return smallest scales in words, one where all are alike."""
    alike = len(set(scales)) == 1
    return f"{scales[0]:g}" if alike else f"({', '.join(f'{scale:g}' for scale in scales)})"
