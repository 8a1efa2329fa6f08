"""Predictions as columns of a table, under the names that the estimator and the command line give them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from manymodes.distributions import Mixture, Prediction
from manymodes.estimators.tables.numbers import Floats


def prediction_columns(
    distribution: Prediction, names: Sequence[str], levels: Sequence[float], interval: float
) -> dict[str, Floats]:
    """Return mean, median, quantiles and the central interval of every target, (N,) each.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        names: Names of the targets, D of them.
        levels: Levels of the quantiles, from 0 to 1.
        interval: Probability that the interval holds, in (0, 1).
    """
    ends = [0.5 - interval / 2, 0.5 + interval / 2]
    wanted = torch.tensor([*levels, *ends, 0.5], dtype=torch.float64)[:, None, None]
    *quantiles, low, high, median = distribution.icdf_around_mean(wanted).numpy()
    mean = distribution.mean.numpy()
    columns: dict[str, Floats] = {}
    for d, name in enumerate(names):
        columns[f"{name}_mean"], columns[f"{name}_median"] = mean[:, d], median[:, d]
        for level, quantile in zip(levels, quantiles, strict=True):
            columns[f"{name}_q{level}"] = quantile[:, d]
        columns[f"{name}_lower_{100 * interval:g}"] = low[:, d]
        columns[f"{name}_upper_{100 * interval:g}"] = high[:, d]
    return columns


def component_columns(part: Mixture, names: Sequence[str], first_row: int) -> dict[str, NDArray[Any]]:
    """Return the columns of ``predict_components`` for some rows, flattened."""
    location, spread = part.components.mean, part.component_stddev  # (N, K, D)
    n_rows, n_components, n_targets = shape = part.logits.shape + part.event_shape
    row, component, target = np.indices(shape).reshape(3, -1)
    weight = part.weights.unsqueeze(-1).expand(n_rows, n_components, n_targets)
    return {
        "row": row + first_row,
        "component": component,
        "target": np.array(names)[target],
        "weight": weight.flatten().numpy(),
        "location": location.expand(shape).flatten().numpy(),
        "scale": spread.expand(shape).flatten().numpy(),
    }
