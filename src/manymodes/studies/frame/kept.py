"""Predictions as arrays that a step can keep, and back, so that pictures need no model."""

from __future__ import annotations

import numpy as np
import torch
from torch.distributions import Categorical

from manymodes.distributions import DiagonalNormal, Mixture, Prediction
from manymodes.studies.frame.work import Record

_PARTS = ("logits", "loc", "scale")
_NEGLIGIBLE = 1e-6  # weight of components that no picture shows


def as_arrays(prediction: Prediction, name: str = "shown") -> dict[str, np.ndarray]:
    """Return a mixture of normals as arrays (N, K) and (N, K, D), whose names begin with ``name``."""
    if not isinstance(prediction, Mixture) or not isinstance(prediction.components, DiagonalNormal):
        raise TypeError(f"prediction must be a mixture of independent normals to be kept; got {prediction!r}.")
    shape = (*prediction.logits.shape, *prediction.event_shape)
    kept = (prediction.weights > _NEGLIGIBLE).any(0)
    components = prediction.components
    loc, scale = components.loc.expand(shape)[:, kept], components.scale.expand(shape)[:, kept]
    values = zip(_PARTS, (prediction.logits[:, kept], loc, scale), strict=True)
    return {f"{name}_{part}": value.detach().float().numpy() for part, value in values}


def as_mixture(record: Record, name: str = "shown") -> Mixture:
    """Return the mixture that ``as_arrays`` kept."""
    logits, loc, scale = (torch.as_tensor(record[f"{name}_{part}"]).double() for part in _PARTS)
    return Mixture(Categorical(logits=logits, validate_args=False), DiagonalNormal(loc, scale, validate_args=False))
