"""What it takes to build an estimator's network again: a handful of numbers and names."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions import COVARIANCE_TYPES
from manymodes.nn import MLP, MixtureDensityNetwork, MixtureHead


@dataclass(frozen=True)
class Architecture:
    """Sizes and settings of a network; a fit and a load build it through the same ``build``.

    Attributes:
        n_features: Number of input features, F.
        target_dim: Number of target dimensions, D.
        n_components: Number of mixture components, K.
        covariance_type: Name in ``distributions.COVARIANCE_TYPES``.
        min_scale: Smallest scale of a component, in standardised units.
        hidden_sizes: Width of each hidden layer of the default backbone.
        dropout: Dropout of the default backbone.
        own_backbone_features: Features that the user's own backbone returns; None for the default one.
    """

    n_features: int
    target_dim: int
    n_components: int
    covariance_type: str
    min_scale: float
    hidden_sizes: Sequence[int]
    dropout: float
    own_backbone_features: int | None = None

    def build(self, own_backbone: nn.Module | None = None) -> MixtureDensityNetwork:
        """Return a new network with initial weights; a user's own backbone is copied, never changed."""
        if self.own_backbone_features is None:
            if own_backbone is not None:
                raise _checks.InputError("backbone must be left out: this model has the default one.")
            _checks.instance("hidden_sizes", self.hidden_sizes, Sequence, " of integers, say (128, 128)")
            mlp = MLP(self.n_features, self.hidden_sizes, dropout=self.dropout)
            return MixtureDensityNetwork(mlp, self._head(mlp.out_features))
        if own_backbone is None:
            raise _checks.InputError(
                "backbone must be the module that this model was fitted with; got None. "
                "Hand it in: manymodes.load(path, backbone=module)."
            )
        return MixtureDensityNetwork(copy.deepcopy(own_backbone), self._head(self.own_backbone_features))

    def _head(self, in_features: int) -> MixtureHead:
        return MixtureHead(
            in_features,
            target_dim=self.target_dim,
            n_components=self.n_components,
            family=_checks.one_of("covariance_type", self.covariance_type, COVARIANCE_TYPES),
            min_scale=self.min_scale,
        )


def output_width(backbone: nn.Module, rows: Tensor) -> int:
    """Return how many features a user's own backbone gives, by running a copy of it on some rows."""
    _checks.instance("backbone", backbone, nn.Module)
    try:
        with torch.no_grad():
            features = copy.deepcopy(backbone).cpu().eval()(rows)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise _checks.InputError(
            f"backbone must take features of shape {_checks.shape_text(('N', *rows.shape[1:]))}; it fails: {reason}"
        ) from error
    if not isinstance(features, Tensor) or features.dim() != 2 or len(features) != len(rows):
        shape = _checks.shape_text(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise _checks.InputError(
            f"backbone must return a tensor of shape ({len(rows)}, any) for {len(rows)} rows; got {shape}."
        )
    return int(features.shape[1])
