"""A backbone and a head joined, with the scaling of inputs and targets inside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self, overload

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from manymodes import _checks
from manymodes.distributions import Incomplete, Mixture
from manymodes.distributions.blueprints import Units
from manymodes.nn.embeddings import TableEmbedding
from manymodes.nn.head import Head
from manymodes.nn.heads import MixtureHead
from manymodes.nn.inputs import Inputs, mapped, parts_of, precision
from manymodes.nn.retrieval import Retrieval
from manymodes.nn.scaling import PartScaling, Standardizer, TableScaling, standardised
from manymodes.nn.steps import (
    LENGTHS,
    STEPS,
    as_inputs,
    columns,
    feature_axis,
    has_lengths,
    packed_places,
    real_steps,
    with_lengths,
)


class MixtureDensityNetwork(nn.Module):
    """Maps x to a mixture over y, in the user's units of both (Bishop 1994).

    Inside, inputs and targets are standardised by buffers that ``initialise`` sets; the returned density carries
    the exact Jacobian. Tables are scaled, (N, F), and inputs of more axes where the backbone's ``feature_axis`` says
    which of them holds features, as those of this package do; others, and integers (tokens), reach the backbone as they
    are. Several inputs come as a dict of tensors, each of which is treated likewise, and the backbone takes the dict.
    The answer has the precision of the question: float64 inputs give a float64 distribution.

    A backbone that returns features at every step, (N, T, F), makes a mixture at every step, ``batch_shape`` (N, T);
    its targets are (N, T, D). For a ``PackedSequence`` the prediction has those steps only that are real, in the order
    of its ``data``.

    Modules of the backbone all of whose parameters are frozen (``requires_grad`` False) stay in evaluation mode while
    training, so that the running statistics of a pre-trained part stay as they are, too.

    A head with members makes an ensemble of it: every parameter carries a leading member axis, the backbone maps
    (M, N, ...) to (M, N, ``head.in_features``), and the prediction is the members' mixtures pooled into one, each with
    the same weight (Lakshminarayanan, Pritzel and Blundell 2017). ``members`` keeps them apart.

    Args:
        backbone: Maps inputs, (N, ...), to features, (N, ``head.in_features``), or such at every step.
        head: Maps features to a mixture. Another ``Head`` may return another density of the targets, say an
            ``Autoregressive``, which then stands wherever a mixture is spoken of here.
        input_scaling: How tables are scaled; None standardises each column.
        retrieval: Memory of training rows whose targets become components, too; None for none.

    Raises:
        TypeError: A backbone that is no ``nn.Module``, or a head that is no ``Head``; a retrieval beside a head
            that is no ``MixtureHead``.

    Example:
        >>> network = MixtureDensityNetwork(nn.Linear(3, 8), MixtureHead(8, target_dim=2, n_components=5))
        >>> network(torch.zeros(4, 3))
        Mixture(n_components=5, family=DiagonalNormal, batch_shape=(4,), event_shape=(2,))
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: Head,
        *,
        input_scaling: Standardizer | TableScaling | PartScaling | None = None,
        retrieval: Retrieval | None = None,
    ) -> None:
        super().__init__()
        _checks.instance("backbone", backbone, nn.Module)
        _checks.instance("head", head, Head, ", say a MixtureHead")
        if retrieval is not None:
            _checks.instance("head", head, MixtureHead, " beside a retrieval")
        self.backbone = backbone
        self.head = head
        self.retrieval = retrieval
        self.input_scaling: Standardizer | TableScaling | PartScaling = (
            Standardizer(constant_scale=math.inf) if input_scaling is None else input_scaling
        )
        self.target_scaling = Standardizer()

    def forward(self, x: Inputs | PackedSequence) -> Mixture:
        """Return p(y | x) for inputs (N, ...), in the user's units; members are pooled."""
        mixture = self.members(x)
        return mixture if self.n_members is None else mixture.pooled(0)

    def members(self, x: Inputs | PackedSequence) -> Mixture:
        """Return each member's p(y | x) for inputs (N, ...), ``batch_shape`` (M, N), in the user's units.

        Without members it is the prediction itself, ``batch_shape`` (N,).
        """
        if isinstance(x, PackedSequence):
            whole = self.members(as_inputs(x))
            has_steps = len(whole.batch_shape) == (2 if self.n_members is None else 3)
            return whole[(..., *packed_places(x))] if has_steps else whole
        scaled_input, n_members = self.scale_input(x), self.n_members
        if n_members is not None:
            scaled_input = mapped(scaled_input, lambda part: part.expand(n_members, *part.shape))
        dtype = precision(x, self.dtype)
        scaled = self.scaled_distribution(scaled_input).to(dtype)
        shift, scale = (value.to(dtype) for value in (self.target_scaling.loc, self.target_scaling.scale))
        unscaled: Mixture = self.head.unscaled(scaled, shift, scale)
        return unscaled

    def scaled_distribution(
        self, x_scaled: Inputs, place: Tensor | None = None, *, steps_as_rows: bool = False
    ) -> Mixture:
        """Return the density of scaled targets for scaled inputs, (M, N, ...) with members; training works on these.

        Args:
            x_scaled: Inputs as ``scale_input`` returns them.
            place: Numbers of the rows among those that a retrieval remembers, which are left out for themselves.
            steps_as_rows: Whether every step of a row counts as a row, ``batch_shape`` (N T,).
        """
        return self.density_of(self.features_of(x_scaled, steps_as_rows=steps_as_rows), place)

    def features_of(self, x_scaled: Inputs, *, steps_as_rows: bool = False) -> Tensor:
        """Return what the backbone makes of scaled inputs, (..., ``head.in_features``), see ``scaled_distribution``."""
        features: Tensor = self.backbone(x_scaled)
        return features.flatten(0 if self.n_members is None else 1, -2) if steps_as_rows else features

    def density_of(self, features: Tensor, place: Tensor | None = None) -> Mixture:
        """Return the density of scaled targets for features, see ``scaled_distribution``."""
        mixture: Mixture = self.head(features, self.units)
        return mixture if self.retrieval is None else self.retrieval(features, mixture, place)

    @property
    def n_members(self) -> int | None:
        """Number of members, M; None for one network without a member axis."""
        return self.head.n_members

    def member_state(self) -> dict[str, Tensor]:
        """Return what training changes, parameters and running statistics, as views with the member axis in front.

        Without members that axis has length 1.
        """
        modules = {"backbone": self.backbone, "head": self.head, "retrieval": self.retrieval or nn.Module()}
        state = {
            f"{name}.{key}": value.detach() for name, part in modules.items() for key, value in part.named_parameters()
        }
        if self.n_members is not None:
            return state
        saved = self.backbone.state_dict()
        state |= {f"backbone.{key}": value for key, value in self.backbone.named_buffers() if key in saved}
        return {name: value[None] for name, value in state.items()}

    def scale_input(self, x: Inputs) -> Any:
        """Return inputs as the backbone takes them, in the network's precision."""
        parts_of(x)
        real_steps(x)  # refuses lengths that cannot be
        scaling, axis = self.input_scaling, feature_axis(self.backbone)
        if isinstance(scaling, PartScaling):
            if isinstance(x, Tensor) and x.dim() > 2 and set(scaling.parts) == {STEPS, LENGTHS}:
                x = with_lengths(x)
            x = scaling(x)
        elif isinstance(x, Mapping) and has_lengths(x):
            x = {**x, STEPS: standardised(f"x[{STEPS!r}]", x[STEPS], scaling, axis)}
        elif isinstance(x, Mapping) and scaling.n_features is not None:
            raise _checks.InputError("x must be one tensor, as the network was fitted with; got a mapping.")
        elif isinstance(x, Tensor):
            x = standardised("x", x, scaling, axis)
        return mapped(x, lambda part: part.to(self.dtype) if part.is_floating_point() else part)

    def train(self, mode: bool = True) -> Self:
        """Switch to training, but for parts of the backbone that are frozen, or to evaluation."""
        super().train(mode)
        for module in self.backbone.modules() if mode else ():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
        return self

    @overload
    def scale_target(self, y: Tensor) -> Tensor: ...

    @overload
    def scale_target(self, y: Incomplete) -> Incomplete: ...

    def scale_target(self, y: Tensor | Incomplete) -> Tensor | Incomplete:
        """Return targets, (N, D), in standardised units and the network's precision.

        What lies on a bound or an atom that the user gave lies on it afterwards, too.
        """
        self.check_target(y)
        return y.map(self._scaled) if isinstance(y, Incomplete) else self._scaled(y)

    def initialise(self, x: Inputs, y: Tensor | Incomplete, generator: torch.Generator) -> None:
        """Learn the scaling from training rows, (N, ...) and (N, D), and spread the initial locations over y.

        Of sequences y may hold the targets of all steps, (N T, D), or of those that are real.

        Raises:
            ValueError: Targets of another shape, or outside the support of the head's family.
        """
        self.check_target(y)
        points, known = _known_points(y)
        self._learn_inputs(x)
        self.target_scaling.learn(points, self.head.family.scalings(self.head.target_dim), known)
        self.head.spread(self._scaled(points.to(self.device)), generator, self.units)

    def _learn_inputs(self, x: Inputs) -> None:
        if isinstance(x, Mapping):
            if not isinstance(self.input_scaling, PartScaling):
                self.input_scaling = PartScaling(x, feature_axis(self.backbone)).to(self.device)
            self.input_scaling.learn(x)
        elif not isinstance(self.input_scaling, PartScaling):
            rows = columns(x, feature_axis(self.backbone))
            if rows is None:
                return
            self.input_scaling.learn(rows)
            for module in self.backbone.modules():
                if isinstance(module, TableEmbedding):
                    module.learn(self.scale_input(x))

    def check_target(self, y: Tensor | Incomplete, name: str = "y") -> None:
        """Refuse targets that are not (N, D), or (N, T, D), or that lie outside the support of the head's family."""
        if not isinstance(y, Incomplete):
            _checks.instance(name, y, Tensor)
        target_dim = self.head.target_dim
        steps = ["T"] * (y.dim() - 2)
        _checks.matches_shape(name, y.shape, ("N", *steps, target_dim), f"to match the head's target_dim={target_dim}")
        self.head.support().check(y, name)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Several inputs by name have a scaling each, which a network that has seen none yet does not know of.
        start = f"{prefix}input_scaling.parts."
        names = {key.removeprefix(start).split(".")[0] for key in state_dict if key.startswith(start)}
        if names and not isinstance(self.input_scaling, PartScaling):
            self.input_scaling = PartScaling(names, feature_axis(self.backbone)).to(self.device)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def units(self) -> Units:
        """Units in which the backbone and the head work: targets are (y - shift) / scale there."""
        return Units(self.target_scaling.loc, self.target_scaling.scale)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the network's own parameters."""
        return self.head.linear.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        return self.head.linear.weight.device

    def _scaled(self, y: Tensor) -> Tensor:
        scaled: Tensor = self.target_scaling(self.head.support().snapped(y))
        return scaled.to(self.dtype)


def _known_points(y: Tensor | Incomplete) -> tuple[Tensor, Tensor | None]:
    """Return one number for each target of which anything is known, (n, D), and which of them are known; None for all.

    Raises:
        ValueError: A target dimension of which nothing is known.
    """
    if not isinstance(y, Incomplete):
        return y.flatten(0, -2), None
    rows = y.map(lambda end: end.flatten(0, -2))
    known = rows.known
    if not bool(known.any(0).all()):
        raise _checks.InputError("y must be known somewhere in every target dimension; got missing values only.")
    tells = known.any(-1)
    return rows[tells].points(), known[tells]
