"""The autoregressive head: one masked network gives every target's mixture from the features and the targets before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions import Autoregressive, Conditionals, DiagonalNormal, Mixture
from manymodes.distributions.blueprints import FamilyBlueprint, Slot, Units
from manymodes.distributions.component import Kind
from manymodes.distributions.conditionals import in_order
from manymodes.distributions.constraints import Scaling
from manymodes.distributions.declared import Declared
from manymodes.nn.head import OWN_UNITS, SMALL_START, Head
from manymodes.nn.layout import FloorOf, Layout
from manymodes.nn.links import Floor
from manymodes.nn.members import linear, rows_of_members
from manymodes.nn.spread import spread_start
from manymodes.nn.support import Support

_REACH = 2.0  # standard deviations of targets: with bends near their mean only, it takes long to learn what is curved


class AutoregressiveHead(Head):
    r"""Maps features to a product of one-dimensional mixtures, each given the targets before it.

    .. math:: p(y | h) = \prod_d p(y_d | h, y_1 \dots y_{d-1})

    Features h reach hidden layers and all outputs; targets reach them through masks, such that the mixture of the d-th
    target sees those before it only, along a straight way and through the hidden layers. All conditionals take one
    pass, and so does the likelihood; a sample takes D of them. Positive targets and counts are seen as log(1 + y). Raw
    numbers become parameters as in ``MixtureHead``.

    The order of targets matters to what a finite network can learn: begin with those that follow from x most simply.

    Args:
        in_features: Number of features that the backbone returns.
        target_dim: Number of target dimensions, D.
        n_components: Number of mixture components of every target dimension, K.
        hidden_sizes: Width of each hidden layer, shared by all targets and so at least D; a layer's input is added to
            its output where both have the same width.
        family: Class of one-dimensional components on the line, all of whose parameters the network gives.
        min_scale: Smallest scale, or one for each target dimension, in the units of the head's targets (standardised,
            in a ``MixtureDensityNetwork``).
        order: Target dimensions in the order of the product; None for 0, 1, ...
        n_members: Number of members side by side, M, whose features are (M, N, in_features) and whose densities have
            ``batch_shape`` (M, N); None for one head without a member axis.

    Raises:
        ValueError: A size below 1, no hidden layer or one narrower than D, ``min_scale`` <= 0, an order that does not
            name every target once, or a family of angles or with values that the user gives.
        TypeError: A family that is no class of components.

    References:
        Germain, Gregor, Murray and Larochelle (2015), MADE: masked autoencoder for distribution estimation, ICML,
        section 3, with direct connections from inputs to outputs; Uria, Murray and Larochelle (2013), RNADE: the
        real-valued neural autoregressive density-estimator, NeurIPS, for mixtures as outputs.

    Example:
        >>> head = AutoregressiveHead(8, target_dim=3, n_components=5)
        >>> head(torch.zeros(4, 8))
        Autoregressive(batch_shape=(4,), event_shape=(3,))
    """

    before: Tensor
    heard: Tensor

    def __init__(
        self,
        in_features: int,
        *,
        target_dim: int,
        n_components: int,
        hidden_sizes: Sequence[int] = (128, 128),
        family: type[Declared] = DiagonalNormal,
        min_scale: float | Sequence[float] = 1e-3,
        order: Sequence[int] | None = None,
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
        self._kind = _kind_on_a_line(self.family)
        # Sizes that add to the logarithm of the next ones would explode from target to target.
        self._on_a_log_scale = self.family.scalings(1)[0] is not Scaling.AFFINE
        self.order = in_order(order, self.target_dim)
        least = self.target_dim  # one unit for what each target may know
        self.hidden_sizes = [_checks.integer_at_least("every size in hidden_sizes", n, least) for n in hidden_sizes]
        if not self.hidden_sizes:
            raise _checks.InputError("hidden_sizes must name at least one layer; got ().")
        self._layout = Layout(self.family, self.n_components, 1)
        n_outputs = self.target_dim * self._layout.size
        self.linear = linear(self.in_features, sum(self.hidden_sizes) + n_outputs, self.n_members)
        leading = () if self.n_members is None else (self.n_members,)
        pairs = pairwise([self.target_dim, *self.hidden_sizes])
        self.inward = nn.ParameterList([torch.empty(*leading, *sizes) for sizes in pairs])
        self.outward = nn.Parameter(torch.empty(*leading, self.hidden_sizes[-1], n_outputs))
        self.direct = nn.Parameter(torch.empty(*leading, self.target_dim, n_outputs))
        self._make_masks()
        self._begin()
        self._support = Layout(self.family, 1, self.target_dim).support(_constant(min(self.min_scale)))

    def forward(self, features: Tensor, units: Units = OWN_UNITS) -> Autoregressive:
        """Return the density for features of shape (..., in_features), see ``Head.forward``."""
        context = self.linear(features).to(self.linear.weight.dtype)
        conditionals = _Masked(
            self._layout,
            self._floors(),
            [weight * mask for weight, mask in zip(self.inward, self._seen, strict=True)],
            self._per_target(self.outward) * self.heard,
            self._per_target(self.direct) * self.before,
            self.n_members,
            on_a_log_scale=self._on_a_log_scale,
        )
        return Autoregressive(
            conditionals, context, target_dim=self.target_dim, order=self.order, kind=self._kind, validate_args=False
        )

    def unscaled(self, distribution: Autoregressive, shift: Tensor, scale: Tensor) -> Autoregressive:
        """Return a density in the user's units."""
        return distribution.affine(shift, scale)

    @torch.no_grad()
    def spread(self, y: Tensor, generator: torch.Generator, units: Units = OWN_UNITS) -> None:
        """Spread the initial locations of each target over its quantiles, (N, D), see ``MixtureHead.spread``."""
        self.check_spread(y)
        biases = self._per_target(self.linear.bias[..., sum(self.hidden_sizes) :])
        floors = self.floors.to(y)
        for dim in range(self.target_dim):
            column = y[:, dim : dim + 1]
            centres, typical = spread_start(column, self.n_components, generator, can_differ=True)
            floor = _constant(self.min_scale[dim])
            self._layout.start(biases[..., dim, :], centres, typical.maximum(2 * floors[dim]), floor, units)

    def support(self) -> Support:
        """Return where targets may lie, in the user's units; it depends on the family alone, not on the weights."""
        return self._support

    def extra_repr(self) -> str:
        """Return sizes and family, for the printed module."""
        return f"{super().extra_repr()}, hidden_sizes={self.hidden_sizes}, order={list(self.order)}"

    # --- private ---

    @torch.no_grad()
    def _begin(self) -> None:
        """Draw initial weights: hidden units bend all over the targets, and outputs hardly depend on anything yet."""
        for layer, (weight, mask) in enumerate(zip(self.inward, self._seen, strict=True)):
            reach = 1.0 if layer else _REACH
            weight.uniform_(-reach, reach).div_(mask.sum(0).clamp_min(1).sqrt())
        self.linear.bias[..., : self.hidden_sizes[0]].uniform_(-_REACH, _REACH)
        for weight in (self.outward, self.direct):
            bound = SMALL_START / math.sqrt(weight.shape[-2])
            weight.uniform_(-bound, bound)
        to_outputs = self.linear.weight.T if self.n_members is None else self.linear.weight
        to_outputs[..., sum(self.hidden_sizes) :].mul_(SMALL_START)

    def _make_masks(self) -> None:
        """Keep what each target may know: a hidden unit of degree m sees the first m of them, and is seen after."""
        with torch.device("cpu"):  # no state of the network
            rank = torch.tensor(self.order).argsort()  # of each target in the product
            degrees = [rank + 1, *(torch.arange(size) % self.target_dim for size in self.hidden_sizes)]
            for layer, (own, following) in enumerate(pairwise(degrees)):
                self.register_buffer(f"seen_{layer}", own[:, None] <= following, persistent=False)
            self.register_buffer("heard", (degrees[-1][:, None] <= rank).unsqueeze(-1), persistent=False)
            self.register_buffer("before", (rank[:, None] < rank).unsqueeze(-1), persistent=False)

    @property
    def _seen(self) -> list[Tensor]:
        """Masks of the weights between hidden layers."""
        return [self.get_buffer(f"seen_{layer}") for layer in range(len(self.hidden_sizes))]

    def _per_target(self, values: Tensor) -> Tensor:
        """Return the last axis, D times the size of a mixture, as two, (..., D, size)."""
        apart: Tensor = values.unflatten(-1, (self.target_dim, self._layout.size))
        return apart

    def _floors(self) -> Floor:
        """Return the smallest scales as they broadcast with parameters, (D, K, n), or one number."""
        alike = min(self.min_scale) == max(self.min_scale)
        return self.min_scale[0] if alike else self.floors.to(self.linear.weight)[:, None, None]


