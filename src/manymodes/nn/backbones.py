"""Backbones: modules that map inputs to features, (N, F) -> (N, out_features), or (M, N, F) with members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from manymodes import _checks
from manymodes.nn.members import linear


class MLP(nn.Module):
    """A multilayer perceptron, (N, in_features) -> (N, out_features), or (M, N, ...) with members.

    Args:
        in_features: Number of input features.
        hidden_sizes: Width of each hidden layer; the last one is ``out_features``.
        dropout: Share of hidden units left out at random while training, in [0, 1).
        activation: Makes the nonlinearity after every layer.
        n_members: Number of members side by side, M; None for one network without a member axis.

    Raises:
        ValueError: A size below 1, no layers, or dropout outside [0, 1).
    """

    def __init__(
        self,
        in_features: int,
        hidden_sizes: Sequence[int] = (128, 128, 128),
        *,
        dropout: float = 0.0,
        activation: Callable[[], nn.Module] = nn.SiLU,
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
                layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return features, (..., N, out_features)."""
        features: Tensor = self.layers(x)
        return features
