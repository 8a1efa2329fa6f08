"""Several predictions as one: of the same rows, pooled, or of rows one after another, joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, overload

import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.distributions import reduction
from manymodes.distributions.component import Component
from manymodes.distributions.mixture import Mixture
from manymodes.distributions.prediction import Prediction
from manymodes.distributions.recalibrated import Recalibrated


def pool(mixtures: Sequence[Mixture], weights: Sequence[float] | None = None) -> Mixture:
    """Return one mixture of several predictions of the same targets, say of an ensemble or of different models.

    Args:
        mixtures: Predictions of one ``batch_shape`` (N,) and ``event_shape`` (D,); families may differ.
        weights: Weight of each, >= 0; None weighs all alike.

    Raises:
        ValueError: No prediction, other shapes, or weights that cannot be.
    """
    first = _checked(mixtures)
    for i, mixture in enumerate(mixtures):
        shape, wanted = (*mixture.batch_shape, *mixture.event_shape), (*first.batch_shape, *first.event_shape)
        _checks.matches_shape(f"the targets of prediction {i + 1}", shape, wanted, "to match those of the first")
    share = torch.as_tensor([1.0] * len(mixtures) if weights is None else weights, dtype=torch.float64)
    if share.shape != (len(mixtures),) or not bool(((share >= 0) & share.isfinite()).all()) or share.sum() == 0:
        raise _checks.InputError(f"weights must be {len(mixtures)} numbers >= 0, not all 0; got {weights}.")
    parts = [m.logits + log.to(m.logits) for m, log in zip(mixtures, (share / share.sum()).log(), strict=True)]
    components = reduction.concatenated([mixture.components for mixture in mixtures])
    return _mixture(torch.cat(parts, -1), components, first)


@overload
def joined(mixtures: Sequence[Mixture]) -> Mixture: ...
@overload
def joined(mixtures: Sequence[Prediction]) -> Prediction: ...
def joined(mixtures: Sequence[Mixture] | Sequence[Prediction]) -> Prediction:
    """Return one prediction for the rows of several, one after another.

    Args:
        mixtures: Predictions by one network, ``batch_shape`` (N1,), (N2,), ...: families and K agree, and so do the
            maps of recalibrated ones.

    Raises:
        ValueError: No prediction.
    """
    if mixtures and isinstance(mixtures[0], Recalibrated):
        maps = mixtures[0].maps
        if not all(isinstance(part, Recalibrated) and part.maps == maps for part in mixtures):
            raise _checks.InputError("mixtures must all be recalibrated by the same maps where the first one is.")
        return Recalibrated(joined([cast(Recalibrated, part).base for part in mixtures]), maps)
    return _joined(cast(Sequence[Mixture], mixtures))


def _joined(mixtures: Sequence[Mixture]) -> Mixture:
    first = _checked(mixtures)
    if len(mixtures) == 1:
        return first
    columns = zip(*(parameters(mixture) for mixture in mixtures), strict=True)
    rows = [torch.cat(parts) for parts in columns]
    components = first.components.transformed(lambda value: rows.pop(0))
    return first._remade(torch.cat([mixture.logits for mixture in mixtures]), components)


def parameters(mixture: Mixture) -> list[Tensor]:
    """Return the parameters of the components, (N, K, ...), in the order in which a component names them."""
    seen: list[Tensor] = []

    def note(value: Tensor) -> Tensor:
        seen.append(value)
        return value

    mixture.components.transformed(note)
    return seen


def _mixture(logits: Tensor, components: Component, like: Mixture) -> Mixture:
    return Mixture(Categorical(logits=logits, validate_args=False), components, validate_args=like._validate_args)


def _checked(mixtures: Sequence[Mixture]) -> Mixture:
    """Refuse what is no list of predictions; return the first."""
    if not mixtures:
        raise _checks.InputError("mixtures must hold at least 1 prediction; got none.")
    for i, mixture in enumerate(mixtures):
        _checks.instance(f"prediction {i + 1}", mixture, Mixture)
    return mixtures[0]