@final
class _Masked(Conditionals):
    """The conditionals of a head as it was when it was asked; later training changes nothing.

    Args:
        layout: Makes mixtures of raw numbers.
        floors: Smallest scales, (D, 1, 1), or one number.
        inward: Weights from targets to hidden units, ([M,] D, H), and on, ([M,] H, H), masked, as all are.
        outward: Weights from hidden units to raw numbers, ([M,] H, D, size).
        direct: Weights from targets to raw numbers, ([M,] D, D, size).
        n_members: Number of members, M; None for no member axis.
        on_a_log_scale: Whether targets are seen as log(1 + y).
    """

    def __init__(
        self,
        layout: Layout,
        floors: Floor,
        inward: Sequence[Tensor],
        outward: Tensor,
        direct: Tensor,
        n_members: int | None,
        *,
        on_a_log_scale: bool,
    ) -> None:
        self._layout, self._floors, self._on_a_log_scale = layout, floors, on_a_log_scale
        self._inward, self._outward, self._direct = inward, outward, direct
        self.n_members = n_members

    def __call__(self, context: Tensor, y: Tensor, dims: slice = slice(None)) -> Mixture:
        """Return the mixtures of some targets; see ``Conditionals``."""
        sizes = [weight.shape[-1] for weight in self._inward]
        *contexts, raw = context.split([*sizes, context.shape[-1] - sum(sizes)], -1)
        y = y.clamp_min(0).log1p() if self._on_a_log_scale else y
        hidden = y
        for i, (own, weight) in enumerate(zip(contexts, self._inward, strict=True)):
            new = F.silu(own + self._product(hidden, weight))
            hidden = hidden + new if i and new.shape == hidden.shape else new
        raw = raw.unflatten(-1, self._outward.shape[-2:])[..., dims, :]
        for values, weight in ((hidden, self._outward), (y, self._direct)):
            some = weight[..., dims, :]
            raw = raw + self._product(values, some.flatten(-2)).unflatten(-1, some.shape[-2:])

        def floor(slot: Slot, like: Tensor) -> Floor:
            return self._floors[dims] if isinstance(self._floors, Tensor) else self._floors

        return self._layout.mixture(raw, floor, OWN_UNITS)

    def member(self, index: int) -> _Masked:
        """Return those of one member."""
        inward = [weight[index] for weight in self._inward]
        weights = (inward, self._outward[index], self._direct[index])
        return _Masked(self._layout, self._floors, *weights, None, on_a_log_scale=self._on_a_log_scale)

    def _product(self, values: Tensor, weight: Tensor) -> Tensor:
        """Return the product of (..., n) with (n, m), of members (M, ..., n) with (M, n, m)."""
        if self.n_members is None:
            return values @ weight
        return (rows_of_members(values) @ weight).reshape(*values.shape[:-1], weight.shape[-1])


def _constant(floor: float) -> FloorOf:
    """Return one smallest scale for all parameters."""
    return lambda slot, like: floor


def _kind_on_a_line(family: object) -> Kind:
    """Return the kind of a family's targets, or refuse what can be no conditional here."""
    if not isinstance(family, FamilyBlueprint):
        raise TypeError(f"family must be a class of components for AutoregressiveHead; got {family!r}.")
    given = [name for name, parameter in family.family.parameters.items() if parameter.default is not None]
    if given or family.family.kind == "angle":
        why = f"whose {given[0]} the user gives" if given else "whose targets are angles"
        raise _checks.InputError(
            "family must be on the line, with all parameters from the network, for AutoregressiveHead; got "
            f"{family.family.__name__}, {why}."
        )
    return family.family.kind
