"""A backbone for images and signals: convolutions in one or two dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor, nn

from manymodes import _checks
from manymodes.nn.backbones import Dropout

_LAYERS: Final[Mapping[int, type[nn.Module]]] = {1: nn.Conv1d, 2: nn.Conv2d}
_MEANS: Final[Mapping[int, Any]] = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d}
_MAXIMA: Final[Mapping[int, Any]] = {1: F.max_pool1d, 2: F.max_pool2d}


class Convolution(nn.Module):
    """Convolutions with pooling, (N, in_channels, L) or (N, in_channels, height, width) -> (N, out_features).

    After each layer but the last the resolution is halved while it lasts; what is left is averaged over a grid, so that
    any size of input is taken. Each channel is standardised by the network.

    Args:
        in_channels: Number of channels.
        channels: Channels of each layer.
        dims: 1 for signals, 2 for images.
        kernel_size: Width of the kernels, an odd number.
        grid: Places along each dimension that are told apart in the end.
        out_features: Number of features that come out.
        dropout: Share of the features that is left out at random while training.

    Raises:
        ValueError: A size below 1, an even kernel, or dropout outside [0, 1).

    Example:
        >>> import torch
        >>> Convolution(1, out_features=32)(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 32])
    """

    feature_axis = 1

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int] = (32, 64),
        *,
        dims: int = 2,
        kernel_size: int = 3,
        grid: int = 4,
        out_features: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = [_checks.integer_at_least("in_channels", in_channels, 1)]
        sizes += [_checks.integer_at_least("every number in channels", size, 1) for size in channels]
        if len(sizes) == 1:
            raise _checks.InputError("channels must name at least one layer; got ().")
        self.dims = _checks.integer_at_least("dims", dims, 1, 2)
        if _checks.integer_at_least("kernel_size", kernel_size, 1) % 2 == 0:
            raise _checks.InputError(f"kernel_size must be odd; got {kernel_size}.")
        self.grid = _checks.integer_at_least("grid", grid, 1)
        self.in_channels = sizes[0]
        self.out_features = _checks.integer_at_least("out_features", out_features, 1)
        make: Any = _LAYERS[self.dims]
        self.layers = nn.ModuleList(
            make(wide, next_wide, kernel_size, padding=kernel_size // 2) for wide, next_wide in pairwise(sizes)
        )
        self.exit = nn.Linear(sizes[-1] * self.grid**self.dims, self.out_features)
        self.dropout = Dropout.of(_checks.number_between("dropout", dropout, 0.0, 1.0, including=(0.0,)))

    def forward(self, x: Tensor) -> Tensor:
        """Return features, (N, out_features).

        Raises:
            ValueError: Another shape.
        """
        shape = ("N", self.in_channels, "L") if self.dims == 1 else ("N", self.in_channels, "height", "width")
        _checks.matches_shape("x", x.shape, shape, "as the backbone takes channels")
        *first, last = self.layers
        for layer in first:
            x = F.silu(layer(x))
            if min(x.shape[2:]) >= 2 * self.grid:
                x = _MAXIMA[self.dims](x, 2)
        x = _MEANS[self.dims](F.silu(last(x)), self.grid).flatten(1)
        features: Tensor = self.dropout(F.silu(self.exit(x)))
        return features
