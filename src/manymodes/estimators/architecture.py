"""What it takes to build an estimator's network again: a handful of numbers and names."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from manymodes import _checks
from manymodes.distributions import (
    COVARIANCE_TYPES,
    Concatenation,
    DiagonalNormal,
    Laplace,
    Logistic,
    PointMass,
    StudentT,
    given,
)
from manymodes.distributions.blueprints import Blueprint, as_blueprint
from manymodes.distributions.declared import Declared
from manymodes.nn import MLP, Members, MixtureDensityNetwork, MixtureHead, Retrieval, TableEmbedding, TableScaling

FAMILIES: Mapping[str, type[Declared]] = {
    "normal": DiagonalNormal,
    "student_t": StudentT,
    "laplace": Laplace,
    "logistic": Logistic,
}


@dataclass(frozen=True)
class Architecture:
    """Sizes and settings of a network; a fit and a load build it through the same ``build``.

    Attributes:
        n_features: Number of input features, F.
        target_dim: Number of target dimensions, D.
        n_components: Number of mixture components beside the atoms, K.
        covariance_type: Name in ``distributions.COVARIANCE_TYPES``.
        min_scale: Smallest scale of a component, in standardised units.
        hidden_sizes: Width of each hidden layer of the default backbone.
        dropout: Dropout of the default backbone.
        own_backbone_features: Features that the user's own backbone returns; None for the default one.
        n_members: Number of members, M; None for one network without a member axis.
        frequencies: First frequencies of the embedding, one for each member; empty for no embedding (format version 1).
        categories: Place and number of levels of every column that holds categories.
        family: Name in ``FAMILIES``.
        atoms: Values with a probability of their own, in the user's units.
        memory_rows: Number of training rows that the network remembers for retrieval; 0 for none.
    """

    n_features: int
    target_dim: int
    n_components: int
    covariance_type: str
    min_scale: float
    hidden_sizes: Sequence[int]
    dropout: float
    own_backbone_features: int | None = None
    n_members: int | None = None
    frequencies: Sequence[float] = ()
    categories: Sequence[Sequence[int]] = ()
    family: str = "normal"
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
        return MixtureDensityNetwork(backbone, self._head(self.own_backbone_features))

    def _default(self) -> MixtureDensityNetwork:
        _checks.instance("hidden_sizes", self.hidden_sizes, Sequence, " of integers, say (128, 128)")
        if not self.frequencies:
            mlp = MLP(self.n_features, self.hidden_sizes, dropout=self.dropout)
            return MixtureDensityNetwork(mlp, self._head(mlp.out_features))
        categories = {place: n_levels for place, n_levels in self.categories}  # noqa: C416  # JSON knows lists only
        embedding = TableEmbedding(
            self.n_features, categories=categories, frequency=self.frequencies, n_members=self.n_members
        )
        mlp = MLP(
            embedding.out_features,
            self.hidden_sizes,
            dropout=self.dropout,
            residual=True,
            n_members=self.n_members,
        )
        scaling = TableScaling(categories=categories)
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
            row_features=self.n_features,
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
        family: type[Declared] = _checks.one_of("covariance_type", self.covariance_type, COVARIANCE_TYPES)
        if self.family != "normal":
            family = _checks.one_of("family", self.family, FAMILIES)
            if self.covariance_type != "diag":
                raise _checks.InputError(
                    f"covariance_type must be 'diag' for family={self.family!r}; got {self.covariance_type!r}."
                )
        if not self.atoms:
            return as_blueprint(family)
        parts = [(given(PointMass, value=atom), 1) for atom in self.atoms]
        return Concatenation.of(*parts, (family, self.n_components))


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


def with_tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON record with its lists as the tuples that they were."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
