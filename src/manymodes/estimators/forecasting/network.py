"""The network of a forecaster: one pass from a window to a mixture at every step to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions import COVARIANCE_TYPES
from manymodes.nn import MLP, Members, MixtureDensityNetwork, MixtureHead, PartScaling
from manymodes.nn.members import linear


@dataclass(frozen=True)
class Architecture:
    """What it takes to build the network again.

    Attributes:
        steps: Shape of the window that it sees, (C, F).
        n_level: Numbers that tell where the window lies.
        n_future: Numbers that are known of each step to come.
        horizon: Steps to come, H.
        target_dim: Target dimensions, D.
        n_components: Components of each member at each step.
        n_members: Members of the ensemble.
        hidden_sizes: Widths of the layers that see the window.
        dropout: Share of hidden numbers left out while training.
        covariance_type: Of the components, see ``distributions.COVARIANCE_TYPES``.
        min_scale: Smallest scale in standardised units.
    """

    steps: tuple[int, int]
    n_level: int
    n_future: int
    horizon: int
    target_dim: int
    n_components: int
    n_members: int
    hidden_sizes: tuple[int, ...]
    dropout: float
    covariance_type: str
    min_scale: float

    @classmethod
    def of(cls, x: Mapping[str, Tensor], horizon: int, target_dim: int, **sizes: Any) -> Architecture:
        """Return the architecture for inputs as ``inputs_of`` returns them."""
        n_future = x["future"].shape[-1] if "future" in x else 0
        _, context, width = x["steps"].shape
        return cls((context, width), x["level"].shape[-1], n_future, horizon, target_dim, **sizes)

    def build(self, backbone: nn.Module | None = None) -> MixtureDensityNetwork:
        """Return the network, with a backbone of the user's own to read the window if there is one."""
        window = WindowBackbone(self, backbone)
        head = MixtureHead(
            window.out_features,
            target_dim=self.target_dim,
            n_components=self.n_components,
            family=COVARIANCE_TYPES[self.covariance_type],
            min_scale=self.min_scale,
            n_members=self.n_members,
        )
        head.follow(0)  # the linear map of the window, which much of many series is
        parts = ["steps", "level", *(["future"] if self.n_future else [])]
        return MixtureDensityNetwork(window, head, input_scaling=PartScaling(parts, window.feature_axis))


class WindowBackbone(nn.Module):
    """Maps a window to features of every step to come, (M, N, H, out_features).

    Each step has a linear map of the window of its own, which much of many series follows, beside what layers make of
    it; both meet what is known of the step in a layer that all steps share.

    Args:
        sizes: Sizes of everything.
        backbone: Reads the window in place of layers, (N, C, F) -> (N, out), or (N, C, out) of which the last step
            counts; it is copied for each member.
    """

    feature_axis = -1
    _PER_STEP, _SHARED = 16, 32  # features of a step that layers give, and that it gets with what is known of it

    def __init__(self, sizes: Architecture, backbone: nn.Module | None = None) -> None:
        super().__init__()
        (context, width), members = sizes.steps, sizes.n_members
        self._horizon, self._n_lines = sizes.horizon, sizes.target_dim
        n_window, n_beside = context * width, sizes.n_level + sizes.n_future
        self.reader = None if backbone is None else Members(backbone, members)
        n_read = n_window if backbone is None else _out_features(backbone, context, width)
        self.line = linear(n_window, sizes.horizon * self._n_lines, members)
        with torch.no_grad():
            self.line.weight.zero_()
        self.layers = MLP(
            n_read + n_beside, sizes.hidden_sizes, dropout=sizes.dropout, residual=True, n_members=members
        )
        self.steps = linear(self.layers.out_features, sizes.horizon * self._PER_STEP, members)
        self.shared = nn.Sequential(
            linear(self._n_lines + self._PER_STEP + sizes.n_future, self._SHARED, members), nn.SiLU()
        )
        self.out_features = self._n_lines + self._PER_STEP + self._SHARED

    def forward(self, x: Mapping[str, Tensor]) -> Tensor:
        """Return features of every step, (M, N, H, out_features)."""
        window = x["steps"].flatten(-2)
        future = [x["future"]] if "future" in x else []
        read = window if self.reader is None else _last(self.reader(x["steps"]))
        hidden = self.layers(torch.cat([read, x["level"], *(part[..., 0, :] for part in future)], -1))
        own = torch.cat(
            [
                self.line(window).unflatten(-1, (self._horizon, self._n_lines)),
                self.steps(hidden).unflatten(-1, (self._horizon, self._PER_STEP)),
            ],
            -1,
        )
        return torch.cat([own, self.shared(torch.cat([own, *future], -1))], -1)


def checked_sizes(hidden_sizes: Sequence[int]) -> tuple[int, ...]:
    """Return widths of layers, or refuse what is none."""
    if not isinstance(hidden_sizes, Sequence):
        raise TypeError(f"hidden_sizes must be a list of widths, say (64, 64); got {hidden_sizes!r}.")
    return tuple(_checks.integer_at_least("every size in hidden_sizes", size, 1) for size in hidden_sizes)


def _out_features(backbone: nn.Module, context: int, width: int) -> int:
    """Return how many features a backbone makes of a window, found by showing it one."""
    _checks.instance("backbone", backbone, nn.Module)
    parameter = next(backbone.parameters(), torch.empty(0))
    with torch.no_grad():
        try:
            features = backbone(torch.zeros(2, context, width, dtype=parameter.dtype, device=parameter.device))
        except (RuntimeError, _checks.InputError, TypeError) as error:
            raise _checks.InputError(
                f"backbone must take windows of shape (N, {context}, {width}), context by what is known of each step; "
                f"it fails with one: {str(error).splitlines()[0]}"
            ) from error
    return int(features.shape[-1])


def _last(features: Tensor) -> Tensor:
    """Return features of the last step, (M, N, out), of such of every step, or of those of windows."""
    return features[..., -1, :] if features.dim() == 4 else features
