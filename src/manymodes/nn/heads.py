"""The mixture head: from a plain vector of features to the parameters of a mixture, legal by construction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.distributions.blueprints import Blueprint, FamilyBlueprint, Slot, Units
from manymodes.distributions.declared import Declared
from manymodes.nn.head import OWN_UNITS, SMALL_START, Head
from manymodes.nn.layout import Layout
from manymodes.nn.links import Floor
from manymodes.nn.members import linear
from manymodes.nn.spread import spread_start
from manymodes.nn.support import Support


class MixtureHead(Head):
    """Maps features to a mixture, (N, in_features) -> ``batch_shape`` (N,), ``event_shape`` (D,).

    One linear layer gives K logits and, for every parameter that the family declares, K times its size; each
    is mapped into its constraint. Scales are ``min_scale`` + softplus(raw): the floor is real;
    see ``nn.links`` for the other maps.

    Args:
        in_features: Number of features that the backbone returns.
        target_dim: Number of target dimensions, D.
        n_components: Number of mixture components, K.
        family: Class of the components, or a blueprint such as ``Product.of(...)``, see ``manymodes.distributions``.
        min_scale: Smallest scale, or one for each target dimension, in the units of the head's targets (standardised,
            in a ``MixtureDensityNetwork``).
        n_members: Number of members side by side, M, whose features are (M, N, in_features) and whose mixtures have
            ``batch_shape`` (M, N); None for one head without a member axis.

    Attributes:
        min_scale: Smallest scale in each target dimension, D of them.

    Raises:
        ValueError: A size below 1 or one that does not fit the family, ``min_scale`` <= 0, or bounds out of order.
    """

    def __init__(
        self,
        in_features: int,
        *,
        target_dim: int,
        n_components: int,
        family: type[Declared] | Blueprint = DiagonalNormal,
        min_scale: float | Sequence[float] = 1e-3,
        n_members: int | None = None,
    ) -> None:
        super().__init__(
            in_features,
            target_dim=target_dim,
            n_components=n_components,
            family=family,
            min_scale=min_scale,
            n_members=n_members,
        )
        self._layout = Layout(self.family, self.n_components, self.target_dim)
        self.out_features = self._layout.size
        self.linear = linear(self.in_features, self.out_features, self.n_members)
        with torch.no_grad():
            self.linear.weight.mul_(SMALL_START)
        self._support = self._layout.support(self._floor)

    def forward(self, features: Tensor, units: Units = OWN_UNITS) -> Mixture:
        """Return the mixture for features of shape (..., in_features), see ``Head.forward``."""
        # Autocast lowers products only, not likelihoods.
        return self._layout.mixture(self.linear(features).to(self.linear.weight.dtype), self._floor, units)

    def unscaled(self, distribution: Mixture, shift: Tensor, scale: Tensor) -> Mixture:
        """Return a mixture in the user's units, with what the user gave set exactly."""
        return distribution.with_components(self.family.settled(distribution.components.affine(shift, scale)))

    @torch.no_grad()
    def spread(self, y: Tensor, generator: torch.Generator, units: Units = OWN_UNITS) -> None:
        """Spread the initial locations over the targets, (N, D), so that no run starts on their mean.

        Without it some runs never leave the conditional mean. Quantiles of the target in one dimension,
        k-means centres in several; scales start at the distance that targets keep from their centre.
        """
        self.check_spread(y)
        can_differ = isinstance(self.family, FamilyBlueprint)
        centres, typical = spread_start(y, self.n_components, generator, can_differ=can_differ)
        self._layout.start(self.linear.bias, centres, typical.maximum(2 * self.floors.to(y)), self._floor, units)

    @torch.no_grad()
    def follow(self, first: int) -> None:
        """Let the location of every component start as one feature for each target dimension, ``first`` and the next D.

        Without it what leads to such features learns slowly, since weights start small and differ between components.
        """
        weight = self.linear.weight if self.n_members is not None else self.linear.weight.mT  # (..., features, out)
        loc = self._layout.split(weight)[1]["loc"].unflatten(-1, (self.n_components, self.target_dim))
        loc[..., first : first + self.target_dim, :, :] = torch.eye(self.target_dim).unsqueeze(-2)

    def support(self) -> Support:
        """Return where targets may lie, in the user's units; it depends on the family alone, not on the weights."""
        return self._support

    def slots(self) -> Iterator[tuple[Slot, list[float]]]:
        """Yield what the raw numbers after the logits stand for, in their order, and the smallest scale of each."""
        for slot in self._layout.slots().values():
            floor = self._floor(slot, self.floors.double())
            yield slot, floor.tolist() if isinstance(floor, Tensor) else [floor]

    def _floor(self, slot: Slot, like: Tensor) -> Floor:
        """Return the smallest scale that a parameter may stand for, or one for each of its numbers, (D,)."""
        own = self.min_scale[slice(*slot.dims)]
        if slot.shape[0] < len(own) or min(own) == max(own):  # one scale for several dimensions, or the same for all
            return min(own)
        return self.floors[slice(*slot.dims)].to(like)
