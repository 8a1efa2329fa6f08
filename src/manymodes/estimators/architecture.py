"""What it takes to build an estimator's network again: a handful of numbers and names."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions import Concatenation, PointMass, given
from manymodes.distributions.blueprints import Blueprint
from manymodes.estimators.targets.families import NORMAL, Family, blueprint_of
from manymodes.nn import (
    MLP,
    Members,
    MixtureDensityNetwork,
    MixtureHead,
    PartScaling,
    Retrieval,
    TableEmbedding,
    TableScaling,
)
from manymodes.nn.inputs import Inputs, mapped, n_rows, parts_of


@dataclass(frozen=True)
class Architecture:
    """Sizes and settings of a network; a fit and a load build it through the same ``build``.

    Attributes:
        n_features: Number of input features, F.
        target_dim: Number of target dimensions, D.
        n_components: Number of mixture components beside the atoms, K.
        covariance_type: Name in ``distributions.COVARIANCE_TYPES``.
        min_scale: Smallest scale of a component in each target dimension, in standardised units; one number for all in
            files of format version 1 and 2.
        hidden_sizes: Width of each hidden layer of the default backbone.
        dropout: Dropout of the default backbone.
        own_backbone_features: Features that the user's own backbone returns; None for the default one.
        n_members: Number of members, M; None for one network without a member axis.
        frequencies: First frequencies of the embedding, one for each member; empty for no embedding (format version 1).
        embedding_width: Numbers that each column of numbers is embedded as.
        categories: Place and number of levels of every column that holds categories.
        gaps: Places of columns of numbers some of which may be missing.
        input_parts: Names of the inputs, where the user's own backbone takes several.
        family: Family of all target dimensions, see ``families``.
        target_families: Family of each of them, where they differ.
        atoms: Values with a probability of their own, in the user's units.
        memory_rows: Number of training rows that the network remembers for retrieval; 0 for none.
    """

    n_features: int
    target_dim: int
    n_components: int
    covariance_type: str
    min_scale: float | Sequence[float]
    hidden_sizes: Sequence[int]
    dropout: float
    own_backbone_features: int | None = None
    n_members: int | None = None
    frequencies: Sequence[float] = ()
    embedding_width: int = 12
    categories: Sequence[Sequence[int]] = ()
    gaps: Sequence[int] = ()
    input_parts: Sequence[str] = ()
    family: Family = NORMAL
    target_families: Sequence[Family] = ()
    atoms: Sequence[float] = ()
    memory_rows: int = 0

    def build(self, own_backbone: nn.Module | None = None) -> MixtureDensityNetwork:
        """Return a new network with initial weights; a user's own backbone is copied, never changed."""
        if self.own_backbone_features is None:
            if own_backbone is not None:
                raise _checks.InputError("backbone must be left out: this model has the default one.")
            return self._default()
        if own_backbone is None:
            raise _checks.InputError(
                "backbone must be the module that this model was fitted with; got None. "
                "Hand it in: manymodes.load(path, backbone=module)."
            )
        backbone = copy.deepcopy(own_backbone)
        if self.n_members is not None:
            backbone = Members(backbone, self.n_members)
        scaling = PartScaling(self.input_parts) if self.input_parts else None
        return MixtureDensityNetwork(backbone, self._head(self.own_backbone_features), input_scaling=scaling)

    @property
    def families(self) -> Sequence[Family]:
        """Family of each target dimension."""
        return self.target_families or (self.family,) * self.target_dim

    def _default(self) -> MixtureDensityNetwork:
        _checks.instance("hidden_sizes", self.hidden_sizes, Sequence, " of integers, say (128, 128)")
        if not self.frequencies:
            mlp = MLP(self.n_features, self.hidden_sizes, dropout=self.dropout)
            return MixtureDensityNetwork(mlp, self._head(mlp.out_features))
        categories = {place: n_levels for place, n_levels in self.categories}  # noqa: C416  # JSON knows lists only
        embedding = TableEmbedding(
            self.n_features,
            categories=categories,
            n_flags=len(self.gaps),
            width=self.embedding_width,
            frequency=self.frequencies,
            n_members=self.n_members,
        )
        mlp = MLP(
            embedding.out_features,
            self.hidden_sizes,
            dropout=self.dropout,
            residual=True,
            n_members=self.n_members,
        )
        scaling = TableScaling(categories=categories, gaps=self.gaps)
        return MixtureDensityNetwork(
            nn.Sequential(embedding, mlp),
            self._head(mlp.out_features),
            input_scaling=scaling,
            retrieval=self._retrieval(mlp.out_features),
        )

    def _retrieval(self, in_features: int) -> Retrieval | None:
        if not self.memory_rows:
            return None
        return Retrieval(
            in_features,
            n_rows=self.memory_rows,
            row_features=self.n_features + len(self.gaps),
            target_dim=self.target_dim,
            min_scale=self.min_scale,
            n_members=self.n_members,
        )

    def _head(self, in_features: int) -> MixtureHead:
        return MixtureHead(
            in_features,
            target_dim=self.target_dim,
            n_components=self.n_components + len(self.atoms),
            family=self._blueprint(),
            min_scale=self.min_scale,
            n_members=self.n_members,
        )

    def _blueprint(self) -> Blueprint:
        family = blueprint_of(self.families, self.covariance_type)
        if not self.atoms:
            return family
        parts = [(given(PointMass, value=atom), 1) for atom in self.atoms]
        return Concatenation.of(*parts, (family, self.n_components))


def output_width(backbone: nn.Module, rows: Inputs) -> int:
    """Return how many features a user's own backbone gives, by running a copy of it on some rows."""
    _checks.instance("backbone", backbone, nn.Module)
    rows = mapped(rows, lambda part: part.to(torch.float32) if part.is_floating_point() else part)
    shapes = {name: _checks.shape_text(("N", *part.shape[1:])) for name, part in parts_of(rows).items()}
    taken = " and ".join(f"{name} of shape {shape}" for name, shape in shapes.items())
    try:
        with torch.no_grad():
            features = copy.deepcopy(backbone).cpu().eval()(rows)
    except (RuntimeError, TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _checks.InputError(f"backbone must take {taken}; it fails: {reason}") from error
    if not isinstance(features, Tensor) or features.dim() not in (2, 3) or len(features) != n_rows(rows):
        shape = _checks.shape_text(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise _checks.InputError(
            f"backbone must return a tensor of shape ({n_rows(rows)}, any) for {n_rows(rows)} rows; got {shape}."
        )
    return int(features.shape[-1])


def with_tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON record with its lists as the tuples that they were."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
