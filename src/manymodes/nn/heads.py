"""The mixture head: from a plain vector of features to the parameters of a mixture, legal by construction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.distributions.blueprints import Blueprint, FamilyBlueprint, Slot, Units, as_blueprint
from manymodes.distributions.declared import Declared
from manymodes.nn.links import LINKS, Floor
from manymodes.nn.members import linear
from manymodes.nn.scaling import fences
from manymodes.nn.spread import spread_centres
from manymodes.nn.support import Support

_OWN_UNITS = Units()
_SMALL_START = 0.1  # of the usual initial weights: at first the biases speak, and they are spread over y


class MixtureHead(nn.Module):
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

    floors: Tensor

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
        self.sizes = {name: LINKS[slot.constraint].size(slot) for name, slot in self._slots().items()}
        self.n_members = None if n_members is None else _checks.integer_at_least("n_members", n_members, 1)
        self.out_features = self.n_components + sum(self.sizes.values())
        self.linear = linear(self.in_features, self.out_features, self.n_members)
        with torch.no_grad():
            self.linear.weight.mul_(_SMALL_START)
        self._support = self._find_support()

    def forward(self, features: Tensor, units: Units = _OWN_UNITS) -> Mixture:
        """Return the mixture for features of shape (..., in_features).

        Args:
            features: What the backbone returns.
            units: Units of the head's targets, in which values that the user gave, say bounds, are expressed.
        """
        output = self.linear(features).to(self.linear.weight.dtype)  # autocast lowers products only, not likelihoods
        logits, raw = self._split(output)
        slots = self._slots()
        values = {name: self._forward(slots[name], value) for name, value in raw.items()}
        components = self.family.build(values, logits.shape, self.target_dim, units)
        return Mixture(Categorical(logits=logits, validate_args=False), components, validate_args=False)

    def extra_repr(self) -> str:
        """Return sizes and family, for the printed module."""
        sizes = f"target_dim={self.target_dim}, n_components={self.n_components}, n_members={self.n_members}"
        return f"{sizes}, min_scale={_shortest(self.min_scale)}, family={self.family!r}"

    @torch.no_grad()
    def spread(self, y: Tensor, generator: torch.Generator, units: Units = _OWN_UNITS) -> None:
        """Spread the initial locations over the targets, (N, D), so that no run starts on their mean.

        Without it some runs never leave the conditional mean. Quantiles of the target in one dimension,
        k-means centres in several; scales start at the distance that targets keep from their centre.
        """
        _checks.matches_shape("y", y.shape, ("N", self.target_dim), "to match the head's target_dim")
        width = y.std(0, correction=0)
        width = torch.where(width > 0, width, 1.0)  # distances between targets count every dimension alike
        centres = spread_centres(y / width, self.n_components, generator) * width  # (K, D)
        nearest = centres[torch.cdist(y / width, centres / width).argmin(-1)]
        typical = self._typical(y, nearest).maximum(2 * self.floors.to(y))
        logits, raw = self._split(self.linear.bias)
        logits.zero_()
        for name, value in self.family.start(centres, typical, units).items():
            raw[name].copy_(self._inverse(name, value))  # the same for every member

    def _typical(self, y: Tensor, nearest: Tensor) -> Tensor:
        """Return the distance that targets (N, D) keep from their centres, (D,), without gross outliers.

        Where there are any, a last component is as wide as they are far, (K, D): it takes them over, and the others
        learn what is left.
        """
        square, (low, high) = (y - nearest).square(), fences(y)
        near = (y >= low) & (y <= high)
        typical = (square.where(near, 0.0).sum(0) / near.sum(0)).sqrt()
        can_differ = isinstance(self.family, FamilyBlueprint) and self.n_components > 1
        if bool(near.all()) or not can_differ:
            return typical
        far = square.mean(0).sqrt()
        return torch.cat([typical.expand(self.n_components - 1, -1), far.unsqueeze(0)])

    def support(self) -> Support:
        """Return where targets may lie, in the user's units; it depends on the family alone, not on the weights."""
        return self._support

    @torch.no_grad()
    def _find_support(self) -> Support:
        with torch.device("cpu"):  # also while a network is made without memory, on the device "meta"
            slots = self._slots()
            logits, raw = self._split(torch.zeros(self.out_features, dtype=torch.float64))
            values = {name: self._forward(slots[name], value) for name, value in raw.items()}
            components = self.family.build(values, logits.shape, self.target_dim, _OWN_UNITS)
            return Support.of(self.family.settled(components.transformed(torch.Tensor.double)))

    def _slots(self) -> dict[str, Slot]:
        return self.family.slots(self.n_components, self.target_dim)

    def _forward(self, slot: Slot, raw: Tensor) -> Tensor:
        """Return a parameter, (..., K, *shape), for its raw numbers, (..., K * size)."""
        floor = self._floor(slot, raw)
        return LINKS[slot.constraint].forward(raw.unflatten(-1, (slot.n_components, -1)), slot.shape, floor)

    def _inverse(self, name: str, value: Tensor) -> Tensor:
        slot = self._slots()[name]
        return LINKS[slot.constraint].inverse(value, slot.shape, self._floor(slot, value)).flatten()

    def _floor(self, slot: Slot, like: Tensor) -> Floor:
        """Return the smallest scale that a parameter may stand for, or one for each of its numbers, (D,)."""
        own = self.min_scale[slice(*slot.dims)]
        if slot.shape[0] < len(own) or min(own) == max(own):  # one scale for several dimensions, or the same for all
            return min(own)
        return self.floors[slice(*slot.dims)].to(like)

    def _split(self, output: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Cut the linear layer's output, (..., total), into logits (..., K) and raw numbers of every parameter."""
        logits, *parts = output.split([self.n_components, *self.sizes.values()], dim=-1)
        return logits, dict(zip(self.sizes, parts, strict=True))


def _shortest(scales: list[float]) -> str:
    """Return smallest scales in words, one where all are alike."""
    alike = len(set(scales)) == 1
    return f"{scales[0]:g}" if alike else f"({', '.join(f'{scale:g}' for scale in scales)})"
