"""The mixture head: from a plain vector of features to the parameters of a mixture, legal by construction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.distributions import DiagonalNormal, Mixture, constraints
from manymodes.distributions.component import Declared
from manymodes.nn.spread import spread_centres

_SMALL_START = 0.1  # of the usual initial weights: at first the biases speak, and they are spread over y


class MixtureHead(nn.Module):
    """Maps features to a mixture, (N, in_features) -> ``batch_shape`` (N,), ``event_shape`` (D,).

    One linear layer gives K logits and, for every parameter that the family declares, K times its size; each
    is mapped into its constraint. Scales are ``min_scale`` + softplus(raw): the floor is real.

    Args:
        in_features: Number of features that the backbone returns.
        target_dim: Number of target dimensions, D.
        n_components: Number of mixture components, K.
        family: Class of the components, see ``manymodes.distributions``.
        min_scale: Smallest scale, in the units of the head's targets (standardised, in a
            ``MixtureDensityNetwork``).

    Raises:
        ValueError: A size below 1 or ``min_scale`` <= 0.
    """

    def __init__(
        self,
        in_features: int,
        *,
        target_dim: int,
        n_components: int,
        family: type[Declared] = DiagonalNormal,
        min_scale: float = 1e-3,
    ) -> None:
        super().__init__()
        self.in_features = _checks.integer_at_least("in_features", in_features, 1)
        self.target_dim = _checks.integer_at_least("target_dim", target_dim, 1)
        self.n_components = _checks.integer_at_least("n_components", n_components, 1)
        self.min_scale = _checks.positive("min_scale", min_scale)
        self.family = family
        self.sizes = {
            name: self.n_components * math.prod(parameter.sizes(self.target_dim))
            for name, parameter in family.parameters.items()
        }
        self.linear = nn.Linear(self.in_features, self.n_components + sum(self.sizes.values()))
        with torch.no_grad():
            self.linear.weight.mul_(_SMALL_START)

    def forward(self, features: Tensor) -> Mixture:
        """Return the mixture for features of shape (..., in_features)."""
        logits, raw = self._split(self.linear(features))
        values = {name: self._map(name).forward(value, self.min_scale) for name, value in raw.items()}
        weights = Categorical(logits=logits, validate_args=False)
        return Mixture(weights, self.family(**values, validate_args=False), validate_args=False)

    @torch.no_grad()
    def spread(self, y: Tensor, generator: torch.Generator) -> None:
        """Spread the initial locations over the targets, (N, D), so that no run starts on their mean.

        Without it some runs never leave the conditional mean. Quantiles of the target in one dimension,
        k-means centres in several; scales start at the distance that targets keep from their centre.
        """
        _checks.matches_shape("y", y.shape, ("N", self.target_dim), "to match the head's target_dim")
        centres = spread_centres(y, self.n_components, generator)  # (K, D)
        distance = torch.cdist(y, centres).amin(-1)
        typical = (distance.square().mean() / self.target_dim).sqrt().clamp_min(2 * self.min_scale)
        logits, raw = self._split(self.linear.bias)
        logits.zero_()
        for name, value in self.family.start(centres, typical.expand(self.target_dim)).items():
            raw[name].copy_(self._map(name).inverse(value, self.min_scale))

    def _split(self, output: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Cut the linear layer's output, (..., total), into logits (..., K) and raw parameters (..., K, size)."""
        logits, *parts = output.split([self.n_components, *self.sizes.values()], dim=-1)
        raw = (part.unflatten(-1, (self.n_components, -1)) for part in parts)
        return logits, dict(zip(self.sizes, raw, strict=True))

    def _map(self, name: str) -> _Map:
        return _MAPS[self.family.parameters[name].constraint]


class _Map(NamedTuple):
    """A map from raw outputs into a constraint and its inverse; both take the smallest scale as well."""

    forward: Callable[[Tensor, float], Tensor]
    inverse: Callable[[Tensor, float], Tensor]


def _inverse_softplus(value: Tensor) -> Tensor:
    return value + torch.log(-torch.expm1(-value))


_MAPS = {
    constraints.real: _Map(lambda raw, _: raw, lambda value, _: value),
    constraints.scale: _Map(
        lambda raw, floor: floor + F.softplus(raw), lambda value, floor: _inverse_softplus(value - floor)
    ),
}
