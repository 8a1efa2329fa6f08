"""Backbones: modules that map inputs to features, (N, F) -> (N, out_features), or (M, N, F) with members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from manymodes import _checks
from manymodes.nn.members import linear
from manymodes.nn.random_bytes import random_bytes


class MLP(nn.Module):
    """A multilayer perceptron, (N, in_features) -> (N, out_features), or (M, N, ...) with members.

    Args:
        in_features: Number of input features.
        hidden_sizes: Width of each hidden layer; the last one is ``out_features``.
        dropout: Share of hidden units left out at random while training, in [0, 1).
        activation: Makes the nonlinearity after every layer.
        residual: Whether a layer's input is added to its output where both have the same width.
        n_members: Number of members side by side, M; None for one network without a member axis.

    Raises:
        ValueError: A size below 1, no layers, or dropout outside [0, 1).
    """

    feature_axis = -1

    def __init__(
        self,
        in_features: int,
        hidden_sizes: Sequence[int] = (128, 128, 128),
        *,
        dropout: float = 0.0,
        activation: Callable[[], nn.Module] = nn.SiLU,
        residual: bool = False,
        n_members: int | None = None,
    ) -> None:
        super().__init__()
        sizes = [_checks.integer_at_least("in_features", in_features, 1)]
        sizes += [_checks.integer_at_least("every size in hidden_sizes", size, 1) for size in hidden_sizes]
        if len(sizes) == 1:
            raise _checks.InputError("hidden_sizes must name at least one layer; got ().")
        dropout = _checks.number_between("dropout", dropout, 0.0, 1.0, including=(0.0,))
        self.in_features, self.out_features = sizes[0], sizes[-1]
        layers: list[nn.Module] = []
        for wide, next_wide in pairwise(sizes):
            layers += [linear(wide, next_wide, n_members), activation()]
            if dropout:
                layers.append(Dropout(dropout))
        self.layers = nn.Sequential(*layers)
        self._block = len(layers) // (len(sizes) - 1)  # modules in a layer
        self.skips = [residual and wide == next_wide for wide, next_wide in pairwise(sizes[1:])]

    def forward(self, x: Tensor) -> Tensor:
        """Return features, (..., N, out_features)."""
        first, *others = (self.layers[i : i + self._block] for i in range(0, len(self.layers), self._block))
        features: Tensor = first(x)
        for layer, skips in zip(others, self.skips, strict=True):
            features = features + layer(features) if skips else layer(features)
        return features


class Dropout(nn.Module):
    """Dropout with a share in multiples of 1/256, which one random byte for each number decides.

    Drawing numbers is what dropout costs on a CPU; torch's own draws eight bytes for each.

    Args:
        share: Share of numbers left out at random while training, in (0, 1); rounded to multiples of 1/256.
    """

    left_out: Tensor

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        # Of 256 numbers. A tensor, so that a compiled step sees it change; it is no part of what is saved, and thus has
        # memory also while a network is made without.
        with torch.device("cpu"):
            self.register_buffer("left_out", torch.zeros((), dtype=torch.uint8), persistent=False)
        self.fade(1.0)

    @classmethod
    def of(cls, share: float) -> nn.Module:
        """Return dropout of a share, or a module that changes nothing for a share of 0."""
        return cls(share) if share else nn.Identity()

    def fade(self, level: float) -> None:
        """Leave out so much of the share from now on, from 0 to 1."""
        n_left_out = min(255, round(256 * self.share * level))
        self.is_active = n_left_out > 0
        self.left_out.fill_(n_left_out)

    def extra_repr(self) -> str:
        """Return the share, for the printed module."""
        return f"share={self.share}"

    def forward(self, x: Tensor) -> Tensor:
        """Return x, with a share of its numbers replaced by 0 and the others enlarged to match, while training."""
        if not self.training or not self.is_active:
            return x
        kept = random_bytes(x) >= self.left_out
        return x * (kept * (256 / (256 - self.left_out.to(x.dtype))))
